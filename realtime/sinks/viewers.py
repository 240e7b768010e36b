"""The viewers of one session: a picture is encoded once per codec, kind and size, and given to all.

    session --show--> Audience --> Feed (one per codec, background and size) --> Seat, Seat, Seat
                                   scales and encodes once, on the viewers'      one per viewer
                                   thread

A Seat is bounded. Whoever does not take coded pictures in time loses all that wait and goes on with
the next key frame; nobody else notices. Whose link is too narrow for a size gets the next smaller
one after a while, unless it chose its size, and the larger one again when there is room
(`fitting.py`). Runs on the event loop. Knows no peer connections and no threads: `rtc_viewers.py`
makes the encoders and sends what a Seat gives.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from av import VideoFrame

from realtime.capture_times import CaptureTimes
from realtime.clock import NS_PER_S, Clock
from realtime.frames import U8, OutputFrame
from realtime.latest import AsyncLatest, Closed
from realtime.link import bitrate_for
from realtime.rtc import picture_of
from realtime.sinks.fitting import Fit, refitted
from realtime.sinks.sizes import DIVISOR, Scaler, Size
from realtime.sound import Sound

logger = logging.getLogger(__name__)

Background = Literal["scene", "transparent"]
"""the whole picture, or the avatar and the mark above their matte"""
Kind = tuple[Background, Size]


class _Key(NamedTuple):
    """Of a Feed."""

    codec: str
    kind: Kind


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
        self._key_asked = False
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


class Audience:
    """Everybody who watches one session.

    Args:
        make_encoder: of a codec's name.
        on_cutout: is told when somebody begins, and when nobody goes on, to need the avatar without
            its background.
        sound: the session's voice; who hears it listens there.
    """

    def __init__(
        self,
        make_encoder: Callable[[str], Encoder],
        executor: Executor,
        clock: Clock,
        on_cutout: Callable[[bool], None],
        sound: Sound,
    ) -> None:
        self.closed = False
        self.sound = sound
        self.on_left: Callable[[int, int], None] = lambda pts, left_ns: None
        """is told of each camera picture that goes to viewers: its pts, and when it was coded"""
        self._make_encoder = make_encoder
        self._executor = executor
        self._clock = clock
        self._on_cutout = on_cutout
        self._feeds: dict[_Key, Feed] = {}
        self._picture_wh: tuple[int, int] | None = None
        """of what was shown last"""
        self._scalers: dict[Kind, Scaler] = {}

    def __len__(self) -> int:
        return sum(len(feed.seats) for feed in self._feeds.values())

    @property
    def encodes(self) -> int:
        """How often each picture is encoded for them all."""
        return len(self._feeds)

    def show(self, output: OutputFrame) -> None:
        """Every picture that leaves the session's output gate, as it leaves it."""
        self._picture_wh = output.width_px, output.height_px
        for feed in self._feeds.values():
            feed.show(output)

    def join(
        self, seat: Seat, codec: str, background: Background, size: Size | None = None
    ) -> None:
        """From the next key frame on, which is asked for, the seat gets the session's pictures.

        Args:
            size: None for the largest that its link carries.
        """
        seat.fit = Fit() if size is None else None
        self._seat(seat, _Key(codec, (background, size or "full")))

    def refit(self, seat: Seat) -> Size | None:
        """Called several times a second: gives the seat another size where its link asks for one,
        and it did not choose its own. Returns that size."""
        key = self._key_of(seat)
        if key is None or seat.fit is None or self._picture_wh is None:
            return None
        background, size = key.kind
        width, height = self._picture_wh
        parts = 2 if background == "transparent" else 1
        now_ns = self._clock.now_ns()
        seat.fit = refitted(seat.fit, seat.bound_bps, (width, height), now_ns, parts)
        if seat.fit.size == size:
            return None
        self._seat(seat, _Key(key.codec, (background, seat.fit.size)))
        self._unseat(seat, key)
        return seat.fit.size

    def leave(self, seat: Seat) -> None:
        """An encode that nobody needs any more ends."""
        key = self._key_of(seat)
        if key is not None:
            self._unseat(seat, key)

    def ask_for_key_frame(self, seat: Seat) -> None:
        key = self._key_of(seat)
        if key is not None:
            self._feeds[key].ask_for_key_frame()

    def _seat(self, seat: Seat, key: _Key) -> None:
        if key not in self._feeds:
            self._feeds[key] = self._begin(key.codec, key.kind)
            if self._cutouts() == 1 and key.kind[0] == "transparent":
                self._on_cutout(True)
        self._feeds[key].join(seat)

    def _unseat(self, seat: Seat, key: _Key) -> None:
        feed = self._feeds[key]
        feed.seats.remove(seat)
        if feed.seats:
            return
        feed.close()
        del self._feeds[key]
        self._forget_scaler(key.kind)
        if key.kind[0] == "transparent" and not self._cutouts():
            self._on_cutout(False)

    def _key_of(self, seat: Seat) -> _Key | None:
        return next((key for key, feed in self._feeds.items() if seat in feed.seats), None)

    def close(self) -> None:
        """The session is over. The seats stay open: their viewers may find another session."""
        self.closed = True
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()
        self._scalers.clear()

    def _forget_scaler(self, kind: Kind) -> None:
        """It keeps a picture; nobody needs it without an encode of its kind."""
        if all(other != kind for _, other in self._feeds):
            del self._scalers[kind]

    def _begin(self, codec: str, kind: Kind) -> Feed:
        background, size = kind
        scaler = Scaler(size, stacked=background == "transparent")
        scaler = self._scalers.setdefault(kind, scaler)
        # Of one beginning in the whole daemon, as a viewer's stamps go on in another session.
        times = CaptureTimes(0, self.sound.camera)
        encoder = self._make_encoder(codec)
        return Feed(kind, scaler, encoder, self._executor, self._clock, times, self._tell_left)

    def _tell_left(self, pts: int, left_ns: int) -> None:
        self.on_left(pts, left_ns)

    def _cutouts(self) -> int:
        return sum(background == "transparent" for _, (background, _) in self._feeds)
