"""What the networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True))


class UNet(nn.Module):
    """From a picture at full resolution to features at half of it (Ronneberger et al.).

    What is known of the identity enters at a quarter.

    Args:
        widths: channels at a half, a quarter, an eighth, a sixteenth.
        depth: convolutions at each of them.
    """

    def __init__(
        self, inputs: int, identity: int, widths: tuple[int, int, int, int], depth: int
    ) -> None:
        super().__init__()
        wide, mid, deep, floor = widths
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, wide, 2, 2),  # space-to-depth and a 1x1, in one
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.down1 = _level(wide, wide, depth)
        self.down2 = _level(wide, mid, depth + 1, stride=2)
        self.identity = nn.Conv2d(identity, mid, 1)
        self.down3 = _level(mid, deep, depth + 1, stride=2)
        self.floor = _level(deep, floor, depth + 2, stride=2)
        self.up3 = nn.Conv2d(floor, deep, 1)
        self.mix3 = _level(deep, deep, depth)
        self.up2 = nn.Conv2d(deep, mid, 1)
        self.mix2 = _level(mid, mid, depth)
        self.up1 = nn.Conv2d(mid, wide, 1)
        self.mix1 = _level(wide, wide, depth)

    def features_of(self, picture: Tensor, seen: Tensor) -> Tensor:
        # a picture is (B, inputs, S, S), what is seen of an identity (B, identity, S/4, S/4)
        x1 = self.down1(self.stem(picture))  # (B, wide, S/2, S/2)
        x2 = self.down2(x1) + self.identity(seen)  # (B, mid, S/4, S/4)
        x3 = self.down3(x2)  # (B, deep, S/8, S/8)
        x = self.floor(x3)  # (B, floor, S/16, S/16)
        x = self.mix3(_double(self.up3(x)) + x3)
        x = self.mix2(_double(self.up2(x)) + x2)
        found: Tensor = self.mix1(_double(self.up1(x)) + x1)
        return found  # (B, wide, S/2, S/2)


def _level(inputs: int, outputs: int, depth: int, stride: int = 1) -> nn.Sequential:
    """`depth` convolutions, the first of which may shrink."""
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs) for _ in range(depth - 1)))


def _double(x: Tensor) -> Tensor:
    """Twice the resolution."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
