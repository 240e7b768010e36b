"""M's less usual layers against ConvNeXt V2's formulas; F's split of channels into depth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engines.nets.liveportrait.motion import ChannelNorm, Heads, ResponseNorm
from tests.engines.nets.liveportrait.narrow import NARROW, network, random

pytestmark = pytest.mark.train


def test_channels_of_each_pixel_are_normalised() -> None:
    norm = ChannelNorm(5).requires_grad_(False)
    norm.weight[:], norm.bias[:] = random(5, seed=1), random(5, seed=2)
    x = random(2, 5, 3, 4)
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_channels_compete_by_their_strength_over_the_map() -> None:
    norm = ResponseNorm(5).requires_grad_(False)
    norm.gamma[:], norm.beta[:] = random(1, 1, 1, 5, seed=1), random(1, 1, 1, 5, seed=2)
    x = random(2, 3, 4, 5)
    strength = x.square().sum((1, 2), keepdim=True).sqrt()
    share = strength / (strength.mean(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(norm(x), norm.gamma * x * share + norm.beta + x)


def test_heads_are_those_of_the_last_layers_they_are_named_after() -> None:
    motion = network("motion")
    inputs: list[Tensor] = []
    motion.get_submodule("detector.fc_t").register_forward_hook(
        lambda module, given, output: inputs.append(given[0])
    )
    heads = motion(torch.rand(1, 3, NARROW.picture, NARROW.picture))
    assert isinstance(heads, Heads)
    for name in Heads._fields:
        torch.testing.assert_close(
            getattr(heads, name), motion.get_submodule(f"detector.fc_{name}")(inputs[0])
        )


def test_depth_comes_from_neighbouring_channels() -> None:
    appearance = network("appearance")
    flat: list[Tensor] = []
    volumes: list[Tensor] = []
    appearance.get_submodule("second").register_forward_hook(
        lambda module, given, output: flat.append(output)
    )
    appearance.get_submodule("resblocks_3d").register_forward_hook(
        lambda module, given, output: volumes.append(given[0])
    )
    appearance(torch.rand(1, 3, NARROW.picture, NARROW.picture))
    channel, depth = 2, 3
    torch.testing.assert_close(
        volumes[0][:, channel, depth], flat[0][:, channel * NARROW.depth + depth]
    )
