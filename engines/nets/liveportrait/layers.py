"""What F and W are built of: a convolution, a batch norm, an activation."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


class ConvBlock(nn.Module):
    FOLDS: ClassVar = (("conv", "norm"),)
    """pairs of a convolution and the batch norm that follows it at once, for `rewrites`"""

    def __init__(
        self, dimensions: int, inputs: int, outputs: int, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv: nn.Module = CONVOLUTIONS[dimensions](inputs, outputs, 3, padding=1)
        self.norm = NORMS[dimensions](outputs)
        self.activation = activation or nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


class DownBlock(ConvBlock):
    """Convolves, then halves height and width, never depth."""

    def __init__(self, dimensions: int, inputs: int, outputs: int) -> None:
        super().__init__(dimensions, inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)  # (B, C, [D,] H, W)
        if out.ndim == 4:
            return functional.avg_pool2d(out, 2)
        # Depth is laid into the channels: torch pools no volumes of half precision on a CPU, where
        # typed ONNX is written.
        pooled = functional.avg_pool2d(out.flatten(1, 2), 2)
        return pooled.view(*out.shape[:3], *pooled.shape[2:])


class UpBlock(ConvBlock):
    """Over a volume: doubles height and width, then convolves."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(3, inputs, outputs)
        self.up: nn.Module = nn.Upsample(scale_factor=(1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.up(x))


class ResidualBlock(nn.Module):
    """Over a volume, pre-activated (He et al., arXiv 1603.05027)."""

    FOLDS: ClassVar = (("conv1", "norm2"),)  # norm1 follows a sum, which nothing can absorb

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        # x of (B, C, D, H, W)
        out = self.conv1(self.norm1(x).relu())
        out = self.conv2(self.norm2(out).relu())
        summed: Tensor = x + out
        return summed
