"""What a network sees of a performer, over time: calm, and held against the face at rest."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engines.errors import EngineError
from engines.pose import Gains, Seen, Sight
from realtime.clock import NS_PER_S
from realtime.config import Tracking
from realtime.errors import FrameError
from realtime.frames import F32, U8, Controls, FaceTrack, Rest, SourceFrame
from realtime.stages.look import Look
from tests import fakes
from tests.engines import faces

FPS = 30
RAW = Controls(smoothing=0.0)
PICTURE = np.zeros((4, 4, 3), np.uint8)


class Scripted(fakes.FakeReenactor):
    """Sees the number that the test thinks of, in every value."""

    def __init__(self) -> None:
        super().__init__(looks=True)
        self.value = 0.0

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        value = np.float32(self.value)
        return Sight(
            np.full(6, value), np.full((21, 3), value), np.full(2, value), float(value) + 1
        )


class Stage:
    """The stage, and frame after frame for it."""

    def __init__(self) -> None:
        self.eye = Scripted()
        self._look = Look(self.eye, Tracking())
        self._index = 0

    def __call__(
        self, value: float, rest: Rest | None = None, controls: Controls = RAW, skip: int = 0
    ) -> Seen:
        self._index += 1 + skip
        time_ns = self._index * NS_PER_S // FPS
        self.eye.value = value
        source = SourceFrame(self._index, 0, time_ns, PICTURE)
        return self._look(source, FaceTrack(faces.landmarks(), 1.0), rest, controls)


def value(sight: Sight) -> float:
    return float(sight.expression[0, 0])


def test_the_calmest_frame_so_far_is_the_rest_until_there_is_a_better_one() -> None:
    stage = Stage()
    assert value(stage(1.0, Rest(0, 0.5)).rest) == 1
    assert value(stage(2.0, Rest(0, 0.9)).rest) == 1, "no calmer"
    for _ in range(FPS):
        seen = stage(3.0, Rest(0, 0.1))
    assert value(seen.rest) == pytest.approx(3, abs=0.01) and value(seen.now) == 3


def test_a_better_rest_is_glided_to() -> None:
    stage = Stage()
    stage(1.0, Rest(0, 0.5))
    way = [value(stage(2.0, Rest(0, 0.1)).rest) for _ in range(5)]
    assert 1 < way[0] < 1.3 and way == sorted(way) and way[-1] < 2


def test_the_rest_is_the_middle_of_the_calmest_quarter() -> None:
    stage = Stage()
    for index in range(40):
        calm = index % 4 == 0
        stage(1.0 + 0.01 * index if calm else 9.0, Rest(0, 0.1 if calm else 2.0))
    for _ in range(FPS):
        seen = stage(5.0)
    assert value(seen.rest) == pytest.approx(1.18, abs=0.005)
    assert seen.rest.reach == pytest.approx(2.18, abs=0.005)
    np.testing.assert_allclose(seen.rest.head, 1.18, atol=0.005)
    assert value(seen.now) == 5


def test_frames_turned_away_say_nothing_about_the_rest() -> None:
    stage = Stage()
    stage(1.0, Rest(0, 0.5))
    for _ in range(20):
        stage(7.0, Rest(0, math.inf))
    for _ in range(FPS):
        seen = stage(7.0)
    assert value(seen.rest) == 1


def test_calibrating_anew_takes_another_rest_and_keeps_the_old_one_meanwhile() -> None:
    stage = Stage()
    for _ in range(10):
        stage(1.0, Rest(0, 0.5))
    stage(4.0)
    for _ in range(10):
        seen = stage(2.0, Rest(1, 0.01))
        assert value(seen.rest) == 1, "even if it is calmer"
    for _ in range(FPS):
        seen = stage(4.0)
    assert value(seen.rest) == pytest.approx(2, abs=0.01)


def test_asking_twice_forgets_what_the_first_calibration_saw() -> None:
    stage = Stage()
    for take, seen in ((0, 1.0), (1, 2.0), (2, 3.0)):
        for _ in range(10):
            stage(seen, Rest(take, 0.1 * (take + 1)))
    for _ in range(FPS):
        last = stage(5.0)
    assert value(last.rest) == pytest.approx(3, abs=0.01)


def test_what_is_seen_is_smoothed_as_the_performer_wishes() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.001, 90)
    spread = {}
    for strength in (0.0, 0.5, 1.0):
        stage, controls = Stage(), Controls(smoothing=strength)
        seen = [stage(float(each), controls=controls).now for each in noise]
        spread[strength] = np.std([s.expression[3, 1] for s in seen[10:]])
        assert np.std([s.head[2] for s in seen[10:]]) <= spread[0.0] * 1.001
    assert spread[0.0] == pytest.approx(noise[10:].std(), rel=1e-4)
    assert spread[1.0] < spread[0.5] < 0.7 * spread[0.0]


def test_a_fast_move_hardly_lags() -> None:
    stage = Stage()
    for _ in range(30):
        stage(0.0, controls=Controls())
    for index in range(15):
        seen = stage(0.05 * index, controls=Controls())
    assert float(seen.now.head[0]) > 0.05 * 14 - 0.06 and value(seen.now) > 0.05 * 14 - 0.06


def test_after_a_gap_the_filter_begins_anew() -> None:
    stage = Stage()
    for _ in range(10):
        stage(0.0, controls=Controls(smoothing=1.0))
    assert value(stage(1.0, controls=Controls(smoothing=1.0), skip=2 * FPS).now) == 1


def test_the_performer_s_gains_go_along() -> None:
    controls = Controls(expression=0.1, mouth=0.2, blink=0.3, gaze=0.4, head=0.5, brows=0.6)
    seen = Stage()(0.0, controls=controls)
    assert seen.gains == Gains(expression=0.1, mouth=0.2, blink=0.3, gaze=0.4, head=0.5)


def test_a_network_that_fails_drops_the_frame_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()

    def not_finite(*_: object) -> Sight:
        raise EngineError("motion's exp is not finite; the frame is dropped")

    monkeypatch.setattr(stage.eye, "look", not_finite)
    with pytest.raises(FrameError, match="motion's exp is not finite"):
        stage(0.0)
