"""A viewer of the running daemon: WHEP (draft-ietf-wish-whep) over its HTTP, pictures by WebRTC.

For programs beside the daemon that need its output. One visit lasts until the daemon, the session
or the connection ends; who wants to go on visits again. aiortc is mended here, too: as it is, each
picture would wait for the next one. Knows no cameras and no files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from realtime import rtc_internals
from realtime.access import is_loopback
from realtime.client import Absent, Address, Unanswered, call, who_performs
from realtime.config import Rtc

ANSWER_S = 10.0
FIRST_PICTURE_S = 15.0
"""from the answer to the first picture; ICE and DTLS lie between"""
SILENT_S = 3.0
"""the daemon sends about ten pictures a second even of a card; a longer gap is an end"""


Show = Callable[[VideoFrame], None]


def visitor(config: Rtc, address: Address, session: str) -> Callable[[Show], Awaitable[str]]:
    """What visits a session: shows every picture as it comes, and returns why no more come.

    Changes aiortc for the whole process. The visit raises Absent or Unanswered where the daemon is
    not there, or refuses.

    Args:
        session: what it is called; empty for the only one, or the latest.

    Raises:
        StartupError: aiortc has changed.
    """
    # A daemon on loopback offers nothing but it; one elsewhere cannot be reached by it. Nothing is
    # encoded here, so the encoder that the daemon has need not be there.
    host = urlsplit(address.url).hostname or ""
    decoding = config.model_copy(update={"h264_encoder": "libx264"})
    rtc_internals.install(decoding, loopback=is_loopback(host))
    return lambda show: _visit(address, session, show)


async def _visit(address: Address, session: str, show: Show) -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    resource = ""
    try:
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp
        resource, answer = await asyncio.to_thread(_post, address, session, offer)
        await _accept(peer, address, answer)
        return await _show_all(peer.getTransceivers()[0].receiver.track, show)
    finally:
        await peer.close()
        if resource:
            with contextlib.suppress(Unanswered):  # gone already: then there is nothing to end
                await asyncio.to_thread(_delete, address, resource)


async def _accept(peer: RTCPeerConnection, address: Address, answer: str) -> None:
    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    except Exception as exc:  # noqa: BLE001 - aiortc's parser raises many types on what is no SDP
        raise Unanswered(f"{address.url} answered with no usable SDP: {exc}") from exc


async def _show_all(track: MediaStreamTrack, show: Show) -> str:
    patience_s = FIRST_PICTURE_S
    while True:
        try:
            frame = await asyncio.wait_for(track.recv(), patience_s)
        except MediaStreamError:
            return "the session ended"
        except asyncio.TimeoutError:
            return f"no picture came for {patience_s:g} s"
        patience_s = SILENT_S
        assert isinstance(frame, VideoFrame)
        show(frame)


def _post(address: Address, session: str, offer: str) -> tuple[str, str]:
    """The resource that stands for this viewer, and the SDP answer."""
    path = f"/whep/{session}" if session else "/whep"
    try:
        with call(address, "POST", path, ANSWER_S, sdp=offer) as response:
            location = urlsplit(response.headers.get("Location", "")).path
            return location, response.read().decode()
    except Absent as absent:
        raise (_not_there(address, session) if session else absent) from None


def _not_there(address: Address, session: str) -> Absent:
    """Tells which sessions there are, to who may ask."""
    what = f"no session {session!r} runs now"
    with contextlib.suppress(Unanswered):  # a token to view, and no more
        what = f"{what}; {who_performs(address)}"
    return Absent(what)


def _delete(address: Address, path: str) -> None:
    with call(address, "DELETE", path):
        return
