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

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from engines import driver
from engines.errors import DeviceError

F32 = NDArray[np.float32]
CudaStream = cuda.Stream
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
    """A float32 tensor's place on the GPU, which never moves.

    Raises:
        DeviceError: no memory is left for it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        size = 4 * math.prod(shape)
        try:
            self._memory = cuda.mem_alloc(size)
        except cuda.MemoryError:
            raise out_of_memory(size) from None
        self.address = int(self._memory)

    def free(self) -> None:
        self._memory.free()


class Buffer(Place):
    """A place with a twin in pinned memory.

    Raises:
        DeviceError: no memory is left for it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        try:
            self.host: F32 = cuda.pagelocked_empty(shape, np.float32)
        except cuda.MemoryError:
            raise out_of_memory(4 * math.prod(shape)) from None
        self.host.fill(0)
        super().__init__(shape)

    def upload(self, stream: cuda.Stream) -> None:
        cuda.memcpy_htod_async(self.address, self.host, stream)

    def download(self, stream: cuda.Stream) -> None:
        cuda.memcpy_dtoh_async(self.host, self.address, stream)


def out_of_memory(wanted_bytes: int) -> DeviceError:
    """The error, with what is free; the context is current."""
    free, total = cuda.mem_get_info()
    return DeviceError(
        f"out of GPU memory: {_mib(wanted_bytes)} wanted, {_mib(free)} of {_mib(total)} free; "
        "close what else uses the GPU (nvidia-smi lists it)"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
