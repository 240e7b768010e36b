"""F, the appearance extractor: a portrait -> a volume of features, once per identity."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from engines.nets.liveportrait.layers import ConvBlock, DownBlock, ResidualBlock
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes


class AppearanceExtractor(nn.Module):
    """Two halvings in the plane, then its channels become depth, then residual blocks in space."""

    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        super().__init__()
        self.sizes = sizes
        wide = sizes.first
        self.first = ConvBlock(2, 3, wide)
        self.down_blocks = nn.ModuleList(DownBlock(2, wide << i, wide << (i + 1)) for i in range(2))
        self.second = nn.Conv2d(4 * wide, sizes.flat, 1)
        self.resblocks_3d = nn.Sequential(
            OrderedDict((f"3dr{i}", ResidualBlock(sizes.channels)) for i in range(sizes.residuals))
        )

    def forward(self, picture: Tensor) -> Tensor:
        # picture of (B, 3, 256, 256) RGB 0..1
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)  # (B, 256, 64, 64)
        x = self.second(x).unflatten(1, (self.sizes.channels, self.sizes.depth))
        volume: Tensor = self.resblocks_3d(x)
        return volume  # (B, 32, 16, 64, 64)
