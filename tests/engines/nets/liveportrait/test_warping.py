"""W against the papers' formulas, written out; and its parts against the whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from engines.nets.liveportrait.sampling import Sampler, identity_grid, sample, sample_by_gathers
from engines.nets.liveportrait.warping import WarpingModule, heat, shifts
from tests.engines.nets.liveportrait.narrow import NARROW, network, random, share, warping_inputs

pytestmark = pytest.mark.train

EXTENT = NARROW.depth, NARROW.side, NARROW.side


@pytest.fixture
def warping() -> WarpingModule:
    module = network("warping")
    assert isinstance(module, WarpingModule)
    return module


def test_the_grid_names_x_first_and_meets_both_ends() -> None:
    grid = identity_grid((3, 5, 9), torch.zeros(1))
    assert grid.shape == (3, 5, 9, 3)
    assert grid[0, 0, 0].tolist() == [-1, -1, -1]
    assert grid[-1, 0, 0].tolist() == [-1, -1, 1], "z comes last"
    assert grid[0, 0, -1].tolist() == [1, -1, -1], "x comes first"
    assert grid[1, 2, 4].tolist() == [0, 0, 0]


def test_a_candidate_looks_where_its_point_came_from() -> None:
    """What is at the driving point was at the source point; the first candidate stays."""
    kp_source, kp_driving = random(1, 3, 3), random(1, 3, 3, seed=1)
    moves = shifts(kp_driving, kp_source)
    assert moves.shape == (1, 4, 3) and not moves[0, 0].any()
    torch.testing.assert_close(kp_driving + moves[:, 1:], kp_source)


def test_heat_is_a_gaussian_of_variance_one_hundredth() -> None:
    points = random(2, 3, 3, scale=0.5)
    distance = (identity_grid(EXTENT, points) - points[:, :, None, None, None]).square().sum(-1)
    torch.testing.assert_close(heat(points, EXTENT), torch.exp(-distance / (2 * 0.01)))


def test_the_deformation_is_the_mean_of_the_candidates(warping: WarpingModule) -> None:
    """As the papers have it: each candidate's grid, times its share, summed."""
    volume, kp_driving, kp_source = warping_inputs()
    masks: list[Tensor] = []
    warping.dense_motion_network.mask.register_forward_hook(
        lambda module, inputs, output: masks.append(output)
    )
    deformation, _ = warping.choose(warping.compress(volume), kp_driving, kp_source)
    identity = identity_grid(EXTENT, volume)
    grids = identity + shifts(kp_driving, kp_source)[:, :, None, None, None]
    expected = (grids * masks[0].softmax(1)[..., None]).sum(1)
    torch.testing.assert_close(deformation, expected)


def test_occlusion_is_judged_from_all_depths_at_once(warping: WarpingModule) -> None:
    volume, kp_driving, kp_source = warping_inputs()
    dense = warping.dense_motion_network
    seen: list[Tensor] = []
    dense.hourglass.register_forward_hook(lambda module, inputs, output: seen.append(output))
    _, occlusion = warping.choose(warping.compress(volume), kp_driving, kp_source)
    flat = seen[0].reshape(2, -1, *EXTENT[1:])
    torch.testing.assert_close(occlusion, 1 / (1 + torch.exp(-dense.occlusion(flat))))


def test_what_candidates_are_tried_on_is_activated(warping: WarpingModule) -> None:
    volume, _, _ = warping_inputs()
    dense = warping.dense_motion_network
    expected = dense.norm(dense.compress(volume))
    assert expected.min() < 0
    torch.testing.assert_close(warping.compress(volume), expected.clamp(min=0))


def test_each_candidate_is_seen_beside_its_own_heat(warping: WarpingModule) -> None:
    """The hourglass meets, for each candidate: its heat, then what it would bring."""
    volume, kp_driving, kp_source = warping_inputs()
    seen: list[Tensor] = []
    warping.dense_motion_network.hourglass.register_forward_hook(
        lambda module, inputs, output: seen.append(inputs[0])
    )
    warping(volume, kp_driving, kp_source)
    stacked = seen[0].view(2, NARROW.candidates, 1 + NARROW.compressed, *EXTENT)
    expected = heat(kp_driving, EXTENT) - heat(kp_source, EXTENT)
    torch.testing.assert_close(stacked[:, 1:, 0], expected)
    assert not stacked[:, 0, 0].any(), "standing still has no heat"
    grid = identity_grid(EXTENT, volume) + (kp_source - kp_driving)[:, 1, None, None, None]
    brought = sample(warping.compress(volume), grid)
    torch.testing.assert_close(stacked[:, 2, 1:], brought)


def test_parts_with_the_sampling_between_them_are_the_whole(warping: WarpingModule) -> None:
    volume, kp_driving, kp_source = warping_inputs()
    deformation, occlusion = warping.choose(warping.compress(volume), kp_driving, kp_source)
    features = warping.flatten(sample(volume, deformation), occlusion)
    torch.testing.assert_close(features, warping(volume, kp_driving, kp_source))


def test_the_sampling_is_the_one_that_is_given(warping: WarpingModule) -> None:
    shapes: list[tuple[int, ...]] = []

    def sampler(volume: Tensor, grid: Tensor) -> Tensor:
        shapes.append(tuple(volume.shape))
        return sample_by_gathers(volume, grid)

    inputs = warping_inputs()
    found = warping(*inputs, sampler)
    assert shapes == [(2, NARROW.channels, *EXTENT)]
    assert share(found, warping(*inputs)) < 1e-4


@pytest.mark.parametrize("sampler", [sample, sample_by_gathers])
def test_key_points_stay_precise_beside_half_precision(
    warping: WarpingModule, sampler: Sampler
) -> None:
    volume, kp_driving, kp_source = warping_inputs()
    expected = warping(volume, kp_driving, kp_source)
    warping.half()
    deformation, _ = warping.choose(warping.compress(volume.half()), kp_driving, kp_source)
    assert deformation.dtype == torch.float32
    found = warping(volume.half(), kp_driving, kp_source, sampler)
    assert found.dtype == torch.float16
    assert share(found.float(), expected) < 2e-2


def test_what_the_source_does_not_show_is_hidden(warping: WarpingModule) -> None:
    warped = random(1, NARROW.channels, *EXTENT)
    occlusion = torch.ones(1, 1, *EXTENT[1:])
    occlusion[..., 0] = 0
    features = warping.flatten(warped, occlusion)
    assert not features[..., 0].any() and features[..., 1].all()


def test_leaky_after_the_third_convolution(warping: WarpingModule) -> None:
    assert isinstance(warping.third.activation, nn.LeakyReLU)
    assert warping.third.activation.negative_slope == 0.01
