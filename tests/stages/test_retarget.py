from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import face_mesh
from realtime import face_regions
from realtime.clock import NS_PER_S
from realtime.config import Retarget as Settings
from realtime.config import Tracking
from realtime.errors import FrameError
from realtime.frames import F32, Controls, FaceTrack, Motion, Rest
from realtime.smoothing import LandmarkSmoother
from realtime.stages.retarget import Retarget, euler_rad, rotation_of
from tests import performers

UNIT_PX = 90.0
FPS = 30
CALIBRATED = 38  # frames of a clip after which every performer is


def rotated(yaw_deg: float = 0, pitch_deg: float = 0, roll_deg: float = 0) -> F32:
    return rotation_of(np.radians([yaw_deg, pitch_deg, roll_deg]).astype(np.float32))


def face(rotation: F32 | None = None, offsets: F32 | float = 0.0, zoom: float = 1.0) -> F32:
    """The mean face with its lips shut, changed by `offsets` in face units, posed in pixels."""
    shape = face_mesh.load().mean_shape.copy()
    shape[list(face_mesh.LIPS_INNER_LOWER)] = shape[list(face_mesh.LIPS_INNER_UPPER)]
    turned = (shape + offsets) @ (np.eye(3) if rotation is None else rotation).T
    placed = UNIT_PX * zoom * turned
    placed[:, :2] += [320, 200]
    return placed.astype(np.float32)


def jaw(opening: float) -> F32:
    """(478, 3) offsets of a jaw that opens by this many face units."""
    offsets = np.zeros((478, 3), np.float32)
    offsets[:, 1] = opening * face_regions.regions().jaw
    offsets[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] = opening
    return offsets


def settled(config: Settings | None = None) -> Retarget:
    """A stage that knows the mean face as the performer's neutral."""
    stage = Retarget(config or Settings())
    for index in range(3 * FPS):
        stage(FaceTrack(face(), 1.0), Controls(), index * NS_PER_S // FPS)
    assert stage.calibrated
    return stage


def drive(stage: Retarget, landmarks: F32, controls: Controls | None = None) -> Motion:
    """What the stage makes of a pose that is held for a second."""
    for index in range(FPS):
        now_ns = 10 * NS_PER_S + index * NS_PER_S // FPS
        motion = stage(FaceTrack(landmarks, 1.0), controls or Controls(), now_ns)
    assert motion is not None
    return motion


def angles_deg(motion: Motion) -> F32:
    return np.degrees(euler_rad(motion.rotation))


@cache
def performed(name: str) -> list[Motion]:
    """The whole clip, smoothed and retargeted as in a session."""
    stage, smooth = Retarget(Settings()), LandmarkSmoother(Tracking())
    motions = []
    for index, raw in enumerate(performers.landmarks(name)):
        time_ns = performers.time_of(index)
        motion = stage(FaceTrack(smooth(raw, time_ns, 0.5), 1.0), Controls(), time_ns)
        assert motion is not None
        motions.append(motion)
    return motions


def correlation(name: str, quantity: str, measured: list[float]) -> float:
    """With the clip's truth, from the calibration on."""
    told: NDArray[np.float64] = performers.truth(name, quantity)[CALIBRATED:]
    return float(np.corrcoef(told, measured[CALIBRATED:])[0, 1])


def test_angles_survive_the_way_there_and_back() -> None:
    for angles in ([0.3, -0.2, 0.1], [-1.2, 0.5, -0.6], [0, 0, 0]):
        given = np.array(angles, np.float32)
        np.testing.assert_allclose(euler_rad(rotation_of(given)), given, atol=1e-5)


def test_a_face_at_rest_is_no_motion() -> None:
    motion = drive(settled(), face())
    np.testing.assert_allclose(motion.rotation, np.eye(3), atol=0.01)
    np.testing.assert_allclose(motion.translation, 0, atol=0.01)
    assert motion.scale == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(motion.expression, 0, atol=0.01)
    np.testing.assert_allclose(motion.eye_openness, 1, atol=0.02)


def test_all_of_it_has_the_promised_shape_and_type() -> None:
    motion = drive(settled(), face(rotated(10), jaw(0.1)))
    shapes = {
        "rotation": (3, 3),
        "translation": (2,),
        "expression": (478, 3),
        "eye_openness": (2,),
    }
    for name, shape in shapes.items():
        value = getattr(motion, name)
        assert value.shape == shape, name
        assert value.dtype == np.float32, name
    named = {"jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmile", "browInnerUp"}
    assert set(motion.coefficients) == named
    assert all(0 <= value <= 1 for value in motion.coefficients.values())


def test_a_turned_head_is_only_turned() -> None:
    motion = drive(settled(), face(rotated(15, 8, -6)))
    np.testing.assert_allclose(angles_deg(motion), [15, 8, -6], atol=0.6)
    assert np.abs(motion.expression).max() < 0.02
    assert motion.scale == pytest.approx(1, abs=0.01)


def test_an_opening_mouth_neither_turns_nor_scales_the_head() -> None:
    motion = drive(settled(), face(None, jaw(0.3)))
    assert np.abs(angles_deg(motion)).max() < 0.5
    assert motion.scale == pytest.approx(1, abs=0.003)
    assert motion.expression[14, 1] == pytest.approx(0.3, abs=0.03)
    assert motion.coefficients["jawOpen"] > 0.9


def test_coming_nearer_is_followed() -> None:
    assert drive(settled(), face(zoom=1.25)).scale == pytest.approx(1.25, abs=0.02)


def test_a_shut_eye_is_shut_and_the_other_is_not() -> None:
    shut = face()
    lower = list(face_mesh.LEFT_EYE_LOWER)
    shut[list(face_mesh.LEFT_EYE_UPPER)] = shut[lower]
    motion = drive(settled(), shut)
    assert motion.eye_openness[1] == 0
    assert motion.eye_openness[0] > 0.95
    assert motion.coefficients["eyeBlinkLeft"] == 1
    assert motion.coefficients["eyeBlinkRight"] < 0.05


def test_the_far_eye_follows_the_near_one() -> None:
    """Turned to the left of the picture, the subject's right eye is hidden by the nose."""
    landmarks = face(rotated(38))
    landmarks[list(face_mesh.RIGHT_EYE_UPPER)] = landmarks[list(face_mesh.RIGHT_EYE_LOWER)]
    assert drive(settled(), landmarks).eye_openness[0] > 0.9


@pytest.mark.parametrize(
    ("controls", "part"),
    [
        (Controls(mouth=0), [14, 17, 61]),
        (Controls(brows=0), [105, 334]),
        (Controls(gaze=0), [468, 473]),
        (Controls(blink=0), [159, 386]),
    ],
)
def test_each_gain_moves_its_part_and_no_other(controls: Controls, part: list[int]) -> None:
    offsets = np.zeros((478, 3), np.float32)
    offsets[:, 0] = 0.04 * (1 - face_regions.regions().skull.clip(0, 1)).round()
    stage = settled()
    full = drive(stage, face(None, offsets)).expression
    less = drive(stage, face(None, offsets), controls).expression
    assert np.abs(less[part]).max() < 0.45 * np.abs(full[part]).max()
    others = [point for point in (14, 105, 468, 159) if point not in part]
    np.testing.assert_allclose(less[others], full[others], atol=2e-3)


def test_without_expression_the_face_is_still_but_the_head_moves() -> None:
    shut = face(rotated(10), jaw(0.2))
    motion = drive(settled(), shut, Controls(expression=0.0))
    assert np.abs(motion.expression).max() == 0
    np.testing.assert_allclose(motion.eye_openness, 1)
    assert angles_deg(motion)[0] == pytest.approx(10, abs=0.6)


def test_the_head_gain_scales_turn_place_and_size() -> None:
    moved = face(rotated(12), zoom=1.2) + np.array([45, 0, 0], np.float32)
    stage = settled()
    full, half, none = (drive(stage, moved, Controls(head=gain)) for gain in (1.0, 0.5, 0.0))
    assert angles_deg(half)[0] == pytest.approx(angles_deg(full)[0] / 2, abs=0.2)
    np.testing.assert_allclose(half.translation, full.translation / 2, atol=1e-4)
    assert half.scale == pytest.approx(np.sqrt(full.scale), abs=1e-3)
    np.testing.assert_allclose(none.rotation, np.eye(3), atol=1e-5)
    assert none.scale == 1


def test_the_blink_gain_can_exaggerate_and_stop_blinks() -> None:
    half_shut = face()
    for upper, lower in ((row[0], row[1]) for row in face_regions.EYES):
        half_shut[list(upper)] = 0.4 * half_shut[list(upper)] + 0.6 * half_shut[list(lower)]
    stage = settled()
    as_is, never, twice = (
        drive(stage, half_shut, Controls(blink=gain)).eye_openness for gain in (1.0, 0.0, 2.0)
    )
    assert (0.2 < as_is).all() and (as_is < 0.8).all()
    np.testing.assert_allclose(never, 1)
    assert (twice < as_is).all()


def test_turning_ever_farther_eases_to_the_limit_without_a_jump() -> None:
    stage = settled(Settings(max_yaw_deg=30, max_pitch_deg=20))
    turns = [angles_deg(drive(stage, face(rotated(yaw)))) for yaw in range(0, 70, 5)]
    yaws = np.array([turn[0] for turn in turns])
    assert yaws[4] == pytest.approx(20, abs=0.7)
    assert (np.diff(yaws) > -0.1).all()
    assert yaws.max() <= 30
    assert np.diff(yaws).max() < 6


def test_far_beyond_the_limit_expressions_are_not_believed() -> None:
    motion = drive(settled(Settings(max_yaw_deg=30)), face(rotated(60), jaw(0.3)))
    assert np.abs(motion.expression).max() < 0.01
    np.testing.assert_allclose(motion.eye_openness, 1, atol=0.01)


def test_wild_offsets_stay_bounded() -> None:
    offsets = np.zeros((478, 3), np.float32)
    offsets[14] = [0, 5, 0]
    assert np.linalg.norm(drive(settled(), face(None, offsets)).expression, axis=1).max() <= 0.6


def test_the_gaze_keeps_still_behind_closed_lids() -> None:
    stage = settled()
    before = drive(stage, face()).expression[468]
    blinking = face()
    for upper, lower, iris in face_regions.EYES:
        blinking[list(upper)] = blinking[list(lower)]
        blinking[list(iris), 1] += 0.1 * UNIT_PX
    np.testing.assert_allclose(drive(stage, blinking).expression[468], before, atol=0.01)


def test_the_first_frame_already_moves_the_avatar() -> None:
    stage = Retarget(Settings())
    motion = stage(FaceTrack(face(rotated(10), jaw(0.2)), 1.0), Controls(), 0)
    assert motion is not None
    assert not stage.calibrated
    assert angles_deg(motion)[0] == pytest.approx(10, abs=1.5)
    assert motion.coefficients["jawOpen"] > 0.5


def test_a_face_turned_away_from_the_start_gives_nothing() -> None:
    stage = Retarget(Settings())
    for index in range(60):
        landmarks = FaceTrack(face(rotated(50)), 1.0)
        assert stage(landmarks, Controls(), index * NS_PER_S // FPS) is None


def test_calibrating_on_demand_makes_the_present_pose_the_rest() -> None:
    stage = settled()
    here = face(rotated(15, 5)) + np.array([60, 10, 0], np.float32)
    assert angles_deg(drive(stage, here))[0] > 13
    stage.calibrate()
    for index in range(3 * FPS):
        now_ns = 20 * NS_PER_S + index * NS_PER_S // FPS
        motion = stage(FaceTrack(here, 1.0), Controls(), now_ns)
        assert motion is not None  # the old neutral serves until then
    assert motion is not None
    np.testing.assert_allclose(motion.rotation, np.eye(3), atol=0.02)
    assert np.abs(motion.translation).max() < 0.35  # the neck is the place of rest


def test_a_new_neutral_does_not_make_the_face_jump() -> None:
    smiling = np.zeros((478, 3), np.float32)
    smiling[[61, 291], 1] = -0.1
    stage = Retarget(Settings())
    course = [
        stage(FaceTrack(face(None, smiling * (i < 20)), 1.0), Controls(), i * NS_PER_S // FPS)
        for i in range(60)
    ]
    moved = [motion.expression[[61, 291], 1] for motion in course[21:] if motion is not None]
    assert np.abs(np.diff(np.array(moved), axis=0)).max() < 0.03


@pytest.mark.parametrize("name", performers.NAMES)
def test_head_pose_follows_the_truth(name: str) -> None:
    turns = np.array([angles_deg(motion) for motion in performed(name)])
    assert correlation(name, "yaw_deg", list(-turns[:, 0])) > 0.98
    assert correlation(name, "pitch_deg", list(turns[:, 1])) > 0.85
    assert correlation(name, "roll_deg", list(-turns[:, 2])) > 0.97
    error_deg = -turns[CALIBRATED:, 0] - performers.truth(name, "yaw_deg")[CALIBRATED:]
    assert np.sqrt((error_deg**2).mean()) < 4


@pytest.mark.parametrize("name", performers.NAMES)
def test_mouth_blinks_gaze_and_brows_follow_the_truth(name: str) -> None:
    motions = performed(name)
    lips = [float(face_regions.lip_gaps(motion.expression).max()) for motion in motions]
    assert correlation(name, "jaw", lips) > 0.93
    eyes = [-float(motion.eye_openness.mean()) for motion in motions]
    assert correlation(name, "blink", eyes) > 0.8
    irises = [float(motion.expression[[468, 473], 0].mean()) for motion in motions]
    assert correlation(name, "gaze", irises) > 0.8
    brows = [motion.coefficients["browInnerUp"] for motion in motions]
    assert correlation(name, "brow", brows) > 0.8


@pytest.mark.parametrize("name", performers.NAMES)
def test_blinks_close_the_eyes_and_open_eyes_stay_open(name: str) -> None:
    openness = np.array([motion.eye_openness.mean() for motion in performed(name)])[CALIBRATED:]
    blink = performers.truth(name, "blink")[CALIBRATED:]
    assert openness[blink > 0.9].mean() < 0.3
    assert 0.85 < np.median(openness[blink < 0.05]) < 1.2


@pytest.mark.parametrize("name", performers.NAMES)
def test_a_talking_jaw_does_not_pump_the_head(name: str) -> None:
    """Size may follow the pose a little; of the jaw's whole way it takes less than a percent."""
    scale = np.array([motion.scale for motion in performed(name)])[CALIBRATED:]
    opened = performers.truth(name, "jaw")[CALIBRATED:]
    slope = np.polyfit(opened, scale, 1)[0]
    assert abs(slope) * np.ptp(opened) < 0.01


@pytest.mark.parametrize("broken", [np.full((478, 3), np.nan), np.zeros((468, 3))])
def test_landmarks_that_are_none_end_the_frame(broken: NDArray[np.float64]) -> None:
    with pytest.raises(FrameError, match="finite"):
        settled()(FaceTrack(broken.astype(np.float32), 1.0), Controls(), 0)


def test_while_a_neutral_is_taken_each_motion_says_how_calm_its_frame_is() -> None:
    stage = Retarget(Settings())

    def rest_of(landmarks: F32, index: int) -> Rest | None:
        motion = stage(FaceTrack(landmarks, 1.0), Controls(), index * NS_PER_S // FPS)
        assert motion is not None
        return motion.rest

    calm, talking = rest_of(face(), 0), rest_of(face(offsets=jaw(0.3)), 1)
    aside = rest_of(face(rotated(yaw_deg=50)), 2)
    assert calm is not None and talking is not None and aside is not None
    assert calm.take == talking.take == aside.take == 0
    assert calm.agitation < 0.3 < talking.agitation < aside.agitation == math.inf
    rests = [rest_of(face(), index) for index in range(3, 3 * FPS)]
    assert rests[0] is not None and rests[-1] is None and stage.calibrated
    stage.calibrate()
    again = rest_of(face(), 3 * FPS)
    assert again is not None and again.take == 1
