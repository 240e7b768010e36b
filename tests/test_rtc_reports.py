"""Sender reports tell a track's own clock."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import pytest
from aiortc import RTCPeerConnection, RTCRtpTransceiver
from aiortc import clock as wall
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    pack_remb_fci,
)

from realtime import rtc_internals
from realtime.clock import FakeClock
from realtime.config import Rtc
from realtime.link import LinkState
from realtime.rtc import peer_configuration
from realtime.rtc_encode import Bitrates, FastH264Encoder
from realtime.rtc_reports import ReportingSender, one_moment


class Track(MediaStreamTrack):
    """Sound of which the clock is asked: 48 ticks a millisecond of a fake clock, plus 5000."""

    kind = "audio"
    knows = True

    def ticks_at(self, now_ns: int) -> int | None:
        return now_ns * 48 // 1_000_000 + 5000 if self.knows else None

    async def recv(self) -> av.Packet[Any]:
        packet = av.Packet(b"\xf8\xff\xfe")
        packet.pts, packet.time_base = 960, Fraction(1, 48_000)
        return packet


async def reported(track: Track, packets: int) -> list[AnyRtcpPacket] | None:
    """What goes out for upstream's report, after one packet of that track."""
    rtc_internals.install(Rtc(), loopback=True)
    peer = RTCPeerConnection(peer_configuration(Rtc()))
    transceiver: RTCRtpTransceiver = peer.addTransceiver(track)
    sender = transceiver.sender
    assert isinstance(sender, ReportingSender)
    sent: list[AnyRtcpPacket] | None = None

    async def send(data: bytes) -> None:
        nonlocal sent
        sent = RtcpPacket.parse(data)

    clock = FakeClock()
    clock.advance_ms(100)
    sender._clock = clock
    sender.transport._send_rtp = send  # type: ignore[method-assign]
    opus: Any = type("Codec", (), {"mimeType": "audio/opus", "name": "opus"})()
    for _ in range(2):
        frame = await sender._next_encoded_frame(opus)
        assert frame is not None and frame.timestamp == 960
        setattr(sender, "_RTCRtpSender__rtp_timestamp", 960 + 70_000)  # noqa: B010
    setattr(sender, "_RTCRtpSender__packet_count", packets)  # noqa: B010
    about = RtcpSenderInfo(ntp_timestamp=1, rtp_timestamp=2, packet_count=1, octet_count=1)
    await sender._send_rtcp([RtcpSrPacket(ssrc=1, sender_info=about), RtcpSdesPacket(chunks=[])])
    await peer.close()
    lsr = getattr(sender, "_RTCRtpSender__lsr")  # noqa: B009
    assert lsr is None or lsr == about.ntp_timestamp >> 16 & 0xFFFFFFFF
    return sent


async def test_a_report_tells_what_the_tracks_clock_reads_now() -> None:
    before = wall.current_ntp_time()
    sent = await reported(Track(), packets=1)
    assert sent is not None and isinstance(sent[0], RtcpSrPacket)
    about = sent[0].sender_info
    assert about.rtp_timestamp == 70_000 + 100 * 48 + 5000
    assert before <= about.ntp_timestamp <= wall.current_ntp_time()


async def test_a_track_that_does_not_know_is_reported_as_upstream_does() -> None:
    track = Track()
    track.knows = False
    sent = await reported(track, packets=1)
    assert sent is not None and isinstance(sent[0], RtcpSrPacket)
    assert (sent[0].sender_info.ntp_timestamp, sent[0].sender_info.rtp_timestamp) == (1, 2)


async def test_before_the_first_packet_there_is_nothing_to_report() -> None:
    assert await reported(Track(), packets=0) is None


def test_both_clocks_are_read_at_one_moment_though_the_thread_is_put_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, delays_ms = FakeClock(), [30, 5, 0.2, 0]

    def read() -> int:
        clock.advance_ms(delays_ms.pop(0))
        return clock.now_ns()

    monkeypatch.setattr(wall, "current_ntp_time", read)
    now_ns, told = one_moment(clock)
    assert abs(now_ns - told) < 1_000_000 and delays_ms == [0]


async def hearing(*packets: AnyRtcpPacket) -> tuple[LinkState, int | None]:
    """What a video sender knows after these, and the bound of its encoder."""
    rtc_internals.install(Rtc(), loopback=True)
    peer = RTCPeerConnection(peer_configuration(Rtc()))
    sender = peer.addTransceiver("video").sender
    assert isinstance(sender, ReportingSender)
    encoder = FastH264Encoder(Bitrates(2_000_000, 4_000_000))
    setattr(sender, "_RTCRtpSender__encoder", encoder)  # noqa: B010
    for packet in packets:
        for report in getattr(packet, "reports", []):
            report.ssrc = sender._ssrc
        if isinstance(packet, RtcpPsfbPacket):
            packet.fci = pack_remb_fci(300_000, [sender._ssrc])
        await sender._handle_rtcp_packet(packet)
    await peer.close()
    return sender.link.state, encoder.bound_bps


def report(lost_share: float, round_trip_s: float) -> RtcpRrPacket:
    sent = wall.current_ntp_time() >> 16 & 0xFFFFFFFF
    info = RtcpReceiverInfo(
        ssrc=0,
        fraction_lost=round(lost_share * 256),
        packets_lost=0,
        highest_sequence=0,
        jitter=0,
        lsr=sent - round((round_trip_s + 0.5) * 65536) & 0xFFFFFFFF,
        dlsr=32768,
    )
    return RtcpRrPacket(ssrc=1, reports=[info])


def estimate() -> RtcpPsfbPacket:
    return RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=1, media_ssrc=0)


async def test_an_estimate_is_heard_and_lost_packets_bound_what_is_sent() -> None:
    assert await hearing(estimate()) == (LinkState(300_000, None), None)
    told = await hearing(estimate(), report(0.02, 0.05), report(0.03, 0.06))
    assert told == (LinkState(300_000, None), None)
    state, bound_bps = await hearing(estimate(), report(0.25, 0.05))
    assert state.bound_bps == bound_bps == 262_500


async def test_packets_that_wait_in_a_queue_are_as_bad_as_lost_ones() -> None:
    state, bound_bps = await hearing(estimate(), report(0, 0.04), report(0, 0.3), report(0, 0.3))
    assert state.bound_bps == bound_bps == 255_000
    state, _ = await hearing(estimate(), report(0, 0.3), report(0, 0.35), report(0, 0.35))
    assert state.bound_bps is None, "a long way is no queue"


async def test_an_application_message_that_is_no_estimate_is_passed_over() -> None:
    packet = estimate()
    packet.fci = b"VIDA0000"
    rtc_internals.install(Rtc(), loopback=True)
    peer = RTCPeerConnection(peer_configuration(Rtc()))
    sender = peer.addTransceiver("video").sender
    assert isinstance(sender, ReportingSender)
    await sender._handle_rtcp_packet(packet)
    await peer.close()
    assert sender.link.state == LinkState()
