"""G's adaptive norm and block against SPADE's formulas, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engines.nets.liveportrait.generator import Generator, Spade, SpadeBlock
from tests.engines.nets.liveportrait.narrow import NARROW, network, random

pytestmark = pytest.mark.train


def spade(norm: Spade, x: Tensor, features: Tensor) -> Tensor:
    """gamma-hat and beta of the resized features modulate x, normalised over each map."""
    mean = x.mean((2, 3), keepdim=True)
    variance = (x - mean).square().mean((2, 3), keepdim=True)
    zoom = x.shape[-1] // features.shape[-1]
    large = features.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    hidden = norm.mlp_shared[0](large).clamp(min=0)
    gamma, beta = norm.mlp_gamma(hidden), norm.mlp_beta(hidden)
    out: Tensor = (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
    return out


@pytest.mark.parametrize("name", ["G_middle_3", "up_0", "up_1"])
def test_a_block_is_two_modulated_convolutions_and_a_shortcut(name: str) -> None:
    block = network("generator").get_submodule(name)
    assert isinstance(block, SpadeBlock)
    zoom = {"G_middle_3": 1, "up_0": 2, "up_1": 4}[name]
    features = random(2, NARROW.features, NARROW.side, NARROW.side)
    x = random(2, block.conv_0.in_channels, zoom * NARROW.side, zoom * NARROW.side, seed=1)
    out = block.conv_0(functional.leaky_relu(spade(block.norm_0, x, features), 0.2))
    out = block.conv_1(functional.leaky_relu(spade(block.norm_1, out, features), 0.2))
    straight = block.conv_s(spade(block.norm_s, x, features)) if block.learned_shortcut else x
    torch.testing.assert_close(block(x, features), straight + out, rtol=1e-4, atol=1e-4)
    assert block.learned_shortcut == name.startswith("up")


def test_every_block_is_given_the_features() -> None:
    """Six in a row, then one after each doubling; the last convolution makes four pixels of one."""
    generator = network("generator")
    assert isinstance(generator, Generator)
    features = random(1, NARROW.features, NARROW.side, NARROW.side)
    x = generator.fc(features)
    for i in range(6):
        x = generator.get_submodule(f"G_middle_{i}")(x, features)
    x = generator.up_0(x.repeat_interleave(2, 2).repeat_interleave(2, 3), features)
    x = generator.up_1(x.repeat_interleave(2, 2).repeat_interleave(2, 3), features)
    x = generator.conv_img[0](functional.leaky_relu(x, 0.2))
    side = 4 * NARROW.side
    x = x.view(1, 3, 2, 2, side, side).permute(0, 1, 4, 2, 5, 3).reshape(1, 3, 2 * side, 2 * side)
    torch.testing.assert_close(generator(features), 1 / (1 + torch.exp(-x)))


def test_pictures_are_eight_times_as_large_as_features_and_within_range() -> None:
    picture = network("generator")(random(1, NARROW.features, NARROW.side, NARROW.side))
    assert picture.shape == (1, 3, 8 * NARROW.side, 8 * NARROW.side)
    assert 0 <= picture.min() < 0.4 and 0.6 < picture.max() <= 1
