"""warp-refine: what geometry cannot show, on patches that geometry already drove.

Two graphs. `Encode` looks at the portrait once; `Drive` runs per frame: it meets the warped patch,
the guide of the driven face, and the identity's features sampled where geometry says. Eyes it
paints: a colour with a mask, which lives around the lids. Mouths it only lights: lips are warped
and teeth are drawn already, sharp, and a gain keeps them so, whatever painter or camera made the
portrait; a colour learned from others' faces would lie on it as a stain.

A U-Net (Ronneberger et al., arXiv 1505.04597) that works at half resolution: pixels enter by a
strided convolution and leave by depth-to-space (Shi et al., arXiv 1609.05158). Every operator is in
ONNX opset 17 and native to TensorRT.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines import crop
from engines.nets.blocks import UNet, block
from engines.nets.head import EncodeHead, Head
from engines.specs import IDENTITY_FEATURES as FEATURES
from engines.specs import Size

_MOST_GAIN = 0.8
"""in the logarithm: at most 2.2 times as light"""
_MOVED = 0.08
"""mean way to the features' places, in halves of a patch, from which a mouth's gain counts wholly:
at rest the portrait's own light is right"""
_BORDER = 0.15
"""share of a patch over which the light of a mouth fades out"""


def reach(guide: Tensor) -> Tensor:
    """(B, 1, S, S) 0..1, softly ending: where eyes may change, and all of a mouth's patch."""
    # guide is (B, G, S, S), values 0..1
    # a square window's maximum, rows first: 42 comparisons for each pixel instead of 441
    spread = functional.max_pool2d(guide[:, 2:3], (21, 1), 1, (10, 0))
    spread = functional.max_pool2d(spread, (1, 21), 1, (0, 10))
    eyes = functional.avg_pool2d(spread, 9, 1, 4)
    soft: Tensor = eyes + _is_mouth(guide) * (
        _window(guide.shape[2], guide.device, guide.dtype) - eyes
    )
    return soft


def light(said: Tensor, guide: Tensor) -> Tensor:
    """(B, 1, S, S) logarithm of a mouth's gain: smooth, bounded, and 0 inside the lips.

    One for all colours, so that nothing is stained. Teeth and tongue are drawn in colours of their
    own, the portrait's where it shows them: what a network learns of others' only greys them.
    """
    around = 1 - guide[:, :1]
    # said is of (B, 3, S, S); means of windows, twice, of the skin alone
    total, mass = said.mean(1, keepdim=True) * around, around
    for _ in range(2):
        total, mass = (functional.avg_pool2d(x, 9, 1, 4) for x in (total, mass))
    return around * _MOST_GAIN * torch.tanh(total / (mass + 1e-3))


def _is_mouth(guide: Tensor) -> Tensor:
    """(B, 1, 1, 1) 1 where the patch shows lips, else 0."""
    return (functional.adaptive_max_pool2d(guide[:, 1:2], 1) > 0.5).to(guide)


@cache
def _window(px: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, 1, px, px) 1 inside, falling to 0 at a patch's border.

    Made once for a device: a launch that is recorded as a CUDA graph may not copy from the host.
    """
    with torch.inference_mode(False):
        inside = torch.arange(px).float()
        ramp = (torch.minimum(inside, px - 1 - inside) / (_BORDER * px)).clamp(max=1)
        return (ramp[:, None] * ramp[None])[None, None].to(device, dtype)


class Encode(nn.Module):
    """The portrait's crop and guide -> features of the identity."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        wide, deep = size.encode_widths
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            block(4 * (3 + crop.GUIDE_CHANNELS), wide),
            block(wide, deep, stride=2),
            block(deep, deep),
            nn.Conv2d(deep, FEATURES, 1),
        )

    def forward(self, portrait: Tensor, guide: Tensor) -> Tensor:
        # portrait: (B, 3, S, S) 0..1; guide: (B, G, S, S) 0..1
        features: Tensor = self.layers(torch.cat([portrait - 0.5, guide], 1))
        return features  # (B, FEATURES, S/4, S/4)


class Drive(UNet):
    """One driven frame: (warped, guide, features, grid) -> (change, gain): warped * gain + change.

    A mouth's change is 0, an eye's gain 1. The gain is smooth: it may lie over a sharper picture.
    """

    own_places: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__(3 + crop.GUIDE_CHANNELS, FEATURES, size.paint_widths, size.depth)
        cells = size.patch_px // crop.FEATURE_STRIDE
        steps = (torch.arange(cells) + 0.5) * (2 / cells) - 1
        places = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)[None]
        self.register_buffer("own_places", places, persistent=False)
        self.paint = nn.Sequential(nn.Conv2d(size.paint_widths[0], 16, 3, 1, 1), nn.PixelShuffle(2))

    def forward(
        self, warped: Tensor, guide: Tensor, features: Tensor, grid: Tensor
    ) -> tuple[Tensor, Tensor]:
        # warped: (B, 3, S, S) 0..1; guide: (B, G, S, S) 0..1
        # features: (B, FEATURES, S/4, S/4); grid: (B, S/4, S/4, 2) in -2..2, -1..1 inside the patch
        # in the grid's precision: in float16 it would look a hundredth of a cell beside
        seen = functional.grid_sample(features.to(grid.dtype), grid, align_corners=False)
        picture = torch.cat([warped - 0.5, guide], 1)
        out = self.paint(self.features_of(picture, seen.to(features.dtype)))
        painted = torch.sigmoid(out[:, 3:]) * (out[:, :3] + 0.5 - warped)
        where, mouth = reach(guide), _is_mouth(guide)
        way = (grid - self.own_places.to(grid.dtype)).abs().sum(3).mean((1, 2))[:, None, None, None]
        moved = (way * (1 / _MOVED)).clamp(max=1).to(out.dtype)
        gain = torch.exp(moved * where * mouth * light(out[:, :3], guide))
        return where * (1 - mouth) * painted, gain  # (B, 3, S, S), (B, 1, S, S)


class WarpRefine(nn.Module):
    """All graphs of the network: what is exported, and the names in its weights."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encode, self.drive = Encode(size), Drive(size)
        self.encode_head, self.drive_head = EncodeHead(size), Head(size)
