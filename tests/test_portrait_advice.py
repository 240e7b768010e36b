"""What is said of a picture before it becomes a portrait."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines import face_mesh
from realtime import picture_file, portrait
from realtime.drivers.camera import find_faces
from realtime.errors import IdentityError
from realtime.frames import F32, U8, FaceTrack
from realtime.portrait_advice import CROP_PX, examine
from tests.portraits import SIDE_PX, landmarks

SHARP = np.random.default_rng(0).integers(0, 255, (SIDE_PX, SIDE_PX, 4), np.uint8)
SHARP[..., 3] = 255
IDENTITIES = Path(__file__).parents[1] / "realtime" / "identities"


def advice(points: F32, rgba: U8 = SHARP) -> tuple[str, ...]:
    return examine(rgba, lambda rgb: [FaceTrack(points, 1.0)], "x").advice


def open_mouth() -> F32:
    points = landmarks()
    points[list(face_mesh.LIPS_INNER_LOWER), 1] += 12
    return points


def closed_eye() -> F32:
    points = landmarks()
    upper, lower = list(face_mesh.RIGHT_EYE_UPPER), list(face_mesh.RIGHT_EYE_LOWER)
    points[upper] = points[lower]
    return points


def test_a_good_portrait_gets_no_advice_and_its_crop() -> None:
    found = examine(SHARP, lambda rgb: [FaceTrack(landmarks(), 1.0)], "x")
    assert found.advice == ()
    assert found.crop_rgb.shape == (CROP_PX, CROP_PX, 3)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (landmarks(height_px=100), "the face is small: 100 pixels high, better 160"),
        (landmarks(yaw_deg=25), "turned away by 25 degrees"),
        (landmarks(yaw_deg=-30), "turned away by 30 degrees"),
        (landmarks(centre=60), "cut off at the picture's edge"),
        (open_mouth(), "the mouth is open"),
        (closed_eye(), "an eye is closed"),
    ],
)
def test_each_flaw_is_named(points: F32, said: str) -> None:
    lines = advice(points)
    assert len(lines) == 1 and said in lines[0]


def test_a_blurred_picture_is_named() -> None:
    soft = cv2.GaussianBlur(SHARP, (0, 0), 5)
    assert ["blurred" in line for line in advice(landmarks(), np.asarray(soft, np.uint8))] == [True]


@pytest.mark.parametrize("count", [0, 2])
def test_there_must_be_one_face(count: int) -> None:
    faces = [FaceTrack(landmarks(), 1.0)] * count
    with pytest.raises(IdentityError, match="^mine.jpg: (no face|more than one face) was found"):
        examine(SHARP, lambda rgb: faces, "mine.jpg")


def test_the_real_tracker_sees_what_is_wrong_with_a_real_portrait() -> None:
    path = IDENTITIES / "coral" / "portrait.png"
    rgba = portrait.decode(picture_file.read_bytes(path), path)
    blurred = np.asarray(cv2.GaussianBlur(rgba, (0, 0), 6), np.uint8)
    assert "blurred" in examine(blurred, find_faces, "x").advice[0]
    twice = np.concatenate([rgba, rgba], axis=1)
    with pytest.raises(IdentityError, match="more than one face"):
        examine(twice, find_faces, "x")
