"""HTTP: identities, the page, and all that the other modules add. And the process around it.

No media passes here; an offer goes to `daemon.py`, which makes a session of it. Knows no frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.resources
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from realtime import __version__, logs, tls
from realtime.access import Guard, is_loopback, load_token
from realtime.adding import add_adding
from realtime.answers import refusals
from realtime.config import Config, Server, state_directory
from realtime.daemon import Daemon, build_services
from realtime.enrolment import Enrolment
from realtime.errors import AdmissionRefused, IdentityError, OfferRejected, StartupError
from realtime.recording import PngResponse, add_recording
from realtime.reload import Reload
from realtime.session import Studio
from realtime.signalling import RETRY_AFTER_S, add_whep, add_whip
from realtime.studio import LiveStudio
from realtime.supervision import Manager, reloading, supervise
from realtime.tickets import add_tokens, add_view, openapi_with_tokens
from realtime.tokens import Tokens
from realtime.watching import add_watching

SHUTDOWN_S = 3
MAX_CONNECTIONS = 256
"""one more is answered 503 at once"""


@dataclass(frozen=True, slots=True)
class LoopChoice:
    """The event loop, and why this one."""

    name: str
    reason: str
    new: Callable[[], asyncio.AbstractEventLoop]

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_loop(setting: str) -> LoopChoice:
    """Take uvloop where it is installed, unless the setting says otherwise.

    Raises:
        StartupError: uvloop is asked for and not installed.
    """
    if setting == "asyncio":
        return LoopChoice("asyncio", "server.loop = asyncio", asyncio.new_event_loop)
    try:
        import uvloop
    except ImportError:
        if setting == "uvloop":
            raise StartupError(
                "server.loop = uvloop, but it is not installed: `pip install uvloop`, "
                "or set it to auto"
            ) from None
        return LoopChoice("asyncio", "auto: uvloop is not installed", asyncio.new_event_loop)
    reason = "server.loop = uvloop" if setting == "uvloop" else "auto: uvloop is installed"
    return LoopChoice("uvloop", reason, uvloop.new_event_loop)


def create_app(daemon: Daemon, token: str, loop: str) -> FastAPI:
    """The whole HTTP surface; `daemon` is started and stopped by the caller."""
    tokens = Tokens(token)
    app = FastAPI(
        title="reenactd",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # they load scripts from a foreign server
        redoc_url=None,
    )
    _add_errors(app)
    add_whip(app, daemon)
    add_whep(app, daemon)
    _add_api(app, daemon, loop)
    add_watching(app, daemon, loop)
    add_recording(app, daemon)
    add_adding(app, Enrolment(daemon.services.config.identities))
    add_tokens(app, tokens)
    add_view(app, web_client_directory())
    app.openapi = functools.partial(openapi_with_tokens, app)  # type: ignore[method-assign]
    app.mount("/", StaticFiles(directory=web_client_directory(), html=True))
    server = daemon.services.config.server
    app.add_middleware(
        Guard,
        tokens=tokens,
        allowed_hosts=server.allowed_hosts,
        cors_origins=server.cors_origins,
        post_rate_per_s=server.post_rate_per_s,
        clock=daemon.services.clock,
    )
    return app


def web_client_directory() -> Path:
    """Where the page's files are: in the installed package, else in the checkout."""
    packaged = Path(str(importlib.resources.files("realtime"))) / "_web_client"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[1] / "web_client"


def _add_errors(app: FastAPI) -> None:
    """Every error is `{"error": text}`."""

    def answer(status: int) -> Callable[[Request, Exception], Response]:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
        return lambda request, exc: JSONResponse({"error": str(exc)}, status, headers)

    def http_error(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)
        return JSONResponse({"error": exc.detail}, exc.status_code, exc.headers)

    def wrong_value(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)
        return JSONResponse({"error": "; ".join(_explain(one) for one in exc.errors())}, 400)

    app.exception_handler(OfferRejected)(answer(400))
    app.exception_handler(IdentityError)(answer(400))
    app.exception_handler(AdmissionRefused)(answer(503))
    app.exception_handler(RequestValidationError)(wrong_value)
    app.exception_handler(HTTPException)(http_error)
    app.exception_handler(Exception)(
        lambda request, exc: JSONResponse({"error": "internal error; the log has the rest"}, 500)
    )


def _explain(error: dict[str, Any]) -> str:
    """One mistake of a request: the value and the rule."""
    place = " ".join(str(part) for part in error["loc"])
    rule = str(error["msg"]).replace("Input should be", "must be")
    return f"{place}: {str(error.get('input'))[:80]!r}: {rule}"


def _add_api(app: FastAPI, daemon: Daemon, loop: str) -> None:
    """What the page asks. Handlers that read files are plain functions: they run on threads."""
    config, studio = daemon.services.config, daemon.services.studio

    @app.get("/api/status")
    async def status() -> dict[str, Any]:
        """What runs here, and what a page must know to begin."""
        return {
            "version": __version__,
            "engine": daemon.engine,
            "loop": loop,
            "canvas": {"width": config.video.width_px, "height": config.video.height_px},
            "sessions": len(daemon.sessions),
            "max_sessions": config.server.max_sessions,
            "next_session_fps": _rounded(daemon.sessions.next_session_fps),
            "default_identity": config.identities.default,
            "driver": config.tracking.driver,
            "ice_servers": list(config.rtc.ice_servers),
        }

    @app.get("/api/identities")
    def identities() -> list[dict[str, Any]]:
        """Who can be worn: name, kind of consent, and where the portrait is."""
        return [
            {
                "id": card.id,
                "name": card.name,
                "kind": card.kind,
                "statement": card.statement,
                "portrait": f"/api/identities/{card.id}/portrait",
                "ready": daemon.services.wardrobe.is_ready(card.id),
            }
            for card in studio.list_identities()
        ]

    @app.get(
        "/api/identities/{identity_id}/portrait",
        response_class=PngResponse,
        responses=refusals(404),
    )
    def portrait(identity_id: str) -> Response:
        """The picture of which the avatar was made."""
        for card in studio.list_identities():
            if card.id == identity_id:
                return FileResponse(card.portrait_path, media_type="image/png")
        raise HTTPException(404, f"there is no identity {identity_id[:64]!r}")


def _rounded(fps: float | None) -> float | None:
    return None if fps is None else round(fps, 1)


class _Uvicorn(uvicorn.Server):
    """Without its signal handling, which would kill the process again after a clean end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    config: Config,
    announce: Callable[[str], None] = print,
    studio: Callable[[Config], Studio] = LiveStudio,
    load_again: Callable[[], Config] | None = None,
) -> None:
    """Serve until a signal, or until loading fails.

    Args:
        announce: gets the lines meant for the person who started it: the URL and the loop.
        studio: makes what a session needs.
        load_again: the settings as they are then, for SIGHUP.

    Raises:
        StartupError: the address, the token, the loop or the networks cannot be used.
    """
    logs.set_up(config.log)
    listener = _listen(config.server)
    with contextlib.closing(listener):
        token = load_token(config.server.token_file or state_directory() / "token")
        choice = choose_loop(config.server.loop)
        loop = choice.new()
        try:
            asyncio.set_event_loop(loop)
            daemon = Daemon(build_services(config, studio(config)))
            if load_again is not None:
                _reload_on_hangup(loop, Reload(config, load_again))
            loop.run_until_complete(_serve(daemon, listener, token, choice, announce))
        finally:
            _finish(loop)
            asyncio.set_event_loop(None)
            loop.close()


def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Let what was cancelled end before the loop goes; `asyncio.run` does the same."""
    leftovers = asyncio.all_tasks(loop)
    for task in leftovers:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())


async def _serve(
    daemon: Daemon,
    listener: socket.socket,
    token: str,
    choice: LoopChoice,
    announce: Callable[[str], None],
) -> None:
    config = daemon.services.config.server
    server = _Uvicorn(
        uvicorn.Config(
            create_app(daemon, token, str(choice)),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )
    _stop_on_signals(server, daemon)
    await daemon.start()
    supervising = asyncio.create_task(supervise(Manager(), lambda: daemon.state))
    try:
        announce(f"event loop: {choice}")
        announce(f"{_address(config, listener)}/#token={token}")
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        failing = asyncio.create_task(daemon.wait_for_failure())
        await asyncio.wait({serving, failing}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        failing.cancel()
        await serving
    finally:
        supervising.cancel()
        await daemon.stop("the daemon is shutting down")
    if daemon.failure is not None:
        raise daemon.failure


def _address(config: Server, listener: socket.socket) -> str:
    """What a browser is to be given: a name that the certificate has, where there is one."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    if config.tls_cert is None:
        return f"http://{shown}:{port}"
    named = next((name for name in config.allowed_hosts if not is_loopback(name)), shown)
    return f"https://{named}:{port}"


def _stop_on_signals(server: uvicorn.Server, daemon: Daemon) -> None:
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        return

    def stop() -> None:
        server.force_exit = server.should_exit  # the second one does not wait
        server.should_exit = True
        daemon.drain()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _reload_on_hangup(loop: asyncio.AbstractEventLoop, reload: Reload) -> None:
    """On a terminal SIGHUP means that its window was closed, and ends the process as ever."""
    on_main = threading.current_thread() is threading.main_thread()
    if on_main and sys.platform != "win32" and not sys.stderr.isatty():
        loop.add_signal_handler(signal.SIGHUP, reloading, Manager(), reload)


def _listen(config: Server) -> socket.socket:
    """A bound socket, so that a taken port is known before anything is loaded.

    Raises:
        StartupError: the address is unknown, taken, or not loopback and without TLS.
    """
    if not tls.check(config) and not is_loopback(config.host):
        raise StartupError(
            f"server.host = {config.host}: without TLS only loopback is served (browsers give no "
            "camera to other addresses either); `reenactd tls init HOST` makes a certificate"
        )
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host.strip("[]"), config.port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise StartupError(
            f"cannot listen on {config.host}:{config.port}: {exc.strerror or exc}; "
            "choose another --port (0 takes a free one), or stop the reenactd that runs already"
        ) from exc
    return listener
