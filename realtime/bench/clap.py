"""A performer who claps: the picture flashes when the microphone clicks, and both are found again.

A flash does not show through an avatar, so the daemon is one that returns the camera's picture
(`coded_daemon.py`, `echo`), in its own place of the same transport. What is measured is how much
later the click is heard than the flash is seen; below zero the sound comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from realtime.clock import NS_PER_MS, NS_PER_S, SOUND_CLOCK_HZ, VIDEO_CLOCK_HZ, MonotonicClock
from realtime.lips import SenderReport
from realtime.rtc_receive import HeardPacket

FPS = 30
BLOCK = SOUND_CLOCK_HZ // 50
"""samples of a packet: 20 ms"""
EVERY_FRAMES = 30
FLASH_FRAMES = 6
"""long enough for a busy machine, which leaves pictures out, not to miss it"""
DARK, BRIGHT = 40, 220
_MIDDLE = (DARK + BRIGHT) // 2
CLICK = SOUND_CLOCK_HZ // 200
"""samples: 5 ms of 2 kHz"""
_LOUD = 0.1
_APART_NS = NS_PER_S // 2
"""a click further from a flash is another's"""


class ClapCamera(MediaStreamTrack):
    """Dark pictures, and a bright one at each clap; sent as soon as each is taken."""

    kind = "video"

    def __init__(self, began_ns: int, width_px: int = 320, height_px: int = 240) -> None:
        super().__init__()
        self._began_ns = began_ns
        self._size = (height_px * 3 // 2, width_px)
        self._count = 0

    def ticks_at(self, now_ns: int) -> int:
        return (now_ns - self._began_ns) * VIDEO_CLOCK_HZ // NS_PER_S

    async def recv(self) -> av.VideoFrame:
        count = self._count
        await _until(self._began_ns + count * NS_PER_S // FPS)
        i420 = np.full(self._size, 128, np.uint8)
        lit = count >= EVERY_FRAMES and count % EVERY_FRAMES < FLASH_FRAMES
        i420[: self._size[0] * 2 // 3] = BRIGHT if lit else DARK
        frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
        frame.pts, frame.time_base = count * VIDEO_CLOCK_HZ // FPS, Fraction(1, VIDEO_CLOCK_HZ)
        self._count += 1
        return frame


class ClapMicrophone(MediaStreamTrack):
    """Silence, and a click at each clap; a block is sent when its last sample is taken.

    Args:
        fast_ppm: its crystal is so much faster than the camera's, which is this machine's.
    """

    kind = "audio"

    def __init__(self, began_ns: int, fast_ppm: float = 0.0) -> None:
        super().__init__()
        self._began_ns = began_ns
        self._ns_per_sample = NS_PER_S / (SOUND_CLOCK_HZ * (1 + fast_ppm * 1e-6))
        self._count = 0

    def ticks_at(self, now_ns: int) -> int:
        return int((now_ns - self._began_ns) / self._ns_per_sample)

    async def recv(self) -> av.AudioFrame:
        first = self._count * BLOCK
        await _until(self._began_ns + round((first + BLOCK) * self._ns_per_sample))
        at = np.arange(first, first + BLOCK)
        since = (at * self._ns_per_sample) % (EVERY_FRAMES * NS_PER_S / FPS) / self._ns_per_sample
        lit = (since < CLICK) & (at > BLOCK)
        tone = np.sin(since * (2 * np.pi * 2000 / SOUND_CLOCK_HZ)) * lit
        frame = av.AudioFrame.from_ndarray(
            (tone * 20_000).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = SOUND_CLOCK_HZ, first
        frame.time_base = Fraction(1, SOUND_CLOCK_HZ)
        self._count += 1
        return frame


@dataclass(frozen=True, slots=True)
class Clap:
    """One event, twice: when it came, and when its time stamp says that it was."""

    came_ns: int
    stamped_ns: int


@dataclass
class Audience:
    """Finds flashes and clicks in what comes back over one connection."""

    peer: RTCPeerConnection
    flashes: list[Clap] = field(default_factory=list)
    clicks: list[Clap] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    """of Opus, all that came"""
    pictures: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def watch(self, track: MediaStreamTrack) -> None:
        """Give this to the peer's `track` event."""
        receiver = next(each for each in self.peer.getReceivers() if each.track is track)
        look = self._look if track.kind == "video" else self._listen
        task = asyncio.create_task(look(track, receiver))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, track: MediaStreamTrack, receiver: RTCRtpReceiver) -> None:
        clock, lit = MonotonicClock(), True
        while (frame := await _next(track)) is not None:
            now_ns, was = clock.now_ns(), lit
            self.pictures += 1
            lit = bool(frame.to_ndarray()[: frame.height].mean() > _MIDDLE)
            report: SenderReport | None = getattr(receiver, "report", None)
            if lit and not was and report is not None:
                self.flashes.append(Clap(now_ns, _ntp_ns(report, frame.pts, VIDEO_CLOCK_HZ)))

    async def _listen(self, track: MediaStreamTrack, receiver: RTCRtpReceiver) -> None:
        clicks = Clicks()
        decoder: Any = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout = SOUND_CLOCK_HZ, "mono"
        while (packet := await _next(track)) is not None:
            assert isinstance(packet, HeardPacket)
            self.packets.append(packet.opus)
            for block in decoder.decode(av.Packet(packet.opus)):
                at = clicks.find(samples_of(block))
                report: SenderReport | None = getattr(receiver, "report", None)
                if at is None or report is None:
                    continue
                came_ns = packet.arrived_ns + at * NS_PER_S // SOUND_CLOCK_HZ
                stamped_ns = _ntp_ns(report, packet.ticks + at, SOUND_CLOCK_HZ)
                self.clicks.append(Clap(came_ns, stamped_ns))


@asynccontextmanager
async def attending(
    answer_to: Callable[[str], Awaitable[str]],
    sources: Sequence[MediaStreamTrack | str],
    direction: str,
) -> AsyncIterator[Audience]:
    """A connection of its own until the end of the block, and what comes back over it.

    Args:
        answer_to: posts an SDP offer and returns the answer.
        sources: what is sent; a kind where nothing is.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    audience = Audience(peer)
    peer.on("track", audience.watch)
    try:
        for source in sources:
            peer.addTransceiver(source, direction=direction)
        await peer.setLocalDescription(await peer.createOffer())
        answer = await answer_to(peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        yield audience
    finally:
        await peer.close()


@dataclass
class Clicks:
    """Finds where a click begins, block by block."""

    _quiet: int = 0

    def find(self, samples: NDArray[np.float32]) -> int | None:
        """Index of a click's first loud sample, if one begins here."""
        loud = np.flatnonzero(np.abs(samples) > _LOUD)
        if not len(loud):
            self._quiet += len(samples)
            return None
        heard, self._quiet = self._quiet >= SOUND_CLOCK_HZ // 10, len(samples) - 1 - int(loud[-1])
        return int(loud[0]) if heard else None


def samples_of(block: av.AudioFrame) -> NDArray[np.float32]:
    """The first channel, -1 to 1."""
    samples = block.to_ndarray()
    if not block.format.is_planar:
        samples = samples.reshape(-1, len(block.layout.channels)).T
    scale = 32768 if samples.dtype == np.int16 else 1
    return np.asarray(samples[0] / scale, np.float32)


def offsets_ms(flashes_ns: list[int], clicks_ns: list[int]) -> list[float]:
    """For each flash, how much later its click is; flashes without one are left out."""
    found = []
    for flash_ns in flashes_ns:
        nearest = min((click_ns - flash_ns for click_ns in clicks_ns), key=abs, default=_APART_NS)
        if abs(nearest) < _APART_NS:
            found.append(nearest / NS_PER_MS)
    return found


def in_file(path: Path) -> tuple[list[int], list[int]]:
    """When a film's flashes and clicks are, in nanoseconds of its own time."""
    flashes, clicks, lit, finder = list[int](), list[int](), True, Clicks()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0, audio=0):
            at_ns = round(float((frame.pts or 0) * (frame.time_base or 0)) * NS_PER_S)
            if isinstance(frame, av.VideoFrame):
                was, lit = lit, bool(frame.to_ndarray()[: frame.height].mean() > _MIDDLE)
                if lit and not was:
                    flashes.append(at_ns)
            elif isinstance(frame, av.AudioFrame):
                at = finder.find(samples_of(frame))
                if at is not None:
                    clicks.append(at_ns + at * NS_PER_S // SOUND_CLOCK_HZ)
    return flashes, clicks


@dataclass(frozen=True, slots=True)
class Offsets:
    """How well lips and voice fit; positive where the voice is late."""

    claps: int
    median_ms: float
    worst_ms: float
    within_40: float = 0.0
    """share of the claps"""

    @classmethod
    def of(cls, flashes_ns: list[int], clicks_ns: list[int]) -> Offsets:
        found = offsets_ms(flashes_ns, clicks_ns)
        if not found:
            return cls(0, float("nan"), float("nan"))
        within = sum(abs(each_ms) < 40 for each_ms in found) / len(found)
        return cls(len(found), median(found), max(found, key=abs), within)


def _ntp_ns(report: SenderReport, ticks: int, rate_hz: int) -> int:
    return report.ntp_ns + (ticks - report.ticks) * NS_PER_S // rate_hz


async def _next(track: MediaStreamTrack) -> Any:
    try:
        return await track.recv()
    except MediaStreamError:
        return None


async def _until(at_ns: int) -> None:
    wait_ns = at_ns - MonotonicClock().now_ns()
    if wait_ns > 0:
        await asyncio.sleep(wait_ns / NS_PER_S)
