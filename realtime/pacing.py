"""What an output shows next, decided purely: state, event and time in; state and decision out.

    START --good--> LIVE --bad, or silent for watchdog--> HOLD --hold_s since the last good--> CARD
                     ^-------------------- good ------------'                                   |
                     ^-------------------- recover_frames good ones in a row ------------------'

HOLD repeats the last good avatar frame, START and CARD show a card; none of them can show the
camera, because nothing here has ever seen it. Never sleeps, never reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.config import Output
from realtime.frames import OutputState

REPEAT_NS = 100 * NS_PER_MS
"""cards and held frames are sent again at about 10 fps, so that no viewer believes in a stall"""


class Event(Enum):
    GOOD = auto()
    """a new avatar frame is here"""
    BAD = auto()
    """the newest camera frame gave no avatar frame: no face, or an error"""
    TICK = auto()
    """nothing came, only time passed"""


class Decision(Enum):
    SEND = auto()
    """the frame that came with the event"""
    REPEAT = auto()
    """the last frame that was sent live"""
    CARD = auto()
    WAIT = auto()
    """send nothing now"""


@dataclass(frozen=True, slots=True)
class Limits:
    hold_ns: int
    """how long after the last good frame the card must stand"""
    watchdog_ns: int
    """silence that ends LIVE"""
    recover_frames: int

    @classmethod
    def of(cls, config: Output) -> Limits:
        return cls(
            hold_ns=round(config.hold_s * NS_PER_S),
            watchdog_ns=round(config.watchdog_s * NS_PER_S),
            recover_frames=config.recover_frames,
        )

    @property
    def silence_ns(self) -> int:
        """Longest gap between two good frames that still counts as a row."""
        return max(self.hold_ns, self.watchdog_ns)


@dataclass(frozen=True, slots=True)
class Pace:
    """Where an output is."""

    phase: OutputState = "START"
    good_in_row: int = 0
    """counted in CARD only"""
    last_good_ns: int = 0
    """meaningless in START"""
    last_sent_ns: int | None = None


def decide(pace: Pace, event: Event, now_ns: int, limits: Limits) -> tuple[Pace, Decision]:
    """The next state and what to do now."""
    if event is Event.GOOD:
        return _on_good(pace, now_ns, limits)
    if pace.phase == "START":
        return _show_card(pace, now_ns)
    if pace.phase == "CARD":
        if event is Event.BAD:
            pace = replace(pace, good_in_row=0)
        return _show_card(pace, now_ns)

    silent_ns = now_ns - pace.last_good_ns
    if pace.phase == "LIVE" and event is Event.TICK and silent_ns < limits.watchdog_ns:
        return pace, Decision.WAIT
    if silent_ns >= limits.hold_ns:
        card = replace(pace, phase="CARD", good_in_row=0, last_sent_ns=now_ns)
        return card, Decision.CARD
    held = replace(pace, phase="HOLD")
    if _due(held, now_ns):
        return replace(held, last_sent_ns=now_ns), Decision.REPEAT
    return held, Decision.WAIT


def wake_ns(pace: Pace, limits: Limits) -> int:
    """When `decide` wants a TICK at the latest, if no other event comes before."""
    if pace.phase == "LIVE":
        return pace.last_good_ns + limits.watchdog_ns
    repeat_ns = 0 if pace.last_sent_ns is None else pace.last_sent_ns + REPEAT_NS
    if pace.phase == "HOLD":
        return min(pace.last_good_ns + limits.hold_ns, repeat_ns)
    return repeat_ns


def _on_good(pace: Pace, now_ns: int, limits: Limits) -> tuple[Pace, Decision]:
    if pace.phase == "CARD":
        in_row = now_ns - pace.last_good_ns <= limits.silence_ns
        count = pace.good_in_row + 1 if in_row else 1
        if count < limits.recover_frames:
            return _show_card(replace(pace, good_in_row=count, last_good_ns=now_ns), now_ns)
    live = Pace(phase="LIVE", last_good_ns=now_ns, last_sent_ns=now_ns)
    return live, Decision.SEND


def _show_card(pace: Pace, now_ns: int) -> tuple[Pace, Decision]:
    if _due(pace, now_ns):
        return replace(pace, last_sent_ns=now_ns), Decision.CARD
    return pace, Decision.WAIT


def _due(pace: Pace, now_ns: int) -> bool:
    return pace.last_sent_ns is None or now_ns - pace.last_sent_ns >= REPEAT_NS
