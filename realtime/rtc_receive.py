"""The receiving half of aiortc 1.16, mended for live video. Used by `rtc_internals.install` only.

Upstream asks for a lost packet once, waits for it without end, and hands over one frame at most per
packet. Here a NACK (RFC 4585 section 6.2.1) is repeated on a timer, a hole is given up after a
deadline with a key frame found or asked for (PLI, section 6.3.1), and every complete frame leaves
at once (`rtc_buffer.py`). Sound is not decoded: each packet leaves as it comes. Sender reports
(RFC 3550 section 6.4.1) are kept. Knows no sessions and no pixels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from aiortc import clock as wall
from aiortc.codecs import is_rtx
from aiortc.codecs.h264 import H264Decoder
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import NackGenerator, RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket
from av.codec.context import Flags, ThreadType
from av.frame import Frame

from realtime.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from realtime.lips import SenderReport, Unwrapped
from realtime.reception import Reception
from realtime.rtc_buffer import PromptJitterBuffer, TimedFrame

logger = logging.getLogger(__name__)

NACK_INTERVAL_NS = 30 * NS_PER_MS
NACK_TRIES = 10
HOLE_PATIENCE_NS = 250 * NS_PER_MS
PLI_INTERVAL_NS = 200 * NS_PER_MS
MAX_DECODE_BACKLOG = 8
"""frames that wait for the decoder before the stream skips to a new key frame"""
MAX_DECODED_PX = 8192 * 4320
"""a larger coded picture is refused by the decoder before it allocates anything"""

MAX_HEARD = 100
"""packets of sound that nobody has taken: two seconds"""
FRESH_NS = 5 * NS_PER_S
"""what an older sender report said of the way tells nothing any more"""


@dataclass(frozen=True, slots=True)
class HeardPacket:
    """A packet of sound as it came; late and twice is possible."""

    opus: bytes
    ticks: int
    """RTP time stamp, unwrapped"""
    arrived_ns: int


@dataclass
class NackRetries:
    """Which missing packets to ask for again on this tick of the timer."""

    tries: int = NACK_TRIES
    _asked: dict[int, int] = field(default_factory=dict)

    def due(self, missing: set[int]) -> list[int]:
        """Those that were missing on the last tick too, in order; forgets those tried enough.

        `missing` is changed in place: a packet that was asked for `tries` times is given up.
        """
        for sequence in [known for known in self._asked if known not in missing]:
            del self._asked[sequence]
        again = []
        for sequence in sorted(missing):
            count = self._asked.get(sequence, 0)
            if count > self.tries:
                missing.discard(sequence)
                del self._asked[sequence]
                continue
            if count:
                again.append(sequence)
            self._asked[sequence] = count + 1
        return again


@dataclass
class HoleWatch:
    """Decides when a hole in the buffer has been waited for long enough."""

    patience_ns: int = HOLE_PATIENCE_NS
    _origin: int | None = None
    _since_ns: int = 0

    def expired(self, origin: int | None, has_hole: bool, now_ns: int) -> bool:
        if not has_hole or origin != self._origin:
            self._origin = origin if has_hole else None
            self._since_ns = now_ns
            return False
        return now_ns - self._since_ns > self.patience_ns


class MendedReceiver(RTCRtpReceiver):
    """RTCRtpReceiver with the timer that upstream lacks. Its private state is named here only."""

    def __init__(self, kind: str, transport: RTCDtlsTransport) -> None:
        super().__init__(kind, transport)
        self._is_video = kind == "video"
        self._clock: Clock = MonotonicClock()
        self._mend_task: asyncio.Task[None] | None = None
        self._media_ssrc: int | None = None
        self._media_codec: RTCRtpCodecParameters | None = None
        self._pli_sent_ns = -PLI_INTERVAL_NS
        self._unwrapped = Unwrapped()
        self._report: tuple[int, int] | None = None
        """when the newest sender report says, in ns of its sender's wall clock, and RTP ticks"""
        self._way: tuple[int, float] | None = None
        """when it came, and by how much later that was, by both wall clocks, than it was sent"""
        self.on_broken: Callable[[str], None] = lambda reason: None
        """is told why nothing is repaired any more"""
        self._packets_lost = self._nacks = self._plis = 0

    @property
    def reception(self) -> Reception:
        """What became of what was sent to it."""
        stream = self._private("remote_streams").get(self._media_ssrc)
        lost = 0 if stream is None else stream.packets_lost
        self._packets_lost = max(self._packets_lost, lost)  # what comes twice lowers upstream's
        counts = self._packets_lost, self._nacks, self._plis
        dropped = self._buffer.dropped
        return Reception(dropped["lost"], dropped["key"], dropped["backlog"], *counts)

    def way_s(self) -> float | None:
        """How long packets take from the other side, and what its wall clock is behind ours; None
        where it has not told lately."""
        if self._way is None or self._clock.now_ns() - self._way[0] > FRESH_NS:
            return None
        return self._way[1]

    @property
    def report(self) -> SenderReport | None:
        """The newest sender report: of video on the scale of its frames' pts, of sound unwrapped
        with the packets' own time stamps. None before there is one, and anything to compare."""
        if self._report is None:
            return None
        ntp_ns, stamp = self._report
        unwrapped, origin = self._unwrapped, 0
        if self._is_video:
            mapper = self._private("timestamp_mapper")
            unwrapped, origin = Unwrapped(mapper._last), mapper._origin
        ticks = unwrapped.near(stamp)
        return None if ticks is None else SenderReport(ntp_ns, ticks - origin)

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        await super().receive(parameters)
        if self._is_video and self._mend_task is None:
            self._mend_task = asyncio.create_task(self._mend())
            self._mend_task.add_done_callback(self._mended)

    async def stop(self) -> None:
        if self._mend_task is not None:
            self._mend_task.cancel()
            self._mend_task = None
        await super().stop()

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if not self._is_video:
            await super()._handle_rtp_packet(packet, arrival_time_ms)  # counts it
            self._hand_over(packet)
            return
        codec = self._private("codecs").get(packet.payload_type)
        if codec is not None and not is_rtx(codec):
            self._media_ssrc, self._media_codec = packet.ssrc, codec
        if self._private("decoder_queue").qsize() > MAX_DECODE_BACKLOG:
            self._buffer.skip_to_key("backlog")
        await super()._handle_rtp_packet(packet, arrival_time_ms)
        self._release_complete()

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            about = packet.sender_info
            later_s = (wall.current_ntp_time() - about.ntp_timestamp) / 2**32
            self._way = self._clock.now_ns(), later_s
            self._report = about.ntp_timestamp * NS_PER_S >> 32, about.rtp_timestamp
        await super()._handle_rtcp_packet(packet)

    def _hand_over(self, packet: RtpPacket) -> None:
        """A packet of sound goes to its track as it is; the oldest goes if nobody takes them."""
        codec = self._private("codecs").get(packet.payload_type)
        if not packet.payload or codec is None or codec.name.lower() != "opus":
            return
        assert self._track is not None
        queue = self._track._queue
        if queue.qsize() >= MAX_HEARD:
            queue.get_nowait()
        ticks = self._unwrapped(packet.timestamp)
        queue.put_nowait(HeardPacket(packet.payload, ticks, self._clock.now_ns()))

    def _release_complete(self) -> None:
        """One packet can complete several frames; upstream hands over only the first."""
        if self._media_codec is None or not self._decoding:
            return
        while (frame := self._buffer._remove_frame(0)) is not None:
            frame.timestamp = self._private("timestamp_mapper").map(frame.timestamp)
            self._private("decoder_queue").put((self._media_codec, frame))

    async def _send_rtcp_nack(self, media_ssrc: int, lost: list[int]) -> None:
        self._nacks += len(lost)
        await super()._send_rtcp_nack(media_ssrc, lost)

    async def _send_rtcp_pli(self, media_ssrc: int) -> None:
        self._plis += 1
        await super()._send_rtcp_pli(media_ssrc)

    def _mended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error("lost packets are not asked for any more: %s", repr(fault), exc_info=fault)
            self.on_broken(f"a fault of the daemon: lost packets cannot be repaired ({fault!r})")

    async def _mend(self) -> None:
        retries, hole = NackRetries(), HoleWatch()
        missing = cast(NackGenerator, self._private("nack_generator")).missing
        while self._decoding:
            await asyncio.sleep(NACK_INTERVAL_NS / NS_PER_S)
            if self._media_ssrc is None:
                continue
            if again := retries.due(missing):
                await self._send_rtcp_nack(self._media_ssrc, again)
            buffer, now_ns = self._buffer, self._clock.now_ns()
            if hole.expired(buffer._origin, buffer.has_hole(), now_ns):
                buffer.give_up()
                missing.clear()
                self._release_complete()
            if buffer.awaiting_key and now_ns - self._pli_sent_ns >= PLI_INTERVAL_NS:
                self._pli_sent_ns = now_ns
                await self._send_rtcp_pli(self._media_ssrc)

    @property
    def _decoding(self) -> bool:
        return self._private("decoder_thread") is not None

    @property
    def _buffer(self) -> PromptJitterBuffer:
        return cast(PromptJitterBuffer, self._private("jitter_buffer"))

    def _private(self, name: str) -> Any:
        return getattr(self, f"_RTCRtpReceiver__{name}")


RECEIVER_PRIVATES = (
    "codecs",
    "decoder_queue",
    "decoder_thread",
    "jitter_buffer",
    "nack_generator",
    "remote_streams",
    "timestamp_mapper",
)
"""what `_private` may ask for; `rtc_internals.install` checks that upstream still has them"""


class OneThreadH264Decoder(H264Decoder):
    """Frame threads, FFmpeg's default, would add a frame of delay each."""

    def __init__(self) -> None:
        super().__init__()
        make_prompt(self.codec)

    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        return with_first_packet(super().decode(encoded_frame), encoded_frame)


class OneThreadVp8Decoder(Vp8Decoder):
    """As for H.264."""

    def __init__(self) -> None:
        super().__init__()
        make_prompt(self.codec)

    def decode(self, encoded_frame: JitterFrame) -> list[Frame]:
        return with_first_packet(super().decode(encoded_frame), encoded_frame)


def with_first_packet(pictures: list[Frame], encoded: JitterFrame) -> list[Frame]:
    """The pictures, each carrying the time at which its first packet came, for `first_packet_ns`.

    A prompt decoder gives out what it was just given, so they belong together.
    """
    if isinstance(encoded, TimedFrame):
        for picture in pictures:
            picture.opaque = encoded.first_ns
    return pictures


def first_packet_ns(picture: Frame) -> int | None:
    """When the first packet of a received picture came (monotonic); None if that is not known."""
    return picture.opaque if isinstance(picture.opaque, int) else None


def make_prompt(codec: Any) -> None:
    """Set a not yet opened decoder to give out each picture at once, and none too large."""
    codec.thread_type = ThreadType.SLICE
    codec.thread_count = 1
    codec.flags |= Flags.low_delay
    codec.options = {"max_pixels": str(MAX_DECODED_PX)}
