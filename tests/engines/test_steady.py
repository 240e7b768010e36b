"""What holds still is steady; what changes is shown at once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import face_mesh
from engines.steady import Steady
from tests.engines import faces

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

HW = (faces.SIZE, faces.SIZE)


def landmarks() -> F32:
    return faces.landmarks()


def around(points: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of some landmarks."""
    x, y = np.round(landmarks()[list(points), :2]).astype(int).T
    return slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)


LIPS = around(face_mesh.LIPS_OUTER_UPPER + face_mesh.LIPS_OUTER_LOWER)
EYE = around(face_mesh.RIGHT_EYE_UPPER + face_mesh.RIGHT_EYE_LOWER)
FAR = (slice(0, 60), slice(None))
"""rows of a forehead and hair"""


def picture() -> U8:
    return np.clip(faces.portrait()[..., :3], 20, 235)


def noisy(frames: int, levels: float) -> list[U8]:
    rng = np.random.default_rng(1)
    still = picture()
    return [
        np.clip(np.round(still + rng.normal(0, levels, still.shape)), 0, 255).astype(np.uint8)
        for _ in range(frames)
    ]


def shown(frames: list[U8], placed: list[F32] | None = None) -> list[U8]:
    """What a viewer sees of them, one after the other."""
    steady, seen = Steady(), [frame.copy() for frame in frames]
    for number, frame in enumerate(seen):
        steady(frame, landmarks() if placed is None else placed[number])
    return seen


def flicker(frames: list[U8], part: tuple[slice, slice]) -> float:
    """Mean change of a pixel from frame to frame."""
    stack = np.stack([frame[part] for frame in frames]).astype(float)
    return float(np.abs(np.diff(stack, axis=0)).mean())


def test_the_first_frame_is_shown_as_it_is() -> None:
    np.testing.assert_array_equal(shown([picture()])[0], picture())


@pytest.mark.parametrize("part", [LIPS, EYE], ids=["lips", "eye"])
def test_noise_on_what_holds_still_is_halved(part: tuple[slice, slice]) -> None:
    frames = noisy(30, levels=2.0)
    seen = shown(frames)
    assert flicker(seen[10:], part) < 0.5 * flicker(frames[10:], part)
    drift = np.mean(seen[10:], axis=0) - np.mean(frames[10:], axis=0)
    assert np.abs(drift[part]).mean() < 0.5, "and it is the picture that is shown"


def test_far_from_eyes_and_mouth_nothing_is_held_over() -> None:
    frames = noisy(4, levels=2.0)
    for frame, seen in zip(frames, shown(frames), strict=True):
        np.testing.assert_array_equal(seen[FAR], frame[FAR])


def test_no_edge_is_seen_where_the_filter_ends() -> None:
    """A step of the whole picture, too small to be taken for a change: it is held back smoothly."""
    first = np.full((*HW, 3), 100, np.uint8)
    _, seen = shown([first, first + np.uint8(6)])
    held = 106.0 - seen[..., 0]
    assert held.max() >= 2
    steps = [float(np.abs(np.diff(held, axis=axis)).max()) for axis in (0, 1)]
    assert max(steps) <= 1


def test_a_blink_is_shown_at_once() -> None:
    opened, shut = picture(), picture()
    opened[EYE], shut[EYE] = 60, 150
    for after in shown([opened, opened, shut])[2], shown([shut, shut, opened, shut])[3]:
        np.testing.assert_array_equal(after[EYE], 150)


def test_teeth_that_appear_are_shown_at_once() -> None:
    closed, parted = picture(), picture()
    closed[LIPS] = 90
    parted[LIPS] = 90
    rows, columns = LIPS
    teeth = slice(rows.start + 12, rows.stop - 12), slice(columns.start + 20, columns.stop - 20)
    parted[teeth] = 220
    np.testing.assert_array_equal(shown([closed, closed, parted])[2][teeth], 220)


def test_what_was_shown_before_a_motion_does_not_come_back() -> None:
    first, second = picture(), picture()
    first[LIPS], second[LIPS] = 60, 180
    seen = shown([first, first, second, second, second])
    np.testing.assert_array_equal(seen[2][LIPS], 180)
    np.testing.assert_array_equal(seen[4][LIPS], 180)


def test_what_settles_is_in_the_end_what_is_given() -> None:
    first = np.full((*HW, 3), 100, np.uint8)
    seen = shown([first, *[first + np.uint8(8)] * 30])
    assert np.abs(seen[1][LIPS].astype(int) - 108).max() > 1, "held over"
    assert np.abs(seen[-1][LIPS].astype(int) - 108).max() <= 2, "a rounding, no ghost"


def test_what_is_given_is_remembered_by_value() -> None:
    """The caller may go on drawing on its picture."""
    steady, first, second = Steady(), picture(), picture()
    steady(first, landmarks())
    first += np.uint8(6)
    steady(second, landmarks())
    np.testing.assert_array_equal(second, picture())


def test_the_filter_follows_the_face() -> None:
    frames, aside = noisy(12, levels=2.0), landmarks() - np.array([60, 0, 0], np.float32)
    rows, columns = EYE
    part = rows, slice(columns.start - 60, columns.stop - 60)
    there = shown(frames, [aside] * len(frames))
    assert flicker(there[6:], part) < 0.5 * flicker(frames[6:], part)
    right_cheek = slice(rows.start, rows.stop), slice(430, 470)
    assert flicker(there, right_cheek) == flicker(frames, right_cheek)


@pytest.mark.parametrize("way", [(9000, 0), (-9000, 0), (0, 9000), (0, -9000), (230, 0), (0, -300)])
def test_a_face_beyond_the_picture_is_no_error(way: tuple[int, int]) -> None:
    frames, away = noisy(3, levels=2.0), landmarks() + np.array([*way, 0], np.float32)
    seen = shown(frames, [away] * 3)
    assert all(frame.shape == (*HW, 3) for frame in seen)


def test_a_far_face_of_a_few_pixels_is_no_error() -> None:
    small = [np.asarray(cv2.resize(f, (16, 12)), np.uint8) for f in noisy(3, levels=2.0)]
    shown(small, [landmarks() / 40] * 3)
