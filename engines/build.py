"""Plans for this machine: a network as typed ONNX -> TensorRT's builder -> parity gate -> cache.

    build(NETWORKS["warp-refine-lite"], "fp16", plans.default_root(), progress, print)

A plan is tried out before it is installed: one that drifts from PyTorch by more than
`parity.TOLERANCES` is thrown away. Ctrl-C stops the builder at its next step and leaves nothing.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorrt as trt
from rich.progress import Progress, TaskID

from engines import parity, plans
from engines.backends import torch
from engines.backends.tensorrt import (
    VERSION,
    Log,
    TensorRTEngine,
    begin,
    plan_key,
)
from engines.device import Device, DeviceInfo
from engines.errors import BackendError, PlanError
from engines.kernels.program import load_or_compile
from engines.plans import Plan, PlanKey
from engines.sources import AnyNetwork
from engines.specs import GraphSpec

Report = Callable[[str], None]

_LARGE_BYTES = 8 << 20
"""of a plan; the reference of smaller ones is quicker on one core than on several busy ones"""
_FP8_FROM = (8, 9)
"""compute capability: Ada, Hopper and later"""


class Monitor(trt.IProgressMonitor):
    """TensorRT's phases as bars. TensorRT calls it from threads of its own: it must not raise."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self.cancelled = False

    def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
        self._bars[phase_name] = self._progress.add_task(phase_name, total=num_steps)

    def step_complete(self, phase_name: str, step: int) -> bool:
        if phase_name in self._bars:
            self._progress.update(self._bars[phase_name], completed=step + 1)
        return not self.cancelled

    def phase_finish(self, phase_name: str) -> None:
        if phase_name in self._bars:
            self._progress.remove_task(self._bars.pop(phase_name))


def build(  # noqa: PLR0913 - what a command line asks for
    network: AnyNetwork,
    precision: str,
    root: Path,
    progress: Progress,
    report: Report,
    *,
    rebuild: bool = False,
) -> None:
    """Build what has no plan for this machine yet; all of the network with `rebuild`.

    Args:
        precision: fp16 or fp32; graphs that are `precise` are built in fp32.
        root: the plan cache.
        report: takes a line about each graph.

    Raises:
        BackendError: no GPU, no TensorRT, or a precision that this GPU or network has not.
        PlanError: a plan cannot be built, or drifts; nothing of it is installed.
        WeightsError: LivePortrait's are missing, or not what was got.
        KeyboardInterrupt: the user stopped it; likewise.
    """
    device = Device()
    try:
        _require_precision(precision, device.info)
        for graph in network.planned:
            key = plan_key(network, graph, torch.precision_of(graph, precision), device.info)
            found = plans.find(key, root)
            if isinstance(found, Plan) and not rebuild:
                report(f"{graph.name}: {found.path} fits this machine")
                continue
            report(f"{graph.name}: {'rebuilt' if isinstance(found, Plan) else found.reason}")
            content = _compile(network, graph, key.precision, _timing_cache(root, key), progress)
            drift = _try_out(network, graph, key, content, device)
            plan = plans.install(key, content, root)
            report(f"{graph.name}: {plan.path}, differs from PyTorch by at most {drift}")
        load_or_compile(device.info.compute_capability, root)
        report("the kernels between and around these plans are compiled")
    finally:
        device.close()


def _require_precision(precision: str, info: DeviceInfo) -> None:
    if precision in torch.PRECISIONS:
        return
    if precision == "fp8" and info.compute_capability < _FP8_FROM:
        major, minor = info.compute_capability
        raise BackendError(
            f"precision fp8: {info.name} has compute capability {major}.{minor}, "
            "must be at least 8.9; use --precision fp16"
        )
    raise BackendError(
        f"precision {precision}: no network of this release has the scales that it needs; "
        "use --precision fp16"
    )


def _compile(
    network: AnyNetwork, graph: GraphSpec, precision: str, timings: Path, progress: Progress
) -> bytes:
    """The graph as a plan."""
    log = Log()
    builder = begin(trt.Builder, log)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    definition = builder.create_network(typed)
    parser = trt.OnnxParser(definition, log)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{graph.name}.onnx"
        torch.write_onnx(graph, torch.load_graph(network, graph), precision, path)
        if not parser.parse(path.read_bytes()):
            said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
            raise PlanError(f"{graph.name}: TensorRT {VERSION} cannot read the graph: {said}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 is to mean it: TF32 keeps 10 bits
    cache = _attach(config, timings)
    config.progress_monitor = monitor = Monitor(progress)
    with _ctrl_c_cancels(monitor):
        content = builder.build_serialized_network(definition, config)
    if monitor.cancelled:
        raise KeyboardInterrupt
    if content is None:
        raise PlanError(
            f"{graph.name}: TensorRT {VERSION} built no plan: {log.last_error}; "
            "if that is for want of memory, close what else uses the GPU"
        )
    _write_whole(timings, bytes(cache.serialize()))
    return bytes(content)


def _attach(config: trt.IBuilderConfig, path: Path) -> trt.ITimingCache:
    """What was timed before on this GPU; it makes a second build several times as fast."""
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")  # damaged, or of another GPU
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _try_out(
    network: AnyNetwork, graph: GraphSpec, key: PlanKey, content: bytes, device: Device
) -> parity.Drift:
    """Run the plan beside the reference, from a cache of its own.

    Raises:
        PlanError: it drifts.
    """
    threads = len(os.sched_getaffinity(0)) if len(content) > _LARGE_BYTES else 1
    reference = torch.open_graph(network, graph, threads, on_cuda=False)
    with tempfile.TemporaryDirectory() as folder:
        engine = TensorRTEngine(graph, plans.install(key, content, Path(folder)), device)
    try:
        found = parity.drift(engine, reference)
    finally:
        engine.close()
    tolerance = parity.TOLERANCES[key.precision]
    if not found.share <= tolerance:
        raise PlanError(
            f"{graph.name}: the {key.precision} plan drifts from PyTorch by {found}; "
            f"must be at most {tolerance:.2%}; it is not installed: use --precision fp32, "
            "or the backend torch"
        )
    return found


@contextmanager
def _ctrl_c_cancels(monitor: Monitor) -> Iterator[None]:
    """An exception must not pass through TensorRT's frames: Ctrl-C asks the builder to stop."""

    def cancel(*_: object) -> None:
        monitor.cancelled = True

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _timing_cache(root: Path, key: PlanKey) -> Path:
    return root / f"timing.{key.compute_capability}.{key.tensorrt}"


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"unfinished.{path.name}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
