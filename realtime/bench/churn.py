"""Performers who come, do something awkward, and go: what a daemon lives through in a long day.

One visitor at a time, beside whoever stays. Speaks the public protocol through `Performer`; the
order of what happens is random and the same for the same seed. Measures nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import av
import numpy as np

from realtime.bench.clips import back_and_forth
from realtime.bench.performer import PEER_ERRORS, PacedClip, Performer
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.errors import AdmissionRefused, ReenactdError

FPS = 10.0
SIZES_PX = ((320, 240), (480, 360), (160, 120), (240, 320))
"""width and height; the first is what a visitor comes with"""
LOSS_S = 0.3
MUTE_S = 1.5
STAY_S = 1.0
"""between two things that a visitor does"""
REFUSED_S = 2.0
"""until one who was refused tries again"""
VISIT_ERRORS = (ReenactdError, OSError, *PEER_ERRORS)
"""that end one visit, and not the visits"""
IDENTITIES = ("juniper", "coral", "cobalt", "slate")
PICTURES = 50


class VisitorCamera(PacedClip):
    """A small cheap camera that can be turned, covered and stopped while it runs."""

    def __init__(self, films: Sequence[Iterator[av.VideoFrame]]) -> None:
        super().__init__(self._endless(), FPS, MonotonicClock())
        self._films = films
        self._runs = asyncio.Event()
        self._runs.set()
        self.film = 0

    async def stop_for(self, pause_s: float) -> None:
        """No picture for so long; then on at the same pace, without making up for any."""
        self._runs.clear()
        await asyncio.sleep(pause_s)
        self.skip_ns(round(pause_s * NS_PER_S))
        self._runs.set()

    async def recv(self) -> av.VideoFrame:
        await self._runs.wait()
        return await super().recv()

    def _endless(self) -> Iterator[av.VideoFrame]:
        while True:
            yield next(self._films[self.film])


class Churn:
    """Visits, one after the other, until it is cancelled."""

    def __init__(self, url: str, token: str, pictures: Sequence[av.VideoFrame], seed: int) -> None:
        self._url, self._token = url, token
        self._films = [
            [each.reformat(width, height) for each in pictures[:PICTURES]]
            for width, height in SIZES_PX
        ]
        self._black = [_black(*SIZES_PX[0])]
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        """visits by what was done in them, `refused` and `failed`"""
        self.failures: list[str] = []
        """why visits failed that were not refused"""

    @property
    def connections(self) -> int:
        return sum(self.counts[name] for name in VISITS)

    async def visit_all(self) -> None:
        """Every kind of visit once, so that all that is made at first need is made."""
        for name in VISITS:
            await self.visit(name)

    async def go_on(self) -> None:
        """Every kind of visit in a new order, again and again."""
        while True:
            for name in self._random.sample(list(VISITS), len(VISITS)):
                await self.visit(name)

    async def visit(self, name: str) -> None:
        """One visit; a refusal is counted and waited for, a failure is counted and kept."""
        films = [back_and_forth(list(film)) for film in self._films]
        camera = VisitorCamera([*films, itertools.cycle(self._black)])
        visitor = Performer(self._url, self._token, camera)
        try:
            await visitor.connect(None)
            await VISITS[name](visitor, camera)
            self.counts[name] += 1
        except AdmissionRefused:
            self.counts["refused"] += 1
            await asyncio.sleep(REFUSED_S)
        except VISIT_ERRORS as error:
            self._failed(name, error)
        finally:
            await self._leave(name, visitor)

    async def _leave(self, name: str, visitor: Performer) -> None:
        """Hang up; one who has gone without a word, or was never let in, has nothing to hang up."""
        try:
            await visitor.hang_up()
        except VISIT_ERRORS as error:
            self._failed(f"{name}, hanging up", error)

    def _failed(self, what: str, error: Exception) -> None:
        self.counts["failed"] += 1
        self.failures.append(f"{what}: {str(error) or type(error).__name__}")


async def _leave_at_once(visitor: Performer, camera: VisitorCamera) -> None:
    del visitor, camera


async def _stay(visitor: Performer, camera: VisitorCamera) -> None:
    del visitor, camera
    await asyncio.sleep(3 * STAY_S)


async def _switch_identities(visitor: Performer, camera: VisitorCamera) -> None:
    del camera
    for identity in IDENTITIES:
        visitor.tell({"type": "identity", "id": identity})
        await asyncio.sleep(STAY_S)


async def _lose_bursts(visitor: Performer, camera: VisitorCamera) -> None:
    del camera
    for _ in range(3):
        visitor.lose(True)
        await asyncio.sleep(LOSS_S)
        visitor.lose(False)
        await asyncio.sleep(STAY_S)


async def _resize(visitor: Performer, camera: VisitorCamera) -> None:
    del visitor
    for film in (1, 2, 3, 0):
        camera.film = film
        await asyncio.sleep(STAY_S)


async def _mute(visitor: Performer, camera: VisitorCamera) -> None:
    """No frames at all, then black ones, then a face again."""
    del visitor
    await camera.stop_for(MUTE_S)
    camera.film = len(SIZES_PX)
    await asyncio.sleep(MUTE_S)
    camera.film = 0
    await asyncio.sleep(STAY_S)


async def _vanish(visitor: Performer, camera: VisitorCamera) -> None:
    del camera
    await visitor.vanish()


VISITS: Mapping[str, Callable[[Performer, VisitorCamera], Awaitable[None]]] = {
    "leave": _leave_at_once,
    "stay": _stay,
    "switch": _switch_identities,
    "loss": _lose_bursts,
    "resize": _resize,
    "mute": _mute,
    "vanish": _vanish,
}
"""what a visitor does between the first picture that comes back and hanging up"""


def _black(width: int, height: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8)).reformat(
        format="yuv420p"
    )
