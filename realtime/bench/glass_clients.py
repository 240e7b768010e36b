"""The two clients of `bench glass`: each sends numbered pictures and notes when they come back.

The scripted one's screen is its decoder's exit; the browser's is the frame callback of the video
element. Each has one clock for both ends. They know nothing of what is made of their notes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from aiortc import MediaStreamTrack

from realtime.bench import frame_code
from realtime.bench.chromium import Chromium
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.link import Link
from realtime.bench.performer import Performer
from realtime.bench.whip import Whip
from realtime.clock import NS_PER_MS, NS_PER_S, VIDEO_CLOCK_HZ, MonotonicClock
from realtime.frames import U8


@dataclass(frozen=True, slots=True)
class Footage:
    """What a camera shows."""

    pictures: Sequence[U8]
    """(H * 3 // 2, W) I420, shown forth and back for ever"""
    fps: float
    codec: str
    """that a browser sends: h264 or vp8"""

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)"""
        rows, width = self.pictures[0].shape
        return width, rows * 2 // 3


@dataclass
class Record:
    """What a client noted, in nanoseconds of its own clock."""

    sent: list[tuple[int, int]] = field(default_factory=list)
    """(number, when the camera made the picture)"""
    seen: list[tuple[int | None, int]] = field(default_factory=list)
    """(number, when a picture was on the screen); None for a card or a damaged picture"""
    stats: list[dict[str, Any]] = field(default_factory=list)
    """the daemon's messages"""
    connected_ns: int | None = None
    """when ICE and DTLS were done"""
    taken_ns: int = 0
    """when this was handed over: all of it was before"""


class Client(Protocol):
    """Somebody with a camera and a screen."""

    async def connect(self, daemon: DaemonProcess, identity: str | None, link: Link | None) -> None:
        """
        Raises:
            ReenactdError: the daemon refuses.
        """

    async def take(self) -> Record:
        """What was noted since the last call."""

    async def hang_up(self) -> None: ...


class CodedCamera(MediaStreamTrack):
    """The pictures at a steady rate, each with its number."""

    kind = "video"

    def __init__(self, footage: Footage) -> None:
        super().__init__()
        self._pictures = _forth_and_back(footage.pictures)
        self._interval_ns = round(NS_PER_S / footage.fps)
        self._clock = MonotonicClock()
        self._began_ns: int | None = None
        self._count = 0
        self._runs = asyncio.Event()
        self._runs.set()
        self._skipped_ns = 0
        self._stopped_ns = 0
        self.sent: list[tuple[int, int]] = []

    def stop_film(self) -> None:
        """No picture until `start_film`."""
        self._runs.clear()
        self._stopped_ns = self._clock.now_ns()

    def start_film(self) -> None:
        """On at the same pace, without making up for any."""
        if not self._runs.is_set() and self._began_ns is not None:
            self._skipped_ns += self._clock.now_ns() - self._stopped_ns
        self._runs.set()

    async def recv(self) -> av.VideoFrame:
        await self._runs.wait()
        if self._began_ns is None:
            self._began_ns = self._clock.now_ns()
        at_ns = self._count * self._interval_ns + self._skipped_ns
        due_ns = self._began_ns + at_ns
        await asyncio.sleep(max(0, due_ns - self._clock.now_ns()) / NS_PER_S)
        number = self._count % frame_code.NUMBERS
        i420 = next(self._pictures).copy()
        now_ns = self._clock.now_ns()
        frame_code.draw(i420, number)
        frame = av.VideoFrame.from_numpy_buffer(i420, format="yuv420p")
        frame.pts = at_ns * VIDEO_CLOCK_HZ // NS_PER_S
        frame.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        self._count += 1
        self.sent.append((number, now_ns))
        return frame


class _NumberReader(Performer):
    """A performer who reads the numbers of what comes back."""

    def __init__(self, url: str, token: str, camera: CodedCamera, link: Link | None) -> None:
        super().__init__(url, token, camera, link)
        self.seen: list[tuple[int | None, int]] = []

    def on_picture(self, picture: av.VideoFrame, at_ns: int) -> None:
        plane = picture.planes[0]
        luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        self.seen.append((frame_code.read(luma[: picture.height, : picture.width]), at_ns))


class AiortcClient:
    """A scripted client; the screen is the decoder's exit."""

    def __init__(self, footage: Footage) -> None:
        self.camera = CodedCamera(footage)
        self._performer: _NumberReader | None = None

    async def connect(self, daemon: DaemonProcess, identity: str | None, link: Link | None) -> None:
        self._performer = _NumberReader(daemon.url, daemon.token, self.camera, link)
        await self._performer.connect(identity)

    @property
    def closed(self) -> str | None:
        """Why the daemon ended the session, if it did."""
        return None if self._performer is None else self._performer.closed

    async def take(self) -> Record:
        performer, camera = self._performer, self.camera
        assert performer is not None
        stats = [message for _, message in performer.stats]
        now_ns = MonotonicClock().now_ns()
        taken = Record(camera.sent, performer.seen, stats, performer.connected_ns, now_ns)
        camera.sent, performer.seen, performer.stats = [], [], []
        return taken

    async def hang_up(self) -> None:
        if self._performer is not None:
            await self._performer.hang_up()


class ChromiumClient:
    """A browser; the screen is the video element's frame callback."""

    def __init__(self, browser: Chromium, footage: Footage) -> None:
        self._browser = browser
        self._clip = b"".join(picture.tobytes() for picture in footage.pictures)
        width, height = footage.size_px
        self._camera = {
            "clip": "/clip",
            "width": width,
            "height": height,
            "fps": footage.fps,
            "codec": footage.codec,
        }
        self._page: Any = None
        self._whip: Whip | None = None

    async def connect(self, daemon: DaemonProcess, identity: str | None, link: Link | None) -> None:
        self._whip = Whip(daemon.url, daemon.token)
        self._page = await self._browser.open(self._clip)
        offer = await self._page.evaluate("(camera) => bench.offer(camera)", self._camera)
        if link is not None:
            offer = link.as_seen_by_server(offer)
        answer = await self._whip.offer(offer, identity)
        if link is not None:
            answer = link.as_seen_by_client(answer)
        await self._page.evaluate("(sdp) => bench.accept(sdp)", answer)

    async def take(self) -> Record:
        taken = await self._page.evaluate("bench.take()")
        stats = [message for _, message in taken["stats"]]
        connected_ms = taken["connected"]
        return Record(
            _in_ns(taken["sent"]),
            _in_ns(taken["seen"]),
            stats,
            None if connected_ms is None else round(connected_ms * NS_PER_MS),
            round(taken["now"] * NS_PER_MS),
        )

    async def hang_up(self) -> None:
        if self._whip is not None:
            await self._whip.hang_up()
        if self._page is not None:
            await self._page.evaluate("bench.close()")
            await self._page.close()


def _forth_and_back(pictures: Sequence[U8]) -> Iterator[U8]:
    while True:
        yield from pictures
        yield from pictures[-2:0:-1]


def _in_ns(rows: list[list[Any]]) -> list[tuple[Any, int]]:
    """[value, milliseconds of the page's clock] -> (value, nanoseconds)."""
    return [(value, round(at_ms * NS_PER_MS)) for value, at_ms in rows]
