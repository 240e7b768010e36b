"""The viewers of one session: a picture is encoded once per codec, kind and size, and given to all.

    session --show--> Audience --> Feed (one per codec, background and size) --> Seat, Seat, Seat
                                   scales and encodes once, on the viewers'      one per viewer
                                   thread

Whose link is too narrow for a size gets the next smaller one after a while, unless it chose its
size, and the larger one again when there is room (`fitting.py`). Runs on the event loop. Knows no
peer connections and no threads: `rtc_viewers.py` makes the encoders and sends what a Seat gives.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

from realtime.capture_times import CaptureTimes
from realtime.clock import Clock
from realtime.frames import OutputFrame
from realtime.sinks.feed import Background, Encoder, Feed, Kind, Seat
from realtime.sinks.fitting import Fit, refitted
from realtime.sinks.sizes import Scaler, Size
from realtime.sound import Sound


class _Key(NamedTuple):
    """Of a Feed."""

    codec: str
    kind: Kind


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
