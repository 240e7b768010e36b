"""The adapters around aiortc: one connection with one performer.

`Peer` takes the offer and gives the answer; `drain` hands the performer's decoded frames over,
`OutputTrack` gives finished pictures to the encoder. What is changed inside aiortc stands in
`rtc_internals.py`. Knows no faces, no sessions and no HTTP.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Literal, Protocol

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcicetransport import connection_kwargs
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

from realtime.capture_times import CaptureTimes
from realtime.clock import VIDEO_CLOCK_HZ, Clock
from realtime.config import Rtc, is_turn
from realtime.errors import OfferRejected, StartupError
from realtime.frames import U8, Arrived, OutputFrame
from realtime.ice_servers import ice_servers
from realtime.latest import Closed
from realtime.link import LinkState
from realtime.lips import SenderReport
from realtime.metrics import SessionMetrics
from realtime.offer import (
    check_candidates,
    check_ice_session,
    check_offer,
    ice_sessions,
    without_mdns,
)
from realtime.reception import Reception
from realtime.rtc_receive import MendedReceiver, first_packet_ns
from realtime.rtc_reports import ReportingSender
from realtime.rtc_sound import SoundTrack

logger = logging.getLogger(__name__)

NEGOTIATION_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
CAMERA_MIN_BPS = 800_000
"""asked of a browser's encoder, whose own estimate of a busy machine is far below what is carried;
a camera picture of less falls apart"""
CODEC_ORDER = {"auto": ("H264", "VP8"), "h264": ("H264",), "vp8": ("VP8",)}


def peer_configuration(config: Rtc) -> RTCConfiguration:
    """Always explicit: left out, aiortc contacts a public STUN server.

    Raises:
        StartupError: an ICE server's URL cannot be used.
    """
    servers = [
        RTCIceServer(urls=server.url, username=server.username, credential=server.credential)
        for server in ice_servers(config)
    ]
    try:
        connection_kwargs(servers)
    except ValueError as exc:
        raise StartupError(
            f"[rtc] ice_servers = {list(config.ice_servers)}: {exc}; "
            "write stun:HOST:PORT or turn:HOST:PORT"
        ) from exc
    return RTCConfiguration(iceServers=servers)


async def drain(
    track: MediaStreamTrack, hand_over: Callable[[Arrived], None], clock: Clock
) -> None:
    """Hand over every decoded frame at once until the track ends; aiortc's own queue has no bound.

    Args:
        hand_over: must not block; puts the frame into a one-slot channel.
    """
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, VideoFrame)
        now_ns = clock.now_ns()
        first_ns = first_packet_ns(frame)
        hand_over(Arrived(frame, now_ns, 0 if first_ns is None else now_ns - first_ns))


def picture_of(i420: U8, pts: int) -> VideoFrame:
    """For an encoder. No copy, and the interpreter lock is not held: `from_ndarray` would do both.

    Args:
        pts: in 1/90000 s.
    """
    frame = VideoFrame.from_numpy_buffer(i420, format="yuv420p")
    frame.pts, frame.time_base = pts, Fraction(1, VIDEO_CLOCK_HZ)
    return frame


class OutputTrack(MediaStreamTrack):
    """What aiortc's sender pulls; it gets finished OutputFrames only.

    Args:
        metrics: is told of every picture, when it goes to the encoder and when it comes out; and of
            each camera picture's answer, once its last packet went out.
        times: when pictures were taken; shared with what else has to fit them.
        on_left: is told of each camera picture's answer as well: its pts, and when it was out.
    """

    kind = "video"

    def __init__(
        self,
        next_frame: Callable[[], Awaitable[OutputFrame]],
        clock: Clock,
        metrics: SessionMetrics | None = None,
        times: CaptureTimes | None = None,
        on_left: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__()
        self._next_frame = next_frame
        self._clock = clock
        self._metrics = metrics or SessionMetrics(clock)
        self._times = times or CaptureTimes(clock.now_ns())
        self._on_left = on_left
        self._taken: tuple[OutputFrame, int] | None = None
        """what the sender is at work on, and since when; it pulls again when that is sent"""
        self._reported_seq = -1

    async def recv(self) -> VideoFrame:
        """The next picture, stamped with the time at which the camera took it."""
        self._report()
        if self.readyState != "live":
            raise MediaStreamError
        try:
            output = await self._next_frame()
        except Closed:
            self.stop()
            raise MediaStreamError from None
        began_ns = self._clock.now_ns()
        self._taken = (output, began_ns)
        frame = picture_of(output.i420, self._times.stamp(output, began_ns))
        frame.opaque = functools.partial(self._metrics.encoded, output)  # see `_EncodePool`
        self._metrics.handed_over(output, began_ns)
        return frame

    def _report(self) -> None:
        if self._taken is None:
            return
        output, taken_ns = self._taken
        self._taken = None
        if output.source_seq not in (-1, self._reported_seq):
            self._reported_seq = output.source_seq
            now_ns = self._clock.now_ns()
            self._metrics.left(output, now_ns - taken_ns)
            if self._on_left is not None:
                self._on_left(output.pts, now_ns)

    def ticks_at(self, now_ns: int) -> int:
        """What the clock of its time stamps reads, for sender reports."""
        return self._times.at(now_ns)


def let_picture_wait(video: RTCRtpTransceiver) -> None:
    """Leave a picture's delay to a player that hears a voice as well.

    A player holds sound back for some 80 ms, against jitter. Told to show each picture at once, as
    the playout-delay extension does until then, it may not hold the picture back as long.
    """
    sender = video.sender
    assert isinstance(sender, ReportingSender)
    sender.let_picture_wait()


class DataChannel(Protocol):
    """The part of RTCDataChannel that a session uses."""

    @property
    def label(self) -> str: ...
    @property
    def readyState(self) -> str: ...
    @property
    def bufferedAmount(self) -> int: ...
    def send(self, data: str) -> None: ...


class PeerEvents(Protocol):
    """Who is told what happens to a Peer; all calls come on the event loop."""

    def on_connection(self, state: str) -> None: ...
    def on_channel(self, channel: DataChannel) -> None: ...
    def on_message(self, label: str, message: str | bytes) -> None: ...
    def on_broken(self, reason: str) -> None: ...


class Peer:
    """One peer connection: the performer's video in, the avatar out, data channels.

    Args:
        voice: what is sent beside the picture, to who wants it; without it, no sound is taken in
            either.
        direction: of picture and sound.
    """

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        config: Rtc,
        configuration: RTCConfiguration,
        output: MediaStreamTrack,
        events: PeerEvents,
        voice: SoundTrack | None = None,
        direction: Literal["sendrecv", "sendonly"] = "sendrecv",
    ) -> None:
        self._config = config
        self._direction = direction
        self._events = events
        self._voice = voice
        self._sound: RTCRtpTransceiver | None = None
        self._candidates = 0
        self._ice_sessions: frozenset[str] = frozenset()
        self._pc = RTCPeerConnection(configuration)
        self._video: RTCRtpTransceiver = self._pc.addTransceiver(output, direction=direction)
        order = CODEC_ORDER[config.codec]
        capabilities = [
            *(
                codec
                for name in order
                for codec in RTCRtpSender.getCapabilities("video").codecs
                if codec.name == name
            ),
            *(c for c in RTCRtpSender.getCapabilities("video").codecs if is_rtx(c)),
        ]
        self._video.setCodecPreferences(capabilities)
        self._hear_receiver()
        self._pc.on("connectionstatechange", self._on_connection)
        self._pc.on("datachannel", self._on_channel)

    def _hear_receiver(self) -> None:
        sender, receiver = self._video.sender, self._video.receiver
        if isinstance(receiver, MendedReceiver) and isinstance(sender, ReportingSender):
            receiver.on_broken = self._events.on_broken
            sender.way_up_s = receiver.way_s

    @property
    def camera(self) -> MediaStreamTrack:
        """The performer's video; known once the offer was answered."""
        return self._video.receiver.track

    @property
    def microphone(self) -> MediaStreamTrack | None:
        """The performer's sound, once the offer was answered; None if none was offered."""
        return None if self._sound is None else self._sound.receiver.track

    def reports(self) -> tuple[SenderReport | None, SenderReport | None]:
        """The newest sender reports of camera and microphone."""
        receivers = (self._video.receiver, self._sound.receiver if self._sound else None)
        camera, microphone = (getattr(receiver, "report", None) for receiver in receivers)
        return camera, microphone

    @property
    def reception(self) -> Reception:
        """What became of the camera's packets and pictures on the way here."""
        receiver = self._video.receiver
        return receiver.reception if isinstance(receiver, MendedReceiver) else Reception()

    @property
    def link(self) -> LinkState:
        """What is known of the way to the other side."""
        sender = self._video.sender
        return sender.link.state if isinstance(sender, ReportingSender) else LinkState()

    @property
    def sends(self) -> bool:
        """Whether the other side takes our video; known once the offer was answered."""
        return self._video.currentDirection in ("sendrecv", "sendonly")

    @property
    def takes_sound(self) -> bool:
        """Whether the other side takes a voice; known once the offer was answered."""
        return self._sound is not None and self._sound.currentDirection in ("sendrecv", "sendonly")

    @property
    def codec(self) -> str:
        """The name of the video's codec; known once the offer was answered."""
        return str(self._video._codecs[0].name)

    async def answer(self, offer_sdp: str) -> str:
        """The SDP answer to an offer, with all candidates in it.

        Raises:
            OfferRejected: whatever is wrong with the offer. The peer must be closed then.
        """
        check_offer(offer_sdp)
        self._ice_sessions = ice_sessions(offer_sdp)
        try:
            negotiation = self._negotiate(without_mdns(offer_sdp))
            return await asyncio.wait_for(negotiation, NEGOTIATION_TIMEOUT_S)
        except OfferRejected:
            raise
        # The boundary to a parser that raises ValueError, AssertionError, IndexError, KeyError,
        # AttributeError, TypeError, RuntimeError and its own types on malformed offers.
        except Exception as exc:  # noqa: BLE001
            detail = str(exc) or type(exc).__name__
            raise OfferRejected(f"the SDP offer cannot be answered: {detail}") from exc

    async def _negotiate(self, offer_sdp: str) -> str:
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp=offer_sdp, type="offer"))
        if self._direction == "sendrecv" and self._video.receiver.track is None:
            raise OfferRejected("the offer sends no video: its direction must be sendrecv/sendonly")
        for transceiver in self._pc.getTransceivers():
            if transceiver is not self._video:
                self._answer_sound(transceiver)
        self._ask_for_bitrate()
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        if self._direction == "sendonly" and not self.sends:
            raise OfferRejected("the offer takes no video: its direction must be recvonly/sendrecv")
        answer = str(self._pc.localDescription.sdp)
        relays = [url for url in self._config.ice_servers if is_turn(url)]
        if relays and " typ relay" not in answer:  # aioice tells nobody
            logger.warning(
                "no relay is had from %s: is it there, and are rtc.turn_* right?", relays[0]
            )
        return answer

    def _answer_sound(self, transceiver: RTCRtpTransceiver) -> None:
        """One stream of Opus goes as the picture does; any other is declined."""
        opus = [codec for codec in transceiver._codecs if codec.name.lower() == "opus"]
        if self._voice is None or self._sound is not None or not opus:
            transceiver.direction = "inactive"
            return
        # Each packet carries the last one once more, thinly: what is lost can be made up.
        opus[0].parameters.update({"minptime": 10, "useinbandfec": 1})
        transceiver._codecs = opus
        transceiver.sender.replaceTrack(self._voice)
        transceiver.direction = self._direction
        self._voice.on_first = functools.partial(let_picture_wait, self._video)
        self._sound = transceiver

    def _ask_for_bitrate(self) -> None:
        """Chromium's encoder starts at 300 kbit/s and 480x270 unless the answer says otherwise."""
        for codec in self._video._codecs:
            if not is_rtx(codec):
                codec.parameters["x-google-min-bitrate"] = str(CAMERA_MIN_BPS // 1000)
                codec.parameters["x-google-start-bitrate"] = str(
                    self._config.start_bitrate_bps // 1000
                )
                codec.parameters["x-google-max-bitrate"] = str(self._config.max_bitrate_bps // 1000)

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickled SDP fragment (RFC 8840): a=mid, a=candidate, a=end-of-candidates.

        Raises:
            IceRestarted: it is of another ICE session; nothing of it is taken.
            OfferRejected: it is malformed, or too many candidates were sent.
        """
        check_ice_session(fragment, self._ice_sessions)
        mid: str | None = None
        for line in without_mdns(fragment).splitlines():
            name, _, value = line.strip().removeprefix("a=").partition(":")
            if name == "mid":
                mid = value
            elif name == "candidate":
                self._candidates += 1
                check_candidates(self._candidates)
                await self._add_candidate(value, mid)
            elif name == "end-of-candidates":
                await self._pc.addIceCandidate(None)

    async def _add_candidate(self, value: str, mid: str | None) -> None:
        try:
            candidate = candidate_from_sdp(value)
            candidate.sdpMid = mid
            if mid is None:
                candidate.sdpMLineIndex = 0
            await self._pc.addIceCandidate(candidate)
        except Exception as exc:  # noqa: BLE001 - the same boundary as in `answer`
            raise OfferRejected(f"ICE candidate {value[:80]!r} cannot be read: {exc}") from exc

    def packets_received(self) -> int:
        """RTP, RTCP and data packets so far; a live browser sends some every second."""
        transports = {transceiver.receiver.transport for transceiver in self._pc.getTransceivers()}
        return sum(getattr(t, "_RTCDtlsTransport__rx_packets") for t in transports)  # noqa: B009

    async def close(self) -> None:
        """Release everything, within a bound, whatever state a failed negotiation left behind.

        The connection is "closed" after it even where aiortc's own `close` raised or hung.
        """
        try:
            await asyncio.wait_for(self._pc.close(), CLOSE_TIMEOUT_S)
        except Exception as exc:  # noqa: BLE001 - aiortc 1.16 can raise AttributeError here
            logger.debug("closing a peer connection failed (%s); closing its parts", repr(exc))
            await self._close_parts()

    async def _close_parts(self) -> None:
        stops: list[Callable[[], Awaitable[None]]] = [
            transceiver.stop for transceiver in self._pc.getTransceivers()
        ]
        if self._pc.sctp is not None:
            stops.append(self._pc.sctp.stop)
        for transport in list(getattr(self._pc, "_RTCPeerConnection__dtlsTransports")):  # noqa: B009
            stops += [transport.stop, transport.transport.stop]
        for stop in stops:
            try:
                await asyncio.wait_for(stop(), CLOSE_TIMEOUT_S)
            except Exception as exc:  # noqa: BLE001 - each part is released on its own
                logger.debug("a part of a peer connection did not close: %s", repr(exc))
        self._finish_closing()

    def _finish_closing(self) -> None:
        """What aiortc's `close` does last: tell the state, and whoever waits for it."""
        closed: asyncio.Future[bool] = getattr(self._pc, "_RTCPeerConnection__isClosed")  # noqa: B009
        if not closed.done():
            closed.set_result(True)
        getattr(self._pc, "_RTCPeerConnection__updateConnectionState")()  # noqa: B009
        self._pc.remove_all_listeners()

    def _on_connection(self) -> None:
        self._events.on_connection(self._pc.connectionState)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        channel.on("message", functools.partial(self._events.on_message, channel.label))
        self._events.on_channel(channel)
