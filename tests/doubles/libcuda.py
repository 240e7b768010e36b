"""libcuda as `engines/driver.py` calls it through ctypes: returns codes, writes results."""

from __future__ import annotations

from ctypes import c_void_p
from typing import Any

from tests.doubles.gpu import Gpu

TEXTS = {2: b"out of memory", 803: b"unsupported driver", 900: b"cannot be captured"}


class Libcuda:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self._gpu.driver_version
        return self._code("cuDriverGetVersion")

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self._code("cuInit")

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self._gpu.count
        return self._code("cuDeviceGetCount")

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return self._code("cuDeviceGet") if ordinal < self._gpu.count else 101

    def cuDevicePrimaryCtxGetState(self, device: Any, flags: Any, active: Any) -> int:
        assert device.value == 0 and flags._obj.value == 0
        active._obj.value = int(self._gpu.retained > 0)
        return self._code("cuDevicePrimaryCtxGetState")

    def cuCtxGetCurrent(self, context: Any) -> int:
        context._obj.value = id(self._gpu.contexts[-1]) if self._gpu.contexts else None
        return self._code("cuCtxGetCurrent")

    def cuCtxPopCurrent_v2(self, context: Any) -> int:
        context._obj.value = id(self._gpu.contexts.pop())
        return self._code("cuCtxPopCurrent_v2")

    def cuGetErrorString(self, code: int, text: Any) -> int:
        text._obj.value = TEXTS.get(code)
        return 0

    def cuStreamBeginCapture_v2(self, stream: c_void_p, mode: int) -> int:
        assert mode == 1, "other threads may allocate meanwhile"
        self._gpu.did(f"begin {stream.value}")
        self._gpu.recording = stream.value
        return self._code("cuStreamBeginCapture_v2")

    def cuStreamEndCapture(self, stream: c_void_p, graph: Any) -> int:
        assert self._gpu.recording == stream.value
        self._gpu.did(f"end {stream.value}")
        self._gpu.recording = None
        code = self._code("cuStreamEndCapture")
        handle = 0x700 + len(self._gpu.graphs)
        graph._obj.value = None if code else handle
        self._gpu.graphs[handle], self._gpu.recorded = self._gpu.recorded, []
        return code

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: c_void_p, flags: Any) -> int:
        assert graph.value in self._gpu.graphs and flags.value == 0
        executable._obj.value = graph.value
        return self._code("cuGraphInstantiateWithFlags")

    def cuGraphDestroy(self, graph: c_void_p) -> int:
        self._gpu.did("destroy graph")
        return 0

    def cuGraphLaunch(self, executable: c_void_p, stream: c_void_p) -> int:
        assert executable.value is not None
        self._gpu.did(f"replay {stream.value}")
        for launch in self._gpu.graphs[executable.value]:
            self._gpu.submit(stream.value or 0, launch)
        return self._code("cuGraphLaunch")

    def cuGraphExecDestroy(self, executable: c_void_p) -> int:
        self._gpu.did("forget graph")
        return 0

    def _code(self, call: str) -> int:
        return self._gpu.codes.get(call, 0)
