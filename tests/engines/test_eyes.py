"""Eyes: as the portrait's at rest, an iris that goes with the gaze, paint only for closing lids."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engines import face_mesh
from engines.eyes import SIDES, eyes_of
from engines.rigid import Similarity
from tests.engines import faces

STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))
WHITE, DARK, SKIN = (230, 230, 235), (40, 70, 60), (200, 150, 130)


def landmarks() -> np.ndarray:
    """A face whose eyes are wide open: lids 0.12 face units apart, irises within."""
    points = faces.landmarks().copy()
    unit = face_mesh.face_unit(points)
    for side in SIDES:
        middle = points[list(side.hole), 1].mean()
        for row, sign in ((side.upper, -1), (side.lower, 1)):
            arch = np.sin(np.linspace(0, np.pi, len(row))).astype(np.float32)
            points[list(row), 1] = middle + sign * 0.07 * unit * arch
        centre = points[list(side.hole), :2].mean(axis=0)
        ring = 0.05 * unit * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]], np.float32)
        points[list(side.iris), :2] = centre + ring
    return points


def portrait(iris_radii: float = 1.0) -> np.ndarray:
    """(H, W, 4) skin with painted eyes, whose irises are as large as so many of the tracker's."""
    points = landmarks()
    rgba = np.full((faces.SIZE, faces.SIZE, 4), 255, np.uint8)
    rgba[..., :3] = SKIN
    for side in SIDES:
        eye, iris = rgba.copy(), points[list(side.iris), :2]
        radius = float(np.linalg.norm(iris[1] - iris[0])) * iris_radii
        eye[..., :3] = WHITE
        centre = (round(float(iris[0, 0]) * 16), round(float(iris[0, 1]) * 16))
        cv2.circle(eye, centre, round(radius * 16), (*DARK, 255), -1, cv2.LINE_AA, 4)
        hole = np.zeros(rgba.shape[:2], np.uint8)
        cv2.fillPoly(hole, [np.round(points[side.hole, :2]).astype(np.int32)], (255,))
        rgba[hole > 0] = eye[hole > 0]
    return rgba


def drawn(rgba: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """(H, W, 3) the eyes of a portrait drawn over it where `driven` wants them."""
    rgb = np.ascontiguousarray(rgba[..., :3])
    for eye in eyes_of(rgba, landmarks()):
        eye.draw(rgb, driven, STAY)
    return rgb


def shut(share: float) -> np.ndarray:
    """Upper lids come down to `share` of the opening."""
    points = landmarks()
    for side in SIDES:
        upper, lower = list(side.upper), list(side.lower)
        points[upper] = points[lower] + share * (points[upper] - points[lower])
    return points


def dark_middle(rgb: np.ndarray) -> np.ndarray:
    """(2,) mean position of what is as dark as an iris."""
    y, x = np.nonzero(rgb.mean(axis=2) < 100)
    return np.array([x.mean(), y.mean()])


def test_at_rest_the_eyes_are_the_portraits() -> None:
    rgba = portrait()
    difference = np.abs(drawn(rgba, landmarks()).astype(int) - rgba[..., :3]).max(axis=2)
    assert (difference > 30).mean() < 2e-4
    outside = np.ones(difference.shape, np.uint8)
    for side in SIDES:
        cv2.fillPoly(outside, [np.round(landmarks()[side.hole, :2]).astype(np.int32)], (0,))
    assert difference[cv2.erode(outside, np.ones((3, 3))) > 0].max() == 0, "skin is left alone"


def test_the_iris_goes_with_the_gaze_and_the_white_stays() -> None:
    rgba, driven = portrait(), landmarks()
    offset = np.array([6.0, 1.0], np.float32)
    for side in SIDES:
        driven[list(side.iris), :2] += offset
    looked = drawn(rgba, driven)
    moved = dark_middle(looked) - dark_middle(drawn(rgba, landmarks()))
    assert np.abs(moved - offset).max() < 1.0
    for side in SIDES:
        x, y = landmarks()[side.iris[0], :2].round().astype(int)
        radius = round(0.05 * face_mesh.face_unit(landmarks()))
        assert looked[y, x - radius + 2].min() > 200, "white where the iris was"


def test_lids_that_close_hide_the_iris_and_do_not_squeeze_it() -> None:
    half = drawn(portrait(), shut(0.5))
    side = SIDES[0]
    x, y = landmarks()[side.iris[0], :2].round().astype(int)
    radius = 0.05 * face_mesh.face_unit(landmarks())
    below = round(float(y + 0.7 * radius))
    assert half[below, x].mean() < 100, "its lower part is where it was"


def test_paint_is_for_closing_lids() -> None:
    right, left = eyes_of(portrait(), landmarks())
    assert right.needs_paint(landmarks(), STAY) == left.needs_paint(landmarks(), STAY) == 0
    assert right.needs_paint(shut(0.1), STAY) == 1
    assert 0 < right.needs_paint(shut(0.6), STAY) < 1


def test_an_eye_that_the_portrait_shuts_is_left_to_the_network() -> None:
    rgba = portrait()
    right, left = eyes_of(rgba, shut(0.1))
    rgb = np.ascontiguousarray(rgba[..., :3])
    for eye in (right, left):
        eye.draw(rgb, landmarks(), STAY)
        assert eye.needs_paint(landmarks(), STAY) == 1
    np.testing.assert_array_equal(rgb, rgba[..., :3])


def test_an_open_eye_too_small_for_a_white_is_painted_only_as_it_closes() -> None:
    small = landmarks()
    small[:, :2] /= 12
    for eye in eyes_of(portrait(), small):
        assert eye.layers is None
        assert eye.needs_paint(small, STAY) == 0
        assert eye.needs_paint(shut(0.1) / 12, STAY) == 1


def test_an_eye_with_an_iris_larger_than_peoples_is_left_to_the_mesh() -> None:
    at_rest = landmarks()
    for side in SIDES:
        ring = list(side.iris)
        at_rest[ring, :2] = at_rest[ring[0], :2] + 1.5 * (at_rest[ring, :2] - at_rest[ring[0], :2])
    for eye in eyes_of(portrait(iris_radii=2), at_rest):
        assert eye.layers is None
        assert eye.needs_paint(shut(0.1), STAY) == 0


@pytest.mark.parametrize("radii", [1.0, 1.3])
def test_the_iris_is_found_even_if_it_is_larger_than_the_tracker_says(radii: float) -> None:
    rgba, driven = portrait(radii), landmarks()
    for side in SIDES:
        driven[list(side.iris), 0] += 8
    was = (portrait(radii)[..., :3].mean(axis=2) < 100).sum()
    assert (drawn(rgba, driven).mean(axis=2) < 100).sum() == pytest.approx(was, rel=0.12)


def test_nothing_breaks_beyond_the_canvas() -> None:
    rgba, driven = portrait(), landmarks()
    driven[:, :2] -= 1000
    np.testing.assert_array_equal(drawn(rgba, driven), rgba[..., :3])
