"""The adapters around aiortc for viewers: what a Seat gives goes out as it is, not encoded again.

aiortc sends what is no picture through its encoder's `pack`; ours let ready-made payloads through
(`rtc_encode.Ready`). Every viewer keeps an RTP sender of its own: SSRC, sequence numbers, time
origin, retransmission. Knows no sessions and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiortc import RTCConfiguration, RTCRtpCodecParameters, codecs
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime.clock import NS_PER_S, SOUND_CLOCK_HZ, VIDEO_CLOCK_HZ, Clock, pts_from_ns
from realtime.config import Rtc
from realtime.frames import Voice
from realtime.latest import Closed
from realtime.rtc import Peer, PeerEvents
from realtime.rtc_encode import Ready
from realtime.rtc_sound import SoundTrack
from realtime.sinks.feed import Encoder, Seat
from realtime.sound import Sound


def make_encoder(codec: str) -> Encoder:
    """An encoder as the performers' connections have it: tuned, with its key frame limit.

    Args:
        codec: "H264" or "VP8".
    """
    parameters = RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=VIDEO_CLOCK_HZ)
    encoder: Any = codecs.get_encoder(parameters)
    return encoder  # type: ignore[no-any-return]


class _SeatTrack(MediaStreamTrack):
    """What aiortc's sender pulls for one viewer."""

    kind = "video"

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self._seat = seat

    async def recv(self) -> Any:
        """The next coded picture; aiortc hands it to the `pack` of the connection's encoder."""
        if self.readyState != "live":
            raise MediaStreamError
        try:
            coded = await self._seat.take()
        except Closed:
            self.stop()
            raise MediaStreamError from None
        return Ready(coded.payloads, coded.timestamp, self._told)

    def ticks_at(self, now_ns: int) -> int:
        """What the clock of a Feed's stamps reads, for sender reports: this side's own."""
        return pts_from_ns(now_ns)

    def _told(self, estimate_bps: int, bound_bps: int | None) -> None:
        self._seat.estimate_bps, self._seat.bound_bps = estimate_bps, bound_bps


class Hearing(SoundTrack):
    """What one viewer hears: the voice of the session that it watches, and then of the next.

    Every microphone's clock begins somewhere else. Stamps begin where this side's clock is when a
    session's first packet comes, and go on with the microphone; so in another session they go on as
    far from where they were as time has passed.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(self._ticks_at)
        self._clock = clock
        self._sound: Sound | None = None
        self._heard: Sound | None = None
        """whose packets come; the one before, until the first comes of another"""
        self._base = 0
        """of the stamps over its microphone's ticks"""
        self._leave: Callable[[], None] = lambda: None

    def follow(self, sound: Sound | None) -> None:
        """Hear that voice from now on, and no other; None ends it."""
        self._leave()
        self._leave = lambda: None
        self._sound = sound
        if sound is not None:
            self._leave = sound.listen(self.put)

    def put(self, voice: Voice) -> None:
        if self._heard is not self._sound:
            self._heard = self._sound
            now = self._clock.now_ns() * SOUND_CLOCK_HZ // NS_PER_S
            self._base = now - voice.ticks
        super().put(replace(voice, ticks=voice.ticks + self._base))

    def _ticks_at(self, now_ns: int) -> int | None:
        ticks = None if self._heard is None else self._heard.ticks_at(now_ns)
        return None if ticks is None else ticks + self._base


class ViewerPeer(Peer):
    """One peer connection that only sends: pictures, and the voice to who offers to take it.

    Args:
        ask_for_key_frame: is called whenever the viewer says that it lost the picture.
    """

    def __init__(  # noqa: PLR0913 - what a connection is made of
        self,
        config: Rtc,
        configuration: RTCConfiguration,
        seat: Seat,
        hearing: Hearing,
        events: PeerEvents,
        ask_for_key_frame: Callable[[], None],
    ) -> None:
        pictures = _SeatTrack(seat)
        super().__init__(config, configuration, pictures, events, hearing, direction="sendonly")
        # Nothing is encoded here, so the sender's own mark for its next picture would be in vain.
        self._video.sender._send_keyframe = ask_for_key_frame  # type: ignore[method-assign]
