"""Every backend gives what torch gives, on inputs drawn from the table of networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from engines import driver, parity, weights
from engines.backends import open_graph
from engines.backends.base import Engine
from engines.crop import REGIONS
from engines.errors import DeviceError
from engines.specs import (
    LITE,
    NETWORKS,
    WARP_REFINE_FULL,
    WARP_REFINE_LITE,
    GraphSpec,
    NetworkSpec,
)

pytestmark = pytest.mark.train

EVERY_GRAPH = [(network, graph) for network in NETWORKS.values() for graph in network.graphs]


def tensors(spec: GraphSpec) -> list[torch.Tensor]:
    return [torch.from_numpy(value) for value in parity.fake_inputs(spec, 0).values()]


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
    """A backend of the GPU. Where there is one, all that it needs must be there, too."""
    try:
        driver.require()
    except DeviceError as error:
        pytest.skip(f"no GPU for {request.param}: {error}")
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


@pytest.mark.parametrize(
    ("network", "most_flops"),
    [(WARP_REFINE_LITE, 0.6e9), (WARP_REFINE_FULL, 60e9)],
    ids=["lite", "full"],
)
def test_the_budget_of_a_network_is_kept(network: NetworkSpec, most_flops: float) -> None:
    """By a frame that needs every patch. Tensors of no data are counted like any others."""
    from torch.utils.flop_counter import FlopCounterMode

    from engines.nets.warp_refine import WarpRefine

    model = WarpRefine(network.size).eval().to("meta")
    flops = 0
    for spec, times in ((network.drive, len(REGIONS)), (network.drive_head, 1)):
        inputs = [tensor.to("meta") for tensor in tensors(spec)]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            getattr(model, spec.name)(*inputs)
        assert counter.get_total_flops() > 0
        flops += times * counter.get_total_flops()
    assert flops <= most_flops


def test_the_lite_network_has_at_most_three_million_parameters() -> None:
    from engines.nets.warp_refine import WarpRefine

    assert sum(p.numel() for p in WarpRefine(LITE).parameters()) <= 3e6


def test_a_head_network_that_has_learnt_nothing_leaves_the_geometry_as_it_is() -> None:
    from engines.nets.head import Head

    with torch.no_grad():
        field = Head(LITE)(*tensors(WARP_REFINE_LITE.drive_head))
    np.testing.assert_array_equal(field.numpy(), 0)


def test_a_field_ends_in_nothing_at_its_border() -> None:
    """However strong it is, no edge is seen where it ends."""
    from engines.nets.head import Head

    model = Head(LITE)
    torch.nn.init.constant_(model.field.weight, 1.0)
    torch.nn.init.constant_(model.field.bias, 50.0)  # type: ignore[arg-type]
    with torch.no_grad():
        field = model(*tensors(WARP_REFINE_LITE.drive_head)).numpy()[0]
    assert np.abs(field[:, 10:-10, 10:-10]).min() > 0.05
    for border in (field[:, 0], field[:, -1], field[:, :, 0], field[:, :, -1]):
        np.testing.assert_array_equal(border, 0)
    assert np.abs(np.diff(field, axis=1)).max() < 0.5 * np.abs(field).max()


@pytest.mark.parametrize(("network", "graph"), EVERY_GRAPH, ids=name_of)
def test_every_operator_is_native_to_tensorrt(network: NetworkSpec, graph: GraphSpec) -> None:
    from engines.nets.liveportrait.export import foreign_operators

    path = weights.locate(network.name, f"{graph.name}.onnx")
    assert foreign_operators(path) == []


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_eyes_are_painted_alike(backend: str) -> None:
    """Of random guides every one shows a mouth: what becomes of eyes is compared here."""
    from engines.backends.torch import open_graph as open_torch

    spec = WARP_REFINE_LITE.drive
    inputs = parity.fake_inputs(spec, 1)
    inputs["guide"][:, :2] = 0
    reference = open_torch(WARP_REFINE_LITE, spec, 1, on_cuda=False).run(inputs)
    found = open_graph(backend, WARP_REFINE_LITE, spec, 1).run(inputs)
    assert float(abs(reference["change"]).max()) > 0.05
    assert float(abs(found["change"] - reference["change"]).max()) < 1e-3
    assert (found["gain"] == 1).all()


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
