"""A scripted performer: an aiortc client that sends a clip and counts what comes back.

It speaks the daemon's public protocol (WHIP over HTTP, `controls` and `stats` data channels) and
knows nothing of its insides. Its own encoder is tuned like the daemon's, so that it does not become
the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from realtime.clock import NS_PER_S, VIDEO_CLOCK_HZ, Clock, MonotonicClock
from realtime.errors import ReenactdError

CONNECT_TIMEOUT_S = 30.0
HTTP_TIMEOUT_S = 70.0
"""an offer waits until the daemon has loaded its networks"""


class PacedClip(MediaStreamTrack):
    """Pictures at a steady rate; one that is late is sent at once, and none is skipped."""

    kind = "video"

    def __init__(self, pictures: Iterator[av.VideoFrame], fps: float, clock: Clock) -> None:
        super().__init__()
        self._pictures = pictures
        self._interval_ns = round(NS_PER_S / fps)
        self._clock = clock
        self._began_ns: int | None = None
        self.sent = 0

    async def recv(self) -> av.VideoFrame:
        now_ns = self._clock.now_ns()
        if self._began_ns is None:
            self._began_ns = now_ns
        due_ns = self._began_ns + self.sent * self._interval_ns
        if due_ns > now_ns:
            await asyncio.sleep((due_ns - now_ns) / NS_PER_S)
        picture = next(self._pictures)
        picture.pts = self.sent * self._interval_ns * VIDEO_CLOCK_HZ // NS_PER_S
        picture.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        self.sent += 1
        return picture


class Performer:
    """One session from offer to hang-up."""

    def __init__(self, url: str, token: str, camera: MediaStreamTrack) -> None:
        self._url, self._token = url, token
        self._camera = camera
        self._clock = MonotonicClock()
        self._session = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.closed: str | None = None
        """why the daemon ended the session, if it did"""
        self.received_ns: list[int] = []
        """when each returned frame was decoded"""
        self.stats: list[tuple[int, dict[str, Any]]] = []
        """every `stats` message with its time"""

    async def connect(self, identity: str | None) -> None:
        """
        Raises:
            ReenactdError: the daemon refuses, or no picture comes back in time.
        """
        self._peer.addTrack(self._camera)
        self._peer.on("track", self._receive)
        self._peer.createDataChannel("controls")
        self._peer.createDataChannel("stats").on("message", self._note)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        path = "/whip" if identity is None else f"/whip?identity={identity}"
        answer = await asyncio.to_thread(
            self._call, "POST", path, self._peer.localDescription.sdp.encode()
        )
        await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        deadline_ns = self._clock.now_ns() + round(CONNECT_TIMEOUT_S * NS_PER_S)
        while not self.received_ns:
            if self._clock.now_ns() > deadline_ns:
                raise ReenactdError(f"no picture came back within {CONNECT_TIMEOUT_S:g} s")
            await asyncio.sleep(0.05)

    async def hang_up(self) -> None:
        try:
            if self._session:
                await asyncio.to_thread(self._call, "DELETE", self._session, None)
        finally:
            await self._peer.close()

    def _receive(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._count(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
                self.received_ns.append(self._clock.now_ns())
        except MediaStreamError:
            return

    def _note(self, message: str) -> None:
        content = json.loads(message)
        if content["type"] == "stats":
            self.stats.append((self._clock.now_ns(), content))
        elif content["type"] == "closed":
            self.closed = content["reason"]

    def _call(self, method: str, path: str, body: bytes | None) -> str:
        """One HTTP call; blocks."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/sdp"}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
                self._session = response.headers.get("Location", "")
                text: str = response.read().decode()
                return text
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise ReenactdError(f"{method} {path}: HTTP {error.code}: {said}") from None
