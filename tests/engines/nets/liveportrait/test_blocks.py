"""The blocks that F, M, W, S and R are built of, against their formulas, written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from engines.nets.liveportrait.layers import ConvBlock, DownBlock, ResidualBlock, UpBlock
from engines.nets.liveportrait.motion import Block
from engines.nets.liveportrait.retargeting import Perceptron
from engines.nets.liveportrait.warping import WarpingModule
from tests.engines.nets.liveportrait.narrow import NARROW, network, random

pytestmark = pytest.mark.train


def batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        norm.state_dict()[name].view(-1, *(1,) * (x.ndim - 2))
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    out: Tensor = (x - mean) / (variance + 1e-5).sqrt() * weight + bias
    return out


def found(name: str, path: str) -> nn.Module:
    return network(name).get_submodule(path)


def test_a_residual_block_is_activated_first() -> None:
    block = found("appearance", "resblocks_3d.3dr1")
    assert isinstance(block, ResidualBlock)
    x = random(2, NARROW.channels, 3, 4, 5)
    out = block.conv1(batch_norm(block.norm1, x).clamp(min=0))
    out = block.conv2(batch_norm(block.norm2, out).clamp(min=0))
    torch.testing.assert_close(block(x), x + out)


@pytest.mark.parametrize(
    ("name", "path", "channels", "slope"),
    [("appearance", "first", 3, 0.0), ("warping", "third", NARROW.flat, 0.01)],
)
def test_a_block_convolves_normalises_activates(
    name: str, path: str, channels: int, slope: float
) -> None:
    block = found(name, path)
    assert isinstance(block, ConvBlock)
    x = random(2, channels, 6, 6)
    out = batch_norm(block.norm, block.conv(x))
    torch.testing.assert_close(block(x), torch.where(out > 0, out, slope * out))


@pytest.mark.parametrize("path", ["appearance/down_blocks.0", "warping/encoder.down_blocks.0"])
def test_the_way_down_halves_height_and_width(path: str) -> None:
    name, path = path.split("/")
    block = found(name, path if name == "appearance" else f"dense_motion_network.hourglass.{path}")
    assert isinstance(block, DownBlock)
    x = random(2, block.get_parameter("conv.weight").shape[1], *(3, 6, 8)[name == "appearance" :])
    out = batch_norm(block.norm, block.conv(x)).clamp(min=0)
    mean = (
        out[..., ::2, ::2] + out[..., 1::2, ::2] + out[..., ::2, 1::2] + out[..., 1::2, 1::2]
    ) / 4
    torch.testing.assert_close(block(x), mean)


def test_the_way_up_doubles_height_and_width() -> None:
    block = found("warping", "dense_motion_network.hourglass.decoder.up_blocks.1")
    assert isinstance(block, UpBlock)
    x = random(2, block.get_parameter("conv.weight").shape[1], 3, 4, 5)
    large = x.repeat_interleave(2, 3).repeat_interleave(2, 4)
    expected = batch_norm(block.norm, block.conv(large)).clamp(min=0)
    torch.testing.assert_close(block(x), expected)


def test_the_hourglass_meets_on_its_way_up_what_it_saw_on_its_way_down() -> None:
    warping = network("warping")
    assert isinstance(warping, WarpingModule)
    hourglass = warping.dense_motion_network.hourglass
    channels = NARROW.candidates * (1 + NARROW.compressed)
    x = random(1, channels, NARROW.depth, NARROW.side, NARROW.side)
    down0, down1, down2 = hourglass.encoder.down_blocks
    up0, up1, up2 = hourglass.decoder.up_blocks
    a = down0(x)
    b = down1(a)
    out = torch.cat([up0(down2(b)), b], 1)
    out = torch.cat([up1(out), a], 1)
    out = torch.cat([up2(out), x], 1)
    out = batch_norm(hourglass.decoder.norm, hourglass.decoder.conv(out)).clamp(min=0)
    torch.testing.assert_close(hourglass(x), out)


def test_a_convnext_block_is_depthwise_then_pointwise() -> None:
    block = found("motion", "detector.stages.1.0")
    assert isinstance(block, Block)
    x = random(2, NARROW.stages[1], 5, 6)
    out = block.dwconv(x).permute(0, 2, 3, 1)
    out = (out - out.mean(-1, keepdim=True)) / (
        out.var(-1, keepdim=True, correction=0) + 1e-6
    ).sqrt()
    out = out * block.norm.weight + block.norm.bias
    out = out @ block.pwconv1.weight.T + block.pwconv1.bias
    out = out * (1 + torch.erf(out / math.sqrt(2))) / 2
    out = block.grn(out) @ block.pwconv2.weight.T + block.pwconv2.bias
    torch.testing.assert_close(block(x), x + out.permute(0, 3, 1, 2))


def test_a_perceptron_is_linear_at_its_end_only() -> None:
    perceptron = network("stitching")
    assert isinstance(perceptron, Perceptron)
    state = perceptron.state_dict()
    x = out = random(3, 6 * NARROW.points)
    for i in (0, 2, 4, 6):
        out = out @ state[f"mlp.{i}.weight"].T + state[f"mlp.{i}.bias"]
        out = out.clamp(min=0) if i < 6 else out
    torch.testing.assert_close(perceptron(x), out)
    assert out.min() < 0
