"""W, the warping module: where each voxel of the driven face comes from, and the volume moved so.

It reads volumes between voxels twice, which no TensorRT layer does in five dimensions. So it is cut
there, and the reading is an argument:

    f_s --compress--> (4 channels) --sample(candidates)--> --choose--> deformation, occlusion
    f_s ---------------------------sample(deformation)---> --flatten--> features for G

`compress` depends on the identity alone. The candidates are the identity grid, moved as a whole by
each key point's shift: whoever samples by a kernel of his own needs no grid for them.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.nets.liveportrait.layers import ConvBlock, DownBlock, UpBlock
from engines.nets.liveportrait.sampling import Sampler, sample
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
        self.sizes = sizes
        self.hourglass = Hourglass(sizes.candidates * (1 + sizes.compressed), sizes)
        wide = self.hourglass.decoder.outputs
        self.mask = nn.Conv3d(wide, sizes.candidates, 7, padding=3)
        self.compress = nn.Conv3d(sizes.channels, sizes.compressed, 1)
        self.norm = nn.BatchNorm3d(sizes.compressed)
        self.occlusion = nn.Conv2d(wide * sizes.depth, 1, 7, padding=3)

    def choose(self, moved: Tensor, kp_driving: Tensor, kp_source: Tensor) -> tuple[Tensor, Tensor]:
        """Which candidate holds where, seen what each would bring there."""
        # moved of (B, 4, 22*16, 64, 64); kp: (B, 21, 3) in -1..1
        count, channels = self.sizes.candidates, self.sizes.compressed
        extent = self.sizes.depth, *moved.shape[-2:]
        moved = moved.reshape(-1, channels, count, *extent).transpose(1, 2)
        change = heat(kp_driving, extent) - heat(kp_source, extent)  # (B, 21, 16, 64, 64)
        change = torch.cat([torch.zeros_like(change[:, :1]), change], 1).unsqueeze(2)
        x = self.hourglass(torch.cat([change, moved], 2).flatten(1, 2))  # (B, 142, 16, 64, 64)

        # The candidates differ by shifts only and their shares sum to 1, so the mean of the moved
        # grids is the grid moved by the mean shift.
        shares = self.mask(x).softmax(1).flatten(2).transpose(1, 2)  # (B, 16*64*64, 22)
        mean = shares @ shifts(kp_driving, kp_source)
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

    def choose(self, moved: Tensor, kp_driving: Tensor, kp_source: Tensor) -> tuple[Tensor, Tensor]:
        return self.dense_motion_network.choose(moved, kp_driving, kp_source)

    def flatten(self, warped: Tensor, occlusion: Tensor) -> Tensor:
        """The moved volume as a map of features, hidden where nothing of the source is seen."""
        # warped of (B, 32, 16, 64, 64); occlusion: (B, 1, 64, 64) 0..1
        out: Tensor = self.fourth(self.third(warped.flatten(1, 2))) * occlusion
        return out  # (B, 256, 64, 64)

    def forward(
        self, volume: Tensor, kp_driving: Tensor, kp_source: Tensor, sampler: Sampler = sample
    ) -> Tensor:
        # volume of (B, 32, 16, 64, 64); kp: (B, 21, 3) in -1..1, x right, y down, z in
        compressed = self.compress(volume)
        moved = sampler(compressed, candidates(kp_driving, kp_source, compressed.shape[2:]))
        deformation, occlusion = self.choose(moved, kp_driving, kp_source)
        return self.flatten(sampler(volume, deformation), occlusion)  # (B, 256, 64, 64)


def identity_grid(extent: tuple[int, ...], like: Tensor) -> Tensor:
    """(D, H, W, 3) of (x, y, z): -1 and 1 are the centres of the outermost voxels.

    The sampling has them at the edges instead: so the published weights were trained.
    """
    z, y, x = (torch.linspace(-1, 1, n, dtype=like.dtype, device=like.device) for n in extent)
    grid = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack(grid[::-1], -1)


def shifts(kp_driving: Tensor, kp_source: Tensor) -> Tensor:
    """(B, K+1, 3): how far each candidate looks from a voxel; the first stays where it is."""
    moves = kp_source - kp_driving
    return torch.cat([torch.zeros_like(moves[:, :1]), moves], 1)


def candidates(kp_driving: Tensor, kp_source: Tensor, extent: tuple[int, ...]) -> Tensor:
    """(B, (K+1)*D, H, W, 3): the candidates' grids, one below the other."""
    moves = shifts(kp_driving, kp_source)[:, :, None, None, None]
    return (identity_grid(extent, moves) + moves).flatten(1, 2)


def heat(points: Tensor, extent: tuple[int, ...]) -> Tensor:
    """(B, K, D, H, W): a Gaussian around each point, made of one per axis."""
    # points of (B, K, 3)
    falloffs = []
    for axis, size in enumerate(reversed(extent)):
        line = torch.linspace(-1, 1, size, dtype=points.dtype, device=points.device)
        falloffs.append(torch.exp((line - points[..., axis, None]).square() / (-2 * _VARIANCE)))
    x, y, z = falloffs  # (B, K, W), (B, K, H), (B, K, D)
    return z[..., None, None] * y[..., None, :, None] * x[..., None, None, :]
