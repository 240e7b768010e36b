"""`reenactd bench models`: each graph of a network alone, against what the machine can do at most.

Two times on a GPU: of a call, with its copies to the GPU and back, as the host sees it; and of the
launch, between two events on its stream. The floor is the roofline's, its ceilings are measured in
the same run; the FLOP are counted by PyTorch, where it is installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from engines import backends, ceilings, driver
from engines.backends.base import Engine, StreamEngine, optional
from engines.ceilings import Ceilings, Work
from engines.errors import BackendError
from engines.parity import fake_inputs
from engines.specs import NETWORKS, GraphSpec, NetworkSpec
from realtime.bench.report import Report, percentiles, print_table
from realtime.config import Engine as EngineConfig
from realtime.errors import StartupError

if TYPE_CHECKING:
    from engines.device import Device

WARM_UP_CALLS = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One graph on one backend."""

    name: str
    """network, graph and backend, as in the metrics"""
    graph: str
    description: str
    precision: str
    call_ms: Sequence[float]
    launch_ms: Sequence[float]
    """on the GPU's own clock; empty on the CPU"""
    gpu_bytes: int
    """that opening it took; 0 on the CPU"""
    work: Work | None
    """None without PyTorch, which counts it"""


def bench_models(name: str, config: EngineConfig, calls: int) -> Report:
    """Measure, print a table, and return what the last line says.

    Args:
        name: of `specs.NETWORKS`.

    Raises:
        StartupError: the backend is `auto`, or there is no network of that name.
        BackendError, WeightsError: it cannot run here.
    """
    if config.backend == "auto":
        raise StartupError("a bench names what it measures; pass --backend onnx instead of auto")
    if name not in NETWORKS:
        raise StartupError(f"--network {name}: must be one of {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    device = _device(config.backend)
    found = [_measure(network, graph, config, calls, device) for graph in network.graphs]
    limits = _ceilings(device, found[0].precision)
    metrics = {"ceiling_gflop_per_s": limits.flop_per_s / 1e9}
    metrics["ceiling_gbyte_per_s"] = limits.bytes_per_s / 1e9
    for one in found:
        metrics |= {f"{one.name}_{key}": value for key, value in _metrics(one, limits).items()}
    _print(network, found, limits)
    asked = {"network": network.name, "backend": config.backend, "threads": config.threads}
    asked |= {"calls": calls, "engines": list(dict.fromkeys(one.description for one in found))}
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


def _measure(
    network: NetworkSpec, graph: GraphSpec, config: EngineConfig, calls: int, device: Device | None
) -> Measured:
    before = 0 if device is None else _free(device)
    engine = backends.open_graph(config.backend, network, graph, config.threads)
    taken = 0 if device is None else before - _free(device)
    inputs = fake_inputs(graph, 0)
    call_ms = []
    for _ in range(WARM_UP_CALLS + calls):
        began = time.perf_counter()
        engine.run(inputs)
        call_ms.append((time.perf_counter() - began) * 1e3)
    launch_ms: list[float] = []
    precision = "fp32"
    if device is not None:
        if not _on_stream(engine):
            raise BackendError(f"{engine.description}: launches on no stream of ours")
        launch_ms, precision = _launches(engine, calls, device), engine.precision
    return Measured(
        name=f"{network.name}_{graph.name}_{config.backend}",
        graph=graph.name,
        description=engine.description,
        precision=precision,
        call_ms=call_ms[WARM_UP_CALLS:],
        launch_ms=launch_ms,
        gpu_bytes=taken,
        work=_work(network, graph, precision),
    )


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


def _on_stream(engine: Engine) -> TypeGuard[StreamEngine]:
    return hasattr(engine, "enqueue")


def _work(network: NetworkSpec, graph: GraphSpec, precision: str) -> Work | None:
    try:
        with optional("PyTorch"):
            from engines.backends import torch
    except BackendError:
        return None
    return torch.work_of(network, graph, precision)


def _ceilings(device: Device | None, precision: str) -> Ceilings:
    if device is None:
        return ceilings.of_cpu()
    with optional("PyTorch"):
        from engines.backends import torch
    return torch.ceilings_of_cuda(precision)


def _metrics(one: Measured, limits: Ceilings) -> dict[str, float]:
    metrics = percentiles("call", one.call_ms)
    spent_ms = metrics["call_p50_ms"]
    if one.launch_ms:
        metrics |= percentiles("launch", one.launch_ms)
        spent_ms = metrics["launch_p50_ms"]
        metrics["gpu_mbyte"] = one.gpu_bytes / 1e6
    if one.work is not None:
        floor_ms = limits.floor_s(one.work) * 1e3
        metrics |= {"gflop": one.work.flop / 1e9, "mbyte": one.work.bytes / 1e6}
        metrics |= {"floor_ms": floor_ms, "roofline_ratio": spent_ms / floor_ms}
    return metrics


def _print(network: NetworkSpec, found: Sequence[Measured], limits: Ceilings) -> None:
    shown = {"call_p50_ms": "p50", "call_p95_ms": "p95", "call_p99_ms": "p99"}
    if found[0].launch_ms:
        shown["launch_p50_ms"] = "launch p50"
    shown |= {"gflop": "GFLOP", "mbyte": "MB", "floor_ms": "floor"}
    shown["roofline_ratio"] = "times the floor"
    rows = []
    for one in found:
        metrics = _metrics(one, limits)
        rows.append((one.graph, *(metrics.get(key, "") for key in shown)))
    print_table(f"{network.name}: milliseconds a call", ("", *shown.values()), rows)
    for description in dict.fromkeys(one.description for one in found):
        print(f"on {description}")
    rates = limits.flop_per_s / 1e9, limits.bytes_per_s / 1e9
    print(f"at most {rates[0]:.0f} GFLOP and {rates[1]:.1f} GB a second on this machine, now")
    if found[0].work is None:
        print("without PyTorch no FLOP are counted; pip install 'reenactd[gpu]'")
