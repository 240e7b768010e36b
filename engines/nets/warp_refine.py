"""warp-refine, size lite: paints what geometry cannot, on patches that geometry already drove.

Two graphs. `Encode` looks at the portrait once; `Drive` runs per frame: it meets the warped patch,
the guide of the driven face, and the identity's features sampled where geometry says, and gives a
colour with a mask. The mask lives around lips and lids only: everywhere else geometry stands as it
is, and stays as sharp as the portrait.

A U-Net (Ronneberger et al., arXiv 1505.04597) that works at half resolution: pixels enter by a
strided convolution and leave by depth-to-space (Shi et al., arXiv 1609.05158). Every operator is in
ONNX opset 17 and native to TensorRT.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines import crop
from engines.specs import IDENTITY_FEATURES as FEATURES


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


def reach(guide: Tensor) -> Tensor:
    """(B, 1, S, S) 0..1: where paint may go, the lips and the eye opening with a soft margin."""
    # guide is (B, G, S, S), values 0..1
    features = torch.maximum(guide[:, 1:2], guide[:, 2:3])
    # a square window's maximum, rows first: 42 comparisons for each pixel instead of 441
    spread = functional.max_pool2d(features, (21, 1), 1, (10, 0))
    spread = functional.max_pool2d(spread, (1, 21), 1, (0, 10))
    soft: Tensor = functional.avg_pool2d(spread, 9, 1, 4)
    return soft


class Encode(nn.Module):
    """The portrait's crop and guide -> features of the identity."""

    def __init__(self, guide_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            block(4 * (3 + guide_channels), 32),
            block(32, 48, stride=2),
            block(48, 48),
            nn.Conv2d(48, FEATURES, 1),
        )

    def forward(self, portrait: Tensor, guide: Tensor) -> Tensor:
        # portrait: (B, 3, S, S) 0..1; guide: (B, G, S, S) 0..1
        features: Tensor = self.layers(torch.cat([portrait - 0.5, guide], 1))
        return features  # (B, FEATURES, S/4, S/4)


class Drive(nn.Module):
    """One driven frame: (warped, guide, features, grid) -> what to add to the warped crop."""

    def __init__(self, guide_channels: int) -> None:
        super().__init__()
        wide, mid, deep, floor = 16, 32, 64, 96
        self.stem = nn.Sequential(
            nn.Conv2d(3 + guide_channels, wide, 2, 2),  # space-to-depth and a 1x1, in one
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.down1 = block(wide, wide)
        self.down2 = nn.Sequential(block(wide, mid, 2), block(mid, mid))
        self.identity = nn.Conv2d(FEATURES, mid, 1)
        self.down3 = nn.Sequential(block(mid, deep, 2), block(deep, deep))
        self.floor = nn.Sequential(block(deep, floor, 2), block(floor, floor), block(floor, floor))
        self.up3 = nn.Conv2d(floor, deep, 1)
        self.mix3 = block(deep, deep)
        self.up2 = nn.Conv2d(deep, mid, 1)
        self.mix2 = block(mid, mid)
        self.up1 = nn.Conv2d(mid, wide, 1)
        self.mix1 = block(wide, wide)
        self.paint = nn.Sequential(nn.Conv2d(wide, 16, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, warped: Tensor, guide: Tensor, features: Tensor, grid: Tensor) -> Tensor:
        # warped: (B, 3, S, S) 0..1; guide: (B, G, S, S) 0..1
        # features: (B, FEATURES, S/4, S/4); grid: (B, S/4, S/4, 2) in -2..2, -1..1 inside the patch
        # in the grid's precision: in float16 it would look a hundredth of a cell beside
        seen = functional.grid_sample(features.to(grid.dtype), grid, align_corners=False)
        x1 = self.down1(self.stem(torch.cat([warped - 0.5, guide], 1)))  # (B, 16, S/2, S/2)
        x2 = self.down2(x1) + self.identity(seen.to(features.dtype))  # (B, 32, S/4, S/4)
        x3 = self.down3(x2)  # (B, 64, S/8, S/8)
        x = self.floor(x3)  # (B, 96, S/16, S/16)
        x = self.mix3(_double(self.up3(x)) + x3)
        x = self.mix2(_double(self.up2(x)) + x2)
        x = self.mix1(_double(self.up1(x)) + x1)
        out = self.paint(x)  # (B, 4, S, S)
        colour = out[:, :3] + 0.5
        mask = torch.sigmoid(out[:, 3:]) * reach(guide)
        change: Tensor = mask * (colour - warped)
        return change  # (B, 3, S, S)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class WarpRefine(nn.Module):
    """All graphs of the network, by the names in `specs.py` and in its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.drive = Encode(crop.GUIDE_CHANNELS), Drive(crop.GUIDE_CHANNELS)
