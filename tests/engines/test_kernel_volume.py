"""The kernel that reads volumes gives what torch's own reading gives, which is the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engines import kernels
from engines.nets.liveportrait import sampling
from tests.engines.launching import Launch

pytestmark = pytest.mark.train

F32 = NDArray[np.float32]

CHANNELS, DEPTH, HEIGHT, WIDTH = 3, 4, 5, 7
"""no two alike, and none a multiple of a block's side"""


def volume(seed: int = 0) -> F32:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, CHANNELS, DEPTH, HEIGHT, WIDTH)).astype(np.float32)


def read(launch: Launch, volume: F32, grid: F32) -> F32:
    """As `sampling.sample`, of a batch of one."""
    points = grid.size // 3
    depth, height, width = volume.shape[2:]
    out = np.full((1, volume.shape[1], *grid.shape[1:-1]), 9.0, np.float32)
    launch(kernels.SAMPLE_VOLUME, points, volume.shape[1], volume, width, height, depth, grid, out)
    return out


def expected(volume: F32, grid: F32) -> F32:
    found: F32 = sampling.sample(torch.from_numpy(volume), torch.from_numpy(grid)).numpy()
    return found


@pytest.mark.parametrize("reach", [0.5, 1.0, 1.6])
def test_it_reads_between_voxels_and_nothing_outside(launch: Launch, reach: float) -> None:
    grid = np.random.default_rng(1).uniform(-reach, reach, (1, 3, 6, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(
        read(launch, volume(), grid), expected(volume(), grid), rtol=0, atol=2e-6
    )


def test_at_a_voxel_s_centre_it_is_the_voxel(launch: Launch) -> None:
    axes = [(2 * np.arange(size) + 1) / size - 1 for size in (DEPTH, HEIGHT, WIDTH)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    grid = np.stack([x, y, z], -1)[None].astype(np.float32)
    np.testing.assert_allclose(read(launch, volume(), grid), volume(), rtol=0, atol=5e-6)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_an_edge_fades_over_half_a_voxel_beyond_it(launch: Launch, axis: int, side: float) -> None:
    """The outermost voxels' edges are at -1 and 1: there, half of each is seen."""
    ones = np.ones((1, 1, DEPTH, HEIGHT, WIDTH), np.float32)
    grid = np.zeros((1, 1, 1, 1, 3), np.float32)
    grid[..., axis] = side
    np.testing.assert_allclose(read(launch, ones, grid), 0.5, atol=1e-6)


@pytest.mark.parametrize("far", [3.0, -3.0, 1e30, -1e30, np.inf, -np.inf])
def test_far_outside_nothing_is_read(launch: Launch, far: float) -> None:
    grid = np.full((1, 1, 1, 2, 3), far, np.float32)
    np.testing.assert_array_equal(read(launch, volume(), grid), 0)


@pytest.mark.parametrize("axis", range(3))
def test_a_coordinate_that_is_no_number_gives_none(launch: Launch, axis: int) -> None:
    """It must be seen behind the kernel, and not become a zero."""
    grid = np.zeros((1, 1, 1, 2, 3), np.float32)
    grid[0, 0, 0, 1, axis] = np.nan
    found = read(launch, volume(), grid)
    assert np.isfinite(found[..., 0]).all() and np.isnan(found[..., 1]).all()
