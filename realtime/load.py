"""What serving costs just now: a look at every session once a second, kept for `admission.py`.

Reads totals that the render thread writes, and the process's own processor time. Lives on the event
loop. Knows sessions by their names only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from realtime.admission import Cost, Ledger, Second, forecast, note, refusal
from realtime.clock import NS_PER_MS, NS_PER_S, Clock
from realtime.workers import RenderWorker, Spent

INTERVAL_NS = NS_PER_S
FEWEST_FRAMES = 5
"""in a second; fewer say nothing of a mean"""
MOSTLY = 0.9
"""share of avatar frames from which on the rest, cheap as it is, does not matter"""


class Exertion(NamedTuple):
    """One session, as its cost is looked at."""

    spent: Spent
    sheds: bool
    """it loses frames because nobody takes them in time"""


@dataclass(frozen=True, slots=True)
class _Look:
    at_ns: int
    busy_ns: int
    cpu_s: float
    spent: Mapping[str, Spent] = field(default_factory=dict)


class Load:
    """The daemon's load.

    Args:
        cpu_s: processor time of this process so far, over all its threads.
    """

    def __init__(
        self,
        render: RenderWorker,
        clock: Clock,
        cpu_s: Callable[[], float] = time.process_time,
        cores: int | None = None,
    ) -> None:
        self._render, self._clock, self._cpu_s = render, clock, cpu_s
        self._cores = usable_cores() if cores is None else cores
        self.ledger = Ledger()
        self._last = _Look(clock.now_ns(), render.busy_ns, cpu_s())
        self.busy = 0.0
        """share of the last second in which the render thread worked"""

    def rehearsed(self, cost: Cost) -> None:
        self.ledger = replace(self.ledger, rehearsed=cost)

    def look(self, sessions: Mapping[str, Callable[[], Exertion]]) -> None:
        """Called more often than once a second; does something as often as that.

        Args:
            sessions: name -> asks how it does.
        """
        now_ns = self._clock.now_ns()
        if now_ns - self._last.at_ns < INTERVAL_NS:
            return
        exertions = {name: ask() for name, ask in sessions.items()}
        spent = {name: exertion.spent for name, exertion in exertions.items()}
        before = self._last
        self._last = now = _Look(now_ns, self._render.busy_ns, self._cpu_s(), spent)
        self.busy = (now.busy_ns - before.busy_ns) / (now.at_ns - before.at_ns)
        self.ledger = note(self.ledger, _second(before, now, exertions), spent)

    def refusal(self, sessions: int, min_fps: float) -> str | None:
        """Why one more than these sessions cannot be served; None if it can."""
        self.ledger, reason = refusal(self.ledger, sessions, min_fps, self._cores)
        return reason

    def next_session_fps(self, sessions: int) -> float | None:
        found = forecast(self.ledger, sessions, self._cores)
        return None if found is None else found.fps


def usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _second(before: _Look, now: _Look, exertions: Mapping[str, Exertion]) -> Second:
    render_ms: dict[str, float] = {}
    frames = avatar_frames = 0
    nobody_has_more = bool(exertions)
    for name, (spent, sheds) in exertions.items():
        past = before.spent.get(name, Spent())
        made = spent.avatar_frames - past.avatar_frames
        frames += spent.frames - past.frames
        avatar_frames += made
        nobody_has_more &= sheds
        if made >= FEWEST_FRAMES:
            render_ms[name] = (spent.avatar_ns - past.avatar_ns) / made / NS_PER_MS
    counts = avatar_frames >= max(FEWEST_FRAMES, MOSTLY * frames)
    seconds = (now.at_ns - before.at_ns) / NS_PER_S
    return Second(
        render_ms,
        (now.cpu_s - before.cpu_s) * 1e3 / avatar_frames if counts else None,
        avatar_frames / seconds if counts and nobody_has_more else None,
    )
