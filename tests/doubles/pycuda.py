"""pycuda.driver as `engines/device.py` uses it; held against its record by `test_doubles.py`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.doubles.gpu import Gpu, Strict


def package() -> ModuleType:
    made = ModuleType("pycuda")
    made.__path__ = []
    return made


def driver(gpu: Gpu) -> ModuleType:  # noqa: PLR0915, C901 - a module of small things
    module = ModuleType("pycuda.driver")

    class Error(Exception):
        pass

    class LogicError(Error):
        pass

    class MemoryError(Error):
        pass

    class Context(Strict):
        def push(self) -> None:
            gpu.contexts.append(self)

        @staticmethod
        def pop() -> None:
            gpu.contexts.pop()

        def detach(self) -> None:
            gpu.did("release")
            gpu.retained -= 1

    class Device(Strict):
        def __init__(self, arg2: int) -> None:
            if arg2 >= gpu.count:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        def name(self) -> str:
            return gpu.name

        def compute_capability(self) -> Any:
            return gpu.compute_capability

        def total_memory(self) -> int:
            return 24 << 30

        def retain_primary_context(self) -> Context:
            gpu.did("retain")
            gpu.retained += 1
            return Context()

    class DeviceAllocation(Strict):
        def __init__(self, address: int) -> None:
            self._address = address

        def __int__(self) -> int:
            return self._address

        def free(self) -> None:
            gpu.did("free")
            gpu.release(self._address)

    class Stream(Strict):
        def __init__(self, flags: int = 0) -> None:
            gpu.did("stream")
            self._handle = 0x5000 + len(gpu.calls)

        @property
        def handle(self) -> int:
            return self._handle

        def synchronize(self) -> None:
            assert gpu.recording is None, "waiting cannot be recorded"
            gpu.did("wait")
            if "synchronize" in gpu.refusals:
                raise LogicError(gpu.refusals["synchronize"])

        def wait_for_event(self, arg2: Event) -> None:
            gpu.did("wait for event")

    class Event(Strict):
        def __init__(self, flags: int = 0) -> None:
            gpu.did("event")

        def record(self, stream: Any = None) -> Event:
            gpu.did("record event")
            return self

        def synchronize(self) -> Event:
            gpu.did("synchronize event")
            return self

        def time_till(self, arg2: Event) -> float:
            gpu.did("time between events")
            return 0.25

    def init(flags: int = 0) -> None:
        gpu.did("init")

    def get_driver_version() -> int:
        return gpu.driver_version

    def mem_alloc(arg1: int) -> DeviceAllocation:
        gpu.did("allocate")
        if arg1 > gpu.free_bytes:
            raise MemoryError("cuMemAlloc failed: out of memory")
        return DeviceAllocation(gpu.allocate(arg1))

    def mem_get_info() -> Any:
        return gpu.free_bytes, 24 << 30

    def pagelocked_empty(
        shape: Any, dtype: Any, order: Any = "C", mem_flags: int = 0
    ) -> NDArray[np.float32]:
        gpu.did("allocate pinned")
        return np.full(shape, np.nan, dtype)

    def memcpy_htod_async(dest: Any, src: Any, stream: Any = None) -> None:
        gpu.did(f"upload {stream.handle}")
        gpu.memory[dest][:] = src.ravel()

    def memcpy_dtoh_async(dest: Any, src: Any, stream: Any = None) -> None:
        gpu.did(f"download {stream.handle}")
        dest[:] = gpu.memory[src].reshape(dest.shape)

    for thing in (
        *(Error, LogicError, MemoryError),
        *(Context, Device, DeviceAllocation, Event, Stream),
        *(init, get_driver_version, mem_alloc, mem_get_info, pagelocked_empty),
        *(memcpy_htod_async, memcpy_dtoh_async),
    ):
        setattr(module, thing.__name__, thing)
    return module
