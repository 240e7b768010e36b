"""The pacing decider: every phase with every event, and the bounds that keep it fail-closed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from realtime.clock import NS_PER_MS
from realtime.config import Output
from realtime.frames import OutputState
from realtime.pacing import REPEAT_NS, Decision, Event, Limits, Pace, decide, wake_ns

LIMITS = Limits(hold_ns=500 * NS_PER_MS, watchdog_ns=250 * NS_PER_MS, recover_frames=5)
NO_HOLD = Limits(hold_ns=0, watchdog_ns=250 * NS_PER_MS, recover_frames=5)
NOW = 10_000 * NS_PER_MS


def pace(
    phase: OutputState, good_ms_ago: float = 0, sent_ms_ago: float | None = 0, in_row: int = 0
) -> Pace:
    sent_ns = None if sent_ms_ago is None else NOW - round(sent_ms_ago * NS_PER_MS)
    return Pace(phase, in_row, NOW - round(good_ms_ago * NS_PER_MS), sent_ns)


TABLE = [
    # phase, good_ms_ago, sent_ms_ago, in_row, event, phase after, decision
    ("START", 0, None, 0, Event.TICK, "START", Decision.CARD),
    ("START", 0, 50, 0, Event.TICK, "START", Decision.WAIT),
    ("START", 0, 100, 0, Event.TICK, "START", Decision.CARD),
    ("START", 0, 50, 0, Event.BAD, "START", Decision.WAIT),
    ("START", 0, 100, 0, Event.BAD, "START", Decision.CARD),
    ("START", 0, 50, 0, Event.GOOD, "LIVE", Decision.SEND),
    ("LIVE", 33, 33, 0, Event.GOOD, "LIVE", Decision.SEND),
    ("LIVE", 249, 249, 0, Event.TICK, "LIVE", Decision.WAIT),
    ("LIVE", 250, 250, 0, Event.TICK, "HOLD", Decision.REPEAT),
    ("LIVE", 500, 500, 0, Event.TICK, "CARD", Decision.CARD),
    ("LIVE", 33, 33, 0, Event.BAD, "HOLD", Decision.WAIT),
    ("LIVE", 120, 120, 0, Event.BAD, "HOLD", Decision.REPEAT),
    ("LIVE", 500, 500, 0, Event.BAD, "CARD", Decision.CARD),
    ("HOLD", 300, 50, 0, Event.GOOD, "LIVE", Decision.SEND),
    ("HOLD", 300, 50, 0, Event.TICK, "HOLD", Decision.WAIT),
    ("HOLD", 300, 100, 0, Event.TICK, "HOLD", Decision.REPEAT),
    ("HOLD", 300, 50, 0, Event.BAD, "HOLD", Decision.WAIT),
    ("HOLD", 300, 100, 0, Event.BAD, "HOLD", Decision.REPEAT),
    ("HOLD", 500, 50, 0, Event.TICK, "CARD", Decision.CARD),
    ("HOLD", 500, 50, 0, Event.BAD, "CARD", Decision.CARD),
    ("CARD", 900, 50, 0, Event.TICK, "CARD", Decision.WAIT),
    ("CARD", 900, 100, 0, Event.TICK, "CARD", Decision.CARD),
    ("CARD", 900, 100, 3, Event.BAD, "CARD", Decision.CARD),
    ("CARD", 33, 50, 3, Event.GOOD, "CARD", Decision.WAIT),
    ("CARD", 33, 100, 3, Event.GOOD, "CARD", Decision.CARD),
    ("CARD", 33, 50, 4, Event.GOOD, "LIVE", Decision.SEND),
    ("CARD", 900, 50, 4, Event.GOOD, "CARD", Decision.WAIT),
]


@pytest.mark.parametrize(("phase", "good", "sent", "in_row", "event", "after", "decision"), TABLE)
def test_table(
    phase: OutputState,
    good: float,
    sent: float | None,
    in_row: int,
    event: Event,
    after: OutputState,
    decision: Decision,
) -> None:
    result, decided = decide(pace(phase, good, sent, in_row), event, NOW, LIMITS)
    assert (result.phase, decided) == (after, decision)


def test_the_table_has_every_phase_with_every_event() -> None:
    covered = {(row[0], row[4]) for row in TABLE}
    assert covered == set(itertools.product(("START", "LIVE", "HOLD", "CARD"), Event))


def test_a_bad_frame_begins_the_row_again() -> None:
    after_bad, _ = decide(pace("CARD", 33, 0, in_row=4), Event.BAD, NOW, LIMITS)
    after_good, decision = decide(after_bad, Event.GOOD, NOW, LIMITS)
    assert (after_good.good_in_row, decision) == (1, Decision.WAIT)


def test_silence_begins_the_row_again() -> None:
    after, _ = decide(pace("CARD", 501, 0, in_row=4), Event.GOOD, NOW, LIMITS)
    assert after.good_in_row == 1


def test_without_a_hold_the_first_bad_frame_shows_the_card() -> None:
    after, decision = decide(pace("LIVE", 33, 33), Event.BAD, NOW, NO_HOLD)
    assert (after.phase, decision) == ("CARD", Decision.CARD)


def test_every_setting_shows_the_card_within_three_quarters_of_a_second() -> None:
    """Silence or bad frames from any moment on, ticked as `wake_ns` asks: the worst settings."""
    worst = Limits.of(Output(hold_s=0.5, watchdog_s=0.5))
    for limits, event in itertools.product((LIMITS, NO_HOLD, worst), (Event.TICK, Event.BAD)):
        state, _ = decide(Pace(), Event.GOOD, NOW, limits)
        now_ns = NOW
        while state.phase != "CARD":
            assert now_ns - NOW <= 750 * NS_PER_MS
            now_ns = max(wake_ns(state, limits), now_ns + NS_PER_MS)
            state, _ = decide(state, event, now_ns, limits)
        assert now_ns - NOW <= 600 * NS_PER_MS


def test_random_walks_send_live_frames_only_when_good_and_never_starve() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        state, now_ns = Pace(), NOW
        last_shown_ns = NOW
        for _ in range(100):
            event = Event(int(rng.choice([1, 2, 3], p=[0.5, 0.2, 0.3])))
            step_ns = int(rng.integers(1, 60)) * NS_PER_MS
            now_ns = max(now_ns, min(now_ns + step_ns, wake_ns(state, LIMITS)))
            state, decision = decide(state, event, now_ns, LIMITS)
            assert decision is not Decision.SEND or event is Event.GOOD
            assert decision is not Decision.REPEAT or now_ns - state.last_good_ns < LIMITS.hold_ns
            assert decision is not Decision.CARD or state.phase in ("START", "CARD")
            if decision is not Decision.WAIT:
                last_shown_ns = now_ns
            assert now_ns - last_shown_ns <= max(REPEAT_NS, LIMITS.watchdog_ns)


def test_wake_is_in_the_future_while_waiting() -> None:
    """A decision to WAIT must name a later moment, or the gate would spin."""
    phases: tuple[OutputState, ...] = ("START", "LIVE", "HOLD", "CARD")
    for phase, good, sent in itertools.product(phases, (0, 249), (0, 99)):
        state, decision = decide(pace(phase, good, sent), Event.TICK, NOW, LIMITS)
        if decision is Decision.WAIT:
            assert wake_ns(state, LIMITS) > NOW
