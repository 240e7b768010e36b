"""A trained checkpoint -> the files that ship: safetensors, two ONNX graphs, a manifest.

    python -m engines.training.export --run RUN

Refuses to write graphs that do not agree with the torch reference: what was there before stays.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from engines import weights
from engines.backends import open_engine
from engines.specs import WARP_REFINE_LITE, GraphSpec
from engines.training.train import Refiner

OPSET = 17
TOLERANCE = 1e-3
"""largest absolute difference to torch, on colours of full scale 1"""


def fake_inputs(spec: GraphSpec, seed: int) -> dict[str, torch.Tensor]:
    """Random inputs within the ranges that the table states."""
    generator = torch.Generator().manual_seed(seed)
    return {
        tensor.name: torch.rand(tensor.shape, generator=generator) * (tensor.high - tensor.low)
        + tensor.low
        for tensor in spec.inputs
    }


def export(run: Path, out: Path) -> None:
    """
    Raises:
        SystemExit: a graph differs from torch; `out` is as it was.
    """
    model = Refiner().eval()
    model.load_state_dict(load_file(run / "model.safetensors"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished.", dir=out) as folder:
        made = Path(folder)
        shutil.copyfile(run / "model.safetensors", made / "model.safetensors")
        for spec, graph in zip(WARP_REFINE_LITE.graphs, (model.encode, model.drive), strict=True):
            _export_graph(spec, graph, made / f"{spec.name}.onnx")
        names = ("model.safetensors", "encode.onnx", "drive.onnx")
        manifest = {
            "network": WARP_REFINE_LITE.name,
            "licence": "Apache-2.0",
            "files": {name: weights.sha256_of(made / name) for name in names},
        }
        (made / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        for name in (*names, "manifest.json"):
            (made / name).replace(out / name)


def _export_graph(spec: GraphSpec, graph: torch.nn.Module, path: Path) -> None:
    inputs = fake_inputs(spec, seed=0)
    with warnings.catch_warnings():
        # the TorchScript exporter is deprecated, but its successor needs an onnx that needs a
        # protobuf that MediaPipe cannot live with
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            str(path),
            input_names=[t.name for t in spec.inputs],
            output_names=[t.name for t in spec.outputs],
            opset_version=OPSET,
            dynamo=False,
        )
    with torch.no_grad():
        reference = graph(*inputs.values()).numpy()
    found = open_engine("onnx", spec, path, 2).run({k: v.numpy() for k, v in inputs.items()})
    difference = float(np.abs(found[spec.outputs[0].name] - reference).max())
    print(f"{path.name}: differs from torch by at most {difference:.2e}")
    if not difference <= TOLERANCE:  # NaN is no agreement
        raise SystemExit(
            f"{path.name}: differs from torch by {difference:.2e}, must be at most {TOLERANCE}; "
            "nothing was written: train on from a sound checkpoint"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument(
        "--out", type=Path, default=weights.WEIGHTS_DIRECTORY / WARP_REFINE_LITE.name
    )
    options = parser.parse_args()
    export(options.run, options.out)
