"""When tracking begins: just in time for rendering, where rendering is the slower of the two.

A frame that is tracked while the one before still waits is replaced unseen. That work was thrown
away, and on a machine without a core to spare it was taken from rendering. So the tracker waits
with its newest camera frame until rendering is about to be free, and not longer: what is rendered
is as fresh as before. Where rendering is the faster one, it is free already, and nobody waits.
"""

from __future__ import annotations

import threading

from realtime.clock import NS_PER_MS, NS_PER_S, Clock

_LEAD = 1.5
"""tracking begins so many of its own durations before rendering is expected back"""
_MEMORY = 0.2
"""share of the newest duration in each mean"""
_LONGEST_NS = 500 * NS_PER_MS
"""nobody waits longer, and nothing longer is learned: a renderer may die and come back"""


class Turn:
    """One session's turns on the render thread; the track thread waits, the render thread tells."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = False
        self._delivered_ns: int | None = None
        """when what waits to be rendered was delivered"""
        self._taken_ns: int | None = None
        """when rendering began with what it has"""
        self._track_ns = 0.0
        self._render_ns = 0.0
        """until the render thread is back, other sessions' turns included"""

    def wait(self) -> None:
        """Return when the next frame should be tracked; called on the track thread."""
        until_ns = self._clock.now_ns() + _LONGEST_NS
        with self._changed:
            while not self._closed:
                left_ns = min(self.left_ns(), until_ns - self._clock.now_ns())
                if left_ns <= 0:
                    return
                self._changed.wait(left_ns / NS_PER_S)

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def delivered(self, track_ns: int) -> None:
        """A frame was tracked in this time and now waits to be rendered."""
        with self._changed:
            self._track_ns = _mean(self._track_ns, track_ns)
            self._delivered_ns = self._clock.now_ns()

    def visited(self, *, took: bool) -> None:
        """The render thread is here, and takes what waits or finds nothing."""
        now_ns = self._clock.now_ns()
        with self._changed:
            if self._taken_ns is not None:
                spent_ns = min(now_ns - self._taken_ns, _LONGEST_NS)
                self._render_ns = _mean(self._render_ns, spent_ns)
            self._taken_ns, self._delivered_ns = (now_ns if took else None), None
            self._changed.notify()

    def left_ns(self) -> int:
        """Until then rendering is not expected back soon enough; 0 if it is, or is free."""
        ready_ns = now_ns = self._clock.now_ns()
        if self._taken_ns is not None:
            ready_ns = max(self._taken_ns + round(self._render_ns), now_ns)
        if self._delivered_ns is not None:
            ready_ns += round(self._render_ns)
        if ready_ns == now_ns:
            return 0
        return min(max(ready_ns - now_ns - round(_LEAD * self._track_ns), 0), _LONGEST_NS)


def _mean(before: float, new: float) -> float:
    return before + _MEMORY * (new - before) if before else new
