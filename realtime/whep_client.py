"""A viewer of the running daemon: WHEP (draft-ietf-wish-whep) over its HTTP, pictures by WebRTC.

For programs beside the daemon that need its output. One visit lasts until the daemon, the session
or the connection ends; who wants to go on visits again. Knows no cameras and no files.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from realtime.client import Address, Unanswered, call

ANSWER_S = 10.0
FIRST_PICTURE_S = 15.0
"""from the answer to the first picture; ICE and DTLS lie between"""
SILENT_S = 3.0
"""the daemon sends about ten pictures a second even of a card; a longer gap is an end"""


async def watch(address: Address, session: str, show: Callable[[VideoFrame], None]) -> str:
    """Show every picture of a session as it comes. Returns why no more come.

    Args:
        session: its id; empty for the only one, or the latest.

    Raises:
        Unanswered: there is no daemon, or it refuses.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    resource = ""
    try:
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        path = f"/whep/{session}" if session else "/whep"
        offer = peer.localDescription.sdp
        resource, answer = await asyncio.to_thread(_post, address, path, offer)
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


async def _show_all(track: MediaStreamTrack, show: Callable[[VideoFrame], None]) -> str:
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


def _post(address: Address, path: str, offer: str) -> tuple[str, str]:
    """The resource that stands for this viewer, and the SDP answer."""
    with call(address, "POST", path, ANSWER_S, sdp=offer) as response:
        location = urlsplit(response.headers.get("Location", "")).path
        return location, response.read().decode()


def _delete(address: Address, path: str) -> None:
    with call(address, "DELETE", path):
        return
