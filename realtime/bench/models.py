"""`reenactd bench models`: each graph of a network alone, against what the machine can do at most.

Two times on a GPU: of a call, with its copies to the GPU and back, as the host sees it; and of the
launch, between two events on its stream. The floor is the roofline's, its ceilings are measured in
the same run; the FLOP are counted by PyTorch, where it is installed. LivePortrait's W and G are
measured once more in a row (`drive`): what a frame takes at least. Where its weights were not got,
random ones are timed, and every figure says so. TensorRT's frames are drawn on the GPU: those are
timed whole as well (`frames.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engines import backends, ceilings, driver, sources
from engines.backends.base import Engine, StreamEngine, on_stream, optional
from engines.ceilings import Ceilings, Work
from engines.errors import BackendError
from engines.liveportrait.networks import DRIVE, Networks, in_turn
from engines.liveportrait.reenactor import LivePortrait
from engines.parity import fake_inputs
from engines.sources import AnyNetwork, Source
from engines.specs import GraphSpec
from realtime.bench.frames import FrameTimes, time_frames
from realtime.bench.named import require_named_backend
from realtime.bench.report import Report, percentiles, print_table
from realtime.config import Engine as EngineConfig
from realtime.errors import StartupError

if TYPE_CHECKING:
    from engines.device import Device

WARM_UP_CALLS = 10
_WARM_UP_S = 1.0
"""no more calls are made before the counted ones once they took so long; one always is"""


@dataclass(frozen=True, slots=True)
class Opened:
    """A graph that is to be measured."""

    engine: Engine
    gpu_bytes: int
    """that opening it took; 0 on the CPU"""
    work: Work | None
    """None without PyTorch, which counts it"""

    @property
    def precision(self) -> str:
        return self.engine.precision if on_stream(self.engine) else "fp32"


@dataclass(frozen=True, slots=True)
class Measured:
    """One graph on one backend."""

    graph: str
    opened: Opened
    call_ms: Sequence[float]
    launch_ms: Sequence[float]
    """on the GPU's own clock; empty on the CPU"""


def bench_models(name: str, config: EngineConfig, calls: int) -> Report:
    """Measure, print a table, and return what the last line says.

    Args:
        name: of `sources.NAMES`.

    Raises:
        StartupError: the backend is `auto`, or there is no network of that name.
        BackendError, WeightsError: it cannot run here.
    """
    require_named_backend(config)
    if name not in sources.NAMES:
        raise StartupError(f"--network {name}: must be one of {', '.join(sources.NAMES)}")
    device = _device(config.backend)
    with TemporaryDirectory() as folder:
        network = sources.to_be_timed(name, Path(folder))
        opened = _open_all(network, config, device)
        frames = _time_frames(network, opened, calls) if config.backend == "tensorrt" else None
    found = [_measure(graph, one, calls, device) for graph, one in opened.items()]
    limits = _ceilings(device, opened)
    lowest = limits[min(limits)]
    metrics = {"ceiling_gflop_per_s": lowest.flop_per_s / 1e9}
    metrics["ceiling_gbyte_per_s"] = lowest.bytes_per_s / 1e9
    for one in found:
        label = f"{name}_{one.graph}_{config.backend}"
        metrics |= {f"{label}_{key}": value for key, value in _metrics(one, limits).items()}
    origin = network.origin if isinstance(network, Source) else "shipped"
    _print(name, origin, found, limits)
    if frames is not None:
        frames.print(name)
        metrics |= {f"{name}_{key}": value for key, value in frames.metrics().items()}
    asked: dict[str, object] = {"network": name, "weights": origin, "backend": config.backend}
    asked |= {"threads": config.threads, "calls": calls}
    asked |= {"engines": list(dict.fromkeys(one.engine.description for one in opened.values()))}
    asked |= {"ceiling_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all")}
    return Report("models", asked, metrics)


def _device(backend: str) -> Device | None:
    """The GPU, where the backend runs on one. PyTorch measures its ceilings."""
    if backend == "onnx":
        return None
    if backend == "tensorrt":
        driver.require()
    with optional("PyTorch"):
        from engines.backends import torch
    if backend == "torch" and not torch.on_cuda():
        return None
    with optional("pycuda"):
        from engines.device import Device
    return Device()


def _open_all(
    network: AnyNetwork, config: EngineConfig, device: Device | None
) -> dict[str, Opened]:
    """By graph; LivePortrait's W and G in a row come last, as `DRIVE`."""

    def opened(graph: GraphSpec) -> Opened:
        open_it = partial(backends.open_graph, config.backend, network, graph, config.threads)
        engine, taken = _taking(open_it, device)
        one = Opened(engine, taken, None)
        return replace(one, work=_work(network, graph, one.precision))

    on_plans = config.backend == "tensorrt"
    found = {
        graph.name: opened(graph) for graph in (network.planned if on_plans else network.graphs)
    }
    if not isinstance(network, Source):
        return found
    if on_plans:
        assert device is not None
        from engines.liveportrait import chain

        engine, taken = _taking(partial(chain.Chain, network, device), device)
        parts = [found[name] for name in chain.PER_FRAME]
    else:
        parts = [found["warping"], found["generator"]]
        engine = in_turn(parts[0].engine, parts[1].engine, network.sizes)
        taken = sum(part.gpu_bytes for part in parts)
    return found | {DRIVE: Opened(engine, taken, _sum([part.work for part in parts]))}


def _time_frames(network: AnyNetwork, opened: Mapping[str, Opened], frames: int) -> FrameTimes:
    """Whole frames that are drawn on the GPU."""
    why = "asked for by --backend"
    if isinstance(network, Source):
        from engines.gpu.liveportrait import GpuLivePortrait

        engines = {name: one.engine for name, one in opened.items()}
        avatar = LivePortrait(Networks(engines, network.sizes), f"{network.name}: {why}")
        return time_frames(GpuLivePortrait(avatar, engines[DRIVE]), frames)
    from engines.gpu.reenactor import GpuReenactor

    drawing = GpuReenactor(network, why)
    try:
        return time_frames(drawing, frames)
    finally:
        drawing.close()


def _taking(open_it: Callable[[], Engine], device: Device | None) -> tuple[Engine, int]:
    """An engine, and the bytes on the GPU that opening it took."""
    before = 0 if device is None else _free(device)
    engine = open_it()
    return engine, 0 if device is None else before - _free(device)


def _sum(parts: Sequence[Work | None]) -> Work | None:
    counted = [part for part in parts if part is not None]
    if len(counted) < len(parts):
        return None
    return Work(sum(part.flop for part in counted), sum(part.bytes for part in counted))


def _measure(graph: str, opened: Opened, calls: int, device: Device | None) -> Measured:
    engine = opened.engine
    inputs = fake_inputs(engine.spec, 0)
    call_ms = _timed(lambda: engine.run(inputs), calls)
    launch_ms: list[float] = []
    if device is not None:
        if not on_stream(engine):
            raise BackendError(f"{engine.description}: launches on no stream of ours")
        launch_ms = _launches(engine, calls, device)
    return Measured(graph, opened, call_ms, launch_ms)


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    """Milliseconds of each call, after some that are not counted."""
    warm_up_began = time.perf_counter()
    for _ in range(WARM_UP_CALLS):
        call()
        if time.perf_counter() - warm_up_began > _WARM_UP_S:
            break
    spent = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1e3)
    return spent


def _free(device: Device) -> int:
    with device.current():
        return device.free_bytes()


def _launches(engine: StreamEngine, calls: int, device: Device) -> list[float]:
    """Milliseconds of each launch between two events on its stream."""
    spent = []
    with device.current():
        stream, begin, end = device.stream(), device.event(), device.event()
        for _ in range(WARM_UP_CALLS + calls):
            begin.record(stream)
            engine.enqueue(stream)
            end.record(stream)
            end.synchronize()
            spent.append(begin.time_till(end))  # milliseconds
    return spent[WARM_UP_CALLS:]


def _work(network: AnyNetwork, graph: GraphSpec, precision: str) -> Work | None:
    try:
        with optional("PyTorch"):
            from engines.backends import torch
    except BackendError:
        return None
    return torch.work_of(network, graph, precision)


def _ceilings(device: Device | None, opened: Mapping[str, Opened]) -> dict[str, Ceilings]:
    """By the precision of what is measured."""
    if device is None:
        return {"fp32": ceilings.of_cpu()}
    with optional("PyTorch"):
        from engines.backends import torch
    return {p: torch.ceilings_of_cuda(p) for p in sorted({o.precision for o in opened.values()})}


def _metrics(one: Measured, limits: Mapping[str, Ceilings]) -> dict[str, float]:
    metrics = percentiles("call", one.call_ms)
    spent_ms = metrics["call_p50_ms"]
    if one.launch_ms:
        metrics |= percentiles("launch", one.launch_ms)
        spent_ms = metrics["launch_p50_ms"]
        metrics["gpu_mbyte"] = one.opened.gpu_bytes / 1e6
    if (work := one.opened.work) is not None:
        floor_ms = limits[one.opened.precision].floor_s(work) * 1e3
        metrics |= {"gflop": work.flop / 1e9, "mbyte": work.bytes / 1e6}
        metrics |= {"floor_ms": floor_ms, "roofline_ratio": spent_ms / floor_ms}
    return metrics


def _print(
    name: str, origin: str, found: Sequence[Measured], limits: Mapping[str, Ceilings]
) -> None:
    shown = {"call_p50_ms": "p50", "call_p95_ms": "p95", "call_p99_ms": "p99"}
    if found[0].launch_ms:
        shown["launch_p50_ms"] = "launch p50"
    shown |= {"gflop": "GFLOP", "mbyte": "MB", "floor_ms": "floor"}
    shown["roofline_ratio"] = "times the floor"
    rows = []
    for one in found:
        metrics = _metrics(one, limits)
        rows.append((one.graph, *(metrics.get(key, "") for key in shown)))
    loudly = ", RANDOM WEIGHTS" if origin == "random" else ""
    print_table(f"{name}{loudly}: milliseconds a call", ("", *shown.values()), rows)
    if loudly:
        print("weights: random, of the published shapes: times hold, pictures would show nothing;")
        print(f"to have the real ones: reenactd models get {name}")
    for description in dict.fromkeys(one.opened.engine.description for one in found):
        print(f"on {description}")
    for precision, limit in limits.items():
        rates = f"{limit.flop_per_s / 1e9:.0f} GFLOP ({precision})", limit.bytes_per_s / 1e9
        print(f"at most {rates[0]} and {rates[1]:.1f} GB a second on this machine, now")
    if found[0].opened.work is None:
        print("without PyTorch no FLOP are counted; pip install 'reenactd[gpu]'")
