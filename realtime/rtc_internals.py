"""What is changed inside aiortc 1.15 and 1.16, and the check that it is still there to be changed.

aiortc looks its parts up by name when a connection is made; `install` puts the mended receiver
(`rtc_receive.py`), the sender with right reports (`rtc_reports.py`), the tuned encoders
(`rtc_encode.py`) and the playout-delay extension under those names. Knows no sessions; `rtc.py`
holds the adapters.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from aioice import ice
from aiortc import (
    RTCPeerConnection,
    codecs,
    rtcdtlstransport,
    rtcicetransport,
    rtcpeerconnection,
    rtcrtpreceiver,
    rtcrtpsender,
    rtcrtptransceiver,
    rtp,
)
from aiortc.codecs.h264 import H264Decoder, H264Encoder
from aiortc.codecs.vpx import Vp8Decoder, Vp8Encoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

from realtime.config import Rtc
from realtime.errors import StartupError
from realtime.rtc_buffer import PromptJitterBuffer
from realtime.rtc_encode import (
    PLAYOUT_DELAY_URI,
    Bitrates,
    CalmVp8Encoder,
    FastH264Encoder,
    H264Choice,
    choose_h264,
)
from realtime.rtc_receive import (
    RECEIVER_PRIVATES,
    MendedReceiver,
    OneThreadH264Decoder,
    OneThreadVp8Decoder,
)
from realtime.rtc_reports import SENDER_PRIVATES, ReportingSender

NO_PLAYOUT_DELAY = b"\x00\x00\x00"
"""12 bits minimum and 12 bits maximum, in 10 ms: show each picture as soon as it is decoded"""
ANY_PLAYOUT_DELAY = b"\x00\x03\xe8"
"""0 to 10 s, which is what a player assumes where nothing is said"""

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
)
"""aiortc's own, and two for peers whose certificate is RSA, as GStreamer's is: RFC 8827 section 6.5
leaves them that choice, and where they are the DTLS server nothing of aiortc's list fits"""

_upstream_host_addresses = ice.get_host_addresses
_upstream_find_common = rtcpeerconnection.find_common_codecs
_upstream_is_compatible = rtcpeerconnection.is_codec_compatible
_upstream_ssl_context = rtcdtlstransport.RTCCertificate._create_ssl_context


class PlayoutDelayMap(rtp.HeaderExtensionsMap):
    """Sends the playout-delay extension wherever the receiver has agreed to it.

    Without it a browser buffers 8 to 37 ms more than it needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.at_once = True
        """cleared, a player may hold pictures back, as it must to fit them to a voice"""
        self._playout_delay_id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == PLAYOUT_DELAY_URI:
                self._playout_delay_id = extension.id

    def set(self, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if self._playout_delay_id is None:
            return profile, packed
        extensions = rtp.unpack_header_extensions(profile, packed)
        delay = NO_PLAYOUT_DELAY if self.at_once else ANY_PLAYOUT_DELAY
        return rtp.pack_header_extensions([*extensions, (self._playout_delay_id, delay)])


def _mangled(owner: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"_{owner}__{name}" for name in names)


def _names_in(part: Any) -> tuple[str, ...]:
    return part.__code__.co_names if hasattr(part, "__code__") else ()


def _relied_on() -> list[tuple[str, set[str], tuple[str, ...]]]:
    """Where upstream's internals live: (where, the names that are there, the names we need)."""
    receiver, sender = rtcrtpreceiver.RTCRtpReceiver, rtcrtpsender.RTCRtpSender
    buffer = vars(JitterBuffer(capacity=2))
    dtls = set(rtcdtlstransport.RTCDtlsTransport.__init__.__code__.co_names)
    return [
        ("rtcrtpreceiver", set(vars(rtcrtpreceiver)), ("JitterBuffer", "RTCRtpReceiver")),
        (
            "rtcpeerconnection",
            set(vars(rtcpeerconnection)),
            ("RTCRtpReceiver", "RTCRtpSender", "find_common_codecs", "is_codec_compatible"),
        ),
        (
            "rtcpeerconnection.find_common_codecs",
            set(_upstream_find_common.__code__.co_names),
            ("is_codec_compatible",),
        ),
        (
            "RTCPeerConnection.setRemoteDescription",
            set(RTCPeerConnection.setRemoteDescription.__code__.co_names),
            ("find_common_codecs",),
        ),
        ("rtp", set(vars(rtp)), ("HeaderExtensionsMap",)),
        ("ice", set(vars(ice)), ("get_host_addresses",)),
        (
            "codecs",
            set(vars(codecs)),
            ("HEADER_EXTENSIONS", "H264Encoder", "H264Decoder", "Vp8Encoder", "Vp8Decoder"),
        ),
        (
            "RTCRtpReceiver.__init__",
            set(receiver.__init__.__code__.co_names),
            ("_track", *_mangled("RTCRtpReceiver", RECEIVER_PRIVATES)),
        ),
        (
            "RTCRtpReceiver._handle_rtp_packet",
            set(receiver._handle_rtp_packet.__code__.co_names),
            ("_data", "depayload"),
        ),
        ("NackGenerator", set(vars(rtcrtpreceiver.NackGenerator())), ("missing",)),
        ("StreamStatistics", set(dir(rtcrtpreceiver.StreamStatistics)), ("packets_lost",)),
        (
            "RTCRtpReceiver",
            set(dir(receiver)),
            (
                "_handle_rtcp_packet",
                "_handle_rtp_packet",
                "_send_rtcp_nack",
                "_send_rtcp_pli",
                "receive",
                "stop",
            ),
        ),
        (
            "RTCRtpSender's state",
            {name for part in vars(sender).values() for name in _names_in(part)},
            _mangled("RTCRtpSender", SENDER_PRIVATES),
        ),
        ("RTCRtpSender.__init__", set(sender.__init__.__code__.co_names), ("_ssrc",)),
        (
            "RTCRtpSender",
            set(dir(sender)),
            ("_handle_rtcp_packet", "_next_encoded_frame", "_retransmit", "_send_rtcp"),
        ),
        ("RemoteStreamTrack", set(vars(rtcrtpreceiver.RemoteStreamTrack("audio"))), ("_queue",)),
        ("TimestampMapper", set(vars(rtcrtpreceiver.TimestampMapper())), ("_last", "_origin")),
        (
            "RTCRtpSender._handle_rtcp_packet",
            set(rtcrtpsender.RTCRtpSender._handle_rtcp_packet.__code__.co_names),
            ("_send_keyframe", "target_bitrate"),
        ),
        (
            "RTCRtpSender._next_encoded_frame",
            set(rtcrtpsender.RTCRtpSender._next_encoded_frame.__code__.co_names),
            ("get_encoder", "pack"),
        ),
        (
            "JitterBuffer",
            set(buffer) | set(dir(JitterBuffer)),
            ("_origin", "_packets", "_is_video", "_remove_frame", "add", "remove", "capacity"),
        ),
        ("H264Encoder", set(dir(H264Encoder)), ("_encode_frame", "_split_bitstream", "pack")),
        ("H264Encoder", set(vars(H264Encoder())), ("codec",)),
        ("Vp8Encoder", set(dir(Vp8Encoder)), ("encode", "pack", "_packetize")),
        ("Vp8Encoder", set(vars(Vp8Encoder())), ("codec", "picture_id")),
        ("H264Decoder", set(vars(H264Decoder())), ("codec",)),
        ("Vp8Decoder", set(vars(Vp8Decoder())), ("codec",)),
        (
            "RTCRtpTransceiver.__init__",
            set(rtcrtptransceiver.RTCRtpTransceiver.__init__.__code__.co_names),
            ("_codecs", "_headerExtensions", "_offerDirection"),
        ),
        (
            "RTCPeerConnection.__init__",
            set(rtcpeerconnection.RTCPeerConnection.__init__.__code__.co_names),
            _mangled("RTCPeerConnection", ("dtlsTransports", "isClosed")),
        ),
        (
            "RTCPeerConnection",
            set(vars(rtcpeerconnection.RTCPeerConnection)),
            _mangled("RTCPeerConnection", ("updateConnectionState",)),
        ),
        ("RTCDtlsTransport.__init__", dtls, _mangled("RTCDtlsTransport", ("rx_packets",))),
        (
            "RTCCertificate",
            set(vars(rtcdtlstransport.RTCCertificate)),
            ("_create_ssl_context",),
        ),
        (
            "RTCIceTransport.__init__",
            set(rtcicetransport.RTCIceTransport.__init__.__code__.co_names),
            ("_send",),
        ),
    ]


def check_upstream() -> None:
    """Make sure that the installed aiortc still has every internal that is relied on.

    Raises:
        StartupError: something is missing; names it.
    """
    for where, present, needed in _relied_on():
        missing = [name for name in needed if name not in present]
        if missing:
            raise StartupError(
                f"aiortc's {where} has no {missing[0]}: this daemon knows aiortc 1.15 and 1.16; "
                "install one with `pip install 'aiortc>=1.15,<1.17'`"
            )


def install(config: Rtc, *, loopback: bool) -> H264Choice:
    """Change aiortc for the whole process; may be called again with other settings.

    Args:
        loopback: also gather 127.0.0.1, which aioice leaves out, so that a machine without any
            network serves its own browser.

    Returns:
        Which H.264 encoder runs, and why.

    Raises:
        StartupError: upstream has changed, or the configured encoder cannot run.
    """
    check_upstream()
    choice = choose_h264(config.h264_encoder)
    bitrates = Bitrates(config.start_bitrate_bps, config.max_bitrate_bps)
    replacements: list[tuple[Any, str, Any]] = [
        (rtcrtpreceiver, "JitterBuffer", PromptJitterBuffer),
        (rtcpeerconnection, "RTCRtpReceiver", MendedReceiver),
        (rtcpeerconnection, "RTCRtpSender", ReportingSender),
        (rtp, "HeaderExtensionsMap", PlayoutDelayMap),
        (codecs, "H264Decoder", OneThreadH264Decoder),
        (codecs, "Vp8Decoder", OneThreadVp8Decoder),
        (codecs, "H264Encoder", functools.partial(FastH264Encoder, bitrates, choice)),
        (codecs, "Vp8Encoder", functools.partial(CalmVp8Encoder, bitrates)),
        (rtcpeerconnection, "is_codec_compatible", _is_compatible),
        (rtcpeerconnection, "find_common_codecs", _find_common),
        (rtcdtlstransport.RTCCertificate, "_create_ssl_context", _ssl_context),
        (ice, "get_host_addresses", _all_addresses if loopback else _upstream_host_addresses),
    ]
    for owner, name, value in replacements:
        setattr(owner, name, value)
    extensions = codecs.HEADER_EXTENSIONS["video"]
    if all(extension.uri != PLAYOUT_DELAY_URI for extension in extensions):
        free_id = max(entry.id for kind in codecs.HEADER_EXTENSIONS.values() for entry in kind) + 1
        extensions.append(RTCRtpHeaderExtensionParameters(id=free_id, uri=PLAYOUT_DELAY_URI))
    return choice


def _is_compatible(ours: Any, theirs: Any) -> bool:
    """GStreamer offers H.264 without saying how it packetizes, and uses mode 1, which is ours; by
    RFC 6184 section 8.1 silence would mean mode 0, which nobody sends."""
    return _upstream_is_compatible(*(_with_packetization(codec) for codec in (ours, theirs)))


def _find_common(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """An offer of no other codec than H.264 in profiles that aiortc does not name, as FFmpeg's is
    unless told otherwise: our decoder takes any, and what we send, Constrained Baseline, any other
    does. The answer names our profile."""
    common = _upstream_find_common(ours, theirs)
    return common or _upstream_find_common(ours, [_in_our_profile(codec) for codec in theirs])


def _in_our_profile(codec: Any) -> Any:
    if codec.name.upper() != "H264":
        return codec
    parameters = {**codec.parameters, "profile-level-id": "42e01f"}
    return dataclasses.replace(codec, parameters=parameters)


def _with_packetization(codec: Any) -> Any:
    if codec.name.upper() != "H264" or "packetization-mode" in codec.parameters:
        return codec
    return dataclasses.replace(codec, parameters={**codec.parameters, "packetization-mode": "1"})


def _ssl_context(certificate: Any, srtp_profiles: list[Any]) -> Any:
    context: Any = _upstream_ssl_context(certificate, srtp_profiles)
    context.set_cipher_list(CIPHERS.encode())
    return context


def lose_what_is_sent(peer: RTCPeerConnection, is_lost: Callable[[], bool]) -> None:
    """Ask before every packet that this peer sends whether the network loses it; for benches.

    Media, feedback and data channels are asked about; ICE's own messages always arrive.
    """
    transport: Any = peer.getTransceivers()[0].sender.transport.transport
    send = transport._send

    async def send_or_lose(data: bytes) -> None:
        if not is_lost():
            await send(data)

    transport._send = send_or_lose


def _all_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    addresses = _upstream_host_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6)
    return [*addresses, "127.0.0.1"] if use_ipv4 else addresses
