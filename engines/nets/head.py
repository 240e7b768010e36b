"""The head network: from the driven head at low resolution to a field of light and way.

`EncodeHead` looks at the portrait's head once; `Head` runs per frame. It never paints: it gives a
gain for each colour and a displacement, both smooth and both bounded, so that what it does not know
leaves the picture as geometry made it; and none at rest, where the portrait is right. A U-Net
(Ronneberger et al., arXiv 1505.04597); every operator is in ONNX opset 17 and native to TensorRT.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines import head
from engines.nets.blocks import UNet, block
from engines.specs import IDENTITY_FEATURES as FEATURES
from engines.specs import Size

_MOST_GAIN = 0.2
"""in the logarithm: at most 1.22 times as light; what was learned below other lamps is too much"""
_FARTHEST = 0.06
"""displacement in face units: from further away, hair and ears come as streaks"""
_AT_REST, _MOVED = 0.03, 0.08
"""mean way to the sources, in face units, up to which nothing counts, and from which all does:
turns by about 5 and 14 degrees"""
_FADE = 1 / 12
"""share of the field over which it fades out at its border"""
_STRIDE = 4
"""of the features in what the network sees"""
_PLACES_SCALE = float(2**20)
"""of places in face units that are held as whole numbers"""


class EncodeHead(nn.Module):
    """The portrait's head -> features of the identity: its light, hair and outline."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        wide, deep = size.encode_widths
        self.layers = nn.Sequential(
            block(4, wide // 2, stride=2),
            block(wide // 2, wide, stride=2),
            block(wide, deep),
            nn.Conv2d(deep, FEATURES, 1),
        )

    def forward(self, picture: Tensor) -> Tensor:
        # picture: (B, 4, T, T) 0..1
        features: Tensor = self.layers(picture)
        return features  # (B, FEATURES, T/4, T/4)


class Head(UNet):
    """One driven head: (view, features) -> (B, FIELD_CHANNELS, S/2, S/2)."""

    whole_places: Tensor
    fade: Tensor

    def __init__(self, size: Size) -> None:
        wide = size.head_widths[0]
        super().__init__(head.VIEW_CHANNELS, FEATURES, size.head_widths, size.depth)
        places = torch.from_numpy(head.own_places(size.head_px // _STRIDE)).permute(2, 0, 1)[None]
        # whole numbers keep their precision where the network's is lowered
        whole = (places * _PLACES_SCALE).round().to(torch.int32)
        self.register_buffer("whole_places", whole, persistent=False)
        cells = size.head_px // head.FIELD_STRIDE
        self.register_buffer("fade", _fade(cells, round(cells * _FADE)), persistent=False)
        self.field = nn.Conv2d(wide, head.FIELD_CHANNELS, 3, 1, 1)
        nn.init.zeros_(self.field.weight)  # it begins as geometry
        assert self.field.bias is not None
        nn.init.zeros_(self.field.bias)

    def forward(self, view: Tensor, features: Tensor) -> Tensor:
        # what comes in is (B, VIEW_CHANNELS, S, S) and (B, FEATURES, T/4, T/4)
        # where to look is worked out in the view's precision, and looked up in it
        way = functional.avg_pool2d(view[:, 4:6], _STRIDE)
        places = self.whole_places.to(view.dtype) * (1 / _PLACES_SCALE)
        grid = ((way + places) * (2 / head.TEXTURE.side)).permute(0, 2, 3, 1)
        seen = functional.grid_sample(features.to(grid.dtype), grid, align_corners=False)
        x = self.features_of(view.to(features.dtype), seen.to(features.dtype))
        said = self.field(x)
        light = _MOST_GAIN * torch.tanh(said[:, :3] * (1 / _MOST_GAIN))
        way = _FARTHEST * functional.avg_pool2d(torch.tanh(said[:, 3:]), 5, 1, 2)
        field: Tensor = self.fade * _moved(view) * torch.cat([light, way], 1)
        return field


def _moved(view: Tensor) -> Tensor:
    """(B, 1, 1, 1) 0 where a person is as in the portrait, rising to 1."""
    # view is (B, VIEW_CHANNELS, S, S); where nobody is, nobody moves
    person = view[:, 3:4].clamp(0, 1)
    way = view[:, 4:6].abs().sum(1, keepdim=True) * person
    moved, mass = (x.mean((1, 2, 3), keepdim=True) for x in (way, person))
    mean_way = moved / (mass + 1e-3)
    share: Tensor = ((mean_way - _AT_REST) / (_MOVED - _AT_REST)).clamp(0, 1)
    return share


def _fade(cells: int, width: int) -> Tensor:
    """(1, 1, cells, cells) 1, falling to 0 at the border."""
    inside = torch.arange(cells).float()
    ramp = (torch.minimum(inside, cells - 1 - inside) / width).clamp(max=1)
    return (ramp[:, None] * ramp[None])[None, None]
