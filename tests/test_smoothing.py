from __future__ import annotations

import numpy as np

from engines import face_mesh
from realtime.config import Tracking
from realtime.frames import F32
from realtime.smoothing import LandmarkSmoother, OneEuro

STEP_NS = 33_333_333
UNIT_PX = 90.0


def face(x_px: float = 320.0) -> F32:
    """The mean face, 90 px between the outer eye corners."""
    placed = face_mesh.load().mean_shape * UNIT_PX
    placed[:, :2] += [x_px, 200]
    return placed.astype(np.float32)


def smooth(course: list[F32], strength: float = 0.5, unit: float = 1.0) -> F32:
    smoother = LandmarkSmoother(Tracking())
    out = [
        smoother(points * np.float32(unit), i * STEP_NS, strength)
        for i, points in enumerate(course)
    ]
    return np.stack(out)


def noisy(count: int, sigma_px: float = 0.3) -> list[F32]:
    random = np.random.default_rng(0)
    return [face() + random.normal(0, sigma_px, (478, 3)).astype(np.float32) for _ in range(count)]


def ramp(count: int = 60) -> list[F32]:
    """A head that moves 60 px within 100 ms, from the 30th frame on."""
    return [face(320 + 60 * min(max((i - 30) / 3, 0), 1)) for i in range(count)]


def test_a_one_euro_filter_passes_a_constant_and_reaches_it() -> None:
    euro = OneEuro()
    values = [euro(np.array([x], np.float32), 0.033, 1.0, 0.0) for x in [0.0] + [1.0] * 200]
    assert values[0] == 0.0
    assert 0 < values[1] < 0.5
    assert abs(values[-1][0] - 1) < 1e-3


def test_a_higher_beta_lags_less() -> None:
    def after_three_steps(beta: float) -> float:
        euro = OneEuro()
        return float([euro(np.array([x], np.float32), 0.033, 1.0, beta) for x in range(4)][-1][0])

    assert after_three_steps(0.0) < after_three_steps(1.0) < after_three_steps(10.0) <= 3.0


def test_a_still_face_shimmers_at_most_a_third_as_much() -> None:
    course = noisy(120)
    raw = np.diff(np.stack(course), n=2, axis=0)[30:]
    calm = np.diff(smooth(course), n=2, axis=0)[30:]
    assert calm.std() < raw.std() / 3


def test_a_fast_head_lags_less_than_10_ms() -> None:
    course = ramp()
    raw, out = np.stack(course)[:, 1, 0], smooth(course)[:, 1, 0]
    middle = raw[0] + 30

    def crossing_ms(path: F32) -> float:
        after = int(np.argmax(path >= middle))
        part = (middle - path[after - 1]) / (path[after] - path[after - 1])
        return 33.33 * float(after - 1 + part)

    assert 0 <= crossing_ms(out) - crossing_ms(raw) < 10


def test_a_blink_of_two_frames_keeps_most_of_its_depth() -> None:
    open_eye, shut = face(), face()
    upper, lower = list(face_mesh.RIGHT_EYE_UPPER), list(face_mesh.RIGHT_EYE_LOWER)
    shut[upper] = shut[lower]
    course = [open_eye] * 20 + [shut] * 2 + [open_eye] * 5
    gap = smooth(course)[:, 145, 1] - smooth(course)[:, 159, 1]
    assert gap.min() < 0.2 * gap[0]


def test_smoothing_does_not_depend_on_the_resolution() -> None:
    course = ramp()
    np.testing.assert_allclose(smooth(course, unit=2.0) / 2, smooth(course), atol=0.02)


def test_strength_0_changes_nothing_and_more_strength_calms_more() -> None:
    course = noisy(90)
    np.testing.assert_array_equal(smooth(course, 0.0), np.stack(course))
    spread = [smooth(course, strength)[30:].std(axis=0).mean() for strength in (0.1, 0.5, 1.0)]
    assert spread[0] > spread[1] > spread[2]


def test_after_a_gap_the_filter_starts_anew() -> None:
    smoother = LandmarkSmoother(Tracking())
    smoother(face(100), 0, 1.0)
    np.testing.assert_array_equal(smoother(face(500), 2_000_000_000, 1.0), face(500))


def test_time_stamps_that_stand_still_or_jump_back_are_survived() -> None:
    smoother = LandmarkSmoother(Tracking())
    for time_ns in (5_000_000_000, 5_000_000_000, 4_990_000_000, 0, 1_000_000):
        assert np.isfinite(smoother(face(), time_ns, 0.5)).all()
