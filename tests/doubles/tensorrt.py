"""tensorrt as `engines/backends/tensorrt.py` and `engines/build.py` use it.

Its plans are the ONNX files that they were built from, run by ONNX Runtime on the memory whose
addresses were bound: a wrong binding gives wrong numbers. `test_doubles.py` holds it against the
records of TensorRT 10 and 11.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.doubles.gpu import Gpu, Strict

VERSION = "10.13.3.9"
MAGIC = b"plan of the double\n"


def module(gpu: Gpu) -> ModuleType:  # noqa: PLR0915, C901 - a module of small things
    made = ModuleType("tensorrt")
    made.__version__ = VERSION  # type: ignore[attr-defined]

    class DataType(enum.IntEnum):
        FLOAT = 0
        HALF = 1

    class BuilderFlag(enum.IntEnum):
        TF32 = 7

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 1

    class ILogger(Strict):
        class Severity(enum.IntEnum):
            INTERNAL_ERROR = 0
            ERROR = 1
            WARNING = 2
            INFO = 3
            VERBOSE = 4

        def __init__(self) -> None:
            self._begun = True

        def log(self, severity: ILogger.Severity, msg: str) -> None:
            raise AssertionError("must be overridden")

    class IProgressMonitor(Strict):
        def __init__(self) -> None:
            self._begun = True

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool: ...  # type: ignore[empty-body]

        def phase_finish(self, phase_name: str) -> None: ...

    def refuses(call: str, log: ILogger) -> bool:
        if call in gpu.refusals:
            log.log(ILogger.Severity.ERROR, gpu.refusals[call])
        return call in gpu.refusals

    def begin(call: str, log: ILogger) -> None:
        assert log._begun, "ILogger.__init__ was not called"
        if refuses(call, log):
            raise TypeError("pybind11::init(): factory function returned nullptr")

    class Dims(Strict):
        def __init__(self, shape: Sequence[int]) -> None:
            self._shape = tuple(shape)

        def __len__(self) -> int:
            return len(self._shape)

        def __getitem__(self, arg0: int) -> int:
            return self._shape[arg0]

    class IHostMemory(Strict):
        """A buffer; on Python 3.10 and 3.11 only bytes can pretend to be one."""

    class Memory(bytes, IHostMemory):
        pass

    class ITimingCache(Strict):
        def serialize(self) -> IHostMemory:
            return Memory(b"timings")

    class INetworkDefinition(Strict):
        def __init__(self) -> None:
            self._model = b""

    class ParserError(Strict):
        def desc(self) -> str:
            return gpu.refusals["parse"]

    class OnnxParser(Strict):
        def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
            self._network, self._log = network, logger

        def parse(self, model: bytes, path: str = "") -> bool:
            self._network._model = model
            return not refuses("parse", self._log)

        @property
        def num_errors(self) -> int:
            return int("parse" in gpu.refusals)

        def get_error(self, index: int) -> ParserError:
            return ParserError()

    class IBuilderConfig(Strict):
        def __init__(self) -> None:
            self._monitor: Any = None
            self._cleared: list[BuilderFlag] = []

        def clear_flag(self, flag: BuilderFlag) -> None:
            self._cleared.append(flag)

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
            gpu.calls.append(f"timings {serialized_timing_cache!r}")
            known = serialized_timing_cache in (b"", b"timings")
            return ITimingCache() if known else None

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            return isinstance(cache, ITimingCache) and not ignore_mismatch

        @property
        def progress_monitor(self) -> Any:
            return self._monitor

        @progress_monitor.setter
        def progress_monitor(self, value: IProgressMonitor) -> None:
            assert value._begun, "IProgressMonitor.__init__ was not called"
            self._monitor = value

    class Builder(Strict):
        def __init__(self, logger: ILogger) -> None:
            begin("Builder", logger)
            self._log = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> IHostMemory | None:
            assert BuilderFlag.TF32 in config._cleared
            monitor = config.progress_monitor
            monitor.phase_start("Building", None, gpu.steps)
            for step in range(gpu.steps):
                if step in gpu.at_step:
                    gpu.at_step[step]()
                if not monitor.step_complete("Building", step):
                    monitor.phase_finish("Building")
                    return None
            monitor.phase_finish("Building")
            if refuses("build_serialized_network", self._log):
                return None
            return Memory(MAGIC + network._model)

    class IExecutionContext(Strict):
        def __init__(self, session: onnxruntime.InferenceSession) -> None:
            self._session = session
            self._addresses: dict[str, int] = {}

        def set_tensor_address(self, name: str, memory: int) -> bool:
            gpu.calls.append(f"bind {name}")
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            if gpu.recording is not None:
                assert gpu.recording == stream_handle
                gpu.did("recorded")
                gpu.recorded.append(self._run)
                return "capture" not in gpu.refusals
            gpu.did(f"launch {stream_handle}")
            gpu.submit(stream_handle, self._run)
            return "execute_async_v3" not in gpu.refusals

        def _run(self) -> None:
            feeds = {i.name: self._at(i.name, i.shape).copy() for i in self._session.get_inputs()}
            names = [output.name for output in self._session.get_outputs()]
            for name, result in zip(names, self._session.run(names, feeds), strict=True):
                self._at(name, result.shape)[:] = result + np.float32(gpu.noise)

        def _at(self, name: str, shape: Sequence[int]) -> NDArray[np.float32]:
            there = gpu.there(self._addresses[name], 4 * math.prod(shape))
            return there.view(np.float32).reshape(shape)

    class ICudaEngine(Strict):
        def __init__(self, model: bytes) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1  # more would wait for busy cores
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
            self._tensors = [*self._session.get_inputs(), *self._session.get_outputs()]

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        @property
        def device_memory_size_v2(self) -> int:
            return 3 << 20

        def get_tensor_name(self, index: int) -> str:
            return str(self._tensors[index].name)

        def get_tensor_shape(self, name: str) -> Dims:
            return Dims(self._named(name).shape)

        def get_tensor_dtype(self, name: str) -> DataType:
            assert self._named(name).type == "tensor(float)"
            return DataType.HALF if gpu.half_at_the_door else DataType.FLOAT

        def create_execution_context(self) -> IExecutionContext | None:
            gpu.did("context")
            if "create_execution_context" in gpu.refusals:
                return None
            return IExecutionContext(self._session)

        def _named(self, name: str) -> Any:
            return next(tensor for tensor in self._tensors if tensor.name == name)

    class Runtime(Strict):
        def __init__(self, logger: ILogger) -> None:
            begin("Runtime", logger)
            self._log = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            if refuses("deserialize_cuda_engine", self._log):
                return None
            assert serialized_engine.startswith(MAGIC)
            return ICudaEngine(serialized_engine[len(MAGIC) :])

    for thing in (
        *(BuilderFlag, DataType, NetworkDefinitionCreationFlag),
        *(ILogger, IProgressMonitor, Dims, IHostMemory, ITimingCache),
        *(INetworkDefinition, ParserError, OnnxParser, IBuilderConfig, Builder),
        *(IExecutionContext, ICudaEngine, Runtime),
    ):
        setattr(made, thing.__name__, thing)
    return made
