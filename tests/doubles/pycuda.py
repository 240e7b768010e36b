"""pycuda as `engines/device.py` and `engines/kernels/program.py` use it.

Its cubins are the sources that they were compiled from, and a launch runs them on this processor
(`host_kernels.py`): a wrong address or argument gives wrong numbers. Held against its record by
`test_doubles.py`.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines import kernels
from tests.doubles.gpu import Gpu, Strict
from tests.doubles.host_kernels import host_kernels

MAGIC = b"cubin of the double\n"


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

    class CompileError(Error):
        def __init__(
            self, msg: str, command_line: Any, stdout: Any = None, stderr: Any = None
        ) -> None:
            super().__init__(msg)

    class Context(Strict):
        def push(self) -> None:
            gpu.contexts.append(self)

        @staticmethod
        def pop() -> None:
            gpu.contexts.pop()

        def detach(self) -> None:
            gpu.did("release")
            gpu.retained -= 1
            if not (gpu.contexts and gpu.contexts[-1] is self):
                gpu.contexts.append(self)  # the release does not pop what detaching pushes

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
            gpu.finish(self._handle)
            if "synchronize" in gpu.refusals:
                raise LogicError(gpu.refusals["synchronize"])

        def wait_for_event(self, arg2: Event) -> None:
            gpu.did("wait for event")
            if arg2._at is not None:  # the last record before the wait, not a later one
                gpu.submit(self._handle, functools.partial(gpu.finish, *arg2._at))

    class Event(Strict):
        def __init__(self, flags: int = 0) -> None:
            gpu.did("event")
            self._at: tuple[int, int] | None = None

        def record(self, stream: Any = None) -> Event:
            gpu.did("record event")
            self._at = stream.handle, gpu.submitted(stream.handle)
            return self

        def synchronize(self) -> Event:
            gpu.did("synchronize event")
            if self._at is not None:
                gpu.finish(*self._at)
            return self

        def time_till(self, arg2: Event) -> float:
            gpu.did("time between events")
            return 0.25

    class Function(Strict):
        def __init__(self, source: str, name: str) -> None:
            self._kernel = next(kernel for kernel in kernels.EVERY if kernel.name == name)
            self._source, self._format = source, ""

        def prepare(func, arg_types: Any, texrefs: Any = None) -> Function:  # noqa: N805
            func._format = arg_types
            return func

        def prepared_async_call(
            func,  # noqa: N805
            grid: Any,
            block: Any,
            stream: Any,
            *args: Any,
            **kwargs: Any,
        ) -> None:
            assert func._format == "ii" + func._kernel.arguments and not kwargs
            assert 0 not in (*grid, *block) and np.prod(block) <= 1024, "an invalid configuration"
            values = [
                gpu.pointer(value) if letter == "P" else value
                for letter, value in zip(func._format, args, strict=True)
            ]

            def run() -> None:
                host_kernels(func._source).launch(func._kernel, grid, block, values)

            if gpu.recording is not None:
                assert gpu.recording == stream.handle
                gpu.did(f"recorded {func._kernel.name}")
                gpu.recorded.append(run)
            else:
                gpu.did(f"{func._kernel.name} {stream.handle}")
                gpu.submit(stream.handle, run)

    class Module(Strict):
        def __init__(self, source: str) -> None:
            self._source = source

        def get_function(self, name: str) -> Function:
            if f" void {name}(" not in self._source:
                raise LogicError("cuModuleGetFunction failed: named symbol not found")
            return Function(self._source, name)

    def module_from_buffer(buffer: Any, options: Any = (), message_handler: Any = None) -> Module:
        gpu.did("load kernels")
        assert buffer.startswith(MAGIC)
        return Module(buffer[len(MAGIC) :].decode())

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
    ) -> NDArray[Any]:
        gpu.did("allocate pinned")
        return np.full(shape, 77, dtype)

    def memcpy_htod_async(dest: Any, src: Any, stream: Any = None) -> None:
        assert src.flags.c_contiguous
        gpu.did(f"upload {stream.handle}")

        def upload() -> None:
            gpu.there(dest, src.nbytes)[:] = src.reshape(-1).view(np.uint8)

        gpu.submit(stream.handle, upload)

    def memcpy_dtoh_async(dest: Any, src: Any, stream: Any = None) -> None:
        assert dest.flags.c_contiguous
        gpu.did(f"download {stream.handle}")

        def download() -> None:
            dest.reshape(-1).view(np.uint8)[:] = gpu.there(src, dest.nbytes)

        gpu.submit(stream.handle, download)

    def memcpy_dtod_async(dest: int, src: int, size: int, stream: Any = None) -> None:
        gpu.did(f"copy {stream.handle}")

        def move() -> None:
            gpu.there(dest, size)[:] = gpu.there(src, size)

        gpu.submit(stream.handle, move)

    for thing in (
        *(Error, LogicError, MemoryError, CompileError),
        *(Context, Device, DeviceAllocation, Event, Function, Module, Stream),
        *(init, get_driver_version, mem_alloc, mem_get_info, pagelocked_empty),
        *(memcpy_htod_async, memcpy_dtoh_async, memcpy_dtod_async, module_from_buffer),
    ):
        setattr(module, thing.__name__, thing)
    return module


def compiler(gpu: Gpu) -> ModuleType:
    module = ModuleType("pycuda.compiler")

    def get_nvcc_version(nvcc: str) -> str:
        if "nvcc" in gpu.refusals:
            raise OSError(gpu.refusals["nvcc"])
        return gpu.compiler_version

    def compile(  # noqa: PLR0913
        source: str,
        nvcc: str = "nvcc",
        options: Any = None,
        keep: bool = False,
        no_extern_c: bool = False,
        arch: str | None = None,
        code: Any = None,
        cache_dir: Any = None,
        include_dirs: Any = None,
        target: str = "cubin",
    ) -> bytes:
        assert no_extern_c and cache_dir is False and target == "cubin"
        gpu.calls.append(f"compile {arch} {' '.join(options)}")
        if "compile" in gpu.refusals:
            raise sys.modules["pycuda.driver"].CompileError(gpu.refusals["compile"], None)
        return MAGIC + source.encode()

    for thing in (get_nvcc_version, compile):
        setattr(module, thing.__name__, thing)
    return module
