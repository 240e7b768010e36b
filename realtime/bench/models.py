"""`reenactd bench models`: each graph of a network alone, against what the machine can do at most.

Two times on a GPU: of a call, with its copies to the GPU and back, as the host sees it; and of the
launch, between two events on its stream. The floor is the roofline's, its ceilings are measured in
the same run; the FLOP are counted by PyTorch, where it is installed.
"""

from __future__ import annotations

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

    graph: str
    description: str
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
    limits = _ceilings(device)
    metrics = {"ceiling_gflop_per_s": limits.flop_per_s / 1e9}
    metrics["ceiling_gbyte_per_s"] = limits.bytes_per_s / 1e9
    for one in found:
        metrics |= _metrics(one, limits)
    _print(network, found, limits)
    asked = {"network": network.name, "backend": config.backend, "threads": config.threads}
    asked |= {"calls": calls, "engine": found[0].description}
    return Report("models", asked, metrics)


def _device(backend: str) -> Device | None:
    """The GPU, where the backend runs on one."""
    if backend == "onnx":
        return None
    if backend == "torch":
        with optional("PyTorch"):
            from engines.backends import torch
        if not torch.on_cuda():
            return None
    driver.require()
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
    launch_ms = _launches(engine, calls, device) if device is not None else []
    precision = "fp32" if device is None else "fp16"
    work = _work(network, graph, precision)
    return Measured(graph.name, engine.description, call_ms[WARM_UP_CALLS:], launch_ms, taken, work)


def _free(device: Device) -> int:
    with device.current():
        return device.free_bytes()


def _launches(engine: Engine, calls: int, device: Device) -> list[float]:
    """Milliseconds of each launch between two events on its stream."""
    if not _on_stream(engine):
        raise BackendError(f"{engine.description}: launches on no stream of ours")
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


def _ceilings(device: Device | None) -> Ceilings:
    if device is None:
        return ceilings.of_cpu()
    with optional("PyTorch"):
        from engines.backends import torch
    return torch.ceilings_of_cuda()


def _metrics(one: Measured, limits: Ceilings) -> dict[str, float]:
    metrics = percentiles(f"{one.graph}_call", one.call_ms)
    if one.launch_ms:
        metrics |= percentiles(f"{one.graph}_launch", one.launch_ms)
        metrics[f"{one.graph}_gpu_mbyte"] = one.gpu_bytes / 1e6
    if one.work is not None:
        metrics[f"{one.graph}_gflop"] = one.work.flop / 1e9
        metrics[f"{one.graph}_mbyte"] = one.work.bytes / 1e6
        metrics[f"{one.graph}_floor_ms"] = limits.floor_s(one.work) * 1e3
        metrics[f"{one.graph}_over_floor"] = _over_floor(one, limits, metrics)
    return metrics


def _over_floor(one: Measured, limits: Ceilings, metrics: dict[str, float]) -> float:
    assert one.work is not None
    spent_ms = metrics[f"{one.graph}_{'launch' if one.launch_ms else 'call'}_p50_ms"]
    return spent_ms / (limits.floor_s(one.work) * 1e3)


def _print(network: NetworkSpec, found: Sequence[Measured], limits: Ceilings) -> None:
    columns = ["", "p50", "p95", "p99", "GFLOP", "MB", "floor", "times the floor"]
    if found[0].launch_ms:
        columns[4:4] = ["launch p50"]
    rows = []
    for one in found:
        metrics = _metrics(one, limits)
        names = [f"call_p{percent}_ms" for percent in (50, 95, 99)]
        names += ["launch_p50_ms"] if one.launch_ms else []
        names += ["gflop", "mbyte", "floor_ms", "over_floor"]
        rows.append((one.graph, *(metrics.get(f"{one.graph}_{name}", "") for name in names)))
    print_table(f"{network.name} on {found[0].description}: milliseconds a call", columns, rows)
    rates = limits.flop_per_s / 1e9, limits.bytes_per_s / 1e9
    print(f"at most {rates[0]:.0f} GFLOP and {rates[1]:.1f} GB a second on this machine, now")
    if found[0].work is None:
        print("without PyTorch no FLOP are counted; pip install 'reenactd[gpu]'")
