"""W and G once at the published sizes, as they are run: rewritten."""

from __future__ import annotations

import pytest
import torch

from engines.nets.liveportrait import rewrites
from engines.nets.liveportrait.export import fake_inputs
from engines.nets.liveportrait.generator import Generator
from engines.nets.liveportrait.graphs import graphs
from engines.nets.liveportrait.warping import WarpingModule

pytestmark = [pytest.mark.train, pytest.mark.slow]


def test_a_picture_comes_out() -> None:
    inputs = fake_inputs(graphs()["warping"], seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        features = rewrites.optimise(WarpingModule().eval())(*inputs.values())
        picture = rewrites.optimise(Generator().eval())(features)
    assert features.shape == (1, 256, 64, 64)
    assert picture.shape == (1, 3, 512, 512)
    assert 0 < picture.min() and picture.max() < 1 and picture.std() > 1e-3
