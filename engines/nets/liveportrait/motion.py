"""M, the motion extractor: a face -> canonical key points, head pose, expression.

ConvNeXt V2 (Woo et al., arXiv 2301.00808), size tiny, with one linear head for each quantity. The
outputs are raw: `keypoints.decode` makes angles and points of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import Parameter

from engines.nets.liveportrait.sizes import PUBLISHED, Sizes

_EPSILON = 1e-6


class Heads(NamedTuple):
    """What M says about a face, batch first."""

    pitch: Tensor
    """(B, 66) logits of the angle's bins; yaw and roll alike"""
    yaw: Tensor
    roll: Tensor
    t: Tensor
    """(B, 3) translation"""
    exp: Tensor
    """(B, 63) expression: an offset for each key point"""
    scale: Tensor
    """(B, 1)"""
    kp: Tensor
    """(B, 63) canonical key points"""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, of a map with channels first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(torch.ones(channels))
        self.bias = Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # x of (B, C, H, W)
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, _EPSILON)
        return x.permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response normalisation: channels compete by their strength over the whole map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        # x of (B, H, W, C)
        strength = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)  # (B, 1, 1, C)
        share = strength / (strength.mean(-1, keepdim=True) + _EPSILON)
        out: Tensor = self.gamma * (x * share) + self.beta + x
        return out


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.act = nn.GELU()
        self.grn = ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        # x of (B, C, H, W)
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))  # (B, H, W, C)
        y = self.pwconv2(self.grn(self.act(self.pwconv1(y))))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class Detector(nn.Module):
    """The backbone and its heads, under the name that the checkpoint gives them."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = sizes.stages
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            self.downsample_layers.append(
                nn.Sequential(ChannelNorm(before), nn.Conv2d(before, after, 2, 2))
            )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(widths, sizes.blocks, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=_EPSILON)
        self.fc_kp = nn.Linear(widths[-1], 3 * sizes.points)
        self.fc_scale = nn.Linear(widths[-1], 1)
        self.fc_pitch = nn.Linear(widths[-1], sizes.bins)
        self.fc_yaw = nn.Linear(widths[-1], sizes.bins)
        self.fc_roll = nn.Linear(widths[-1], sizes.bins)
        self.fc_t = nn.Linear(widths[-1], 3)
        self.fc_exp = nn.Linear(widths[-1], 3 * sizes.points)

    def forward(self, x: Tensor) -> Heads:
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        x = self.norm(x.mean((-2, -1)))  # (B, 768)
        return Heads(
            pitch=self.fc_pitch(x),
            yaw=self.fc_yaw(x),
            roll=self.fc_roll(x),
            t=self.fc_t(x),
            exp=self.fc_exp(x),
            scale=self.fc_scale(x),
            kp=self.fc_kp(x),
        )


class MotionExtractor(nn.Module):
    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        super().__init__()
        self.detector = Detector(sizes)

    def forward(self, picture: Tensor) -> Heads:
        # picture of (B, 3, 256, 256) RGB 0..1
        heads: Heads = self.detector(picture)
        return heads
