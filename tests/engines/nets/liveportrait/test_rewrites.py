"""Rewritten networks give what the original ones give, with fewer multiplications."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from engines.nets.liveportrait import rewrites
from engines.nets.liveportrait.checkpoint import NETWORKS
from engines.nets.liveportrait.generator import SpadeBlock
from engines.nets.liveportrait.graphs import graphs
from engines.nets.liveportrait.rewrites import FusedSpadeBlock, PhaseConv
from engines.nets.liveportrait.sizes import PUBLISHED
from tests.engines.nets.liveportrait.narrow import (
    NARROW,
    network,
    random,
    share,
    warping_inputs,
)

pytestmark = pytest.mark.train

TOLERANCE = 1e-4

INPUTS: dict[str, Callable[[], tuple[Tensor, ...]]] = {
    "appearance": lambda: (random(2, 3, NARROW.picture, NARROW.picture),),
    "warping": warping_inputs,
    "generator": lambda: (random(2, NARROW.features, NARROW.side, NARROW.side),),
}


@pytest.mark.parametrize("name", INPUTS)
def test_all_rewrites_together_change_nothing(name: str) -> None:
    original = network(name)
    inputs = INPUTS[name]()
    rewritten = rewrites.optimise(copy.deepcopy(original))
    assert share(rewritten(*inputs), original(*inputs)) < TOLERANCE
    assert not any(isinstance(m, nn.Upsample) for m in rewritten.modules() if name == "warping")


@pytest.mark.parametrize(("name", "left"), [("appearance", 2), ("warping", 0)])
def test_batch_norms_are_folded(name: str, left: int) -> None:
    """Those of F that are left follow a sum."""
    folded = network(name)
    inputs = INPUTS[name]()
    expected = folded(*inputs)
    rewrites.fold_batch_norms(folded)
    assert sum(isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d) for m in folded.modules()) == left
    assert share(folded(*inputs), expected) < TOLERANCE


def test_spectral_norms_are_folded() -> None:
    conv = spectral_norm(nn.Conv2d(3, 5, 3)).requires_grad_(False)
    x = random(1, 3, 6, 6)
    conv(x)
    conv.eval()
    state = conv.state_dict()
    weight = rewrites.fold_spectral_norm(*(state[f"weight_{part}"] for part in ("orig", "u", "v")))
    assert share(functional.conv2d(x, weight, state["bias"]), conv(x)) < TOLERANCE


@pytest.mark.parametrize("name", ["G_middle_0", "up_0", "up_1"])
def test_norms_of_a_block_share_a_convolution(name: str) -> None:
    block = network("generator").get_submodule(name)
    assert isinstance(block, SpadeBlock)
    fused = FusedSpadeBlock(block)
    zoom = {"G_middle_0": 1, "up_0": 2, "up_1": 4}[name]
    features = random(2, NARROW.features, NARROW.side, NARROW.side)
    x = random(2, block.conv_0.in_channels, zoom * NARROW.side, zoom * NARROW.side, seed=1)
    convolutions = [m for m in fused.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == (7 if block.learned_shortcut else 5)  # instead of 12 and 8
    assert share(fused(x, features), block(x, features)) < TOLERANCE


@pytest.mark.parametrize("factors", [(2, 2), (4, 4), (2, 4), (3, 3), (1, 2, 2), (2, 1, 3)], ids=str)
def test_phases_agree_with_enlarging_and_convolving(factors: tuple[int, ...]) -> None:
    """Everywhere, borders included."""
    make = nn.Conv2d if len(factors) == 2 else nn.Conv3d
    conv = make(3, 5, 3, padding=1).requires_grad_(False)
    x = random(2, 3, *(3, 4, 5)[: len(factors)])
    large = x
    for axis, factor in enumerate(factors, start=2):
        large = large.repeat_interleave(factor, axis)
    found = PhaseConv(conv, factors)(x)
    assert found.shape == conv(large).shape
    assert share(found, conv(large)) < TOLERANCE


def test_a_map_of_one_pixel_is_all_border() -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1).requires_grad_(False)
    x = random(1, 2, 1, 1)
    assert share(PhaseConv(conv, (2, 2))(x), conv(x.expand(1, 2, 2, 2))) < TOLERANCE


@pytest.mark.parametrize(("factor", "taps"), [(2, 16), (4, 25)])
def test_phases_save_multiplications(factor: int, taps: int) -> None:
    """Of 9 taps for each of factor² outputs, those that meet different pixels; equal ones once."""
    phases = PhaseConv(nn.Conv2d(2, 3, 3, padding=1), (factor, factor))
    assert sum(kernel.shape[2] * kernel.shape[3] for kernel in phases.kernels) == taps


@pytest.mark.parametrize(
    ("name", "before", "after"), [("warping", 171.9, 153.8), ("generator", 445.8, 389.8)]
)
def test_published_networks_lose_multiplications(name: str, before: float, after: float) -> None:
    def gigamacs(module: nn.Module) -> float:
        with FlopCounterMode(display=False) as counter, torch.device("meta"):
            module(*(torch.zeros(tensor.shape) for tensor in graphs()[name].inputs))
        return float(counter.get_total_flops() / 2e9)

    with torch.device("meta"):
        module = NETWORKS[name].make(PUBLISHED).eval()
        assert gigamacs(module) == pytest.approx(before, abs=0.1)
        assert gigamacs(rewrites.optimise(module)) == pytest.approx(after, abs=0.1)
