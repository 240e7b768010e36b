"""S, R_lip and R_eye: small perceptrons that correct the driven key points.

S keeps shoulders and neck where the portrait has them, so that the crop can be pasted back. R_lip
and R_eye move lips and lids to an opening that is asked for.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from engines.nets.liveportrait.sizes import PUBLISHED, Sizes

_NARROW = (128, 128, 64)
_DEEP = (256, 256, 128, 128, 64)


class Perceptron(nn.Module):
    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


def stitching(sizes: Sizes = PUBLISHED) -> Perceptron:
    """S: (x_s, x_d) -> an offset for each point, then one in x and y for all of them."""
    return Perceptron(6 * sizes.points, *_NARROW, 3 * sizes.points + 2)


def lip_retargeting(sizes: Sizes = PUBLISHED) -> Perceptron:
    """R_lip: (x_s, the source's lip opening, the one wanted) -> an offset for each point."""
    return Perceptron(3 * sizes.points + 2, *_NARROW, 3 * sizes.points)


def eye_retargeting(sizes: Sizes = PUBLISHED) -> Perceptron:
    """R_eye: (x_s, both lid openings of the source, the one wanted) -> an offset for each point."""
    return Perceptron(3 * sizes.points + 3, *_DEEP, 3 * sizes.points)
