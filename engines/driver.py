"""The CUDA driver itself, where pycuda ends: is there a GPU at all, and CUDA graphs.

A dozen calls of libcuda through ctypes (docs.nvidia.com/cuda/cuda-driver-api). Makes no context:
`require` is cheap and safe on machines without a GPU, so it is asked first, before pycuda or
TensorRT are imported. Knows no tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType

from engines.errors import DeviceError

LIBRARY = "libcuda.so.1"
OLDEST_CUDA = 12000
"""of the driver: 1000 * major + 10 * minor; TensorRT 10 and 11 and our calls exist from there on"""

_NO_DEVICE = 100
_OUT_OF_DATE = 803
_CAPTURE_THREAD_LOCAL = 1
"""other threads may allocate meanwhile"""


def require() -> None:
    """
    Raises:
        DeviceError: there is no driver, it is too old, or it shows no GPU.
    """
    cuda = _load()
    version, count = ctypes.c_int(), ctypes.c_int()
    _check(cuda, "cuDriverGetVersion", ctypes.byref(version))
    if version.value < OLDEST_CUDA:
        raise DeviceError(
            f"the NVIDIA driver speaks CUDA {dotted(version.value)}, TensorRT and pycuda need "
            f"{dotted(OLDEST_CUDA)}; install a driver of version 525 or newer"
        )
    _check(cuda, "cuInit", 0)
    _check(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise _no_device()


def in_use(index: int = 0) -> bool:
    """Whether this process computes on that GPU: whether its primary context is there.

    Only asks; no context is made. False where there is no GPU.
    """
    try:
        cuda = _load()
        _check(cuda, "cuInit", 0)
        device, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
        _check(cuda, "cuDeviceGet", ctypes.byref(device), index)
        _check(
            cuda,
            "cuDevicePrimaryCtxGetState",
            device,
            ctypes.byref(flags),
            ctypes.byref(active),
        )
    except DeviceError:
        return False
    return bool(active.value)


def dotted(version: int) -> str:
    """12080 -> "12.8"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def current_context() -> int | None:
    """The context that is current on this thread."""
    context = ctypes.c_void_p()
    _check(_load(), "cuCtxGetCurrent", ctypes.byref(context))
    return context.value


def leave_until(context: int | None) -> None:
    """Pop this thread's contexts until that one is current again; it was when they were pushed."""
    popped = ctypes.c_void_p()
    while (current := current_context()) not in (context, None):
        _check(_load(), "cuCtxPopCurrent_v2", ctypes.byref(popped))
        if current_context() == current:
            return  # it was pushed twice, or cannot be popped: more would not help


class Graph:
    """Launches that were recorded once; a replay costs the processor one call."""

    def __init__(self, cuda: ctypes.CDLL, executable: ctypes.c_void_p) -> None:
        self._cuda, self._executable = cuda, executable

    def launch(self, stream: int) -> None:
        """Replay everything on a stream; the context is current on this thread."""
        _check(self._cuda, "cuGraphLaunch", self._executable, ctypes.c_void_p(stream))

    def close(self) -> None:
        _check(self._cuda, "cuGraphExecDestroy", self._executable)


def record(launches: Callable[[], None], stream: int) -> Graph:
    """Record what `launches` puts on the stream, without running it.

    Raises:
        DeviceError: something in it cannot be recorded.
    """
    cuda = _load()
    with _Capture(cuda, stream) as capture:
        launches()
    executable = ctypes.c_void_p()
    try:
        _check(
            cuda,
            "cuGraphInstantiateWithFlags",
            ctypes.byref(executable),
            capture.graph,
            ctypes.c_ulonglong(0),
        )
    finally:
        _check(cuda, "cuGraphDestroy", capture.graph)
    return Graph(cuda, executable)


class _Capture:
    """While it lasts, the stream records. It ends even if recording fails: the stream lives on."""

    def __init__(self, cuda: ctypes.CDLL, stream: int) -> None:
        self._cuda, self._stream = cuda, ctypes.c_void_p(stream)
        self.graph = ctypes.c_void_p()

    def __enter__(self) -> _Capture:
        _check(self._cuda, "cuStreamBeginCapture_v2", self._stream, _CAPTURE_THREAD_LOCAL)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = self._cuda.cuStreamEndCapture(self._stream, ctypes.byref(self.graph))
        if error is not None:
            if self.graph:
                self._cuda.cuGraphDestroy(self.graph)
            return
        _raise_for(self._cuda, "cuStreamEndCapture", ended)


def _load() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        raise DeviceError(
            f"no CUDA driver ({LIBRARY}); install NVIDIA's, or choose the backend onnx"
        ) from None


def _check(cuda: ctypes.CDLL, call: str, *arguments: object) -> None:
    _raise_for(cuda, call, getattr(cuda, call)(*arguments))


def _raise_for(cuda: ctypes.CDLL, call: str, code: int) -> None:
    if code == 0:
        return
    if code == _NO_DEVICE:
        raise _no_device()
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    said = text.value.decode() if text.value else f"error {code}"
    fix = "reboot after a driver update" if code == _OUT_OF_DATE else "see what nvidia-smi says"
    raise DeviceError(f"{call}: {said}; {fix}")


def _no_device() -> DeviceError:
    return DeviceError(
        "no CUDA device that the driver shows; see what nvidia-smi says, and CUDA_VISIBLE_DEVICES"
    )
