"""The adapters around aiortc, and the changes inside it that they count on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aioice import ice
from aiortc import (
    RTCCertificate,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    codecs,
    rtcdtlstransport,
    rtcpeerconnection,
    rtcrtpreceiver,
    rtp,
)
from aiortc import clock as wall
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpparameters import (
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
    RTCRtpReceiveParameters,
)
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket
from aiortc.sdp import SessionDescription
from av import VideoFrame
from OpenSSL import SSL

from realtime import rtc, rtc_internals
from realtime.clock import FakeClock, MonotonicClock
from realtime.config import Rtc
from realtime.errors import IceRestarted, OfferRejected, StartupError
from realtime.frames import Arrived, OutputFrame, Timings, Voice
from realtime.latest import Closed
from realtime.metrics import SessionMetrics
from realtime.offer import ice_sessions
from realtime.pools import encode_pool
from realtime.reception import Reception
from realtime.rtc import OutputTrack, Peer, drain, peer_configuration
from realtime.rtc_buffer import PromptJitterBuffer
from realtime.rtc_encode import PLAYOUT_DELAY_URI, Bitrates, FastH264Encoder
from realtime.rtc_internals import (
    PlayoutDelayMap,
    _relied_on,
    check_upstream,
    install,
)
from realtime.rtc_receive import MendedReceiver, NackRetries
from realtime.rtc_reports import ReportingSender
from realtime.rtc_sound import SoundTrack
from realtime.tracing import Tracer
from tests.helpers import Camera, until
from tests.pictures import i420_of, texture


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    install(Rtc(), loopback=True)
    yield
    install(Rtc(), loopback=True)


class Listener:
    """Implements PeerEvents; remembers."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.broken: list[str] = []

    def on_connection(self, state: str) -> None:
        self.states.append(state)

    def on_channel(self, channel: Any) -> None:
        pass

    def on_message(self, label: str, message: str | bytes) -> None:
        pass

    def on_broken(self, reason: str) -> None:
        self.broken.append(reason)


async def black() -> OutputFrame:
    await asyncio.sleep(0.02)
    return OutputFrame(i420_of(texture()), 320, 240, 0, 0, "LIVE", Timings(0), 0)


def make_peer(
    config: Rtc | None = None, voice: SoundTrack | None = None, listener: Listener | None = None
) -> Peer:
    config = config or Rtc()
    track = OutputTrack(black, MonotonicClock())
    return Peer(config, peer_configuration(config), track, listener or Listener(), voice)


async def browser_offer(
    direction: str = "sendrecv", audio: bool = False, voice: str = "sendrecv"
) -> str:
    client = RTCPeerConnection(peer_configuration(Rtc()))
    try:
        client.addTransceiver(Camera() if "send" in direction else "video", direction=direction)
        if audio:
            client.addTransceiver("audio", direction=voice)
        client.createDataChannel("controls")
        await client.setLocalDescription(await client.createOffer())
        return str(client.localDescription.sdp)
    finally:
        await client.close()


def test_installing_again_changes_nothing_more() -> None:
    before = list(codecs.HEADER_EXTENSIONS["video"])
    install(Rtc(), loopback=True)
    assert codecs.HEADER_EXTENSIONS["video"] == before
    assert [extension.uri for extension in before].count(PLAYOUT_DELAY_URI) == 1
    ids = [entry.id for kind in codecs.HEADER_EXTENSIONS.values() for entry in kind]
    assert len(set(ids)) == len(ids) - 1, "only mid is shared between audio and video"


def test_aiortc_makes_our_parts() -> None:
    assert getattr(rtcpeerconnection, "RTCRtpReceiver") is MendedReceiver  # noqa: B009
    assert getattr(rtcrtpreceiver, "JitterBuffer") is PromptJitterBuffer  # noqa: B009
    h264 = next(codec for codec in codecs.CODECS["video"] if codec.name == "H264")
    install(Rtc(start_bitrate_bps=777_000), loopback=True)
    encoder = codecs.get_encoder(h264)
    assert isinstance(encoder, FastH264Encoder) and encoder.target_bitrate == 777_000


RELIED_ON = [(where, name) for where, _, needed in _relied_on() for name in needed]


@pytest.mark.parametrize(("where", "name"), RELIED_ON)
def test_a_renamed_internal_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    renamed = [
        (at, present - {name} if at == where else present, needed)
        for at, present, needed in _relied_on()
    ]
    with monkeypatch.context() as patch, pytest.raises(StartupError, match=name):
        patch.setattr(rtc_internals, "_relied_on", lambda: renamed)
        install(Rtc(), loopback=True)


def test_a_missing_function_is_noticed_where_upstream_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(StartupError, match="get_host_addresses"):
        patch.delattr(ice, "get_host_addresses")
        check_upstream()


def test_what_we_ask_for_on_a_receiver_is_there() -> None:
    """The table holds names of `__init__`; a real receiver must have them as attributes."""

    async def look() -> None:
        client = RTCPeerConnection(peer_configuration(Rtc()))
        receiver = client.addTransceiver("video").receiver
        assert isinstance(receiver, MendedReceiver)
        assert receiver._buffer.awaiting_key
        for name in ("codecs", "decoder_queue", "nack_generator", "timestamp_mapper"):
            assert receiver._private(name) is not None
        await client.close()

    asyncio.run(look())


def test_loopback_is_gathered_only_when_asked_for() -> None:
    assert "127.0.0.1" in ice.get_host_addresses(use_ipv4=True, use_ipv6=True)
    install(Rtc(), loopback=False)
    assert "127.0.0.1" not in ice.get_host_addresses(use_ipv4=True, use_ipv6=True)


@pytest.mark.parametrize("agreed", [True, False])
def test_the_playout_delay_is_sent_where_the_browser_offers_it(agreed: bool) -> None:
    extensions = PlayoutDelayMap()
    mid = RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
    delay = RTCRtpHeaderExtensionParameters(id=5, uri=PLAYOUT_DELAY_URI)
    extensions.configure(RTCRtpParameters(headerExtensions=[mid, delay] if agreed else [mid]))
    packed = extensions.set(rtp.HeaderExtensions(mid="0"))
    expected = [(1, b"0"), (5, b"\x00\x00\x00")] if agreed else [(1, b"0")]
    assert rtp.unpack_header_extensions(*packed) == expected
    extensions.at_once = False
    expected = [(1, b"0"), (5, b"\x00\x03\xe8")] if agreed else [(1, b"0")]
    packed = extensions.set(rtp.HeaderExtensions(mid="0"))
    assert rtp.unpack_header_extensions(*packed) == expected, "0 to 10 s"


def test_no_foreign_server_is_named_by_default() -> None:
    assert peer_configuration(Rtc()).iceServers == []
    named = peer_configuration(Rtc(ice_servers=("stun:stun.example.org:3478",))).iceServers
    assert named is not None and named[0].urls == "stun:stun.example.org:3478"


def test_a_wrong_ice_server_is_named() -> None:
    with pytest.raises(StartupError, match="http://example.org"):
        peer_configuration(Rtc(ice_servers=("http://example.org",)))


async def stamps_of(shown: Sequence[tuple[float, float, OutputFrame]]) -> list[float]:
    """Time stamps in ms of pictures that arrived and left at these milliseconds."""
    clock = FakeClock()
    pictures = iter(shown)

    async def next_picture() -> OutputFrame:
        arrived_ms, left_ms, output = next(pictures)
        clock.advance_ms(left_ms - clock.now_ns() / 1e6)
        return replace(output, timings=Timings(round(arrived_ms * 1e6)))

    track = OutputTrack(next_picture, clock)
    frames = [await track.recv() for _ in shown]
    assert all(np.array_equal(frame.to_ndarray(), PICTURE) for frame in frames)
    assert all(frame.time_base == Fraction(1, 90_000) for frame in frames)
    return [frame.pts / 90 for frame in frames if frame.pts is not None]


PICTURE = i420_of(texture())


def taken(seq: int, camera_ms: float) -> OutputFrame:
    return OutputFrame(PICTURE, 320, 240, seq, round(camera_ms * 90), "LIVE", Timings(0), 0)


CARD = replace(taken(-1, 0), state="CARD")


async def test_output_pictures_carry_the_times_of_the_camera_however_long_they_took() -> None:
    shown = [
        (20, 30, taken(0, 7000)),
        (52, 95, taken(1, 7033)),
        (88, 101, taken(2, 7067)),
    ]
    assert await stamps_of(shown) == pytest.approx([20, 53, 87], abs=0.02)


async def test_cards_and_repeats_go_on_in_time_as_far_behind_as_the_last_picture() -> None:
    first = taken(0, 500)
    shown = [(0, 5, CARD), (100, 140, first), (100, 240, first), (100, 340, CARD)]
    assert await stamps_of(shown) == pytest.approx([5, 100, 200, 300], abs=0.02)


async def test_times_always_increase_and_a_camera_clock_that_jumps_is_taken_up_anew() -> None:
    shown = [
        (10, 40, taken(0, 100)),
        (70, 80, taken(0, 100)),  # shown again
        (75, 90, taken(1, 133)),  # taken before the repeat
        (200, 230, taken(2, 90_000)),
        (233, 263, taken(3, 90_033)),
    ]
    got = await stamps_of(shown)
    assert got == pytest.approx([10, 50, 50, 200, 233], abs=0.05)
    assert all(later > earlier for earlier, later in pairwise(got))


async def test_a_picture_is_reported_once_and_only_when_the_sender_comes_back() -> None:
    clock = FakeClock()
    metrics = SessionMetrics(clock)
    first, second = taken(0, 0), taken(1, 33)
    pictures = iter([CARD, first, first, second])

    async def next_picture() -> OutputFrame:
        clock.advance_ms(10)
        picture = next(pictures, None)
        if picture is None:
            raise Closed
        return picture

    track = OutputTrack(next_picture, clock, metrics)
    for _ in range(4):
        await track.recv()
        clock.advance_ms(3)
    assert metrics.snapshot().server_p95_ms == 26  # the first's, from its arrival at 0
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert metrics.snapshot().server_p95_ms == 52  # and the second's
    assert metrics.snapshot().stages_ms == {"send": 3}


async def test_received_pictures_know_how_long_they_took_to_come() -> None:
    clock, got = FakeClock(50), list[Arrived]()
    fresh, local = camera_picture(), camera_picture()
    fresh.opaque = 20
    camera = _Track([fresh, local])
    await drain(camera, got.append, clock)
    assert [arrived.receive_ns for arrived in got] == [30, 0]


class _Track(MediaStreamTrack):
    """Gives what it holds, then ends."""

    kind = "video"

    def __init__(self, pictures: list[VideoFrame]) -> None:
        super().__init__()
        self._pictures = iter(pictures)

    async def recv(self) -> VideoFrame:
        try:
            return next(self._pictures)
        except StopIteration:
            raise MediaStreamError from None


def camera_picture() -> VideoFrame:
    return VideoFrame(320, 240, "yuv420p")


async def test_a_pictures_encoding_is_told_of_wherever_it_is_encoded() -> None:
    """Its way through aiortc: the very frame that `recv` gave comes to the executor."""
    clock = MonotonicClock()
    metrics = SessionMetrics(clock, session="abcdef", tracer=Tracer(clock))
    metrics.tracer.start()
    track = OutputTrack(black, clock, metrics)
    frame = await track.recv()
    pool = encode_pool(1)
    encoder = FastH264Encoder(Bitrates(start_bps=1_000_000, max_bps=2_000_000))
    try:
        payloads, _ = await asyncio.wrap_future(pool.submit(encoder.encode, frame, True))
        assert payloads
        assert await asyncio.wrap_future(pool.submit(len, "others go by untouched")) == 22
    finally:
        pool.shutdown()
    send, encode = metrics.tracer.stop().events
    assert (send.name, encode.name, encode.thread) == ("send", "encode", "encode_0")
    assert send.frame == encode.frame and encode.ended_ns is not None
    assert send.began_ns < encode.began_ns < encode.ended_ns
    track.stop()


async def test_the_output_track_ends_with_its_session() -> None:
    async def over() -> OutputFrame:
        raise Closed

    track = OutputTrack(over, MonotonicClock())
    for _ in range(2):
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_drain_hands_over_until_the_track_ends() -> None:
    camera, got = Camera(fps=200), []

    def take(arrived: Arrived) -> None:
        got.append(arrived)
        if len(got) == 3:
            camera.stop()

    await asyncio.wait_for(drain(camera, take, FakeClock(5)), 10)
    assert [arrived.arrived_ns for arrived in got] == [5, 5, 5]


@pytest.mark.parametrize(
    ("codec", "order"), [("auto", ["H264", "VP8"]), ("h264", ["H264"]), ("vp8", ["VP8"])]
)
async def test_the_answer_prefers_the_configured_codec(codec: Any, order: list[str]) -> None:
    peer = make_peer(Rtc(codec=codec))
    answer = SessionDescription.parse(await peer.answer(await browser_offer()))
    await peer.close()
    video = next(media for media in answer.media if media.kind == "video")
    names = [entry.name for entry in video.rtp.codecs if entry.name != "rtx"]
    assert list(dict.fromkeys(names)) == order
    assert video.rtp.codecs[0].parameters["x-google-start-bitrate"] == "2500"
    assert PLAYOUT_DELAY_URI in [extension.uri for extension in video.rtp.headerExtensions]


async def test_without_a_place_for_it_sound_is_declined_and_a_publisher_gets_no_video() -> None:
    peer = make_peer()
    answer = SessionDescription.parse(
        await peer.answer(await browser_offer("sendonly", audio=True))
    )
    await peer.close()
    directions = {media.kind: media.direction for media in answer.media}
    assert (directions["video"], directions["audio"]) == ("recvonly", "inactive")


async def test_one_stream_of_opus_is_taken_and_returned() -> None:
    peer = make_peer(voice=SoundTrack())
    offer = await browser_offer(audio=True)
    answer = SessionDescription.parse(await peer.answer(offer))
    assert peer.microphone is not None and peer.reports() == (None, None)
    await peer.close()
    sound = next(media for media in answer.media if media.kind == "audio")
    video = next(media for media in answer.media if media.kind == "video")
    assert sound.direction == "sendrecv"
    assert [codec.name for codec in sound.rtp.codecs] == ["opus"]
    assert sound.rtp.codecs[0].parameters["useinbandfec"] == 1
    assert sound.msid and video.msid and sound.msid.split()[0] == video.msid.split()[0]
    assert sound.ssrc[0].cname == video.ssrc[0].cname


@pytest.mark.parametrize(
    ("voice", "answered"), [("sendrecv", "sendrecv"), ("sendonly", "recvonly")]
)
async def test_pictures_may_wait_for_the_sound_once_there_is_any(voice: str, answered: str) -> None:
    heard = SoundTrack()
    peer = make_peer(voice=heard)
    offer = await browser_offer(audio=True, voice=voice)
    answer = SessionDescription.parse(await peer.answer(offer))
    sound, video = (
        next(media for media in answer.media if media.kind == kind) for kind in ("audio", "video")
    )
    assert sound.direction == answered and peer.takes_sound == (voice == "sendrecv")
    assert PLAYOUT_DELAY_URI in [extension.uri for extension in video.rtp.headerExtensions]
    sender: Any = peer._video.sender
    extensions = sender._private("rtp_header_extensions_map")
    assert extensions.at_once
    heard.put(Voice(b"\xf8\xff\xfe", 0, None, 0))
    await heard.recv()  # the sender pulls it where the other side takes sound
    assert not extensions.at_once
    await peer.close()


async def test_sound_without_opus_stays_with_the_performer() -> None:
    peer = make_peer(voice=SoundTrack())
    offer = (await browser_offer(audio=True)).replace("opus/48000", "unheard/48000")
    answer = SessionDescription.parse(await peer.answer(offer))
    await peer.close()
    assert peer.microphone is None
    assert [media.direction for media in answer.media if media.kind == "audio"] == ["inactive"]


async def test_an_offer_that_sends_no_video_is_refused() -> None:
    peer = make_peer()
    with pytest.raises(OfferRejected, match="sends no video"):
        await peer.answer(await browser_offer("recvonly"))
    await peer.close()


@pytest.mark.parametrize(
    ("right", "wrong"), [("a=mid:0", "a=mid:1"), ("m=application", "x=application")]
)
async def test_a_half_negotiated_peer_closes_all_the_same(right: str, wrong: str) -> None:
    """On these offers aiortc 1.16 fails, and after it its own `close` fails too."""
    offer = (await browser_offer()).replace(right, wrong)
    peer = make_peer()
    with pytest.raises(OfferRejected):
        await peer.answer(offer)
    with pytest.raises(AttributeError):
        await peer._pc.close()
    await peer._close_parts()
    assert peer._pc.connectionState == "closed"
    await asyncio.wait_for(peer._pc.close(), 1)
    transports = getattr(peer._pc, "_RTCPeerConnection__dtlsTransports")  # noqa: B009
    assert {transport.state for transport in transports} <= {"new", "closed"}
    assert {transport.transport.state for transport in transports} <= {"closed"}


async def test_a_peer_whose_close_hangs_is_closed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rtc, "CLOSE_TIMEOUT_S", 0.05)
    peer = make_peer()
    await peer.answer(await browser_offer())

    async def hang() -> None:
        await asyncio.Event().wait()

    for transceiver in peer._pc.getTransceivers():
        monkeypatch.setattr(transceiver, "stop", hang)
    await peer.close()
    assert peer._pc.connectionState == "closed"
    transports = getattr(peer._pc, "_RTCPeerConnection__dtlsTransports")  # noqa: B009
    assert {transport.transport.state for transport in transports} <= {"closed", "failed"}


@pytest.mark.parametrize(
    "fragment",
    ["a=candidate:nonsense", "a=candidate:1 1 udp x 127.0.0.1 9 typ host", "a=candidate:"],
)
async def test_a_malformed_candidate_is_refused(fragment: str) -> None:
    peer = make_peer()
    await peer.answer(await browser_offer())
    with pytest.raises(OfferRejected, match="candidate"):
        await peer.add_candidates(f"a=mid:0\r\n{fragment}\r\n")
    await peer.close()


async def test_trickled_candidates_are_taken_up_to_a_limit() -> None:
    peer = make_peer()
    await peer.answer(await browser_offer())
    line = "a=candidate:1 1 udp 2122260223 192.0.2.77 9999 typ host\r\n"
    await peer.add_candidates("a=mid:0\r\n" + line * 64)
    with pytest.raises(OfferRejected, match="65 ICE candidates"):
        await peer.add_candidates("a=mid:0\r\n" + line)
    await peer.add_candidates("a=end-of-candidates\r\n")
    await peer.close()


async def test_candidates_of_another_ice_session_are_refused_whole() -> None:
    peer = make_peer()
    offer = await browser_offer()
    await peer.answer(offer)
    own = next(iter(ice_sessions(offer)))
    line = "a=candidate:1 1 udp 2122260223 192.0.2.77 9999 typ host"
    await peer.add_candidates(f"a=ice-ufrag:{own}\r\na=mid:0\r\n{line} ufrag {own}\r\n")
    for fragment in (
        f"a=ice-ufrag:new1\r\na=ice-pwd:{'p' * 22}\r\na=mid:0\r\n{line}\r\n",
        f"a=mid:0\r\n{line} generation 0 ufrag new1 network-cost 50\r\n",
    ):
        with pytest.raises(IceRestarted, match="ice-ufrag 'new1' is not the offer's"):
            await peer.add_candidates(fragment)
    assert peer._candidates == 1
    await peer.close()


async def test_a_repair_that_fails_is_told_of_instead_of_ending_unheard(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(receiver: MendedReceiver, missing: set[int]) -> list[int]:
        raise ZeroDivisionError("a bug")

    listener = Listener()
    peer = make_peer(listener=listener)
    await peer.answer(await browser_offer())
    receiver = peer._video.receiver
    assert isinstance(receiver, MendedReceiver)
    monkeypatch.setattr(NackRetries, "due", fail)
    receiver._media_ssrc = 1
    await receiver.receive(RTCRtpReceiveParameters())
    await until(lambda: bool(listener.broken))
    assert "lost packets cannot be repaired (ZeroDivisionError('a bug'))" in listener.broken[0]
    assert "Traceback" in caplog.text
    await peer.close()


async def test_a_receiver_counts_what_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = make_peer()
    await peer.answer(await browser_offer())
    receiver = peer._video.receiver
    assert isinstance(receiver, MendedReceiver) and peer.reception == Reception()
    await receiver._send_rtcp_nack(1, [4, 5, 6])
    await receiver._send_rtcp_pli(1)
    receiver._buffer.dropped["lost"] += 2
    assert peer.reception == Reception(lost=2, nacks=3, plis=1)
    await peer.close()


async def test_a_sender_knows_how_long_the_way_here_is() -> None:
    peer = make_peer()
    sender, receiver = peer._video.sender, peer._video.receiver
    assert isinstance(sender, ReportingSender) and isinstance(receiver, MendedReceiver)
    receiver._clock = clock = FakeClock(10**12)
    assert sender.way_up_s() is None
    sent = wall.current_ntp_time() - (3 << 31)  # 1.5 s ago
    about = RtcpSenderInfo(ntp_timestamp=sent, rtp_timestamp=0, packet_count=0, octet_count=0)
    await receiver._handle_rtcp_packet(RtcpSrPacket(ssrc=1, sender_info=about))
    assert sender.way_up_s() == pytest.approx(1.5, abs=0.2)
    clock.advance_ms(6000)
    assert sender.way_up_s() is None, "too old"
    await peer.close()


def h264(**parameters: str) -> RTCRtpCodecParameters:
    return RTCRtpCodecParameters("video/H264", 90_000, payloadType=96, parameters={**parameters})


def test_an_h264_offer_that_does_not_say_how_it_packetizes_is_taken() -> None:
    """As GStreamer's, before its encoder has run."""
    ours = h264(**{"packetization-mode": "1", "profile-level-id": "42e01f"})
    assert rtcpeerconnection.find_common_codecs([ours], [h264()])
    assert rtcpeerconnection.find_common_codecs([ours], [h264(**{"profile-level-id": "42c01e"})])
    single = h264(**{"packetization-mode": "0"})
    assert not rtcpeerconnection.find_common_codecs([ours], [single])


def test_an_h264_offer_of_another_profile_is_taken_where_there_is_nothing_else() -> None:
    """As FFmpeg's, whose encoder makes High unless told otherwise."""
    ours = h264(**{"packetization-mode": "1", "profile-level-id": "42e01f"})
    high = h264(**{"packetization-mode": "1", "profile-level-id": "64000d"})
    (taken,) = rtcpeerconnection.find_common_codecs([ours], [high])
    assert (taken.payloadType, taken.parameters) == (high.payloadType, ours.parameters)
    other = h264(**{"packetization-mode": "1", "profile-level-id": "42c00d"})
    other.payloadType = 106
    (taken,) = rtcpeerconnection.find_common_codecs([ours], [high, other])
    assert taken.payloadType == 106
    assert not rtcpeerconnection.find_common_codecs([ours], [h264(**{"packetization-mode": "0"})])


def test_a_peer_with_an_rsa_certificate_can_be_the_dtls_server() -> None:
    """GStreamer's certificates are RSA; upstream offers ciphers for elliptic curves only."""
    profiles = rtcdtlstransport.SRTP_PROFILES
    context = RTCCertificate.generateCertificate()._create_ssl_context(profiles)
    ciphers = SSL.Connection(context).get_cipher_list()
    assert "ECDHE-RSA-AES128-GCM-SHA256" in ciphers
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in ciphers
