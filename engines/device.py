"""A GPU: its primary context, streams, events, and buffers with a pinned twin on the host.

The primary context is the one that TensorRT and PyTorch use too; a second one would share nothing
with them, which is why `pycuda.autoinit` is banned. Imports pycuda: import this file where a GPU is
asked for, not before. Knows no networks.

    device = Device()
    with device.current():                  # on every thread that launches or copies
        stream, buffer = device.stream(), Buffer((1, 3, 96, 96))
        buffer.upload(stream)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from engines import driver
from engines.errors import DeviceError

CudaStream = cuda.Stream
CudaEvent = cuda.Event
"""for those who may not import pycuda"""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    name: str
    """NVIDIA L4"""
    compute_capability: tuple[int, int]
    driver: str
    """the newest CUDA that the driver speaks: 12.8"""
    memory_bytes: int


class Device:
    """One GPU. Its primary context is held from construction to `close`.

    Raises:
        DeviceError: there is no GPU that can be used; says what is missing.
    """

    def __init__(self, index: int = 0) -> None:
        driver.require()
        try:
            cuda.init()
            gpu = cuda.Device(index)
            self._context = gpu.retain_primary_context()
            self.info = DeviceInfo(
                gpu.name(),
                gpu.compute_capability(),
                driver.dotted(cuda.get_driver_version()),
                gpu.total_memory(),
            )
        except cuda.Error as error:
            raise DeviceError(f"GPU {index}: {error}; see what nvidia-smi says") from None

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make its context this thread's current one.

        Raises:
            DeviceError: a CUDA call inside failed, or an earlier launch did and it shows only now.
        """
        self._context.push()
        try:
            yield
        except cuda.Error as error:
            raise DeviceError(f"{self.info.name}: {error}; see what nvidia-smi says") from None
        finally:
            cuda.Context.pop()

    def stream(self) -> cuda.Stream:
        return cuda.Stream()

    def event(self) -> cuda.Event:
        """A point in one stream that another can wait for."""
        return cuda.Event()

    def free_bytes(self) -> int:
        """What no process has taken; its context is current."""
        return int(cuda.mem_get_info()[0])

    def close(self) -> None:
        before = driver.current_context()
        self._context.detach()
        driver.leave_until(before)  # detaching makes it current for that, and leaves it so


class Place:
    """An array's place on the GPU, which never moves.

    Raises:
        DeviceError: no memory is left for it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> None:
        self.bytes = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            self._memory = cuda.mem_alloc(self.bytes)
        except cuda.MemoryError:
            raise out_of_memory(self.bytes) from None
        self.address = int(self._memory)

    def fill(self, array: NDArray[Any], stream: cuda.Stream) -> None:
        """Send any array of its size there, and wait: not for what is done in every frame."""
        assert array.nbytes == self.bytes
        sent = np.ascontiguousarray(array)  # must live until the end
        cuda.memcpy_htod_async(self.address, sent, stream)
        stream.synchronize()

    def free(self) -> None:
        self._memory.free()


class Buffer(Place):
    """A place with a twin in pinned memory.

    Raises:
        DeviceError: no memory is left for it.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> None:
        try:
            self.host: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        except cuda.MemoryError:
            raise out_of_memory(math.prod(shape) * np.dtype(dtype).itemsize) from None
        self.host.fill(0)
        super().__init__(shape, dtype)

    def upload(self, stream: cuda.Stream) -> None:
        cuda.memcpy_htod_async(self.address, self.host, stream)

    def download(self, stream: cuda.Stream) -> None:
        cuda.memcpy_dtoh_async(self.host, self.address, stream)


class Staged(Buffer):
    """A buffer that is sent anew in every frame, as much of it as is needed.

    An event says when an upload is over: only then is the pinned twin written to again, and may
    another stream read the place.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> None:
        super().__init__(shape, dtype)
        self._sent = cuda.Event()

    def send(self, values: NDArray[Any], stream: cuda.Stream) -> None:
        """Copy values to its beginning and send them; the caller may change them afterwards."""
        self._sent.synchronize()
        front = self.host.reshape(-1)[: values.size]
        np.copyto(front, values.reshape(-1))
        if values.size:
            cuda.memcpy_htod_async(self.address, front, stream)
        self._sent.record(stream)

    def awaited_by(self, stream: cuda.Stream) -> None:
        """What comes next on a stream begins when the upload is over."""
        stream.wait_for_event(self._sent)


def copy(to: int, from_: int, size: int, stream: cuda.Stream) -> None:
    """Bytes from one address on the GPU to another."""
    cuda.memcpy_dtod_async(to, from_, size, stream)


def out_of_memory(wanted_bytes: int) -> DeviceError:
    """The error, with what is free; the context is current."""
    free, total = cuda.mem_get_info()
    return DeviceError(
        f"out of GPU memory: {_mib(wanted_bytes)} wanted, {_mib(free)} of {_mib(total)} free; "
        "close what else uses the GPU (nvidia-smi lists it)"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
