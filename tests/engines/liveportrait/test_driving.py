"""What M saw becomes key points; in float64 and by hand it is the same."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.liveportrait import driving
from engines.liveportrait.alignment import FaceCrop
from engines.nets.liveportrait import keypoints
from engines.nets.liveportrait.keypoints import Pose
from engines.pose import Gains, Seen, Sight
from tests.engines.liveportrait.engines import sight

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def pose(seed: int) -> Pose:
    rng = np.random.default_rng(seed)
    return Pose(
        canonical=rng.normal(0, 0.3, (21, 3)).astype(np.float32),
        rotation=keypoints.rotation(*rng.uniform(-20, 20, 3).astype(np.float32)),
        expression=rng.normal(0, 0.1, (21, 3)).astype(np.float32),
        scale=np.array([1.3], np.float32),
        translation=np.append(rng.normal(0, 0.1, 2), 0).astype(np.float32),
    )


def about(axis: int, degrees: float) -> F64:
    """(3, 3) for column vectors, in float64."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.eye(3)
    out[i, i] = out[j, j] = math.cos(math.radians(degrees))
    out[j, i] = math.sin(math.radians(degrees))
    out[i, j] = -out[j, i]
    return out


CROP = FaceCrop(np.array([300.0, 200.0], np.float32), 240.0, 0.0)


def test_a_performer_at_rest_leaves_every_key_point_where_the_portrait_has_it() -> None:
    source, rest = pose(0), sight(1)
    found = driving.driven(source, Seen(rest, rest), absolute=False)
    np.testing.assert_allclose(found.points, source.points, atol=1e-6)


@pytest.mark.parametrize(("axis", "name"), [(0, "pitch"), (1, "yaw"), (2, "roll")])
def test_a_head_that_turns_by_twenty_degrees_turns_the_portrait_s(axis: int, name: str) -> None:
    source = pose(0)
    angles = np.array([4.0, -6.0, 3.0])
    turned = angles + 20 * (np.arange(3) == axis)

    def seen(degrees: F64) -> Sight:
        rotation = keypoints.rotation(*degrees.astype(np.float32))
        return driving.sight(replace(pose(5), rotation=rotation), CROP, (480, 640))

    found = driving.driven(source, Seen(seen(turned), seen(angles)), absolute=False).points

    def exact(degrees: F64) -> F64:
        pitch, yaw, roll = (about(i, d) for i, d in enumerate(degrees))
        return np.asarray((roll @ yaw @ pitch).T)

    rotation = exact(turned) @ exact(angles).T @ source.rotation.astype(np.float64)
    expected = source.scale.astype(np.float64) * (
        source.canonical.astype(np.float64) @ rotation + source.expression
    ) + source.translation.astype(np.float64)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(expected - source.points).max() > 0.05, "the test's own turn"


def test_what_changes_in_the_face_is_added_to_the_portrait_s() -> None:
    source, rest = pose(0), sight(1)
    change = np.random.default_rng(2).normal(0, 0.05, (21, 3)).astype(np.float32)
    now = replace(rest, expression=rest.expression + change)
    found = driving.driven(source, Seen(now, rest), absolute=False)
    np.testing.assert_allclose(found.expression, source.expression + change, atol=1e-6)
    np.testing.assert_allclose(found.points - source.points, source.scale * change, atol=1e-6)


def test_what_the_crop_does_is_put_back() -> None:
    """The same head in the picture, seen through three crops, is the same sight."""
    face = pose(3)
    whole = driving.sight(face, CROP, (480, 640))
    for zoom, shift in ((1.25, (0.0, 0.0)), (0.9, (12.0, -20.0))):
        crop = FaceCrop(CROP.centre + np.array(shift, np.float32), CROP.side_px * zoom, 0.0)
        half = CROP.side_px / 2
        at = CROP.centre + half * face.translation[:2]
        within = (at - crop.centre) / (half * zoom)
        other = replace(
            face,
            scale=face.scale / np.float32(zoom),
            translation=np.append(within, 0).astype(np.float32),
        )
        np.testing.assert_allclose(
            driving.sight(other, crop, (480, 640)).head, whole.head, atol=1e-6
        )


def test_a_camera_of_twice_the_pixels_sees_the_same() -> None:
    small = driving.sight(pose(3), CROP, (480, 640))
    twice = FaceCrop(CROP.centre * 2, CROP.side_px * 2, 0.0)
    large = driving.sight(pose(3), twice, (960, 1280))
    np.testing.assert_allclose(large.head, small.head, atol=1e-6)
    assert large.reach == small.reach


def test_a_head_that_goes_aside_by_half_a_crop_stays_within_reach() -> None:
    rest = driving.sight(pose(3), CROP, (480, 640))

    def shifted(by_px: float) -> F32:
        crop = FaceCrop(CROP.centre + np.array([by_px, 0], np.float32), CROP.side_px, 0.0)
        now = driving.sight(pose(3), crop, (480, 640))
        moved = driving.driven(pose(0), Seen(now, rest), absolute=False)
        return np.asarray(moved.translation - pose(0).translation, np.float32)

    np.testing.assert_allclose(shifted(3), [3 / 120, 0, 0], rtol=0.01)
    assert 0.25 < shifted(120)[0] < 0.3


@pytest.mark.parametrize(
    ("gains", "points", "axes"),
    [
        (Gains(mouth=0.0), driving.LIPS, (0, 1, 2)),
        (Gains(blink=0.0), driving.EYES, (1, 2)),
        (Gains(gaze=0.0), driving.EYES, (0,)),
        (Gains(expression=0.0), tuple(range(21)), (0, 1, 2)),
        (Gains(mouth=2.0), driving.LIPS, (0, 1, 2)),
    ],
)
def test_a_gain_acts_on_its_own_key_points_only(
    gains: Gains, points: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    source, now, rest = pose(0), sight(1), sight(2)
    plain = driving.driven(source, Seen(now, rest), absolute=False)
    found = driving.driven(source, Seen(now, rest, gains), absolute=False)
    own = np.zeros((21, 3), np.bool_)
    own[np.ix_(points, axes)] = True
    np.testing.assert_array_equal(found.expression[~own], plain.expression[~own])
    gain = max(gains.mouth, 1.0) if gains.mouth > 1 else 0.0
    expected = source.expression + np.float32(gain) * (plain.expression - source.expression)
    np.testing.assert_allclose(found.expression[own], expected[own], atol=1e-6)
    np.testing.assert_array_equal(found.rotation, plain.rotation)
    np.testing.assert_array_equal(found.translation, plain.translation)


def test_the_head_s_gain_acts_on_turn_place_and_size_only() -> None:
    source, now, rest = pose(0), sight(1), sight(2)
    held = driving.driven(source, Seen(now, rest, Gains(head=0.0)), absolute=False)
    np.testing.assert_allclose(held.rotation, source.rotation, atol=1e-6)
    np.testing.assert_allclose(held.translation, source.translation, atol=1e-6)
    np.testing.assert_allclose(held.scale, source.scale, atol=1e-6)
    half = driving.moved_since_rest(Seen(now, rest, Gains(head=0.5)))
    whole = driving.moved_since_rest(Seen(now, rest))
    np.testing.assert_allclose(half.rotation @ half.rotation, whole.rotation, atol=1e-6)
    np.testing.assert_array_equal(half.expression, whole.expression)


def test_absolute_motion_is_the_performer_s_own() -> None:
    source, now, rest = pose(0), sight(1), sight(2)
    found = driving.driven(source, Seen(now, rest), absolute=True)
    np.testing.assert_allclose(found.rotation, driving.matrix_of(now.head[:3]), atol=1e-6)
    taken = keypoints.expression_mask(21)
    np.testing.assert_allclose(found.expression[taken], now.expression[taken], atol=1e-6)
    np.testing.assert_array_equal(found.expression[~taken], source.expression[~taken])
    still = driving.driven(source, Seen(rest, rest), absolute=True)
    np.testing.assert_allclose(still.translation[:2], rest.offset, atol=1e-6)


def test_vectors_and_matrices_of_a_turn_undo_each_other() -> None:
    for seed in range(5):
        matrix = pose(seed).rotation
        np.testing.assert_allclose(driving.matrix_of(driving.vector_of(matrix)), matrix, atol=1e-6)
