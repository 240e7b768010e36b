"""A daemon in a thread of its own, with somebody who performs in it: a still cutout, or one that
sways. Signalling, sharing, marking and encoding are the daemon's; only the networks are missing.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from PIL import Image

from realtime.config import Config
from realtime.daemon import Daemon, build_services
from realtime.frames import (
    U8,
    Composited,
    Controls,
    Cutout,
    MarkedCutout,
    OutputFrame,
    Timings,
    Tracked,
)
from realtime.identity import Identity
from realtime.server import create_app
from realtime.stages.cutout import cut_out
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.tokens import Tokens
from realtime.watermark import Payload
from tests.helpers import TOKEN, Camera, FakePipeline, FakeStudio, Performer, Stand, until
from tests.test_lip_sync import clapping

PAYLOAD = Payload(0xFEED)
CANVAS = (640, 480)
SWAY_PX = 6
PORTRAITS = Path(__file__).resolve().parents[2] / "realtime" / "identities"


@functools.lru_cache
def avatar(shift_px: int) -> Cutout:
    """An identity's portrait, moved to the right."""
    portrait = Image.open(PORTRAITS / "juniper" / "portrait.png").convert("RGBA")
    portrait = portrait.resize((CANVAS[1], CANVAS[1]), Image.Resampling.LANCZOS)
    picture = Image.new("RGBA", CANVAS)
    picture.paste(portrait, ((CANVAS[0] - CANVAS[1]) // 2 + shift_px, 0))
    rgba = np.asarray(picture, np.uint8)
    return cut_out(np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3]))


@functools.lru_cache
def sent(shift_px: int) -> MarkedCutout:
    """What leaves for viewers, before any codec."""
    cutout = avatar(shift_px)
    marked = Mark(Config().output, PAYLOAD)(Composited(cutout.rgb, cutout)).cutout
    assert marked is not None
    return marked


class _Portrait(FakePipeline):
    """Shows the portrait over a flat wall, whatever the camera sees."""

    sways = False
    played: Sequence[OutputFrame] = ()

    def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
        if self.played:
            made = self.played[tracked.source.seq % len(self.played)]
            whence = {"source_seq": tracked.source.seq, "pts": tracked.source.pts}
            return replace(made, **whence, timings=tracked.timings)  # type: ignore[arg-type]
        tick = tracked.source.seq % (4 * SWAY_PX) if self.sways else SWAY_PX
        cutout = avatar(abs(tick - 2 * SWAY_PX) - SWAY_PX)
        shown = cutout if self.cuts_out else None
        marked = Mark(Config().output, PAYLOAD)(Composited(over(cutout, wall()), shown))
        source = tracked.source
        return Emit()(marked, source.seq, source.pts, "LIVE", tracked.timings)

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        made = Emit()(Mark(Config().output, PAYLOAD)(Composited(wall())), -1, 0, "CARD", Timings(0))
        return replace(made, stacked_i420=None)


def wall() -> U8:
    return np.full((CANVAS[1], CANVAS[0], 3), (40, 60, 90), np.uint8)


def over(cutout: Cutout | MarkedCutout, back: U8) -> U8:
    """As a browser composites."""
    alpha = cutout.alpha[:, :, None] / 255.0
    return np.asarray(np.rint(cutout.rgb * alpha + back * (1 - alpha)), np.uint8)


class _Studio(FakeStudio):
    def __init__(self) -> None:
        super().__init__()
        self.portrait = PORTRAITS / "juniper" / "portrait.png"

    def make_pipeline(self) -> FakePipeline:
        return _Portrait(self.script)


class Stage:
    """Runs until `stop`; a performer can leave and come back. With TLS where the settings have it.

    Others may perform in it, too: every session shows the same portrait.
    """

    def __init__(
        self, config: Config | None = None, studio: Callable[[], FakeStudio] = _Studio
    ) -> None:
        self.port = 0
        self._studio = studio
        self._config = config or Config()
        self._scheme = "http" if self._config.server.tls_cert is None else "https"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ending = asyncio.Event()
        self._performer: Performer | None = None
        self._clapping = AsyncExitStack()
        self._thread = threading.Thread(target=self._run, name="stage", daemon=True)
        self._thread.start()
        assert self._ready.wait(30), "the stage does not begin"

    def address(self, path: str, token: str = TOKEN) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}{path}#{token}"

    def sessions(self) -> list[dict[str, object]]:
        """What is told of each."""
        return [session.describe() for session in self._daemon.sessions]

    def encodes(self) -> list[int]:
        """How often each session's pictures are encoded for viewers."""
        return [session.audience.encodes for session in self._daemon.sessions]

    def controls(self) -> list[Controls]:
        """What each session was told by its performer, or for them."""
        return [session._live.controls for session in self._daemon.sessions]

    def sway(self, sways: bool) -> None:
        _Portrait.sways = sways

    def play(self, pictures: Sequence[OutputFrame]) -> None:
        """These for ever, instead of the portrait; none: the portrait again."""
        _Portrait.played = pictures

    def perform(self) -> None:
        """Begin a session named "me"."""
        self._call(self._perform())

    def clap(self) -> None:
        """Begin a session of somebody who claps, until `leave`."""
        stand = Stand(self._daemon, self._http, FakeStudio(), Tokens(TOKEN))
        self._call(self._clapping.enter_async_context(clapping(stand)))

    def leave(self) -> None:
        self._call(self._leave())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)  # type: ignore[arg-type]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    async def _serve(self) -> None:
        config = self._config
        daemon = self._daemon = Daemon(build_services(config, self._studio()))
        await daemon.start()
        app = create_app(daemon, Tokens(TOKEN), "test loop")
        options = uvicorn.Config(
            app,
            host=config.server.host,
            port=0,
            log_level="error",
            lifespan="off",
            ssl_certfile=config.server.tls_cert,
            ssl_keyfile=config.server.tls_key,
        )
        server = uvicorn.Server(options)
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        self.port = server.servers[0].sockets[0].getsockname()[1]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        base_url = f"{self._scheme}://127.0.0.1:{self.port}"
        chain = config.server.tls_cert
        verify = True if chain is None else ssl.create_default_context(cafile=str(chain))
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=20, verify=verify
        ) as self._http:
            self._ready.set()
            await self._ending.wait()
            await self._leave()
        server.should_exit = True
        await daemon.stop("the test is over")
        await serving

    async def _perform(self) -> None:
        self._performer = Performer(self._http, Camera())
        await self._performer.connect(name="me")

    async def _leave(self) -> None:
        await self._clapping.aclose()
        performer, self._performer = self._performer, None
        if performer is not None:
            await self._http.delete(performer.location)
            await performer.close()
