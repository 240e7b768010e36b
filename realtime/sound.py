"""The performer's voice, from the microphone's packets to whoever listens, each with its picture.

A packet waits here until the picture that was taken meanwhile leaves, then goes to all listeners at
once: other connections, a recording. It is never decoded here, nor stretched: if pictures take
longer, it waits longer. What waits is bounded. Lives on the event loop; knows no aiortc.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable
from dataclasses import replace

from realtime.capture_times import CameraClock
from realtime.clock import NS_PER_MS, NS_PER_S, SOUND_CLOCK_HZ, Clock
from realtime.frames import Voice
from realtime.lips import Lips
from realtime.opus import silence, ticks_of

MAX_WAIT_NS = 500 * NS_PER_MS
"""a voice is no later than this, however late its picture"""
MAX_WAITING = 100
"""packets; two seconds of 20 ms each"""

_RESTARTED = 2 * SOUND_CLOCK_HZ
"""a microphone whose clock is set back this far has begun anew"""

Listener = Callable[[Voice], None]
"""must not block; called on the event loop"""


class Sound:
    """One performer's voice.

    Args:
        muted: whether silence goes out in its place, asked for each packet when it is due.
        camera: the clock of the pictures that it belongs to.
    """

    def __init__(
        self, clock: Clock, muted: Callable[[], bool], camera: CameraClock | None = None
    ) -> None:
        self.lips = Lips()
        self.camera = camera or CameraClock()
        self.dropped = 0
        """packets that came after a later one had gone, or found no room"""
        self._clock = clock
        self._muted = muted
        self._waiting: list[Voice] = []
        """in the order of their ticks"""
        self._gone_ticks: int | None = None
        self._came = asyncio.Event()
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a listener told of every packet; call the result to have it no more."""
        self._listeners = (*self._listeners, listener)

        def leave() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return leave

    def offer(self, opus: bytes, ticks: int, arrived_ns: int) -> None:
        """A packet came; what is no Opus is dropped, and what comes twice or too late."""
        length = ticks_of(opus)
        gone = self._gone_ticks
        late = gone is not None and gone - _RESTARTED < ticks <= gone
        known = any(voice.ticks == ticks for voice in self._waiting)
        if length == 0 or late or known:
            self.dropped += 1
            return
        pts = self.lips.heard(ticks, length, arrived_ns)
        bisect.insort(
            self._waiting, Voice(opus, ticks, pts, arrived_ns), key=lambda voice: voice.ticks
        )
        if len(self._waiting) > MAX_WAITING:
            self.dropped += 1
            del self._waiting[0]
        self._came.set()

    def ticks_at(self, now_ns: int) -> int | None:
        """What the microphone's clock reads; None before there is any picture or sound."""
        camera_pts = self.camera.reads(now_ns)
        return None if camera_pts is None else self.lips.ticks_at(camera_pts)

    async def run(self) -> None:
        """Hand each packet over when it is due; never returns."""
        while True:
            wait_ns = self.pump()
            self._came.clear()
            timeout_s = None if wait_ns is None else max(wait_ns, NS_PER_MS) / NS_PER_S
            try:
                await asyncio.wait_for(self._came.wait(), timeout_s)
            except asyncio.TimeoutError:
                continue

    def pump(self) -> int | None:
        """Hand over what is due. Returns how long until the next is, None where nothing waits."""
        while self._waiting:
            wait_ns = self._due_ns(self._waiting[0]) - self._clock.now_ns()
            if wait_ns > 0:
                return wait_ns
            voice = self._waiting.pop(0)
            self._gone_ticks = voice.ticks
            if self._muted():
                voice = replace(voice, opus=silence(ticks_of(voice.opus)))
            for listener in self._listeners:
                listener(voice)
        return None

    def _due_ns(self, voice: Voice) -> int:
        leaves_ns = None if voice.pts is None else self.lips.leaves_ns(voice.pts)
        if leaves_ns is None:
            return voice.arrived_ns
        return min(leaves_ns, voice.arrived_ns + MAX_WAIT_NS)
