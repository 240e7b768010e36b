"""The adapters around aiortc, and the changes inside it that they count on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

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
from aiortc.rtcrtpparameters import (
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
    RTCRtpReceiveParameters,
)
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket
from aiortc.sdp import SessionDescription
from OpenSSL import SSL

from realtime import rtc
from realtime.clock import FakeClock, MonotonicClock
from realtime.config import Rtc
from realtime.errors import IceRestarted, OfferRejected, StartupError
from realtime.frames import Voice
from realtime.offer import ice_sessions
from realtime.reception import Reception
from realtime.rtc import OutputTrack, Peer, peer_configuration
from realtime.rtc_buffer import PromptJitterBuffer
from realtime.rtc_encode import PLAYOUT_DELAY_URI, FastH264Encoder
from realtime.rtc_internals import (
    PlayoutDelayMap,
    install,
)
from realtime.rtc_receive import MendedReceiver, NackRetries
from realtime.rtc_reports import ReportingSender
from realtime.rtc_sound import SoundTrack
from tests.helpers import Camera, until
from tests.test_output_track import black


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
