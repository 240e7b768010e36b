"""The adapters around aiortc for viewers: what a Seat gives goes out as it is, not encoded again.

aiortc sends what is no picture through its encoder's `pack`; ours let ready-made payloads through
(`rtc_encode.Ready`). Every viewer keeps an RTP sender of its own: SSRC, sequence numbers, time
origin, retransmission. Knows no sessions and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCConfiguration, RTCRtpCodecParameters, codecs
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime.clock import VIDEO_CLOCK_HZ
from realtime.config import Rtc
from realtime.latest import Closed
from realtime.rtc import Peer, PeerEvents
from realtime.rtc_encode import Ready
from realtime.sinks.viewers import Encoder, Seat


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
        return Ready(coded.payloads, coded.timestamp, self._estimated)

    def _estimated(self, bitrate_bps: int) -> None:
        self._seat.estimate_bps = bitrate_bps


class ViewerPeer(Peer):
    """One peer connection that only sends.

    Args:
        ask_for_key_frame: is called whenever the viewer says that it lost the picture.
    """

    def __init__(
        self,
        config: Rtc,
        configuration: RTCConfiguration,
        seat: Seat,
        events: PeerEvents,
        ask_for_key_frame: Callable[[], None],
    ) -> None:
        super().__init__(config, configuration, _SeatTrack(seat), events, direction="sendonly")
        # Nothing is encoded here, so the sender's own mark for its next picture would be in vain.
        self._video.sender._send_keyframe = ask_for_key_frame  # type: ignore[method-assign]
