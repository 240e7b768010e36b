"""One encode of a session's pictures, and the places of those who take it.

A Seat is bounded. Whoever does not take coded pictures in time loses all that wait and goes on with
the next key frame; nobody else notices. An encode follows what its viewers' links carry, but where
several share it, never below what its size needs. Runs on the event loop; `viewers.py` decides who
sits where.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, Protocol

from av import VideoFrame

from realtime.capture_times import CaptureTimes
from realtime.clock import NS_PER_S, Clock
from realtime.frames import U8, OutputFrame
from realtime.latest import AsyncLatest, Closed
from realtime.link import bitrate_for
from realtime.rtc import picture_of
from realtime.sinks.fitting import Fit
from realtime.sinks.sizes import DIVISOR, Scaler, Size

logger = logging.getLogger(__name__)

Background = Literal["scene", "transparent"]
"""the whole picture, or the avatar and the mark above their matte"""
Kind = tuple[Background, Size]

MAX_WAITING = 8
"""coded pictures that a viewer may be late by: a quarter of a second"""
SETTLING_NS = 5 * NS_PER_S
"""a new viewer's estimates do not count for so long: browsers begin far below what the link holds,
and everybody would see it"""


class Encoder(Protocol):
    """What `rtc_encode.py` has for each codec."""

    target_bitrate: int
    bound_bps: int | None
    made_key_frame: bool

    def encode(
        self, frame: VideoFrame, force_keyframe: bool = False
    ) -> tuple[list[bytes], int]: ...


@dataclass(frozen=True, slots=True)
class Coded:
    """One coded picture, in the pieces that go into RTP packets."""

    payloads: list[bytes]
    timestamp: int
    """1/90000 s, of the same beginning for every feed of the daemon"""
    is_key: bool


class Seat:
    """One viewer's place: the coded pictures that wait for it."""

    def __init__(self) -> None:
        self.closed = False
        self.dropped = 0
        """coded pictures that were not taken in time, or could not be decoded any more"""
        self.estimate_bps: int | None = None
        """what the viewer says that its link carries"""
        self.bound_bps: int | None = None
        """what its link can be trusted to carry; None where nothing was lost or late"""
        self.fit: Fit | None = None
        """what it gets as long as its link allows no more; None where it chose its size"""
        self.since_ns = 0
        """when it came to the feed that it is at"""
        self._waiting: deque[Coded] = deque()
        self._event = asyncio.Event()
        self._needs_key = True

    @property
    def needs_key(self) -> bool:
        """Whether nothing but a key frame is of use to it."""
        return self._needs_key

    def put(self, coded: Coded) -> None:
        """The next coded picture; never blocks."""
        if len(self._waiting) >= MAX_WAITING:
            self.miss()
        if self._needs_key and not coded.is_key:
            self.dropped += 1
            return
        self._needs_key = False
        self._waiting.append(coded)
        self._event.set()

    def miss(self) -> None:
        """Forget what waits; from here on only a key frame helps."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._needs_key = True

    async def take(self) -> Coded:
        """The next coded picture, in order.

        Raises:
            Closed: none will come any more.
        """
        while not self._waiting:
            if self.closed:
                raise Closed
            self._event.clear()
            await self._event.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        self.closed = True
        self._waiting.clear()
        self._event.set()


class Feed:
    """One encode of a session's pictures, for everyone who agreed on its codec, kind and size."""

    def __init__(  # noqa: PLR0913 - what an encode is made of
        self,
        kind: Kind,
        scaler: Scaler,
        encoder: Encoder,
        executor: Executor,
        clock: Clock,
        times: CaptureTimes,
        on_left: Callable[[int, int], None],
    ) -> None:
        self.seats: list[Seat] = []
        self._background, size = kind
        self._scaler = scaler
        self._max_bps = encoder.target_bitrate // DIVISOR[size] if size != "full" else None
        self._encoder = encoder
        self._executor = executor
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._outputs: AsyncLatest[OutputFrame] = AsyncLatest(self._loop)
        self._times = times
        self._on_left = on_left
        self._left_seq = -1
        self._key_asked = self._failed = False
        self._task = self._loop.create_task(self._run())

    def show(self, output: OutputFrame) -> None:
        """The newest picture; one that still waits is replaced."""
        if self._background == "scene" or output.stacked_i420 is not None:
            self._outputs.put(output)

    def ask_for_key_frame(self) -> None:
        """Of the coming picture; the encoder sees to it that they are not too many."""
        self._key_asked = True

    def join(self, seat: Seat) -> None:
        seat.miss()
        seat.since_ns = self._clock.now_ns()
        self.seats.append(seat)
        if self._failed:
            seat.close()
        self.ask_for_key_frame()

    def close(self) -> None:
        self._outputs.close()
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                output = await self._outputs.take()
                assert output is not None
                await self._encode(output)
        except Closed:
            return
        except Exception as exc:  # noqa: BLE001 - the task's root
            logger.warning("pictures for viewers cannot be encoded: %s", repr(exc))
            self._failed = True
            for seat in self.seats:
                seat.close()

    async def _encode(self, output: OutputFrame) -> None:
        i420 = output.i420 if self._background == "scene" else output.stacked_i420
        assert i420 is not None
        pts = self._times.stamp(output, self._clock.now_ns())
        if (target_bps := self._target_bps()) is not None:
            self._encoder.target_bitrate = target_bps
        self._encoder.bound_bps = self._bound_bps(i420)
        asked, self._key_asked = self._key_asked, False
        payloads, timestamp = await self._loop.run_in_executor(
            self._executor, self._encode_now, i420, pts, asked
        )
        if not payloads:
            return
        coded = Coded(payloads, timestamp, self._encoder.made_key_frame)
        for seat in self.seats:
            seat.put(coded)
            if seat.needs_key:
                self.ask_for_key_frame()
        if output.source_seq not in (-1, self._left_seq):
            self._left_seq = output.source_seq
            self._on_left(output.pts, self._clock.now_ns())

    def _encode_now(self, i420: U8, pts: int, force_keyframe: bool) -> tuple[list[bytes], int]:
        """On the viewers' thread."""
        return self._encoder.encode(picture_of(self._scaler(i420), pts), force_keyframe)

    def _target_bps(self) -> int | None:
        """The lowest estimate, so that everybody can follow, and for a smaller picture no more than
        its share; the encoder has a floor of its own."""
        settled_ns = self._clock.now_ns() - SETTLING_NS
        bounds = [
            seat.estimate_bps
            for seat in self.seats
            if seat.estimate_bps is not None and seat.since_ns <= settled_ns
        ]
        if self._max_bps is not None:
            bounds.append(self._max_bps)
        return min(bounds, default=None)

    def _bound_bps(self, i420: U8) -> int | None:
        """What the links can be trusted to carry. Where several share the encode, the weakest does
        not lower it below what pictures of this size need: it soon gets smaller ones."""
        bounds = [seat.bound_bps for seat in self.seats if seat.bound_bps is not None]
        if not bounds:
            return None
        if len(self.seats) == 1:
            return bounds[0]
        return max(min(bounds), bitrate_for(*self._scaler.wh_of(i420)))
