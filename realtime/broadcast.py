"""Whose motion goes to other programs: the longest running session's, to every program configured.

A VTuber's model is one, and two performers would tear at it. Knows no protocol; the render thread
hands a motion over and never waits.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence

from realtime.clock import Clock
from realtime.config import Config, state_directory
from realtime.frames import Motion
from realtime.sinks.vmc import VmcSink
from realtime.sinks.vtube_studio import VtubeStudioSink
from realtime.workers import MotionWorker


class Broadcast:
    """All programs that are told of motions. Lives on the event loop, but for what `seat` gives."""

    def __init__(self, workers: Sequence[MotionWorker]) -> None:
        self._workers = tuple(workers)
        self._seats: tuple[str, ...] = ()
        """sessions, the longest running first"""

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def seat(self, session_id: str) -> Callable[[Motion], None] | None:
        """What to tell a session's motions to; None where nobody wants to know them."""
        if not self._workers:
            return None
        self._seats = (*self._seats, session_id)
        return functools.partial(self._tell, session_id)

    def leave(self, session_id: str) -> None:
        self._seats = tuple(seat for seat in self._seats if seat != session_id)

    def _tell(self, session_id: str, motion: Motion) -> None:
        if self._seats[:1] == (session_id,):
            for worker in self._workers:
                worker.motions.put(motion)


def build_broadcast(config: Config, clock: Clock) -> Broadcast:
    """One worker per program that the settings name.

    Raises:
        StartupError: what one of them needs is not installed.
    """
    workers = []
    vmc, studio = config.vmc, config.vtube_studio
    if vmc.send is not None:
        workers.append(MotionWorker("vmc", VmcSink(vmc.send, vmc.names, clock), clock))
    if studio.url is not None:
        token_file = studio.token_file or state_directory() / "vtube_studio_token"
        sink = VtubeStudioSink(studio.url, token_file, clock)
        workers.append(MotionWorker("vtube-studio", sink, clock))
    return Broadcast(workers)
