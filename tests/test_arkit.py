"""The named coefficients, against what performers truly do, and against their own shapes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime import arkit, face_shapes
from realtime.config import Retarget as Settings
from realtime.frames import Controls, FaceTrack, Motion
from realtime.stages.retarget import Retarget
from tests import performers

CALIBRATED = 38


def motion_of(coefficients: dict[str, float]) -> Motion:
    shaped = face_shapes.shape(coefficients)
    rotation = np.eye(3, dtype=np.float32)
    still = np.zeros(2, np.float32)
    return Motion(rotation, still, 1.0, shaped.expression, shaped.eye_openness, {})


@cache
def measured(name: str) -> list[dict[str, float]]:
    """Of every picture of a clip after the calibration."""
    stage, found = Retarget(Settings()), []
    for index, landmarks in enumerate(performers.landmarks(name)):
        motion = stage(FaceTrack(landmarks, 1.0), Controls(), performers.time_of(index))
        if index >= CALIBRATED:
            assert motion is not None
            found.append(arkit.measure(motion))
    return found


def series(name: str, *coefficients: str) -> NDArray[np.float64]:
    return np.array([np.mean([frame[each] for each in coefficients]) for frame in measured(name)])


def correlation(name: str, quantity: str, values: NDArray[np.float64]) -> float:
    return float(np.corrcoef(performers.truth(name, quantity)[CALIBRATED:], values)[0, 1])


def test_the_names_are_the_52_and_each_is_of_one_kind() -> None:
    assert len(set(arkit.NAMES)) == 52
    assert arkit.MEASURED | arkit.DERIVED <= set(arkit.NAMES)
    assert not arkit.MEASURED & arkit.DERIVED


@pytest.mark.parametrize("name", performers.NAMES)
def test_they_follow_what_a_performer_does(name: str) -> None:
    gaze = series(name, "eyeLookOutLeft", "eyeLookInRight")
    gaze = gaze - series(name, "eyeLookInLeft", "eyeLookOutRight")
    assert correlation(name, "jaw", series(name, "jawOpen")) > 0.93
    assert correlation(name, "blink", series(name, "eyeBlinkLeft", "eyeBlinkRight")) > 0.9
    assert correlation(name, "brow", series(name, "browInnerUp")) > 0.85
    assert correlation(name, "gaze", gaze) > 0.85
    # Beside a jaw that opens, the corners of the mouth say less: 0.3 to 0.9.
    assert correlation(name, "smile", series(name, "mouthSmileLeft", "mouthSmileRight")) > 0.25


@pytest.mark.parametrize("name", performers.NAMES)
def test_what_landmarks_do_not_show_is_0_and_the_rest_is_within_0_and_1(name: str) -> None:
    for frame in measured(name):
        assert tuple(frame) == arkit.NAMES
        assert all(0 <= value <= 1 for value in frame.values())
        assert not any(
            value
            for each, value in frame.items()
            if each not in arkit.MEASURED and each not in arkit.DERIVED
        )


@pytest.mark.parametrize("name", sorted(arkit.MEASURED))
def test_the_shape_of_a_measured_one_is_measured_as_it(name: str) -> None:
    full, half = (arkit.measure(motion_of({name: value})) for value in (1.0, 0.5))
    assert full[name] > 0.85
    assert max(full, key=full.__getitem__) == name
    assert 0.2 < half[name] < 0.6


def test_a_neutral_face_is_all_0() -> None:
    assert not any(arkit.measure(motion_of({})).values())
    assert not face_shapes.shape({"tongueOut": 1.0, "no such name": 1.0}).expression.any()


def test_a_shut_mouth_stays_nearly_shut_while_the_jaw_opens() -> None:
    shut = arkit.measure(motion_of({"jawOpen": 0.6, "mouthClose": 0.6}))
    assert shut["jawOpen"] < 0.15


def test_sides_are_the_subject_s_own() -> None:
    left = face_shapes.shape({"mouthSmileLeft": 1.0, "eyeBlinkLeft": 1.0})
    assert left.expression[291, 0] > 0.04 > abs(left.expression[61, 0])  # to the picture's right
    assert left.eye_openness.tolist() == [1.0, 0.0]
