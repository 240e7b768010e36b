"""Fakes and clients that several tests share: a weight-free studio, a scripted camera, a performer.

The fake pipeline knows faults on command and draws the number that it reads from the camera picture
into its own, so that a test can follow a frame through the daemon.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, cast

import av
import httpx
import numpy as np
import pytest
from aiortc import (
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime import verify_process
from realtime.cast import Studio
from realtime.config import Config, Quality, Server
from realtime.consent import ConsentRecord
from realtime.daemon import Daemon, build_services
from realtime.errors import FrameError, IdentityError, SessionError
from realtime.frames import (
    F32,
    U8,
    Arrived,
    Controls,
    FaceTrack,
    Motion,
    NoFace,
    OutputFrame,
    SourceFrame,
    Timings,
    Tracked,
)
from realtime.identity import Identity, IdentityCard
from realtime.loops import choose_loop
from realtime.server import create_app
from realtime.stages.mark import Marks
from realtime.telemetry import GpuMemory
from realtime.tokens import Tokens
from realtime.verify_process import Asked, Tell
from realtime.watermark import Payload
from tests.fakes import consent
from tests.pictures import HEIGHT, WIDTH, draw_number, i420_of, luma_of, read_number, texture

T = TypeVar("T")

TOKEN = "a-token-of-the-tests-with-enough-characters"
CARD_LUMA = 40
FACE_LUMA = {"juniper": 120, "coral": 170}


def run_on(loop_name: str, main: Callable[[], Awaitable[T]], timeout_s: float = 60.0) -> T:
    """Run a coroutine function on a new event loop of that name."""
    loop = choose_loop(loop_name).new()

    async def bounded() -> T:
        return await asyncio.wait_for(main(), timeout_s)

    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(bounded())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


@dataclass
class Script:
    """What the fakes do next; a test changes it while frames flow."""

    track_delay_s: float = 0.0
    render_delay_s: float = 0.0
    fault: str = ""
    """load_hangs, no_face, track_raises, track_hangs, track_killed, track_refuses, render_raises,
    render_nan, render_hangs or render_killed"""
    released: threading.Event = field(default_factory=threading.Event)
    """lets what hangs go on"""
    calibrations: int = 0
    open_stages: int = 0
    landmarks: Callable[[], F32 | None] | None = None
    """of the face in the next picture; None for no face"""


class FakeTrackStage:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._seq = 0
        script.open_stages += 1

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        script = self._script
        time.sleep(script.track_delay_s)
        if script.fault == "track_raises":
            raise ValueError("a bug in the tracker")
        if script.fault == "track_refuses":
            raise SessionError("the camera sends what is not served")
        if script.fault == "track_hangs":
            script.released.wait(20)
        if script.fault == "track_killed":
            raise SystemExit
        self._seq += 1
        luma = luma_of(arrived.frame).copy()
        rgb = np.repeat(luma[:, :, None], 3, axis=2)
        source = SourceFrame(self._seq, arrived.frame.pts or 0, arrived.arrived_ns, rgb)
        face: FaceTrack | NoFace = FaceTrack(np.zeros((478, 3), np.float32), 1.0)
        if script.landmarks is not None:
            found = script.landmarks()
            face = NoFace("none") if found is None else FaceTrack(found, 1.0)
        if script.fault == "no_face":
            face = NoFace("none")
        timings = Timings(arrived.arrived_ns)
        for stage in ("ingest", "track"):
            timings = timings.with_stage(stage, 1, time.monotonic_ns() - 1)
        return Tracked(source, face, None, timings)

    def close(self) -> None:
        self._script.open_stages -= 1


@dataclass(frozen=True)
class FakeNoOutput:
    reason: str


class FakePipeline:
    """A flat picture in the identity's brightness, with the camera picture's number in it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.calibrated = True
        self.marks = Marks(Payload.random(), "AI", None)
        self.on_motion: Callable[[Motion], None] | None = None
        self.cuts_out = False

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | FakeNoOutput:
        script = self._script
        time.sleep(script.render_delay_s)
        if script.fault == "render_raises":
            raise ValueError("a bug in a stage")
        if script.fault == "render_nan":
            raise FrameError("the network's picture is not finite; the frame is dropped")
        if script.fault == "render_hangs":
            script.released.wait(20)
        if script.fault == "render_killed":
            raise SystemExit
        if isinstance(tracked.face, NoFace):
            return FakeNoOutput(tracked.face.reason)
        height, width = cast(FakeIdentity, identity).canvas_hw
        luma = np.full((height, width), FACE_LUMA[identity.id], np.uint8)
        draw_number(luma, read_number(tracked.source.rgb[:, :, 0]))
        timings = tracked.timings.with_stage("emit", 3, time.monotonic_ns() - 3)
        source, i420 = tracked.source, i420_of(luma)
        made = OutputFrame(i420, width, height, source.seq, source.pts, "LIVE", timings, 0)
        return replace(made, stacked_i420=_stacked(luma)) if self.cuts_out else made

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        height, width = canvas_hw or (HEIGHT, WIDTH)
        luma = np.full((height, width), CARD_LUMA, np.uint8)
        made = OutputFrame(i420_of(luma), width, height, -1, 0, "CARD", Timings(0), 0)
        return replace(made, stacked_i420=_stacked(luma))

    def cut_out(self, wanted: bool) -> None:
        self.cuts_out = wanted

    def calibrate(self) -> None:
        self._script.calibrations += 1
        self.calibrated = True


def _stacked(luma: U8) -> U8:
    """A matte that lets everything through, below the picture."""
    return i420_of(np.concatenate([luma, np.full_like(luma, 235)]))


@dataclass(frozen=True)
class FakeIdentity:
    id: str
    canvas_hw: tuple[int, int] = (HEIGHT, WIDTH)
    consent: ConsentRecord = field(default_factory=consent)


class FakeStudio:
    """Implements `session.Studio` without weights, faces or files."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.loads: list[str] = []
        self.revoked: set[str] = set()
        self.portrait = Path(__file__)
        self.gpu: GpuMemory | None = None

    def load(self) -> str:
        if self.script.fault == "load_hangs":
            self.script.released.wait(20)
        return "fake network: for tests"

    def make_track_stage(self) -> FakeTrackStage:
        return FakeTrackStage(self.script)

    def make_pipeline(self) -> FakePipeline:
        return FakePipeline(self.script)

    def load_identity(self, identity_id: str, canvas_hw: tuple[int, int] | None = None) -> Identity:
        self.loads.append(identity_id)
        if identity_id not in FACE_LUMA:
            raise IdentityError(f"no identity {identity_id!r}; there are: juniper, coral")
        return cast(Identity, FakeIdentity(identity_id, canvas_hw or (HEIGHT, WIDTH)))

    def check_identity(self, identity_id: str) -> object:
        if identity_id in self.revoked:
            raise IdentityError(f"the consent for {identity_id} was revoked")
        return None

    def network(self) -> tuple[str, str]:
        return "fake network", "0" * 64

    def gpu_memory(self) -> GpuMemory | None:
        return self.gpu

    def list_identities(self) -> list[IdentityCard]:
        return [
            IdentityCard(
                id=identity_id,
                name=identity_id.title(),
                kind="fictional",
                statement="shows no real person",
                portrait_path=self.portrait,
            )
            for identity_id in FACE_LUMA
        ]


class Camera(MediaStreamTrack):
    """A scripted webcam: textured pictures, each with its number, paced by the real clock."""

    kind = "video"

    def __init__(self, fps: float = 30.0, picture: U8 | None = None) -> None:
        super().__init__()
        self.picture = texture() if picture is None else picture
        self.sent_s: list[float] = []
        """monotonic time at which picture n was handed to the encoder"""
        self.running = asyncio.Event()
        """cleared, the camera pauses"""
        self.running.set()
        self._interval_s = 1 / fps
        self._next_s = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._next_s = max(self._next_s + self._interval_s, time.monotonic())
        await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))
        await self.running.wait()
        luma = self.picture.copy()
        draw_number(luma, len(self.sent_s))
        frame = av.VideoFrame.from_ndarray(i420_of(luma), format="yuv420p")
        frame.pts, frame.time_base = len(self.sent_s) * 3000, Fraction(1, 90_000)
        self.sent_s.append(time.monotonic())
        return frame


@dataclass(frozen=True)
class Seen:
    """One received picture."""

    at_s: float
    luma: U8

    @property
    def is_card(self) -> bool:
        return abs(float(self.luma.mean()) - CARD_LUMA) < 12

    @property
    def number(self) -> int:
        return read_number(self.luma)


class Performer:
    """A WHIP client with a camera, as a browser page would be."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        camera: MediaStreamTrack,
        codec: str = "",
        direction: str = "sendrecv",
    ) -> None:
        self._http = http
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.seen: list[Seen] = []
        self.messages: list[dict[str, Any]] = []
        self.location = ""
        self._codec = codec
        self.controls = self.peer.createDataChannel("controls")
        self.stats = self.peer.createDataChannel("stats")
        for channel in (self.controls, self.stats):
            channel.on("message", lambda text: self.messages.append(json.loads(text)))
        self.peer.addTransceiver(camera, direction=direction)
        self.peer.on("track", self._on_track)
        self._watching: asyncio.Task[None] | None = None

    async def connect(self, identity: str = "", name: str = "") -> None:
        """Offer, answer, and the wait until both channels are open."""
        await self.accept(await self.offer(identity, name))
        await until(lambda: {"open"} == {self.controls.readyState, self.stats.readyState})

    async def offer(self, identity: str = "", name: str = "") -> str:
        """The daemon's answer; nothing is connected yet."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        wishes = {"identity": identity, "name": name}
        query = {key: wish for key, wish in wishes.items() if wish}
        response = await self._http.post(
            "/whip",
            params=query,
            content=self.peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert response.status_code == 201, response.text
        self.location = response.headers["Location"]
        return response.text

    async def accept(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def say(self, **message: Any) -> None:
        self.controls.send(json.dumps(message))

    def heard(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def stat(self, name: str) -> Any:
        """One number of the newest stats message; 0 before the first."""
        stats = self.heard("stats")
        return stats[-1][name] if stats else 0

    async def close(self) -> None:
        await self.peer.close()
        if self._watching is not None:
            await self._watching

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._watching = asyncio.ensure_future(record(track, self.seen))


class Watcher:
    """A WHEP player: receives, and sends nothing."""

    def __init__(self, http: httpx.AsyncClient, codec: str = "") -> None:
        self._http = http
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.seen: list[Seen] = []
        self.headers: Mapping[str, str] = {}
        """of the answer: Location, ETag and others"""
        transceiver = self.peer.addTransceiver("video", direction="recvonly")
        if codec:
            capabilities = RTCRtpReceiver.getCapabilities("video")
            assert capabilities is not None
            offered = capabilities.codecs
            transceiver.setCodecPreferences([one for one in offered if one.name == codec])
        self._watching: asyncio.Task[None] | None = None

    async def connect(self, path: str = "/whep", **query: str) -> None:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        response = await self._http.post(
            path,
            params=query,
            content=self.peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert response.status_code == 201, response.text
        self.headers = response.headers
        await self.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        track = self.peer.getTransceivers()[0].receiver.track
        self._watching = asyncio.ensure_future(record(track, self.seen))

    async def close(self) -> None:
        await self.peer.close()
        if self._watching is not None:
            self._watching.cancel()  # the track of a connection that never came does not end
            await asyncio.wait([self._watching])


async def record(track: MediaStreamTrack, seen: list[Seen]) -> None:
    """Keep every picture that arrives, until the track ends."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, av.VideoFrame)
        seen.append(Seen(time.monotonic(), luma_of(frame).copy()))


class Lag:
    """Measures for how long this process keeps its own event loop from running.

    A deadline is the daemon's; what a busy machine adds to it is measured, not guessed.
    """

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        """when the loop ran again, and how much too late that was, in seconds"""
        self._task = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(0.01)
            now_s = time.monotonic()
            self._late.append((now_s, now_s - began_s - 0.01))

    def worst_s(self) -> float:
        return max((late_s for _, late_s in self._late), default=0.0)

    def between_s(self, begin_s: float, end_s: float) -> float:
        """All of it in that time."""
        return sum(late_s for at_s, late_s in self._late if begin_s < at_s <= end_s)

    def stop(self) -> None:
        self._task.cancel()


def look_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reenactd verify` without a process per file, which takes a second to begin."""

    def look(path: Path, tell: Tell, stopped: Callable[[], bool], asked: Asked) -> None:
        verify_process.look_here(path.absolute(), tell, asked.whole)

    monkeypatch.setattr(verify_process, "look", look)


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something to become true; fails with a TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} stayed false for {timeout_s} s")
        await asyncio.sleep(0.01)


@dataclass
class Stand:
    """A running daemon with its HTTP surface, in this process."""

    daemon: Daemon
    http: httpx.AsyncClient
    studio: FakeStudio
    """not in use where the test brought one of another kind"""
    tokens: Tokens

    @property
    def script(self) -> Script:
        return self.studio.script


@asynccontextmanager
async def standing(
    config: Config | None = None, studio: Studio | None = None
) -> AsyncIterator[Stand]:
    """A started daemon, with the fake studio unless given one, and a client that has its token."""
    config = config or config_with(server={"max_sessions": 2})
    fake = studio if isinstance(studio, FakeStudio) else FakeStudio()
    daemon = Daemon(build_services(config, studio or fake))
    tokens = Tokens(TOKEN)
    app = create_app(daemon, tokens, "test loop")
    await daemon.start()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8700", headers=headers, timeout=60
        ) as http:
            yield Stand(daemon, http, fake, tokens)
    finally:
        fake.script.released.set()
        await daemon.stop("the test is over")


def config_with(**sections: dict[str, Any]) -> Config:
    """The default settings with some of them replaced.

    A slow test machine must change nothing of what a test sees: nobody is refused for cost, and
    every picture has its full quality, unless a test asks for it.
    """
    server = Server(min_fps=0, post_rate_per_s=1000)
    config = Config(server=server, quality=Quality(adapt=False))
    changed = {
        name: getattr(config, name).model_copy(update=values) for name, values in sections.items()
    }
    return config.model_copy(update=changed)
