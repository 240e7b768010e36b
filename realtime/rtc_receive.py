"""The receiving half of aiortc 1.16, mended for live video. Used by `rtc_internals.install` only.

Upstream keeps every frame until the next one begins, asks for a lost packet once, waits for it
without end, and hands over one frame at most per packet. Here: a frame leaves with its marker
packet (RFC 3550 section 5.1), a NACK (RFC 4585 section 6.2.1) is repeated on a timer, a hole is
given up after a deadline with a key frame found or asked for (PLI, section 6.3.1), and every
complete frame leaves at once. Sound is not decoded: each packet leaves as it comes. Sender reports
(RFC 3550 section 6.4.1) are kept. Knows no sessions and no pixels.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from aiortc.codecs import is_rtx
from aiortc.codecs.h264 import H264Decoder
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import NackGenerator, RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket
from av.codec.context import Flags, ThreadType
from av.frame import Frame

from realtime.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from realtime.lips import SenderReport, Unwrapped

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
MAX_TIMED = 64
"""frames whose first packet's time is kept; what was lost must not pile up"""

_START_CODE = b"\x00\x00\x01"
_H264_SLICE, _H264_IDR, _H264_SPS = 1, 5, 7


def is_key_frame(data: bytes) -> bool:
    """Whether depayloaded data begins a key frame: VP8 by RFC 6386 section 9.1, else H.264 Annex B.

    The two cannot be mistaken for each other: VP8's key frames carry the code 9d 01 2a at byte 3.
    """
    if len(data) > 5 and data[3:6] == b"\x9d\x01\x2a" and not data[0] & 1:
        return True
    if not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return False
    at = data.find(_START_CODE)
    while at != -1 and at + 3 < len(data):
        nal_type = data[at + 3] & 0x1F
        if nal_type in (_H264_IDR, _H264_SPS):
            return True
        if nal_type == _H264_SLICE:
            return False
        at = data.find(_START_CODE, at + 3)
    return False


class TimedFrame(JitterFrame):
    """A frame to decode that knows when its first packet came."""

    def __init__(self, data: bytes, timestamp: int, first_ns: int) -> None:
        super().__init__(data, timestamp)
        self.first_ns = first_ns


@dataclass(frozen=True, slots=True)
class HeardPacket:
    """A packet of sound as it came; late and twice is possible."""

    opus: bytes
    ticks: int
    """RTP time stamp, unwrapped"""
    arrived_ns: int


class PromptJitterBuffer(JitterBuffer):
    """A video frame leaves when its marker packet is contiguous. Sound never comes in here.

    While `awaiting_key`, frames that the decoder could only smear are dropped.
    """

    def __init__(
        self,
        capacity: int,
        prefetch: int = 0,
        is_video: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(capacity, prefetch, is_video)
        self.awaiting_key = is_video
        self._clock = clock or MonotonicClock()
        self._first_ns: dict[int, int] = {}
        """RTP timestamp -> when its first packet came"""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        if not self._is_video:
            return False, None  # upstream would wait for four packets, or sixteen after a lost one
        if packet.timestamp not in self._first_ns:
            self._first_ns[packet.timestamp] = self._clock.now_ns()
            if len(self._first_ns) > MAX_TIMED:
                del self._first_ns[next(iter(self._first_ns))]
        overflowed, frame = super().add(packet)
        if overflowed:
            self.awaiting_key = True
            if frame is not None and not is_key_frame(frame.data):
                frame = None
        return overflowed, frame

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        while True:
            frame = self._next_complete()
            if frame is None:
                return None
            if self.awaiting_key and not is_key_frame(frame.data):
                continue
            if frame.data:  # padding packets make empty frames, which a decoder takes for the end
                self.awaiting_key = False
                return frame

    def _next_complete(self) -> TimedFrame | None:
        if self._origin is None:
            return None
        parts: list[bytes] = []
        timestamp: int | None = None
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if timestamp is None:
                timestamp = packet.timestamp
            elif packet.timestamp != timestamp:  # a sender without markers: upstream's rule
                self.remove(count)
                return self._timed(parts, timestamp)
            parts.append(packet._data)  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return self._timed(parts, timestamp)
        return None

    def _timed(self, parts: list[bytes], timestamp: int) -> TimedFrame:
        first_ns = self._first_ns.pop(timestamp, None)
        if first_ns is None:  # of a stream far behind: it was forgotten
            first_ns = self._clock.now_ns()
        return TimedFrame(b"".join(parts), timestamp, first_ns)

    def has_hole(self) -> bool:
        """Whether packets wait behind a missing one."""
        if self._origin is None:
            return False
        missing = False
        for count in range(self.capacity):
            if self._packets[(self._origin + count) % self.capacity] is None:
                missing = True
            elif missing:
                return True
        return False

    def give_up(self) -> None:
        """Drop what waits behind the hole: up to the next key frame held, else everything."""
        if self._origin is None:
            return
        missing, last_held = False, -1
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                missing = True
                continue
            last_held = count
            if missing and is_key_frame(packet._data):  # type: ignore[attr-defined]
                self.remove(count)
                return
        # The origin moves on instead of being forgotten, so that late packets stay late.
        self.remove(last_held + 1)
        self.awaiting_key = True


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
            self._buffer.awaiting_key = True
        await super()._handle_rtp_packet(packet, arrival_time_ms)
        self._release_complete()

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            about = packet.sender_info
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
