"""The voice's two ends: what a sender pulls, what a receiver hands over, and its reports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from aiortc.codecs import CODECS
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket, RtpPacket

from realtime import rtc_internals
from realtime.clock import FakeClock
from realtime.config import Rtc
from realtime.frames import OutputFrame, Timings, Voice
from realtime.lips import SenderReport
from realtime.rtc import peer_configuration
from realtime.rtc_receive import MAX_HEARD, HeardPacket, MendedReceiver
from realtime.rtc_sound import MAX_QUEUED, SoundTrack, hear
from realtime.rtc_viewers import Hearing
from realtime.sound import Sound
from tests.pictures import i420_of, texture

OPUS = next(codec for codec in CODECS["audio"] if codec.name == "opus")


def voice(ticks: int) -> Voice:
    return Voice(b"\xf8\xff\xfe", ticks, 0, 0)


async def test_packets_go_out_as_they_are_with_the_microphones_times() -> None:
    track = SoundTrack()
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    track.put(voice(960))
    packet = await waiting
    assert (bytes(packet), packet.pts) == (b"\xf8\xff\xfe", 960)
    assert packet.time_base is not None and packet.time_base.denominator == 48_000


async def test_a_connection_that_stands_still_keeps_the_newest() -> None:
    track = SoundTrack()
    for count in range(MAX_QUEUED + 3):
        track.put(voice(count))
    assert (await track.recv()).pts == 3 and track.dropped == 3


async def test_the_first_packet_is_told_of_once() -> None:
    track, told = SoundTrack(), list[bool]()
    track.on_first = lambda: told.append(True)
    for count in range(3):
        track.put(voice(count))
        await track.recv()
    assert told == [True]


class Session:
    """A voice whose camera took its first picture now; it speaks in packets of 20 ms."""

    def __init__(self, clock: FakeClock, ticks: int) -> None:
        self.sound = Sound(clock, lambda: False)
        shown = OutputFrame(i420_of(texture()), 320, 240, 1, 0, "LIVE", Timings(clock.now_ns()), 0)
        self.sound.camera.follow(shown, clock.now_ns())
        self.sound.lips.picture_arrived(0, clock.now_ns())
        self._clock, self._ticks = clock, ticks

    def say(self) -> None:
        self._clock.advance_ms(20)
        self.sound.offer(b"\xf8\xff\xfe", self._ticks, self._clock.now_ns())
        self._ticks += 960
        self.sound.pump()


async def test_a_viewer_hears_one_session_after_the_other_on_one_clock() -> None:
    clock = FakeClock(2_000_000_000)
    hearing, one, two = Hearing(clock), Session(clock, 7_000_000), Session(clock, 50)
    assert hearing.ticks_at(clock.now_ns()) is None
    hearing.follow(one.sound)
    for _ in range(2):
        one.say()
    clock.advance_ms(500)
    hearing.follow(two.sound)
    assert one.sound._listeners == ()
    assert hearing.ticks_at(clock.now_ns()) == 97_920 + 960 + 24_000, "of the one heard last"
    for _ in range(2):
        two.say()
    stamps = [(await hearing.recv()).pts for _ in range(4)]
    assert stamps == [96_960, 97_920, 122_880, 123_840]
    assert hearing.ticks_at(clock.now_ns()) == 123_840 + 960
    hearing.follow(None)
    two.say()
    assert not hearing._queue


async def test_a_track_that_ends_lets_its_sender_go() -> None:
    track = SoundTrack()
    waiting = asyncio.ensure_future(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(waiting, 5)


async def receiver_of(kind: str) -> tuple[RTCPeerConnection, MendedReceiver]:
    rtc_internals.install(Rtc(), loopback=True)
    peer = RTCPeerConnection(peer_configuration(Rtc()))
    receiver = peer.addTransceiver(kind).receiver
    assert isinstance(receiver, MendedReceiver)
    receiver._track = RemoteStreamTrack(kind)
    return peer, receiver


def packet(sequence: int, timestamp: int, payload: bytes = b"\xf8ab", kind: int = 96) -> RtpPacket:
    made = RtpPacket(payload_type=kind, sequence_number=sequence, timestamp=timestamp)
    made.ssrc, made.payload = 1, payload
    return made


def report(ntp_s: float, stamp: int) -> RtcpSrPacket:
    ntp = round(ntp_s * (1 << 32))
    return RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(ntp, stamp, 1, 1))


async def test_packets_are_handed_over_as_they_come_and_undecoded() -> None:
    peer, receiver = await receiver_of("audio")
    receiver._private("codecs")[96] = OPUS
    got: list[HeardPacket] = []
    hearing = asyncio.create_task(hear(receiver.track, got.append))
    base = (1 << 32) - 960
    for sequence, timestamp in ((1, base), (3, 960), (2, 0), (5, 2880)):  # 4 is lost, 2 was late
        await receiver._handle_rtp_packet(packet(sequence, timestamp), 0)
    await receiver._handle_rtp_packet(packet(6, 3840, b""), 0)
    await receiver._handle_rtp_packet(packet(7, 4800, kind=97), 0)
    await asyncio.sleep(0.01)
    assert [heard.ticks - base for heard in got] == [0, 1920, 960, 3840]
    assert got[0].opus == b"\xf8ab" and got[0].arrived_ns > 0
    receiver._track._queue.put_nowait(None)  # type: ignore[union-attr]
    await asyncio.wait_for(hearing, 5)
    await peer.close()


async def test_what_nobody_takes_does_not_pile_up() -> None:
    peer, receiver = await receiver_of("audio")
    receiver._private("codecs")[96] = OPUS
    for count in range(MAX_HEARD + 20):
        await receiver._handle_rtp_packet(packet(count, count * 960), 0)
    queue: Any = receiver._track._queue  # type: ignore[union-attr]
    assert queue.qsize() == MAX_HEARD
    await peer.close()


async def test_the_newest_report_is_told_on_the_scale_of_the_packets() -> None:
    peer, receiver = await receiver_of("audio")
    receiver._private("codecs")[96] = OPUS
    await receiver._handle_rtcp_packet(report(5, 40))
    assert receiver.report is None, "there is nothing to compare with"
    base = (1 << 32) - 960
    await receiver._handle_rtp_packet(packet(1, base), 0)
    assert receiver.report == SenderReport(5_000_000_000, base + 1000)
    await peer.close()


async def test_a_cameras_report_is_told_in_the_pts_of_its_frames() -> None:
    peer, receiver = await receiver_of("video")
    mapper = receiver._private("timestamp_mapper")
    assert mapper.map((1 << 32) - 3000) == 0
    assert mapper.map(0) == 3000
    await receiver._handle_rtcp_packet(report(7.5, 900))
    assert receiver.report == SenderReport(7_500_000_000, 3900)
    await receiver._handle_rtcp_packet(report(7.25, (1 << 32) - 600))
    assert receiver.report == SenderReport(7_250_000_000, 2400)
    await peer.close()
