"""The networks -> ONNX graphs, one for each entry of `graphs.py`.

    python -m engines.nets.liveportrait.export      beside the weights that were fetched

A graph that differs from torch, or holds an operator that TensorRT has not, is not written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from engines import parity, tensorrt_operators
from engines.backends import open_engine
from engines.backends.torch import trace_onnx
from engines.catalogue import LIVEPORTRAIT
from engines.errors import BackendError, EngineError
from engines.fetched import Store, default_root
from engines.nets.liveportrait import checkpoint, rewrites
from engines.nets.liveportrait.graphs import graphs
from engines.nets.liveportrait.sampling import sample_by_gathers
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes
from engines.nets.liveportrait.warping import WarpingModule
from engines.specs import GraphSpec

TOLERANCE = 1e-3
"""largest difference to torch, as a share of the output's largest value"""


class Part(nn.Module):
    """A method of a network as a graph of its own, with the modules that the method uses."""

    def __init__(self, method: Callable[..., object], *uses: nn.Module) -> None:
        super().__init__()
        self.uses = nn.ModuleList(uses)
        self.method = method
        self.train(uses[0].training)  # the exporter puts all of it back into the whole's mode

    def forward(self, *inputs: Tensor) -> object:
        return self.method(*inputs)


def parts(network: str, module: nn.Module) -> dict[str, nn.Module]:
    """Graph name -> what computes it, of one of `checkpoint.NETWORKS`."""
    if not isinstance(module, WarpingModule):
        return {network: module}
    dense = module.dense_motion_network
    return {
        "warping": Part(lambda *inputs: module(*inputs, sample_by_gathers), module),
        "warping_compress": Part(module.compress, dense.compress, dense.norm),
        "warping_choose": Part(module.choose, dense.hourglass, dense.mask, dense.occlusion),
        "warping_flatten": Part(module.flatten, module.third, module.fourth),
    }


def export(
    networks: Mapping[str, nn.Module], out: Path, sizes: Sizes = PUBLISHED
) -> dict[str, float]:
    """Write `<graph>.onnx` into `out`, for every graph of these networks.

    Returns:
        Graph name -> largest difference to torch, as a share of the output's largest value.

    Raises:
        BackendError: a graph is not as it must be; it is not written, those before it are.
    """
    out.mkdir(parents=True, exist_ok=True)
    specs = graphs(sizes)
    return {
        name: export_graph(specs[name], part, out / f"{name}.onnx")
        for network, module in networks.items()
        for name, part in parts(network, module).items()
    }


def export_kept(store: Store) -> dict[str, float]:
    """`export` of the weights that a user got, rewritten, into their folder.

    Raises:
        BackendError: as of `export`.
        WeightsError: a file is missing, damaged, or of another network.
    """
    found: dict[str, float] = {}
    sizes = store.model.sizes
    for name in checkpoint.NETWORKS:
        state = checkpoint.restore(name, store.locate(name), sizes)
        network = rewrites.optimise(checkpoint.build(name, state, sizes))
        found |= export({name: network}, store.folder, sizes)
    return found


def write(spec: GraphSpec, graph: nn.Module, path: Path) -> None:
    """One graph, looked at by nobody; of weights that mean nothing."""
    trace_onnx(spec, graph, tuple(fake_inputs(spec, seed=0).values()), path)


def export_graph(spec: GraphSpec, graph: nn.Module, path: Path) -> float:
    inputs = fake_inputs(spec, seed=0)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        trace_onnx(spec, graph, tuple(inputs.values()), unfinished)
        if foreign := foreign_operators(unfinished):
            raise BackendError(
                f"{spec.name}: TensorRT has no {', '.join(foreign)}; "
                "write the network with operators of engines/tensorrt_operators.py"
            )
        difference = _difference(spec, graph, inputs, unfinished)
        if not difference <= TOLERANCE:  # NaN is no agreement
            raise BackendError(
                f"{spec.name}: its graph differs from torch by {difference:.2e} of its values, "
                f"must be at most {TOLERANCE}; export from sound weights"
            )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return difference


def fake_inputs(spec: GraphSpec, seed: int) -> dict[str, Tensor]:
    """As of `parity`, for torch."""
    return {name: torch.from_numpy(v) for name, v in parity.fake_inputs(spec, seed).items()}


def foreign_operators(path: Path) -> list[str]:
    """Operators of a graph that TensorRT has not, by name."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return sorted({node.op_type for node in graph.node} - tensorrt_operators.SUPPORTED)


def _difference(
    spec: GraphSpec, graph: nn.Module, inputs: Mapping[str, Tensor], path: Path
) -> float:
    with torch.no_grad():
        result = graph(*inputs.values())
    expected = (result,) if isinstance(result, Tensor) else cast(Iterable[Tensor], result)
    found = open_engine("onnx", spec, path, 2).run({k: v.numpy() for k, v in inputs.items()})
    shares = []
    for tensor, reference in zip(spec.outputs, expected, strict=True):
        difference = np.abs(found[tensor.name] - reference.numpy()).max()
        shares.append(float(difference / reference.abs().max()))
    return float(np.max(shares))


def main() -> int:
    """Exit code 0: all graphs are written; 2: something is missing or wrong."""
    store = Store(LIVEPORTRAIT, default_root())
    try:
        differences = export_kept(store)
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{store.folder}: {len(differences)} graphs written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
