"""When tracking begins: at once where rendering waits for it, just in time where it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from realtime import turns
from realtime.clock import NS_PER_MS, NS_PER_S, FakeClock
from realtime.turns import Turn

TRACK_MS, RENDER_MS = 20, 100
LEAD_MS = 1.5 * TRACK_MS


class Stand:
    """A turn, and frames that take as long as a test says."""

    def __init__(self) -> None:
        self.clock = FakeClock(10**12)
        self.turn = Turn(self.clock)

    def deliver(self) -> None:
        self.turn.delivered(TRACK_MS * NS_PER_MS)

    def frames(self, count: int, render_ms: float = RENDER_MS) -> None:
        """Each is tracked, taken at once, and rendered."""
        for _ in range(count):
            self.deliver()
            self.turn.visited(took=True)
            self.clock.advance_ms(render_ms)
        self.turn.visited(took=False)

    def left_ms(self) -> float:
        return self.turn.left_ns() / NS_PER_MS


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_the_first_frames_do_not_wait(stand: Stand) -> None:
    assert stand.left_ms() == 0
    stand.deliver()
    stand.turn.visited(took=True)
    assert stand.left_ms() == 0, "how long rendering takes is not known yet"


def test_nobody_waits_while_rendering_is_free(stand: Stand) -> None:
    stand.frames(5)
    assert stand.left_ms() == 0


def test_tracking_begins_before_rendering_is_back(stand: Stand) -> None:
    stand.frames(5)
    stand.deliver()
    stand.turn.visited(took=True)
    assert stand.left_ms() == RENDER_MS - LEAD_MS
    stand.clock.advance_ms(30)
    assert stand.left_ms() == RENDER_MS - LEAD_MS - 30
    stand.clock.advance_ms(60)
    assert stand.left_ms() == 0


def test_what_waits_behind_a_frame_is_rendered_before_the_next(stand: Stand) -> None:
    stand.frames(5)
    stand.deliver()
    stand.turn.visited(took=True)
    stand.clock.advance_ms(80)
    stand.deliver()
    assert stand.left_ms() == 20 + RENDER_MS - LEAD_MS
    stand.clock.advance_ms(20)
    stand.turn.visited(took=True)
    assert stand.left_ms() == RENDER_MS - LEAD_MS


def test_it_learns_even_when_something_always_waits(stand: Stand) -> None:
    for _ in range(3):
        stand.deliver()
        stand.turn.visited(took=True)
        stand.deliver()
        stand.clock.advance_ms(RENDER_MS)
    stand.turn.visited(took=True)
    assert stand.left_ms() == RENDER_MS - LEAD_MS


@pytest.mark.parametrize("end", [lambda turn: turn.visited(took=False), Turn.close])
def test_rendering_that_is_back_early_ends_the_wait_as_closing_does(
    stand: Stand, end: Callable[[Turn], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LONGEST_NS", 60 * NS_PER_S)
    stand.frames(1, render_ms=60_000)
    stand.deliver()
    stand.turn.visited(took=True)
    waiting = threading.Thread(target=stand.turn.wait)
    waiting.start()
    end(stand.turn)
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_renderer_that_never_comes_back_is_waited_for_half_a_second() -> None:
    class Running(FakeClock):
        """A clock that goes on by a twentieth of a second whenever it is read."""

        def now_ns(self) -> int:
            self.advance_ms(50)
            return super().now_ns()

    clock = Running(10**12)
    turn = Turn(clock)
    turn.delivered(TRACK_MS * NS_PER_MS)
    turn.visited(took=True)
    clock.advance_ms(60_000)
    turn.visited(took=True)
    turn.delivered(TRACK_MS * NS_PER_MS)
    began_ns = FakeClock.now_ns(clock)
    turn.wait()  # what waits behind what is rendered would be due after 970 ms
    assert FakeClock.now_ns(clock) - began_ns <= 600 * NS_PER_MS


def test_how_long_a_renderer_was_away_is_soon_forgotten(stand: Stand) -> None:
    stand.frames(5)
    stand.frames(1, render_ms=20_000)
    stand.frames(8)
    stand.deliver()
    stand.turn.visited(took=True)
    assert stand.left_ms() < RENDER_MS


@pytest.mark.parametrize("render_ms", [40, 250])
def test_it_learns_another_pace(stand: Stand, render_ms: float) -> None:
    stand.frames(5)
    stand.frames(25, render_ms)
    stand.deliver()
    stand.turn.visited(took=True)
    assert stand.left_ms() == pytest.approx(render_ms - LEAD_MS, abs=2)
