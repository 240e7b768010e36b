"""The sending half of aiortc 1.16: its own reports are right, and receivers' are heard.

A sender report tells a moment on the wall clock and in time stamps, so that a receiver can put two
streams together (RFC 3550 section 6.4.1). Upstream pairs the last packet's time stamp with the time
at which it was sent; but a picture's stamp is when the camera took it, some 50 ms earlier, and how
much earlier changes with every picture. Here a track that knows tells what its clock reads now.
What a receiver reports of the link goes to a `LinkWatch`, whose bound the encoder keeps to. Used by
`rtc_internals.install` only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from aiortc import clock as wall
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame, RTCRtpSender
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)
from aiortc.utils import uint32_add

from realtime.clock import NS_PER_MS, Clock, MonotonicClock
from realtime.link import LinkWatch, Report
from realtime.rtc_encode import Steered

LONGEST_TRIP_S = 30.0
"""a longer one is the wall clock that was set"""
NEAR_NS = NS_PER_MS
TRIES = 10


def one_moment(clock: Clock) -> tuple[int, int]:
    """This side's clock, and the wall's in NTP's format, read together.

    A thread that is put aside between the two would tell of different moments; then both are read
    again.
    """
    for _ in range(TRIES):
        before_ns, now, after_ns = clock.now_ns(), wall.current_ntp_time(), clock.now_ns()
        if after_ns - before_ns < NEAR_NS:
            break
    return (before_ns + after_ns) // 2, now


@runtime_checkable
class Timed(Protocol):
    """A track with a clock of its own."""

    def ticks_at(self, now_ns: int) -> int | None:
        """What its clock reads, in ticks of its time stamps; None while it does not know."""


class ReportingSender(RTCRtpSender):
    """RTCRtpSender that asks its track. Its private state is named here only."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._clock: Clock = MonotonicClock()
        self.link = LinkWatch(self._clock)
        self.way_up_s: Callable[[], float | None] = lambda: None
        """how long the other side's packets take, where it sends some: `MendedReceiver.way_s`"""
        self._sent: int | None = None
        """the track's time stamp of what was sent last"""
        self._origin: int | None = None
        """of the RTP time stamps, which begin anywhere, over the track's"""

    def let_picture_wait(self) -> None:
        """From the next picture on, the player decides for how long it holds each back."""
        self._private("rtp_header_extensions_map").at_once = False

    async def _next_encoded_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        if self._sent is not None:  # it asks again when all packets of the last one are out
            self._origin = uint32_add(self._private("rtp_timestamp"), -self._sent)
        frame = await super()._next_encoded_frame(codec)
        self._sent = self._sent if frame is None else frame.timestamp
        return frame

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    lost_share, sent_bytes = report.fraction_lost / 256, self._sent_bytes
                    trip_s = round_trip_s(report)
                    self.link.reported(Report(lost_share, trip_s, self.way_up_s(), sent_bytes))
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            self._estimated(packet.fci)
        encoder, state = self._private("encoder"), self.link.state
        if isinstance(encoder, Steered):
            encoder.bound_bps = state.bound_bps

    @property
    def _sent_bytes(self) -> int:
        return int(self._private("octet_count"))

    async def _retransmit(self, sequence_number: int) -> None:
        if self.link.may_repeat():
            await super()._retransmit(sequence_number)

    def _estimated(self, message: bytes) -> None:
        try:
            bitrate_bps, ssrcs = unpack_remb_fci(message)
        except ValueError:  # another application's message
            return
        if self._ssrc in ssrcs:
            self.link.estimated(bitrate_bps)

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        if any(isinstance(packet, RtcpSrPacket) for packet in packets):
            if self._private("packet_count") == 0:
                return  # there is no clock to report yet
            for packet in packets:
                if isinstance(packet, RtcpSrPacket):
                    self._correct(packet)
        await super()._send_rtcp(packets)

    def _correct(self, report: RtcpSrPacket) -> None:
        track = self._private("track")
        now_ns, now = one_moment(self._clock)
        ticks = track.ticks_at(now_ns) if isinstance(track, Timed) else None
        if ticks is None or self._origin is None:
            return
        report.sender_info.ntp_timestamp = now
        report.sender_info.rtp_timestamp = uint32_add(self._origin, ticks)
        # by these bits the receiver's answer tells the round trip
        setattr(self, "_RTCRtpSender__lsr", now >> 16 & 0xFFFFFFFF)  # noqa: B010

    def _private(self, name: str) -> Any:
        return getattr(self, f"_RTCRtpSender__{name}")


def round_trip_s(report: RtcpReceiverInfo) -> float | None:
    """By RFC 3550 section 6.4.1; None where the receiver had no report to answer."""
    if not report.lsr or not report.dlsr:
        return None
    now = wall.current_ntp_time() >> 16 & 0xFFFFFFFF
    trip_s = (now - report.lsr - report.dlsr & 0xFFFFFFFF) / 65536
    return trip_s if trip_s < LONGEST_TRIP_S else None


SENDER_PRIVATES = (
    *("encoder", "lsr", "octet_count", "packet_count", "rtp_header_extensions_map"),
    *("rtp_timestamp", "track"),
)
"""what is read and set there; `rtc_internals.install` checks that upstream still has them"""
