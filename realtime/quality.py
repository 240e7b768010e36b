"""One session's place on the quality ladder: looks once a second, says what to change to.

What is in effect and what was decided differ while an identity is encoded for another canvas; no
further step is decided then. Knows no peer connection; `session.py` does what it says.
"""

from __future__ import annotations

from typing import Any

from realtime.clock import NS_PER_S
from realtime.config import Config
from realtime.ladder import Rung, Seen, Stand, decide, rungs_of

LOOK_INTERVAL_NS = NS_PER_S


class QualityControl:
    """Lives on the event loop. The topmost rung is what is configured."""

    def __init__(self, config: Config) -> None:
        rungs = rungs_of(config.video.width_px, config.video.height_px)
        self._rungs = rungs if config.quality.adapt else rungs[:1]
        self._hold_ns = round(config.quality.hold_s * NS_PER_S)
        self._stand = Stand()
        self._looked_ns: int | None = None
        self._changing = False
        self.rung: Rung = rungs[0]
        """in effect"""

    @property
    def step(self) -> int:
        return self._rungs.index(self.rung)

    def canvas_hw(self, rung: Rung) -> tuple[int, int] | None:
        """Its height and width; None where they are the configured ones."""
        return None if rung.canvas_hw == self._rungs[0].canvas_hw else rung.canvas_hw

    def due(self, now_ns: int) -> bool:
        """Whether it is time for a look."""
        if self._changing or len(self._rungs) == 1:
            return False
        return self._looked_ns is None or now_ns - self._looked_ns >= LOOK_INTERVAL_NS

    def look(self, seen: Seen, now_ns: int) -> Rung | None:
        """What to change to, if anything; `settle` must be told how that went."""
        self._looked_ns = now_ns
        before = self._stand.step
        self._stand = decide(self._stand, seen, now_ns, self._hold_ns, self._rungs)
        if self._stand.step == before:
            return None
        self._changing = True
        return self._rungs[self._stand.step]

    def settle(self, rung: Rung, *, done: bool) -> None:
        """The change was made; or it cannot be, and no rung of that size is tried again."""
        self._changing = False
        if done:
            self.rung = rung
            return
        self._rungs = tuple(each for each in self._rungs if each.canvas_hw != rung.canvas_hw)
        told = (self._stand.reason, self._stand.cause) if self.step else ("", "")
        self._stand = Stand(self.step, *told)

    def describe(self) -> dict[str, Any]:
        """For the `stats` channel."""
        return {
            "width": self.rung.width_px,
            "height": self.rung.height_px,
            "max_fps": self.rung.max_fps,
            "step": self.step,
            "reason": self._stand.reason if self.step else "",
            "cause": self._stand.cause if self.step else "",
        }
