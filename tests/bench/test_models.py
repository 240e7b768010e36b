"""Graphs against the roofline: what is counted, what is said, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from engines import plans, weights
from engines.backends import torch as torch_backend
from engines.ceilings import Ceilings, Work, of_cpu
from engines.errors import DeviceError
from engines.specs import WARP_REFINE_LITE, GraphSpec
from realtime.bench.models import bench_models
from realtime.config import Engine
from realtime.errors import StartupError
from tests.doubles.gpu import Gpu
from tests.doubles.tensorrt import MAGIC

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
        p50, p95, p99 = (found[f"{graph.name}_call_p{percent}_ms"] for percent in (50, 95, 99))
        assert 0 < p50 <= p95 <= p99
        over = p50 / found[f"{graph.name}_floor_ms"]
        assert found[f"{graph.name}_over_floor"] == pytest.approx(over, rel=0.05)
        assert f"{graph.name}_launch_p50_ms" not in found, "there is no GPU"
    assert report.config["backend"] == "onnx" and "ONNX Runtime" in report.config["engine"]
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
    from engines.backends.tensorrt import plan_key
    from engines.device import Device

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch_backend, "ceilings_of_cuda", lambda: Ceilings(1e12, 1e12))
    device = Device()
    for graph in WARP_REFINE_LITE.graphs:
        key = plan_key(WARP_REFINE_LITE, graph, "fp16", device.info)
        content = weights.locate(NAME, f"{graph.name}.onnx").read_bytes()
        plans.install(key, MAGIC + content, plans.default_root())
    device.close()
    found = bench_models(NAME, Engine(backend="tensorrt"), calls=10).metrics
    for graph in WARP_REFINE_LITE.graphs:
        assert found[f"{graph.name}_launch_p50_ms"] == 0.25
        assert found[f"{graph.name}_over_floor"] == pytest.approx(
            0.25 / found[f"{graph.name}_floor_ms"]
        )
        assert found[f"{graph.name}_gpu_mbyte"] > 0
