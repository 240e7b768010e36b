"""TensorRT 10 and 11: a plan, one execution context, buffers bound once, one recorded launch.

`run` is for those who have arrays; `enqueue` for those who have a stream and leave everything on
the GPU. Streams are arguments: the one that an engine owns serves `run`, which waits for it, and
the recording. Knows no layers: how a plan comes to be is in `engines/build.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from engines import driver, plans, weights
from engines.backends.base import Stream, check_signature
from engines.device import Buffer, Device, DeviceInfo, out_of_memory
from engines.errors import BackendError, DeviceError, PlanError
from engines.kernels.program import load_or_compile
from engines.plans import NoPlan, Plan, PlanKey
from engines.sources import AnyNetwork, Source, build_command
from engines.specs import GraphSpec

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]
T = TypeVar("T")

VERSION: str = trt.__version__
PRECISIONS = ("fp16", "fp32")
"""of plans, the preferred one first"""

_LEVELS = {
    trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
    trt.ILogger.Severity.ERROR: logging.ERROR,
    trt.ILogger.Severity.WARNING: logging.WARNING,
    trt.ILogger.Severity.INFO: logging.DEBUG,
    trt.ILogger.Severity.VERBOSE: logging.DEBUG,
}


class Log(trt.ILogger):
    """TensorRT returns None when it fails and says why only here: the last error is kept."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.last_error = "it does not say why"

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        level = _LEVELS[severity]
        logger.log(level, "TensorRT: %s", msg)
        if level == logging.ERROR:
            self.last_error = msg


class TensorRTEngine:
    """One graph. One thread at a time calls it; `close` before the device is closed.

    Raises:
        PlanError: TensorRT refuses the plan, or its tensors are not the table's.
        DeviceError: no memory is left on the GPU.
    """

    def __init__(
        self,
        spec: GraphSpec,
        plan: Plan,
        device: Device,
        shared: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            shared: addresses of tensors whose places are another's, for who uses `enqueue`: `run`
                neither fills nor fetches these.
        """
        self.spec, self.precision = spec, plan.key.precision
        self._device = device
        others = dict(shared or {})
        with device.current():
            self._engine, self._context = _load(plan)
            _check(spec, plan, self._engine)
            self._inputs = {t.name: Buffer(t.shape) for t in spec.inputs if t.name not in others}
            self._outputs = {t.name: Buffer(t.shape) for t in spec.outputs if t.name not in others}
            self._buffers = self._inputs | self._outputs
            self._results = {name: buffer.host for name, buffer in self._outputs.items()}
            own = {name: buffer.address for name, buffer in self._buffers.items()}
            self.addresses = own | others
            for name, address in self.addresses.items():
                self._context.set_tensor_address(name, address)
            self._stream = device.stream()
            self._graph, unrecorded = self._record()
        self.description = f"TensorRT {_short(VERSION)}, {device.info.name}, {plan.key.precision}"
        if unrecorded:
            self.description += f", without a CUDA graph ({unrecorded})"

    def enqueue(self, stream: Stream) -> None:
        """As of `StreamEngine`; the device's context is current.

        Raises:
            BackendError: the launch is refused.
        """
        if self._graph is not None:
            self._graph.launch(stream.handle)
        else:
            self._execute(stream)

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run once and wait. The returned arrays are overwritten by the next run."""
        with self._device.current():
            for name, buffer in self._inputs.items():
                assert inputs[name].shape == buffer.host.shape, name
                np.copyto(buffer.host, inputs[name])
                buffer.upload(self._stream)
            self.enqueue(self._stream)
            for buffer in self._outputs.values():
                buffer.download(self._stream)
            self._stream.synchronize()
        return self._results

    def close(self) -> None:
        with self._device.current():
            if self._graph is not None:
                self._graph.close()
            for buffer in self._buffers.values():
                buffer.free()

    def _execute(self, stream: Stream) -> None:
        if not self._context.execute_async_v3(stream.handle):
            raise BackendError(f"TensorRT {VERSION} refused to launch {self.spec.name}")

    def _record(self) -> tuple[driver.Graph | None, str]:
        """The launch as a CUDA graph, or why it is none."""
        self._execute(self._stream)  # the first one sets itself up, which cannot be recorded
        self._stream.synchronize()
        try:
            recorded = driver.record(lambda: self._execute(self._stream), self._stream.handle)
        except BackendError as error:
            return None, str(error).partition(";")[0]
        return recorded, ""


def begin(kind: Callable[[Log], T], log: Log) -> T:
    """Make TensorRT's runtime or builder.

    Raises:
        DeviceError: it finds no GPU that it can use.
    """
    try:
        return kind(log)
    except TypeError:  # what pybind11 makes of a null pointer
        raise DeviceError(
            f"TensorRT {VERSION} cannot start ({log.last_error}); "
            "it may need a newer driver: see NVIDIA's support matrix"
        ) from None


def plan_key(network: AnyNetwork, graph: GraphSpec, precision: str, info: DeviceInfo) -> PlanKey:
    """What a plan of this graph must have been built for, to run here.

    Raises:
        WeightsError: its weights are missing, or not what was got.
    """
    if isinstance(network, Source):
        digest = network.weights_sha256(graph)
    else:
        digest = weights.read_manifest(network.name).files["model.safetensors"]
    return PlanKey(
        network=network.name,
        graph=graph.name,
        precision=precision,
        tensors_sha256=plans.tensors_sha256(graph),
        weights_sha256=digest,
        gpu=info.name,
        compute_capability=".".join(str(number) for number in info.compute_capability),
        driver=info.driver,
        tensorrt=VERSION,
    )


def find_plan(network: AnyNetwork, graph: GraphSpec, info: DeviceInfo, root: Path) -> Plan:
    """
    Raises:
        PlanError: none fits; says why, and how to build one.
        WeightsError: as of `plan_key`.
    """
    reasons: list[str] = []
    for precision in ("fp32",) if graph.precise else PRECISIONS:
        found = plans.find(plan_key(network, graph, precision, info), root)
        if not isinstance(found, NoPlan):
            if reasons:
                logger.warning("%s; taken: %s", ", ".join(reasons), found.path)
            return found
        reasons.append(found.reason)
    raise PlanError(f"{', '.join(reasons)}; run: {build_command(network)}")


def require(network: AnyNetwork) -> None:
    """
    Raises:
        BackendError: a graph of the network has no plan for this machine, or the kernels between
            and around its graphs cannot be compiled.
        WeightsError: as of `plan_key`.
    """
    device = Device()
    try:
        for graph in network.planned:
            find_plan(network, graph, device.info, plans.default_root())
        load_or_compile(device.info.compute_capability, plans.default_root())
    finally:
        device.close()


def open_graph(network: AnyNetwork, graph: GraphSpec) -> TensorRTEngine:
    """
    Raises:
        BackendError: no plan fits this machine, or the one that does cannot be run.
        WeightsError: as of `plan_key`.
    """
    device = Device()
    plan = find_plan(network, graph, device.info, plans.default_root())
    return TensorRTEngine(graph, plan, device)


def _load(plan: Plan) -> tuple[trt.ICudaEngine, trt.IExecutionContext]:
    log = Log()
    engine = begin(trt.Runtime, log).deserialize_cuda_engine(plan.path.read_bytes())
    if engine is None:
        raise PlanError(
            f"{plan.path}: TensorRT {VERSION} refuses it ({log.last_error}); run: {_rebuild(plan)}"
        )
    context = engine.create_execution_context()
    if context is None:
        raise out_of_memory(engine.device_memory_size_v2)
    return engine, context


def _check(spec: GraphSpec, plan: Plan, engine: trt.ICudaEngine) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    shapes = {name: _tuple(engine.get_tensor_shape(name)) for name in names}
    check_signature(str(plan.path), shapes, spec, f"run: {_rebuild(plan)}")
    for name in names:
        kind = engine.get_tensor_dtype(name)
        if kind != trt.DataType.FLOAT:
            raise PlanError(
                f"{plan.path}: {name} is {kind!r}, must be float32 at the door; "
                f"run: {_rebuild(plan)}"
            )


def _rebuild(plan: Plan) -> str:
    return f"python build_engines.py --network {plan.key.network} --rebuild"


def _tuple(dims: trt.Dims) -> tuple[int, ...]:
    return tuple(dims[index] for index in range(len(dims)))


def _short(version: str) -> str:
    return ".".join(version.split(".")[:2])
