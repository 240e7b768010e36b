"""Gathers and matrices read a volume as torch's grid_sample does, wherever the grid points."""

from __future__ import annotations

import pytest
import torch

from engines.nets.liveportrait.sampling import (
    identity_grid,
    sample,
    sample_by_gathers,
    sample_shifted,
)
from tests.engines.nets.liveportrait.narrow import random

pytestmark = pytest.mark.train


@pytest.mark.parametrize("extent", [1.0, 1.2, 5.0], ids=["inside", "across the edge", "far out"])
def test_gathers_agree_with_torch(extent: float) -> None:
    volume = random(2, 3, 4, 5, 6)
    grid = (torch.rand(2, 7, 3, 2, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1) * extent
    torch.testing.assert_close(sample_by_gathers(volume, grid), sample(volume, grid))


@pytest.mark.parametrize(
    "point",
    [(-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (1e9, -1e9, 0.0), (0.75, -1.0, 1.0), (-1.5, 0.0, 0.0)],
)
def test_gathers_agree_with_torch_at_edges(point: tuple[float, float, float]) -> None:
    volume = random(1, 2, 4, 4, 4) + 3
    grid = torch.tensor(point).view(1, 1, 1, 1, 3)
    torch.testing.assert_close(sample_by_gathers(volume, grid), sample(volume, grid))


def test_a_voxel_is_read_as_it_is_at_its_centre() -> None:
    """By hand: voxel (z, y, x) of 2x3x4 has its centre at (2i + 1) / n - 1 on each axis."""
    volume = torch.arange(24.0).view(1, 1, 2, 3, 4)
    grid = torch.tensor([(2 * 3 + 1) / 4 - 1, (2 * 1 + 1) / 3 - 1, (2 * 0 + 1) / 2 - 1])
    found = sample_by_gathers(volume, grid.view(1, 1, 1, 1, 3))
    assert found.item() == pytest.approx(volume[0, 0, 0, 1, 3].item(), abs=1e-5)


def test_half_a_voxel_beyond_the_edge_is_half_gone() -> None:
    volume = torch.full((1, 1, 1, 1, 4), 8.0)
    edge = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 1, 3)
    assert sample_by_gathers(volume, edge).item() == pytest.approx(4.0)


@pytest.mark.parametrize("extent", [0.1, 1.0, 4.0], ids=["close by", "half gone", "all gone"])
def test_matrices_agree_with_torch_at_shifted_grids(extent: float) -> None:
    volume, shifts = random(2, 3, 4, 5, 6), random(2, 4, 3, seed=1, scale=extent)
    found = sample_shifted(volume, shifts)
    assert found.shape == (2, 4, 3, 4, 5, 6)
    for index in range(4):
        grid = identity_grid((4, 5, 6), volume) + shifts[:, index, None, None, None]
        torch.testing.assert_close(found[:, index], sample(volume, grid), rtol=1e-5, atol=1e-5)
