"""W, the warping module: where each voxel of the driven face comes from, and the volume moved so.

For each key point it tries what the whole volume would look like, moved as that point moved; then
mixes these motions for every voxel, and reads the volume there. No TensorRT layer reads between
voxels. The first reading is of a kind that three matrix products are (`sample_shifted`); at the
second one W is cut, and the reading is an argument:

    f_s --compress--> (4 channels) --choose--> deformation, occlusion
    f_s ---------------------sample(deformation)--> --flatten--> features for G

`compress` depends on the identity alone.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.nets.liveportrait.layers import ConvBlock, DownBlock, UpBlock
from engines.nets.liveportrait.sampling import Sampler, identity_grid, line, sample, sample_shifted
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes

_VARIANCE = 0.01
"""of a key point's heat, in units of the volume's half extent squared"""


class HourglassEncoder(nn.Module):
    def __init__(self, inputs: int, sizes: Sizes) -> None:
        super().__init__()
        befores = (inputs, *sizes.hourglass[:-1])
        self.down_blocks = nn.ModuleList(
            DownBlock(3, before, after)
            for before, after in zip(befores, sizes.hourglass, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """The input and what each block makes of it, finest first."""
        outs = [x]
        for block in self.down_blocks:
            outs.append(block(outs[-1]))
        return outs


class HourglassDecoder(nn.Module):
    FOLDS: ClassVar = (("conv", "norm"),)

    def __init__(self, inputs: int, sizes: Sizes) -> None:
        super().__init__()
        *finer, deepest = sizes.hourglass
        outs = (*reversed(finer), finer[0] // 2)
        befores = (deepest, *(2 * out for out in outs[:-1]))  # each sees its forerunner and a skip
        self.up_blocks = nn.ModuleList(
            UpBlock(before, out) for before, out in zip(befores, outs, strict=True)
        )
        self.outputs = outs[-1] + inputs
        self.conv = nn.Conv3d(self.outputs, self.outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.outputs)

    def forward(self, outs: list[Tensor]) -> Tensor:
        *skips, x = outs
        for block, skip in zip(self.up_blocks, reversed(skips), strict=True):
            x = torch.cat([block(x), skip], 1)
        out: Tensor = self.norm(self.conv(x)).relu()
        return out


class Hourglass(nn.Module):
    def __init__(self, inputs: int, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = HourglassEncoder(inputs, sizes)
        self.decoder = HourglassDecoder(inputs, sizes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


class DenseMotion(nn.Module):
    """From key points to a motion of every voxel (face-vid2vid, arXiv 2011.15126, section 3.3)."""

    FOLDS: ClassVar = (("compress", "norm"),)

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.hourglass = Hourglass(sizes.candidates * (1 + sizes.compressed), sizes)
        wide = self.hourglass.decoder.outputs
        self.mask = nn.Conv3d(wide, sizes.candidates, 7, padding=3)
        self.compress = nn.Conv3d(sizes.channels, sizes.compressed, 1)
        self.norm = nn.BatchNorm3d(sizes.compressed)
        self.occlusion = nn.Conv2d(wide * sizes.depth, 1, 7, padding=3)

    def choose(
        self, compressed: Tensor, kp_driving: Tensor, kp_source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Which candidate holds where, seen what each would bring there."""
        # compressed of (B, 4, 16, 64, 64); kp: (B, 21, 3) in -1..1
        extent = compressed.shape[2:]
        moves = shifts(kp_driving, kp_source)
        moved = sample_shifted(compressed, moves)  # (B, 22, 4, 16, 64, 64)
        change = heat(kp_driving, extent) - heat(kp_source, extent)  # (B, 21, 16, 64, 64)
        change = torch.cat([torch.zeros_like(change[:, :1]), change], 1)
        change = change.unsqueeze(2).to(moved.dtype)
        x = self.hourglass(torch.cat([change, moved], 2).flatten(1, 2))  # (B, 142, 16, 64, 64)

        # The candidates differ by shifts only and their shares sum to 1, so the mean of the moved
        # grids is the grid moved by the mean shift.
        shares = self.mask(x).softmax(1).flatten(2).transpose(1, 2)  # (B, 16*64*64, 22)
        mean = shares.to(moves.dtype) @ moves
        deformation = identity_grid(extent, mean) + mean.view(-1, *extent, 3)
        occlusion = self.occlusion(x.flatten(1, 2)).sigmoid()
        return deformation, occlusion  # (B, 16, 64, 64, 3), (B, 1, 64, 64)


class WarpingModule(nn.Module):
    def __init__(self, sizes: Sizes = PUBLISHED) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion(sizes)
        self.third = ConvBlock(2, sizes.flat, sizes.features, nn.LeakyReLU(0.01))
        self.fourth = nn.Conv2d(sizes.features, sizes.features, 1)

    def compress(self, volume: Tensor) -> Tensor:
        """The volume in fewer channels, to try the candidates on; once per identity."""
        # volume of (B, 32, 16, 64, 64)
        dense = self.dense_motion_network
        out: Tensor = dense.norm(dense.compress(volume)).relu()
        return out  # (B, 4, 16, 64, 64)

    def choose(
        self, compressed: Tensor, kp_driving: Tensor, kp_source: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.dense_motion_network.choose(compressed, kp_driving, kp_source)

    def flatten(self, warped: Tensor, occlusion: Tensor) -> Tensor:
        """The moved volume as a map of features, hidden where nothing of the source is seen."""
        # warped of (B, 32, 16, 64, 64); occlusion: (B, 1, 64, 64) 0..1
        out: Tensor = self.fourth(self.third(warped.flatten(1, 2))) * occlusion
        return out  # (B, 256, 64, 64)

    def forward(
        self, volume: Tensor, kp_driving: Tensor, kp_source: Tensor, sampler: Sampler = sample
    ) -> Tensor:
        # volume of (B, 32, 16, 64, 64); kp: (B, 21, 3) in -1..1, x right, y down, z in
        deformation, occlusion = self.choose(self.compress(volume), kp_driving, kp_source)
        return self.flatten(sampler(volume, deformation), occlusion)  # (B, 256, 64, 64)


def shifts(kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """(B, K+1, 3): how far each candidate looks from a voxel; the first stays where it is."""
    moves = kp_source - kp_driving
    return torch.cat([torch.zeros_like(moves[:, :1]), moves], 1)


def heat(points: Tensor, extent: tuple[int, ...]) -> Tensor:
    """(B, K, D, H, W): a Gaussian around each point, made of one per axis."""
    # points of (B, K, 3)
    falloffs = []
    for axis, size in enumerate(reversed(extent)):
        away = line(size, points) - points[..., axis, None]
        falloffs.append(torch.exp(away.square() / (-2 * _VARIANCE)))
    x, y, z = falloffs  # (B, K, W), (B, K, H), (B, K, D)
    return z[..., None, None] * y[..., None, :, None] * x[..., None, None, :]
