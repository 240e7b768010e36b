"""Reading a volume between its voxels: trilinear, nothing outside, edges of voxels at -1 and 1.

`sample` is torch's own, the reference. `sample_by_gathers` is the same for runtimes whose
GridSample knows pictures only (ONNX opset 17, TensorRT). A CUDA kernel is a third of that
signature.

`sample_shifted` reads where the identity grid lies when it is moved as a whole. Trilinear reading
there is a product of three matrices, which every runtime has.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Sampler = Callable[[Tensor, Tensor], Tensor]
"""volume (B, C, D, H, W), grid (B, d, h, w, 3) of (x, y, z) -> (B, C, d, h, w)

The grid may be of higher precision than the volume: half precision cannot name a voxel's hundredth.
"""


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    read = functional.grid_sample(volume.to(grid.dtype), grid, align_corners=False)
    return read.to(volume.dtype)


def sample_by_gathers(volume: Tensor, grid: Tensor) -> Tensor:
    """`sample`, of operators that ONNX opset 17 and TensorRT have."""
    batch, channels = volume.shape[:2]
    extents = volume.shape[:1:-1]  # W, H, D: the order of the grid's coordinates

    # 1) A border of zeros stands for all that lies outside; a voxel's channels become one row.
    rows = functional.pad(volume, (1, 2) * 3).permute(0, 2, 3, 4, 1).reshape(-1, channels)

    # 2) The corner before each point, in voxels of the padded volume, and how far beyond it.
    size = torch.tensor(extents, dtype=grid.dtype, device=grid.device)
    at = ((grid + 1) * size - 1) / 2
    at = torch.minimum(at.clamp(min=-1), size)  # further out is as empty
    corner = at.floor()
    beyond = at - corner  # (B, d, h, w, 3) 0..1
    x, y, z = (corner.to(torch.int32) + 1).unbind(-1)
    width, height, depth = (extent + 3 for extent in extents)
    batch_row = torch.arange(batch, dtype=torch.int32, device=grid.device).view(-1, 1, 1, 1)
    first = ((batch_row * depth + z) * height + y) * width + x  # (B, d, h, w)

    # 3) Eight corners, each with its share.
    shares = torch.stack([1 - beyond, beyond])  # (2, B, d, h, w, 3)
    total = torch.zeros_like(first, dtype=grid.dtype).view(-1, 1)
    for i, j, k in itertools.product((0, 1), repeat=3):
        share = shares[i, ..., 2] * shares[j, ..., 1] * shares[k, ..., 0]
        index = first + ((i * height + j) * width + k)
        total = total + rows.index_select(0, index.flatten()) * share.reshape(-1, 1)
    return total.view(*first.shape, channels).permute(0, 4, 1, 2, 3).to(volume.dtype)


def sample_shifted(volume: Tensor, shifts: Tensor) -> Tensor:
    """`sample` at the identity grid, moved by each shift."""
    # volume: (B, C, D, H, W); shifts: (B, K, 3) of (x, y, z) -> (B, K, C, D, H, W)
    batch, channels, depth, height, width = volume.shape
    count = shifts.shape[1]
    x, y, z = (
        _shares(shifts[..., axis], size).to(volume.dtype)
        for axis, size in enumerate((width, height, depth))
    )
    out = volume.reshape(batch, 1, -1, width) @ x.transpose(2, 3)
    out = y[:, :, None] @ out.view(batch, count, -1, height, width)
    out = z[:, :, None] @ out.view(batch, count, channels, depth, -1)
    return out.view(batch, count, channels, depth, height, width)


def _shares(shift: Tensor, size: int) -> Tensor:
    """(B, K) -> (B, K, size, size): of each voxel along an axis, its share in each read one."""
    voxel = torch.arange(size, dtype=shift.dtype, device=shift.device)
    at = ((shift[..., None] + line(size, shift) + 1) * size - 1) / 2  # (B, K, size) in voxels
    return (1 - (at[..., None] - voxel).abs()).clamp(min=0)


def identity_grid(extent: tuple[int, ...], like: Tensor) -> Tensor:
    """(D, H, W, 3) of (x, y, z): -1 and 1 are the centres of the outermost voxels.

    The sampling has them at the edges instead: so the published weights were trained.
    """
    grid = torch.meshgrid(*(line(size, like) for size in extent), indexing="ij")
    return torch.stack(grid[::-1], -1)


def line(size: int, like: Tensor) -> Tensor:
    """-1 to 1, both included. Not `linspace`: that rounds otherwise than the published code, and
    a sharp choice between motions makes three times as much of it in W's output."""
    return torch.arange(size, dtype=like.dtype, device=like.device) / (size - 1) * 2 - 1
