"""Every backend gives what torch gives, on inputs drawn from the table of networks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engines import driver, parity, weights
from engines.backends import open_graph
from engines.backends.base import Engine
from engines.crop import REGIONS
from engines.errors import BackendError
from engines.specs import NETWORKS, WARP_REFINE_LITE, GraphSpec, NetworkSpec

pytestmark = pytest.mark.train

EVERY_GRAPH = [(network, graph) for network in NETWORKS.values() for graph in network.graphs]


def name_of(pair: object) -> str:
    return pair.name if isinstance(pair, NetworkSpec | GraphSpec) else str(pair)


@pytest.mark.parametrize(("network", "graph"), EVERY_GRAPH, ids=name_of)
def test_onnx_agrees_with_torch(network: NetworkSpec, graph: GraphSpec) -> None:
    from engines.backends.torch import open_graph as open_torch

    found = parity.drift(
        open_graph("onnx", network, graph, 1), open_torch(network, graph, 1, on_cuda=False)
    )
    assert found.share < parity.TOLERANCES["fp32"], str(found)


@pytest.fixture(params=["tensorrt", "torch"])
def on_gpu(request: pytest.FixtureRequest) -> Iterator[str]:
    """A backend of the GPU, where it can run."""
    try:
        driver.require()
        for network, graph in EVERY_GRAPH:
            open_graph(request.param, network, graph, 1)
    except BackendError as error:
        pytest.skip(f"{request.param} cannot run here: {error}")
    yield request.param


@pytest.mark.gpu
@pytest.mark.parametrize(("network", "graph"), EVERY_GRAPH, ids=name_of)
def test_a_backend_of_the_gpu_agrees_with_torch_on_the_cpu(
    on_gpu: str, network: NetworkSpec, graph: GraphSpec
) -> None:
    from engines.backends.torch import open_graph as open_torch

    engine: Engine = open_graph(on_gpu, network, graph, 1)
    precision = "fp32" if engine.description.endswith("fp32") else "fp16"
    found = parity.drift(engine, open_torch(network, graph, 1, on_cuda=False))
    assert found.share < parity.TOLERANCES[precision], f"{engine.description}: {found}"


@pytest.mark.gpu
def test_a_warm_engine_allocates_nothing(on_gpu: str) -> None:
    """By PyTorch's allocator, which counts every tensor, and by what is free on the GPU."""
    engine = open_graph(on_gpu, WARP_REFINE_LITE, WARP_REFINE_LITE.drive, 1)
    inputs = parity.fake_inputs(WARP_REFINE_LITE.drive, 0)
    engine.run(inputs)

    def taken() -> tuple[int, int]:
        allocations = torch.cuda.memory_stats().get("allocation.all.allocated", 0)
        return allocations, torch.cuda.mem_get_info()[0]

    before = taken()
    for _ in range(20):
        engine.run(inputs)
    assert taken() == before


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("network", "graph"), EVERY_GRAPH, ids=name_of)
def test_typed_onnx_agrees_with_torch(
    tmp_path_factory: pytest.TempPathFactory,
    network: NetworkSpec,
    graph: GraphSpec,
    precision: str,
) -> None:
    """What TensorRT builds plans from, here run by ONNX Runtime."""
    from engines.backends import open_engine
    from engines.backends.torch import load_graph, write_onnx

    path = tmp_path_factory.mktemp("typed") / "graph.onnx"
    write_onnx(graph, load_graph(network, graph), precision, path)
    found = parity.drift(
        open_engine("onnx", graph, path, 1), open_graph("torch", network, graph, 1)
    )
    assert found.share < parity.TOLERANCES[precision], str(found)


def test_the_budget_of_the_lite_network_is_kept() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from engines.training.export import fake_inputs
    from engines.training.train import Refiner

    model = Refiner().eval()
    inputs = fake_inputs(WARP_REFINE_LITE.drive, 0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.drive(*inputs.values())
    assert len(REGIONS) * counter.get_total_flops() <= 0.6e9, "a frame that needs every patch"
    assert sum(p.numel() for p in model.parameters()) <= 3e6


def test_the_reference_loads_every_weight_of_the_file() -> None:
    """A graph that took the wrong part of it would be compared with itself."""
    from safetensors.torch import load_file

    from engines.backends.torch import load_graph

    for network in NETWORKS.values():
        stored = set(load_file(weights.locate(network.name, "model.safetensors")))
        loaded = {
            f"{graph.name}.{name}"
            for graph in network.graphs
            for name in load_graph(network, graph).state_dict()
        }
        assert loaded == stored
