"""A stand-in for the daemon that a test can put into any state: full, refusing, holding, closing.

It speaks the daemon's HTTP and data-channel messages and returns a drawn picture of the identity's
portrait. It knows nothing of faces, pipelines or timing; what the page shows against the real
daemon is `test_browser_e2e.py`'s business.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import uvicorn
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "scripted-token-of-the-test"
PORTRAITS = ROOT / "realtime" / "identities"
CANVAS = (640, 480)
CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
STATS_INTERVAL_S = 0.5
FPS = 12
"""enough for a page to be live; each picture is encoded here and decoded there"""


@dataclass
class Script:
    """What the stand-in does next; a test changes it while the page looks on."""

    refuse_with: tuple[int, str] | None = None
    """answer to an offer instead of a session: HTTP status, text"""
    refuse_film: str = ""
    """answer to a wish to record"""
    stats: dict[str, Any] = field(default_factory=dict)
    """laid over each stats message"""
    heard: list[dict[str, Any]] = field(default_factory=list)
    """messages of the page, in order"""
    calibrated: bool = True
    name: str = ""
    """under which the page published"""
    refuse_tokens: str = ""
    ice_servers: list[dict[str, str]] = field(default_factory=list)
    """as the daemon names them to a page"""
    token_days: float = 30


class PortraitTrack(MediaStreamTrack):
    """The chosen identity's portrait, swaying a little."""

    kind = "video"

    def __init__(self, identity: str) -> None:
        super().__init__()
        self.identity = identity
        self._sent = 0
        self._begun_s = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        self._sent += 1
        await asyncio.sleep(max(0.0, self._begun_s + self._sent / FPS - time.monotonic()))
        picture = np.asarray(picture_of(self.identity, self._sent))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self._sent * 90_000 // FPS, Fraction(1, 90_000)
        return frame


_PORTRAITS: dict[str, Image.Image] = {}


def picture_of(identity: str, tick: int) -> Image.Image:
    """The portrait over a backdrop in the colour of its lower edge."""
    if identity not in _PORTRAITS:
        portrait = Image.open(PORTRAITS / identity / "portrait.png").convert("RGBA")
        _PORTRAITS[identity] = portrait.resize((CANVAS[1], CANVAS[1]))
    portrait = _PORTRAITS[identity]
    red, green, blue, _ = portrait.getpixel((CANVAS[1] // 2, CANVAS[1] - 4))  # type: ignore[misc]
    backdrop = (40 + red // 4, 40 + green // 4, 40 + blue // 4)
    picture = Image.new("RGB", CANVAS, backdrop)
    picture.paste(portrait, ((CANVAS[0] - CANVAS[1]) // 2 + abs(tick % 60 - 30) // 6, 0), portrait)
    return picture


class ScriptedDaemon:
    """Runs in a thread of its own; `stop` breaks every connection without a word."""

    def __init__(self, port: int = 0) -> None:
        self.script = Script()
        self.port = port
        self._peers: dict[str, tuple[RTCPeerConnection, RTCDataChannel | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.films: dict[str, dict[str, Any]] = {}
        """how the recording of each session goes"""
        self._begin()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/#token={TOKEN}"

    def restart(self) -> None:
        """Listen again on the same port, without any session."""
        self._begin()

    def renew(self) -> None:
        """As freshly begun: nobody is connected, nothing is scripted."""
        if not self._thread.is_alive():
            self._begin()
        self.drop()
        self.script = Script()
        self.films.clear()

    def drop(self) -> None:
        """End every session without a word."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()

    def say(self, message: dict[str, Any]) -> None:
        """Send a message on the stats channel of every session."""
        for _, stats in list(self._peers.values()):
            assert stats is not None
            self._loop.call_soon_threadsafe(stats.send, json.dumps(message))

    def _begin(self) -> None:
        config = uvicorn.Config(
            self._app(), host="127.0.0.1", port=self.port, log_level="error", lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-daemon", daemon=True)
        self._thread.start()
        deadline_s = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline_s, "the scripted daemon does not listen after 10 s"
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        await self._server.serve()
        await self._hang_up()

    async def _hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for peer, _ in list(self._peers.values()):
            await peer.close()
        self._peers.clear()

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/api/status", self._status)
        app.add_api_route("/api/identities", self._identities)
        app.add_api_route("/api/identities/{identity}/portrait", self._portrait)
        film = "/api/sessions/{session}/recording"
        app.add_api_route(film, self._record, methods=["POST"], status_code=201)
        app.add_api_route(film, self._stop, methods=["DELETE"])
        app.add_api_route("/api/sessions/{session}/snapshot", self._snapshot)
        app.add_api_route("/api/tokens", self._make_token, methods=["POST"])
        app.add_api_route("/whip", self._offer, methods=["POST"])
        app.add_api_route("/whip/{session}", self._trickle, methods=["PATCH"])
        app.add_api_route("/whip/{session}", self._delete, methods=["DELETE"])
        app.mount("/", StaticFiles(directory=ROOT / "web_client", html=True))

        async def guard(request: Request, proceed: Callable[[Request], Any]) -> Response:
            private = request.url.path.startswith(("/api/", "/whip"))
            if private and request.headers.get("authorization") != f"Bearer {TOKEN}":
                return JSONResponse({"error": "the access token is not valid"}, 401)
            response: Response = await proceed(request)
            response.headers["Content-Security-Policy"] = CSP
            response.headers["X-Content-Type-Options"] = "nosniff"
            return response

        app.middleware("http")(guard)
        return app

    async def _status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "engine": "ONNX Runtime 1.31 CPU, 2 threads: no CUDA device",
            "loop": "uvloop",
            "canvas": {"width": CANVAS[0], "height": CANVAS[1]},
            "sessions": len(self._peers),
            "max_sessions": 2,
            "default_identity": "juniper",
            "ice_servers": self.script.ice_servers,
        }

    async def _identities(self) -> list[dict[str, object]]:
        return [
            {
                "id": name,
                "name": name.capitalize(),
                "kind": "fictional",
                "statement": "A fictional person, rendered from CC0 assets. "
                "The portrait shows no real person, so nobody's consent is needed.",
                "portrait": f"/api/identities/{name}/portrait",
                "ready": True,
            }
            for name in ("juniper", "coral", "cobalt", "slate")
        ]

    async def _portrait(self, identity: str) -> Response:
        content = (PORTRAITS / identity / "portrait.png").read_bytes()
        return Response(content, media_type="image/png")

    async def _record(self, session: str) -> Response:
        assert session in self._peers
        if self.script.refuse_film:
            return JSONResponse({"error": self.script.refuse_film}, 409)
        self.films[session] = {
            "state": "on",
            "files": [f"/films/2026-11-22_20-15-03_s{len(self.films) + 1}.mp4"],
            "seconds": 75.4,
            "bytes": 3_400_000,
            "dropped": 0,
            "problem": "",
            "signing": 0,
            "unsigned": "",
        }
        return JSONResponse(self.films[session], 201)

    async def _stop(self, session: str) -> Response:
        assert session in self._peers
        self.films[session]["state"] = "stopped"
        return JSONResponse(self.films[session])

    async def _snapshot(self, session: str) -> Response:
        assert session in self._peers
        content = (PORTRAITS / "juniper" / "portrait.png").read_bytes()
        return Response(content, media_type="image/png")

    async def _make_token(self, request: Request) -> Response:
        wish = await request.json()
        if self.script.refuse_tokens:
            return JSONResponse({"error": self.script.refuse_tokens}, 403)
        token = f"{wish['scope']}.{wish['session']}"
        ends = datetime.now(timezone.utc) + timedelta(days=self.script.token_days)
        return JSONResponse({"token": token, "expires": ends.isoformat()}, 201)

    async def _offer(self, request: Request) -> Response:
        if self.script.refuse_with:
            status, text = self.script.refuse_with
            return JSONResponse({"error": text}, status)
        session = f"s{time.monotonic_ns()}"
        self.script.name = request.query_params.get("name", "phone-0")
        track = PortraitTrack(request.query_params.get("identity", "juniper"))
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peers[session] = (peer, None)
        peer.addTrack(track)
        peer.on("datachannel", lambda channel: self._channel(session, track, channel))
        peer.on("track", lambda arriving: self._spawn(drain(arriving)))
        offer = RTCSessionDescription((await request.body()).decode(), "offer")
        await peer.setRemoteDescription(offer)
        await peer.setLocalDescription(await peer.createAnswer())
        return Response(
            peer.localDescription.sdp,
            201,
            {"Location": f"/whip/{session}", "ETag": '"1"'},
            "application/sdp",
        )

    async def _trickle(self, session: str, request: Request) -> Response:
        mid = ""
        for line in (await request.body()).decode().splitlines():
            if line.startswith("a=mid:"):
                mid = line.removeprefix("a=mid:")
            elif line.startswith("a=candidate:"):
                candidate = candidate_from_sdp(line.removeprefix("a=candidate:"))
                candidate.sdpMid = mid
                await self._peers[session][0].addIceCandidate(candidate)
        return Response(status_code=204)

    async def _delete(self, session: str) -> Response:
        if session in self._peers:
            await self._peers[session][0].close()
            self._peers.pop(session, None)
        return Response(status_code=200)

    def _channel(self, session: str, track: PortraitTrack, channel: RTCDataChannel) -> None:
        if channel.label == "stats":
            self._peers[session] = (self._peers[session][0], channel)
            self._spawn(self._report(session, track, channel))
        else:
            channel.on("message", lambda text: self._heed(track, json.loads(text)))

    def _heed(self, track: PortraitTrack, message: dict[str, Any]) -> None:
        self.script.heard.append(message)
        if message["type"] == "identity":
            track.identity = message["id"]
            self.say({"type": "identity", "id": message["id"]})
        elif message["type"] == "calibrate":
            self.say({"type": "calibrated"})

    async def _report(self, session: str, track: PortraitTrack, channel: RTCDataChannel) -> None:
        channel.send(json.dumps({"type": "hello", "name": self.script.name}))
        tick = 0
        while channel.readyState == "open":
            tick += 1
            message = {**stats_message(track.identity, tick), "recording": self.films.get(session)}
            message.update(self.script.stats)
            channel.send(json.dumps(message))
            await asyncio.sleep(STATS_INTERVAL_S)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def stats_message(identity: str, tick: int) -> dict[str, Any]:
    """A plausible stats message of a healthy session."""
    wobble = (tick * 7919) % 13 / 4
    return {
        "type": "stats",
        "state": "LIVE",
        "reason": "",
        "identity": identity,
        "calibrated": True,
        "face": "ok",
        "fps_in": 30.0,
        "fps_out": 29.8,
        "latency_ms": {"p50": 22 + wobble, "p95": 30 + 2 * wobble},
        "stages_ms": {
            "ingest": 0.5,
            "track": 8.6 + wobble / 2,
            "retarget": 0.4,
            "reenact": 11.2,
            "composite": 1.3,
            "mark": 0.1,
            "emit": 0.4,
        },  # fmt: skip
        "drops": {"track": tick // 9, "render": 1, "output": 0},
        "errors": 0,
        "camera": {"width": 640, "height": 480},
        "quality": {
            "width": 480,
            "height": 360,
            "max_fps": None,
            "step": 1,
            "reason": "the machine keeps up with 21 of 30 fps",
        },  # fmt: skip
    }


async def drain(track: MediaStreamTrack) -> None:
    """Read and forget: a track that is not read grows without bound."""
    while track.readyState == "live":
        try:
            await track.recv()
        except Exception as error:  # noqa: BLE001  # root of a task of the test's stand-in
            if type(error).__name__ != "MediaStreamError":
                raise
            return
