from __future__ import annotations

import numpy as np
import pytest

from engines import face_mesh
from engines.rigid import fit_similarity
from realtime import face_regions
from realtime.calibration import Calibrator, Neutral, Sample, merge
from realtime.clock import NS_PER_S
from realtime.frames import F32
from realtime.stages.retarget import euler_rad, rotation_of
from tests import performers

UNIT_PX = 90.0


def posed(
    yaw_deg: float = 0.0, pitch_deg: float = 0.0, jaw: float = 0.0, x_px: float = 320.0
) -> F32:
    """The mean face, its lips shut and then opened by `jaw` face units, turned and placed."""
    face = face_mesh.load().mean_shape.copy()
    upper, lower = list(face_mesh.LIPS_INNER_UPPER), list(face_mesh.LIPS_INNER_LOWER)
    face[lower] = face[upper]
    face[:, 1] += jaw * face_regions.regions().jaw
    face[lower[1:-1], 1] = face[upper[1:-1], 1] + jaw
    rotation = rotation_of(np.radians([yaw_deg, pitch_deg, 0]).astype(np.float32))
    placed = UNIT_PX * face @ rotation.T
    placed[:, :2] += [x_px, 200]
    return placed.astype(np.float32)


def calibrated(frames: list[F32], on_demand: bool = False, fps: int = 30) -> Neutral | None:
    calibrator = Calibrator(1.0, on_demand)
    for index, frame in enumerate(frames):
        neutral = calibrator.add(Sample.of(frame), index * NS_PER_S // fps)
        if neutral is not None:
            return neutral
    return None


def test_it_takes_a_second_of_good_frames() -> None:
    assert calibrated([posed()] * 29) is None
    assert calibrated([posed()] * 32) is not None


def test_a_head_turned_away_does_not_count() -> None:
    assert calibrated([posed(yaw_deg=40)] * 60) is None


def test_a_few_frames_in_a_slow_second_are_not_enough() -> None:
    assert calibrated([posed()] * 4, fps=3) is None


@pytest.mark.parametrize("yaw_deg", [-20.0, 0.0, 20.0])
def test_the_neutral_faces_the_camera_however_the_performer_was_turned(yaw_deg: float) -> None:
    straight, turned = merge([Sample.of(posed())]), merge([Sample.of(posed(yaw_deg))])
    np.testing.assert_allclose(turned.face, straight.face, atol=0.02)


def test_the_neutral_is_independent_of_size_and_place() -> None:
    near = merge([Sample.of(posed(x_px=100) * np.float32(2))])
    np.testing.assert_allclose(near.face, merge([Sample.of(posed())]).face, atol=1e-3)
    assert near.scale_px == pytest.approx(2 * merge([Sample.of(posed())]).scale_px, rel=1e-3)
    assert face_mesh.face_unit(near.face) == pytest.approx(1, abs=1e-5)


def test_turning_the_head_on_its_neck_does_not_move_its_place_of_rest() -> None:
    neck = posed()[list(face_mesh.RIGID)].mean(axis=0) + UNIT_PX * np.array([0, 0.45, 0.75])
    turn = rotation_of(np.radians([20, 0, 0]).astype(np.float32))
    turned = ((posed() - neck) @ turn.T + neck).astype(np.float32)
    rest = merge([Sample.of(posed())]).centre_px
    assert np.abs(turned[list(face_mesh.RIGID), :2].mean(axis=0) - rest).max() > 10
    assert np.abs(merge([Sample.of(turned)]).centre_px - rest).max() < 2


def test_the_lips_of_a_neutral_are_closed_even_if_none_were_seen_closed() -> None:
    neutral = merge([Sample.of(posed(jaw=0.15))])
    assert np.abs(face_regions.lip_gaps(neutral.face)).max() < 0.02
    np.testing.assert_allclose(neutral.face[152], merge([Sample.of(posed())]).face[152], atol=0.03)


def test_the_gaze_of_a_neutral_is_ahead() -> None:
    aside = posed()
    aside[468:, 0] += 0.05 * UNIT_PX
    np.testing.assert_allclose(
        merge([Sample.of(aside)]).face[468:], merge([Sample.of(posed())]).face[468:], atol=0.005
    )


def test_calm_frames_decide() -> None:
    talking = [posed(jaw=0.2)] * 20 + [posed()] * 10 + [posed(jaw=0.2)] * 5
    neutral = calibrated(talking)
    assert neutral is not None
    np.testing.assert_allclose(neutral.face, merge([Sample.of(posed())]).face, atol=0.01)


def test_tilt_at_rest_is_neutral_and_left_and_right_only_on_demand() -> None:
    def turn_of(now: F32, neutral: Neutral | None) -> F32:
        assert neutral is not None
        weights = face_regions.regions().skull
        pose = fit_similarity(neutral.face, now, weights)
        return np.degrees(euler_rad(pose.rotation))

    rest = posed(yaw_deg=15, pitch_deg=10)
    yaw, pitch, _ = turn_of(rest, calibrated([rest] * 40))
    assert yaw == pytest.approx(15, abs=3)
    assert pitch == pytest.approx(0, abs=1)
    assert np.abs(turn_of(rest, calibrated([rest] * 40, on_demand=True))).max() < 1


@pytest.mark.parametrize("name", performers.NAMES)
def test_a_performer_who_talks_is_calibrated_within_a_second_and_a_half(name: str) -> None:
    neutral = calibrated(list(performers.landmarks(name)[:38]), fps=performers.FPS)
    assert neutral is not None
    assert np.abs(face_regions.lip_gaps(neutral.face)).max() < 0.03


def test_a_long_calibration_keeps_the_calmest_of_its_frames() -> None:
    calibrator = Calibrator(10.0, on_demand=False)
    frames = [posed(yaw_deg=at % 7) for at in range(601)]
    taken = [
        calibrator.add(Sample.of(frame), at * NS_PER_S // 60) for at, frame in enumerate(frames)
    ]
    assert taken[-1] is not None and taken[-2] is None
