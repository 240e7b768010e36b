"""A session's place on the ladder: what is decided, what is in effect, what cannot be had."""

from __future__ import annotations

from realtime.clock import NS_PER_S
from realtime.ladder import Rung, Seen
from realtime.quality import QualityControl
from tests.helpers import config_with

POOR = Seen(camera_fps=30, shed_fps=15, avatar_fps=15, latency_ms=50, busy=1.0)


def control(adapt: bool = True) -> QualityControl:
    return QualityControl(config_with(quality={"adapt": adapt, "hold_s": 2}))


def pressed(quality: QualityControl, from_s: int = 100) -> tuple[Rung | None, int]:
    """What it changes to when the machine does not keep up, and when."""
    for now_s in range(from_s, from_s + 20):
        if quality.due(now_s * NS_PER_S):
            rung = quality.look(POOR, now_s * NS_PER_S)
            if rung is not None:
                return rung, now_s
    return None, 0


def test_what_is_decided_is_in_effect_once_it_is_done() -> None:
    quality = control()
    rung, now_s = pressed(quality)
    assert rung == Rung(480, 360)
    assert quality.step == 0 and quality.describe()["width"] == 640
    assert not quality.due((now_s + 100) * NS_PER_S), "one change at a time"
    quality.settle(rung, done=True)
    assert quality.describe() == {
        "width": 480,
        "height": 360,
        "max_fps": None,
        "step": 1,
        "reason": "the machine keeps up with 15 of 30 fps",
        "cause": "cpu",
    }
    assert quality.canvas_hw(rung) == (360, 480)


def test_it_looks_once_a_second() -> None:
    quality = control()
    assert quality.due(100 * NS_PER_S)
    quality.look(POOR, 100 * NS_PER_S)
    assert not quality.due(100 * NS_PER_S + NS_PER_S // 2)
    assert quality.due(101 * NS_PER_S)


def test_a_size_that_cannot_be_had_is_not_tried_again() -> None:
    quality = control()
    rung, now_s = pressed(quality)
    assert rung is not None
    quality.settle(rung, done=False)
    assert quality.step == 0 and quality.describe()["reason"] == ""
    rung, _ = pressed(quality, now_s + 10)
    assert rung == Rung(320, 240)
    quality.settle(rung, done=True)
    assert quality.step == 1


def test_the_configured_canvas_goes_by_no_name_so_that_it_is_encoded_once() -> None:
    quality = control()
    assert quality.canvas_hw(quality.rung) is None


def test_switched_off_it_never_looks() -> None:
    quality = control(adapt=False)
    assert not quality.due(100 * NS_PER_S)
    assert quality.describe()["step"] == 0 and quality.describe()["max_fps"] is None
