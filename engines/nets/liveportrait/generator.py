"""G, the generator: W's features -> the picture, by adaptive norms (SPADE, arXiv 1903.07291)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from engines.nets.liveportrait.sizes import PUBLISHED, Sizes

_MIDDLE = 6
_SLOPE = 0.2


class Spade(nn.Module):
    """Instance norm, then a scale and a shift for each pixel that the features call for."""

    def __init__(self, channels: int, zoom: int, sizes: Sizes) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.zoom = nn.Upsample(scale_factor=zoom) if zoom > 1 else nn.Identity()
        shared = nn.Conv2d(sizes.features, sizes.hidden, 3, padding=1)
        self.mlp_shared = nn.Sequential(shared, nn.ReLU())
        self.mlp_gamma = nn.Conv2d(sizes.hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(sizes.hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        # x of (B, C, zoom*64, zoom*64); features: (B, 256, 64, 64)
        hidden = self.mlp_shared(self.zoom(features))
        out: Tensor = self.norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)
        return out


class SpadeBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, zoom: int, sizes: Sizes) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.learned_shortcut = inputs != outputs
        self.conv_0 = nn.Conv2d(inputs, middle, 3, padding=1)
        self.conv_1 = nn.Conv2d(middle, outputs, 3, padding=1)
        self.norm_0 = Spade(inputs, zoom, sizes)
        self.norm_1 = Spade(middle, zoom, sizes)
        if self.learned_shortcut:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, zoom, sizes)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        # x of (B, inputs, S, S); features: (B, 256, 64, 64)
        out = self.conv_0(leaky(self.norm_0(x, features)))
        out = self.conv_1(leaky(self.norm_1(out, features)))
        if self.learned_shortcut:
            x = self.conv_s(self.norm_s(x, features))
        summed: Tensor = x + out
        return summed  # (B, outputs, S, S)


class Generator(nn.Module):
    """Its convolutions are plain: the checkpoint's spectral norms are folded when it is read."""

    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        super().__init__()
        features, wide = sizes.features, 2 * sizes.features
        self.fc = nn.Conv2d(features, wide, 3, padding=1)
        for i in range(_MIDDLE):
            self.add_module(f"G_middle_{i}", SpadeBlock(wide, wide, 1, sizes))
        self.up_0 = SpadeBlock(wide, features, 2, sizes)
        self.up_1 = SpadeBlock(features, sizes.last, 4, sizes)
        self.up = nn.Upsample(scale_factor=2)
        self.conv_img = nn.Sequential(
            nn.Conv2d(sizes.last, 3 * 2 * 2, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, features: Tensor) -> Tensor:
        # features of (B, 256, 64, 64)
        x = self.fc(features)
        for i in range(_MIDDLE):
            x = self.get_submodule(f"G_middle_{i}")(x, features)  # (B, 512, 64, 64)
        x = self.up_0(self.up(x), features)  # (B, 256, 128, 128)
        x = self.up_1(self.up(x), features)  # (B, 64, 256, 256)
        picture: Tensor = self.conv_img(leaky(x)).sigmoid()
        return picture  # (B, 3, 512, 512) RGB 0..1


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)
