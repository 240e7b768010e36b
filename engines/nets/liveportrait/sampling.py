"""Reading a volume between its voxels: trilinear, nothing outside, edges of voxels at -1 and 1.

Two forms of one function. torch's own is the reference; the other is made of gathers, for runtimes
whose GridSample knows pictures only (ONNX opset 17, TensorRT). A CUDA kernel is a third: it has to
keep the same signature.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Sampler = Callable[[Tensor, Tensor], Tensor]
"""volume (B, C, D, H, W), grid (B, d, h, w, 3) of (x, y, z) -> (B, C, d, h, w)"""


def sample(volume: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(volume, grid, align_corners=False)


def sample_by_gathers(volume: Tensor, grid: Tensor) -> Tensor:
    """`sample`, of operators that ONNX opset 17 and TensorRT have."""
    # volume of (B, C, D, H, W); grid: (B, d, h, w, 3)
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
    total = torch.zeros_like(first, dtype=volume.dtype).view(-1, 1)
    for i, j, k in itertools.product((0, 1), repeat=3):
        share = shares[i, ..., 2] * shares[j, ..., 1] * shares[k, ..., 0]
        index = first + ((i * height + j) * width + k)
        total = total + rows.index_select(0, index.flatten()) * share.reshape(-1, 1)
    return total.view(*first.shape, channels).permute(0, 4, 1, 2, 3)
