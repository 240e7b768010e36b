"""Graphs against the roofline: what is counted, what is said, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from engines import catalogue, plans, sources
from engines.backends import torch as torch_backend
from engines.ceilings import Ceilings, Work, of_cpu
from engines.errors import DeviceError, PlanError, WeightsError
from engines.nets.liveportrait.graphs import graphs
from engines.specs import WARP_REFINE_LITE, GraphSpec
from realtime.bench.models import bench_models
from realtime.config import Engine
from realtime.errors import StartupError
from tests.doubles.gpu import Gpu
from tests.doubles.plans import install_shipped

NAME = WARP_REFINE_LITE.name


def flop_of_convolutions(module: nn.Module, inputs: list[torch.Tensor]) -> int:
    """By the textbook: two for each weight of a kernel at each place."""
    counted = []

    def count(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        kernel = math.prod(layer.kernel_size) * layer.in_channels // layer.groups
        counted.append(2 * kernel * out.numel())

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        module(*inputs)
    return sum(counted)


def test_a_floor_is_the_slower_of_arithmetic_and_bytes() -> None:
    limits = Ceilings(flop_per_s=100e9, bytes_per_s=10e9)
    assert limits.floor_s(Work(flop=10**9, bytes=10**6)) == pytest.approx(0.01)
    assert limits.floor_s(Work(flop=10**6, bytes=10**9)) == pytest.approx(0.1)


def test_this_machines_ceilings_are_those_of_a_computer() -> None:
    limits = of_cpu()
    assert 1e8 < limits.flop_per_s < 1e14
    assert 1e7 < limits.bytes_per_s < 1e13


@pytest.mark.parametrize("graph", WARP_REFINE_LITE.graphs, ids=lambda graph: graph.name)
def test_flop_and_bytes_are_those_of_the_graph(graph: GraphSpec) -> None:
    module = torch_backend.load_graph(WARP_REFINE_LITE, graph)
    inputs = [torch.zeros(tensor.shape) for tensor in graph.inputs]
    full, half = (torch_backend.work_of(WARP_REFINE_LITE, graph, p) for p in ("fp32", "fp16"))
    assert full.flop == flop_of_convolutions(module, inputs)
    parameters = sum(p.numel() for p in module.parameters())
    assert full.bytes - half.bytes == 2 * parameters
    door = sum(math.prod(tensor.shape) for tensor in (*graph.inputs, *graph.outputs))
    assert half.bytes == 2 * parameters + 4 * door


def test_a_run_on_the_cpu_says_all_of_each_graph(capsys: pytest.CaptureFixture[str]) -> None:
    report = bench_models(NAME, Engine(backend="onnx"), calls=10)
    found = json.loads(report.as_json())["metrics"]
    for graph in WARP_REFINE_LITE.graphs:
        name = f"{NAME}_{graph.name}_onnx"
        p50, p95, p99 = (found[f"{name}_call_p{percent}_ms"] for percent in (50, 95, 99))
        assert 0 < p50 <= p95 <= p99
        over = p50 / found[f"{name}_floor_ms"]
        assert found[f"{name}_roofline_ratio"] == pytest.approx(over, rel=0.05)
        assert f"{name}_launch_p50_ms" not in found, "there is no GPU"
    assert report.config["backend"] == "onnx" and "ONNX Runtime" in report.config["engines"][0]
    assert "times the floor" in capsys.readouterr().out


def test_a_bench_names_its_backend_and_a_network_that_there_is() -> None:
    with pytest.raises(StartupError, match="pass --backend onnx instead of auto"):
        bench_models(NAME, Engine(), calls=10)
    with pytest.raises(StartupError, match="--network liveportait: must be one of warp-refine"):
        bench_models("liveportait", Engine(backend="onnx"), calls=10)


def test_without_a_gpu_tensorrt_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.driver.LIBRARY", "libcuda-that-is-not-there.so")
    with pytest.raises(DeviceError, match="no CUDA driver"):
        bench_models(NAME, Engine(backend="tensorrt"), calls=10)


def test_on_a_gpu_launches_are_timed_by_its_own_events(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the double of a GPU, whose events are always 0.25 ms apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch_backend, "ceilings_of_cuda", lambda precision: Ceilings(1e12, 1e12))
    install_shipped()
    found = bench_models(NAME, Engine(backend="tensorrt"), calls=10).metrics
    for graph in WARP_REFINE_LITE.graphs:
        name = f"{NAME}_{graph.name}_tensorrt"
        assert found[f"{name}_launch_p50_ms"] == 0.25
        floor_ms = found[f"{name}_floor_ms"]
        assert found[f"{name}_roofline_ratio"] == pytest.approx(0.25 / floor_ms)
        assert found[f"{name}_gpu_mbyte"] > 0
    whole_frames(found, NAME, ("warped", "painted", "packed", "fetched"))


def whole_frames(metrics: Mapping[str, float], name: str, stages: Sequence[str]) -> None:
    """In to out, and on the GPU by stage; nothing was allocated meanwhile."""
    assert 0 < metrics[f"{name}_frame_p50_ms"] <= metrics[f"{name}_frame_p99_ms"]
    for stage in stages:
        assert metrics[f"{name}_frame_{stage}_p50_ms"] == 0.25
    assert metrics[f"{name}_frame_grown_mbyte"] == 0


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """LivePortrait is narrow; nothing of it was got."""
    from tests.engines.liveportrait.got import narrow_model

    monkeypatch.setitem(catalogue.MODELS, "liveportrait", narrow_model())


def all_of_it(metrics: Mapping[str, float], backend: str) -> None:
    """Graphs, and W and G in a row, which take what both take."""
    name = "liveportrait_{}_" + backend
    w, g, both = (name.format(graph) for graph in ("warping", "generator", "drive"))
    assert metrics[f"{both}_call_p50_ms"] > 0
    for key in ("gflop", "mbyte"):
        summed = metrics[f"{w}_{key}"] + metrics[f"{g}_{key}"]
        assert metrics[f"{both}_{key}"] == pytest.approx(summed) != 0


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_liveportrait_without_its_weights_is_timed_and_that_is_said_loudly(
    narrow: None, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = bench_models("liveportrait", Engine(backend=backend), calls=2)
    assert json.loads(report.as_json())["config"]["weights"] == "random"
    out = capsys.readouterr().out
    assert "liveportrait, RANDOM WEIGHTS: milliseconds a call" in out
    assert "reenactd models get liveportrait" in out
    all_of_it(report.metrics, backend)


def test_liveportrait_with_its_weights_is_timed_with_them(
    narrow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from engines.fetched import default_root
    from tests.engines.liveportrait.got import narrow_store

    store = narrow_store(default_root())
    report = bench_models("liveportrait", Engine(backend="torch"), calls=2)
    assert report.config["weights"] == "as published"
    assert "RANDOM" not in capsys.readouterr().out
    path = store.folder / "motion.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        bench_models("liveportrait", Engine(backend="torch"), calls=2)


def test_liveportrait_on_tensorrt_is_timed_as_parts_and_as_a_chain(
    narrow: None, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the double of a GPU, whose events are always 0.25 ms apart."""
    from tests.engines.liveportrait.got import build_plans

    asked: list[str] = []

    def limits(precision: str) -> Ceilings:
        asked.append(precision)
        return Ceilings(1e12 if precision == "fp16" else 1e11, 1e12)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch_backend, "ceilings_of_cuda", limits)
    with pytest.raises(PlanError, match="run: python build_engines.py .* --random-weights"):
        bench_models("liveportrait", Engine(backend="tensorrt"), calls=2)
    build_plans(sources.random(tmp_path), "fp16", plans.default_root())
    found = bench_models("liveportrait", Engine(backend="tensorrt"), calls=2).metrics
    parts = ("warping_choose", "warping_flatten", "generator")
    name = "liveportrait_{}_tensorrt"
    for graph in (*parts, "motion", "drive"):
        assert found[f"{name.format(graph)}_launch_p50_ms"] == 0.25
    gflop = sum(found[f"{name.format(part)}_gflop"] for part in parts)
    assert found[f"{name.format('drive')}_gflop"] == pytest.approx(gflop)
    assert found[f"{name.format('drive')}_gpu_mbyte"] > 0
    whole_frames(found, "liveportrait", ("generated", "drawn", "packed", "fetched"))
    assert asked == ["fp16", "fp32"], "M computes in float32, and is held against that ceiling"


def test_a_part_counts_its_own_weights_alone() -> None:
    source, specs = sources.random(Path()), graphs()

    def at_doors(graph: str) -> int:
        return sum(t.elements for t in (*specs[graph].inputs, *specs[graph].outputs))

    by_part = {
        graph.name: torch_backend.work_of(source, graph)
        for graph in (*source.graphs, *source.planned)
        if graph.name.startswith("warping")
    }
    whole = by_part.pop("warping")
    of_weights = whole.bytes - 4 * at_doors("warping")
    assert sum(p.bytes - 4 * at_doors(name) for name, p in by_part.items()) == of_weights
    assert sum(part.flop for part in by_part.values()) == pytest.approx(whole.flop, rel=0.001)
