"""Every graph loads in ONNX Runtime, agrees with torch, and is made of what TensorRT has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from engines import tensorrt_operators
from engines.errors import BackendError
from engines.nets.liveportrait import export, rewrites
from engines.nets.liveportrait.checkpoint import NETWORKS
from engines.nets.liveportrait.graphs import graphs
from engines.specs import GraphSpec, TensorSpec
from tests.engines.nets.liveportrait.narrow import NARROW, network

pytestmark = pytest.mark.train


@pytest.fixture(scope="module", params=["as published", "rewritten"])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, float]]]:
    networks = {name: network(name) for name in NETWORKS}
    if request.param == "rewritten":
        networks = {name: rewrites.optimise(module) for name, module in networks.items()}
    out = tmp_path_factory.mktemp("graphs")
    yield out, export.export(networks, out, NARROW)


def test_every_graph_is_written_and_agrees(exported: tuple[Path, dict[str, float]]) -> None:
    out, differences = exported
    assert differences.keys() == graphs().keys()
    assert {path.name for path in out.iterdir()} == {f"{name}.onnx" for name in graphs()}
    assert max(differences.values()) < 1e-4, "a tenth of what is allowed"


def test_every_operator_is_native_to_tensorrt(exported: tuple[Path, dict[str, float]]) -> None:
    for path in exported[0].iterdir():
        model = onnx.load(str(path))
        assert [entry.version for entry in model.opset_import] == [tensorrt_operators.OPSET]
        assert not {node.op_type for node in model.graph.node} - tensorrt_operators.SUPPORTED
        assert not [n for n in model.graph.node if n.op_type == "GridSample"], "pictures only"


def test_the_list_names_operators_of_the_opset() -> None:
    for name in tensorrt_operators.SUPPORTED:
        schema = onnx.defs.get_schema(name, tensorrt_operators.OPSET)
        assert not schema.deprecated, name


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.det(x)


class Unsteady(nn.Module):
    """Not the same twice."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step
        self.calls = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.step
        return x + self.calls


SQUARE = GraphSpec(
    "square", (TensorSpec("x", (1, 3, 3), 0, 1),), (TensorSpec("y", (1, 3, 3), 0, 1),)
)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (Odd(), "TensorRT has no Det"),
        (Unsteady(1.0), r"differs from torch by \d"),
        (Unsteady(float("nan")), "differs from torch by nan"),
    ],
)
def test_a_graph_that_is_not_right_is_not_written(
    graph: nn.Module, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "square.onnx"
    path.write_text("older")
    with pytest.raises(BackendError, match=reason):
        export.export_graph(SQUARE, graph, path)
    assert path.read_text() == "older"
    assert [p.name for p in tmp_path.iterdir()] == ["square.onnx"]


class HalfUnsteady(Unsteady):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return x * 2, super().forward(x)


def test_every_output_has_to_agree(tmp_path: Path) -> None:
    second = TensorSpec("z", (1, 3, 3), 0, 1)
    spec = GraphSpec("square", SQUARE.inputs, (*SQUARE.outputs, second))
    with pytest.raises(BackendError, match=r"differs from torch by \d"):
        export.export_graph(spec, HalfUnsteady(1.0), tmp_path / "square.onnx")


def test_export_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    warping = network("warping")
    export.export({"warping": warping}, tmp_path, NARROW)
    assert not any(module.training for module in warping.modules())
