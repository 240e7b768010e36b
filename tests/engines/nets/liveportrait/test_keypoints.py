"""The arithmetic between M and W, against small computations by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.nets.liveportrait import keypoints
from engines.nets.liveportrait.keypoints import Pose

F32 = NDArray[np.float32]


def f32(values: object) -> F32:
    return np.array(values, np.float32)


def pose(seed: int, points: int = 21) -> Pose:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-40, 40, 3).astype(np.float32)
    return Pose(
        canonical=rng.normal(0, 0.3, (points, 3)).astype(np.float32),
        rotation=keypoints.rotation(*angles),
        expression=rng.normal(0, 0.1, (points, 3)).astype(np.float32),
        scale=rng.uniform(0.8, 1.4, 1).astype(np.float32),
        translation=np.append(rng.normal(0, 0.1, 2), 0).astype(np.float32),
    )


@pytest.mark.parametrize(("chosen", "degrees"), [(0, -97.5), (32, -1.5), (33, 1.5), (65, 97.5)])
def test_a_certain_bin_is_its_angle(chosen: int, degrees: float) -> None:
    logits = np.zeros((1, 66), np.float32)
    logits[0, chosen] = 100
    assert keypoints.bins_to_degrees(logits) == pytest.approx(degrees, abs=1e-4)


def test_angles_between_bins_are_means_of_both() -> None:
    logits = np.full((2, 66), -1000, np.float32)
    logits[:, 40] = 500 + math.log(3)
    logits[:, 41] = 500
    expected = 0.75 * (40 * 3 - 97.5) + 0.25 * (41 * 3 - 97.5)
    np.testing.assert_allclose(keypoints.bins_to_degrees(logits), [expected] * 2, rtol=1e-4)


@pytest.mark.parametrize(
    ("angles", "before", "after"),
    [
        ((90, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((0, 90, 0), (0, 0, 1), (1, 0, 0)),
        ((0, 0, 90), (1, 0, 0), (0, 1, 0)),
        ((90, 90, 0), (0, 1, 0), (1, 0, 0)),  # about x to z, then about y to x
        ((0, 90, 90), (0, 0, 1), (0, 1, 0)),  # about y to x, then about z to y
    ],
)
def test_heads_turn_about_x_then_y_then_z(
    angles: tuple[float, ...], before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    matrix = keypoints.rotation(*f32(angles))
    np.testing.assert_allclose(f32(before) @ matrix, after, atol=1e-6)


def test_points_are_turned_then_moved_by_the_expression_then_scaled_then_shifted() -> None:
    face = Pose(
        canonical=f32([[[0, 1, 0], [1, 0, 0]]]),
        rotation=keypoints.rotation(*f32([[90], [0], [0]])),
        expression=f32([[[0.5, 0, 0], [0, 0, 0]]]),
        scale=f32([[2]]),
        translation=f32([[0.1, 0.2, 0]]),
    )
    np.testing.assert_allclose(face.points, [[[1.1, 0.2, 2], [2.1, 0.2, 0]]], atol=1e-6)


def test_heads_become_a_pose() -> None:
    rng = np.random.default_rng(0)
    widths = {"pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63, "scale": 1, "kp": 63}
    heads = {name: rng.normal(0, 1, (2, n)).astype(np.float32) for name, n in widths.items()}
    face = keypoints.decode(heads)
    angles = (keypoints.bins_to_degrees(heads[n]) for n in ("pitch", "yaw", "roll"))
    np.testing.assert_array_equal(face.rotation, keypoints.rotation(*angles))
    assert face.canonical[1, 4, 2] == heads["kp"][1, 3 * 4 + 2]
    assert face.expression[1, 20, 0] == heads["exp"][1, 60]
    np.testing.assert_array_equal(face.scale, heads["scale"])
    np.testing.assert_array_equal(face.translation[:, :2], heads["t"][:, :2])
    assert not face.translation[:, 2].any(), "depth is not shifted"
    assert face.points.shape == (2, 21, 3)


def test_relative_motion_of_a_reference_that_stays_is_the_source() -> None:
    source, driving = pose(0), pose(1)
    found = keypoints.relative(source, driving, driving)
    np.testing.assert_allclose(found.points, source.points, atol=1e-6)


def test_relative_motion_adds_what_changed() -> None:
    source, reference = pose(0), pose(1)
    step = keypoints.rotation(*f32([5, -10, 3]))
    driving = replace(
        pose(2),
        rotation=step @ reference.rotation,
        expression=reference.expression + np.float32(0.25),
        scale=reference.scale * np.float32(1.5),
        translation=reference.translation + f32([0.1, -0.2, 0]),
    )
    found = keypoints.relative(source, driving, reference)
    np.testing.assert_allclose(found.rotation, step @ source.rotation, atol=1e-6)
    np.testing.assert_allclose(found.expression, source.expression + 0.25, atol=1e-6)
    np.testing.assert_allclose(found.scale, source.scale * 1.5, atol=1e-6)
    np.testing.assert_allclose(found.translation, source.translation + [0.1, -0.2, 0], atol=1e-6)
    assert found.canonical is source.canonical, "the person stays"


def test_absolute_motion_takes_the_pose_and_the_moving_parts_of_the_expression() -> None:
    source, driving = pose(0), pose(1)
    found = keypoints.absolute(source, driving)
    np.testing.assert_array_equal(found.rotation, driving.rotation)
    np.testing.assert_array_equal(found.translation, driving.translation)
    np.testing.assert_array_equal(found.scale, source.scale)
    taken = found.expression == driving.expression
    assert [int(row @ (4, 2, 1)) for row in taken] == [
        0b000, 0b111, 0b111, 0b010, 0b010, 0b001, 0b111, 0b000, 0b001, 0b011, 0b000, *[0b111] * 10,
    ]  # fmt: skip
    np.testing.assert_array_equal(found.expression[~taken], source.expression[~taken])


def test_gain_goes_on_in_the_same_direction() -> None:
    source, driven = pose(0).points, pose(1).points
    np.testing.assert_array_equal(keypoints.amplify(source, driven, 0), source)
    np.testing.assert_allclose(keypoints.amplify(source, driven, 1), driven, atol=1e-6)
    twice = keypoints.amplify(source, driven, 2)
    np.testing.assert_allclose(twice - driven, driven - source, atol=1e-6)


def test_the_hull_of_a_corner_is_a_sixth() -> None:
    corner = f32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.1, 0.2, 0.15]])
    assert keypoints.hull_volume(corner) == pytest.approx(1 / 6)


@pytest.mark.train
def test_hulls_agree_with_scipy() -> None:
    from scipy.spatial import ConvexHull

    for seed in range(5):
        points = pose(seed).points
        expected = ConvexHull(points.astype(np.float64)).volume
        assert keypoints.hull_volume(points) == pytest.approx(expected, rel=1e-6)


def test_a_face_of_half_the_size_moves_further() -> None:
    points = pose(0).points
    half = points * np.float32(0.5)
    assert keypoints.friendly_gain(points, half) == pytest.approx(math.sqrt(8), rel=1e-5)


def test_stitching_moves_each_point_and_all_together() -> None:
    driven = np.zeros((1, 3, 3), np.float32)
    delta = f32([[*range(9), 100, 200]])
    found = keypoints.stitch(driven, delta)
    assert found.tolist() == [[[100, 201, 2], [103, 204, 5], [106, 207, 8]]]
    assert not driven.any(), "what was given stays"
