from __future__ import annotations

import numpy as np
import pytest

from realtime.config import Retarget as Settings
from realtime.errors import FrameError
from realtime.frames import F32, Controls, Performed
from realtime.stages.enact import Enact
from realtime.stages.retarget import euler_rad, rotation_of


def turned(yaw_deg: float) -> F32:
    return rotation_of(np.radians([yaw_deg, 0, 0]).astype(np.float32))


def performed(yaw_deg: float = 0.0, **coefficients: float) -> Performed:
    return Performed(turned(yaw_deg), coefficients)


def yaw_deg(rotation: F32) -> float:
    return float(np.degrees(euler_rad(rotation)[0]))


def test_coefficients_move_landmarks_and_lids() -> None:
    motion = Enact(Settings())(performed(20, jawOpen=1.0, eyeBlinkRight=1.0), Controls())
    assert motion.expression[14, 1] - motion.expression[13, 1] == pytest.approx(0.31, abs=0.02)
    assert motion.eye_openness.tolist() == [0.0, 1.0]
    assert yaw_deg(motion.rotation) == pytest.approx(20, abs=0.1)
    assert motion.coefficients == {"jawOpen": 1.0, "eyeBlinkRight": 1.0}


def test_the_performer_s_gains_hold_here_too() -> None:
    stage, face = Enact(Settings()), performed(20, jawOpen=1.0, eyeBlinkRight=1.0)
    motion = stage(face, Controls(mouth=0.0, blink=0.5, head=0.5))
    assert abs(motion.expression[14, 1]) < 0.02
    assert motion.eye_openness[0] == pytest.approx(0.5)
    assert yaw_deg(motion.rotation) == pytest.approx(10, abs=0.1)


def test_the_head_s_rest_is_taken_on_demand() -> None:
    stage = Enact(Settings())
    stage.calibrate()
    assert yaw_deg(stage(performed(15), Controls()).rotation) == pytest.approx(0, abs=0.01)
    assert yaw_deg(stage(performed(25), Controls()).rotation) == pytest.approx(10, abs=0.01)


def test_a_head_cannot_turn_beyond_the_limits() -> None:
    motion = Enact(Settings(max_yaw_deg=30))(performed(80), Controls())
    assert 25 < yaw_deg(motion.rotation) <= 30


@pytest.mark.parametrize(
    "face",
    [performed(jawOpen=float("nan")), Performed(np.full((3, 3), np.inf, np.float32), {})],
)
def test_what_is_not_finite_ends_the_frame(face: Performed) -> None:
    with pytest.raises(FrameError, match="not finite"):
        Enact(Settings())(face, Controls())
