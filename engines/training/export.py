"""A trained checkpoint -> the files that ship: safetensors, ONNX graphs, a manifest.

    python -m engines.training.export --network NETWORK --runs HEAD_RUN PAINT_RUN

Refuses to write graphs that do not agree with the torch reference: what was there before stays.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engines import parity, weights
from engines.backends import open_engine
from engines.backends.torch import results, trace_onnx
from engines.nets.warp_refine import WarpRefine
from engines.specs import NETWORKS, GraphSpec, NetworkSpec

TOLERANCE = 1e-3
"""largest absolute difference to torch, on colours of full scale 1"""


def export(network: NetworkSpec, runs: Sequence[Path], out: Path) -> None:
    """
    Args:
        runs: folders of checkpoints; together they hold all of the network.

    Raises:
        SystemExit: a graph differs from torch; `out` is as it was.
    """
    parameters = {name: tensor for run in runs for name, tensor in _read(run).items()}
    model = _load(network, parameters, [spec.name for spec in network.graphs])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished.", dir=out) as folder:
        made = Path(folder)
        save_file(parameters, made / "model.safetensors")
        for spec in network.graphs:
            _export_graph(spec, getattr(model, spec.name), made / f"{spec.name}.onnx")
        names = ("model.safetensors", *(f"{spec.name}.onnx" for spec in network.graphs))
        manifest = {
            "network": network.name,
            "licence": "Apache-2.0",
            "files": {name: weights.sha256_of(made / name) for name in names},
        }
        (made / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        for name in (*names, "manifest.json"):
            (made / name).replace(out / name)


def export_graphs(network: NetworkSpec, run: Path, out: Path, names: Sequence[str]) -> None:
    """Some graphs alone, of a run that trained them.

    Raises:
        SystemExit: a graph differs from torch, or the run trained another one.
    """
    model = _load(network, _read(run), names)
    out.mkdir(parents=True, exist_ok=True)
    for spec in network.graphs:
        if spec.name in names:
            _export_graph(spec, getattr(model, spec.name), out / f"{spec.name}.onnx")


def _read(run: Path) -> dict[str, torch.Tensor]:
    path = run / "model.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise SystemExit(
            f"{path}: cannot be read as a checkpoint ({error}); give a folder that training wrote"
        ) from None


def _load(
    network: NetworkSpec, parameters: Mapping[str, torch.Tensor], names: Sequence[str]
) -> WarpRefine:
    """The network with at least the graphs of these names as trained."""
    model = WarpRefine(network.size).eval()
    try:
        found = model.load_state_dict(parameters, strict=False)
    except RuntimeError as error:
        said = str(error).splitlines()[1].strip()
        raise SystemExit(
            f"the runs are not of {network.name}: {said}; give its --network"
        ) from None
    lacks = {key.split(".")[0] for key in found.missing_keys} & set(names)
    if lacks or found.unexpected_keys:
        raise SystemExit(
            f"the runs lack {', '.join(sorted(lacks)) or 'nothing'} and hold "
            f"{len(found.unexpected_keys)} parameters that are not of {network.name}; "
            "give the run of the head and the run of the paint, of the same size"
        )
    return model


def _export_graph(spec: GraphSpec, graph: torch.nn.Module, path: Path) -> None:
    inputs = parity.fake_inputs(spec, seed=0)
    tensors = tuple(torch.from_numpy(value) for value in inputs.values())
    trace_onnx(spec, graph, tensors, path)
    with torch.no_grad():
        references = results(graph(*tensors))
    found = open_engine("onnx", spec, path, 2).run(inputs)
    difference = max(
        float(np.abs(found[tensor.name] - reference.numpy()).max())
        for tensor, reference in zip(spec.outputs, references, strict=True)
    )
    print(f"{path.name}: differs from torch by at most {difference:.2e}")
    if not difference <= TOLERANCE:  # NaN is no agreement
        raise SystemExit(
            f"{path.name}: differs from torch by {difference:.2e}, must be at most {TOLERANCE}; "
            "nothing was written: train on from a sound checkpoint"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--out", type=Path, help="default: the weights that ship")
    options = parser.parse_args()
    out = options.out or weights.WEIGHTS_DIRECTORY / options.network
    export(NETWORKS[options.network], options.runs, out)
