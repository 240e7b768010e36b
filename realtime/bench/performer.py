"""A scripted performer: an aiortc client that sends a clip and counts what comes back.

It speaks the daemon's public protocol (WHIP over HTTP, `controls` and `stats` data channels) and
knows nothing of its insides. Its own encoder is tuned like the daemon's, so that it does not become
the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError

from realtime.bench.link import Link
from realtime.bench.whip import Whip
from realtime.clock import NS_PER_S, VIDEO_CLOCK_HZ, Clock, MonotonicClock
from realtime.errors import ReenactdError
from realtime.rtc_internals import lose_what_is_sent

CONNECT_TIMEOUT_S = 30.0
PEER_ERRORS = (InvalidAccessError, InvalidStateError, OperationError, ConnectionError, ValueError)
"""what aiortc raises where a connection cannot be made, or has gone"""


class PacedClip(MediaStreamTrack):
    """Pictures at a steady rate; one that is late is sent at once, and none is skipped."""

    kind = "video"

    def __init__(self, pictures: Iterator[av.VideoFrame], fps: float, clock: Clock) -> None:
        super().__init__()
        self._pictures = pictures
        self._interval_ns = round(NS_PER_S / fps)
        self._clock = clock
        self._began_ns: int | None = None
        self._skipped_ns = 0
        self.sent = 0

    def skip_ns(self, pause_ns: int) -> None:
        """Everything that is still to come comes, and is stamped, so much later."""
        self._skipped_ns += pause_ns

    async def recv(self) -> av.VideoFrame:
        now_ns = self._clock.now_ns()
        if self._began_ns is None:
            self._began_ns = now_ns
        at_ns = self.sent * self._interval_ns + self._skipped_ns
        due_ns = self._began_ns + at_ns
        if due_ns > now_ns:
            await asyncio.sleep((due_ns - now_ns) / NS_PER_S)
        picture = next(self._pictures)
        picture.pts = at_ns * VIDEO_CLOCK_HZ // NS_PER_S
        picture.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        self.sent += 1
        return picture


class Performer:
    """One session from offer to hang-up.

    Args:
        link: what lies between the two; None for nothing.
    """

    def __init__(
        self, url: str, token: str, camera: MediaStreamTrack, link: Link | None = None
    ) -> None:
        self._whip = Whip(url, token)
        self._camera = camera
        self._link = link
        self._clock = MonotonicClock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._controls = self._peer.createDataChannel("controls")
        self._lost = self._lossy = False
        self.closed: str | None = None
        """why the daemon ended the session, if it did"""
        self.connected_ns: int | None = None
        """when ICE and DTLS were done"""
        self.received_ns: list[int] = []
        """when each returned frame was decoded"""
        self.stats: list[tuple[int, dict[str, Any]]] = []
        """every `stats` message with its time"""

    async def connect(self, identity: str | None) -> None:
        """
        Raises:
            AdmissionRefused: the daemon has no room (HTTP 503).
            ReenactdError: the daemon refuses, or no picture comes back in time.
        """
        self._peer.addTrack(self._camera)
        self._peer.on("track", self._receive)
        self._peer.on("connectionstatechange", self._on_connection)
        self._peer.createDataChannel("stats").on("message", self._note)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        offer = self._peer.localDescription.sdp
        if self._link is not None:
            offer = self._link.as_seen_by_server(offer)
        answer = await self._whip.offer(offer, identity)
        if self._link is not None:
            answer = self._link.as_seen_by_client(answer)
        await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        deadline_ns = self._clock.now_ns() + round(CONNECT_TIMEOUT_S * NS_PER_S)
        while not self.received_ns:
            if self._clock.now_ns() > deadline_ns:
                raise ReenactdError(f"no picture came back within {CONNECT_TIMEOUT_S:g} s")
            await asyncio.sleep(0.05)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message on `controls`; what is said before the channel is open is not sent."""
        if self._controls.readyState == "open":
            self._controls.send(json.dumps(message))

    def lose(self, lost: bool) -> None:
        """From now on, whether everything that is sent from here gets lost. Once connected."""
        if not self._lossy:
            lose_what_is_sent(self._peer, lambda: self._lost)
            self._lossy = True
        self._lost = lost

    async def vanish(self) -> None:
        """Go without a word, as a closed laptop does: the daemon has to find out."""
        self.lose(True)
        self._whip.forget()
        await self._peer.close()

    async def hang_up(self) -> None:
        try:
            if self.closed is None:
                await self._whip.hang_up()
        finally:
            await self._peer.close()

    def _on_connection(self) -> None:
        if self._peer.connectionState == "connected" and self.connected_ns is None:
            self.connected_ns = self._clock.now_ns()

    def _receive(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._count(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                picture = await track.recv()
                self.received_ns.append(self._clock.now_ns())
                assert isinstance(picture, av.VideoFrame)
                self.on_picture(picture, self.received_ns[-1])
        except MediaStreamError:
            return

    def on_picture(self, picture: av.VideoFrame, at_ns: int) -> None:
        """A picture came back; for those who look at it."""

    def _note(self, message: str) -> None:
        content = json.loads(message)
        if content["type"] == "stats":
            self.stats.append((self._clock.now_ns(), content))
        elif content["type"] == "closed":
            self.closed = content["reason"]
