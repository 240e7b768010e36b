"""Time, in one place: monotonic nanoseconds, and the 90 kHz clock of RTP video (RFC 3551, 5).

Wall time never enters a latency: it jumps when NTP steps. Code that decides by time takes a
`Clock`, so that its tests never sleep.
"""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
VIDEO_CLOCK_HZ = 90_000
SOUND_CLOCK_HZ = 48_000
"""of Opus, whatever it was sampled with (RFC 7587 section 4.1)"""


class Clock(Protocol):
    def now_ns(self) -> int: ...


class MonotonicClock:
    """The process clock; comparable between threads of one process, meaningless outside it."""

    def now_ns(self) -> int:
        return time.monotonic_ns()


class FakeClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance_ms(self, milliseconds: float) -> None:
        self._now_ns += round(milliseconds * NS_PER_MS)


def pts_from_ns(elapsed_ns: int) -> int:
    """Elapsed nanoseconds as a presentation time in 1/90000 s."""
    return elapsed_ns * VIDEO_CLOCK_HZ // NS_PER_S
