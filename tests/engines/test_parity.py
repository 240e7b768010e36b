"""ONNX Runtime gives what torch gives, on inputs drawn from the table of networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engines import weights
from engines.backends import open_engine
from engines.crop import REGIONS
from engines.specs import WARP_REFINE_LITE

pytestmark = pytest.mark.train

TOLERANCE = 1e-3


@pytest.mark.parametrize("graph", ["encode", "drive"])
def test_onnx_agrees_with_torch(graph: str) -> None:
    from safetensors.torch import load_file

    from engines.training.export import fake_inputs
    from engines.training.train import Refiner

    spec = getattr(WARP_REFINE_LITE, graph)
    model = Refiner().eval()
    model.load_state_dict(load_file(weights.locate(WARP_REFINE_LITE.name, "model.safetensors")))
    engine = open_engine("onnx", spec, weights.locate(WARP_REFINE_LITE.name, f"{graph}.onnx"), 1)
    for seed in range(3):
        inputs = fake_inputs(spec, seed)
        with torch.no_grad():
            reference = getattr(model, graph)(*inputs.values()).numpy()
        found = engine.run({k: v.numpy() for k, v in inputs.items()})[spec.outputs[0].name]
        difference = np.abs(found - reference)
        assert difference.max() < TOLERANCE, f"max {difference.max():.2e}"


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
