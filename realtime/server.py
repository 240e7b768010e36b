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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from realtime import __version__, logs, tls
from realtime.access import Guard, Rules, is_loopback, load_token
from realtime.adding import add_adding
from realtime.answers import refusals
from realtime.cast import Studio
from realtime.commanding import add_commanding
from realtime.config import Config, Server, state_directory
from realtime.connections import BoundedProtocol
from realtime.daemon import Daemon, Host, build_services
from realtime.ending import Ending, end_on_signals
from realtime.enrolment import Enrolment
from realtime.errors import AdmissionRefused, IdentityError, OfferRejected, StartupError
from realtime.ice_servers import ice_servers
from realtime.keeping import add_keeping
from realtime.loops import choose_loop, finish
from realtime.phone import add_phone
from realtime.recording import PngResponse, add_recording
from realtime.reload import Reload
from realtime.signalling import RETRY_AFTER_S, add_whep, add_whip
from realtime.studio import LiveStudio
from realtime.supervision import Manager, reloading, supervise
from realtime.tickets import add_tokens, add_view, openapi_with_tokens
from realtime.tokens import Tokens
from realtime.verifying import add_verifying
from realtime.watching import add_health, add_watching
from realtime.worker_side import FromParent, add_look

if TYPE_CHECKING:
    from realtime.crew import Crew

SHUTDOWN_S = 3
MAX_CONNECTIONS = 256
"""one more is answered 503 at once"""
DESCRIPTION = "/api/openapi.json"


def create_app(daemon: Daemon, tokens: Tokens, loop: str, rules: Rules | None = None) -> FastAPI:
    """The whole HTTP surface; `daemon` is started and stopped by the caller."""
    app = _new_app(openapi_url=DESCRIPTION)
    _add_daemon(app, daemon, loop)
    _add_apart(app, daemon, tokens)
    _add_page(app)
    app.openapi = functools.partial(openapi_with_tokens, app)  # type: ignore[method-assign]
    rules = rules or Rules(daemon.config.server)
    app.add_middleware(Guard, tokens=tokens, rules=rules, clock=daemon.services.clock)
    return app


def create_worker_app(daemon: Daemon, secret: str, loop: str) -> FastAPI:
    """The same for a worker process, which its parent alone may call, in others' names."""
    app = _new_app(openapi_url=DESCRIPTION)
    add_look(app, daemon)
    _add_daemon(app, daemon, loop)
    _add_apart(app, daemon, Tokens(secret))  # to be described: the parent answers
    _add_page(app)
    app.openapi = functools.partial(openapi_with_tokens, app)  # type: ignore[method-assign]
    app.add_middleware(FromParent, secret=secret)
    return app


def create_crew_app(crew: Crew, tokens: Tokens, loop: str, rules: Rules) -> FastAPI:
    """The same for a crew of worker processes: what is not answered here, one of them answers."""
    from realtime.forwarding import add_forwarding  # one process does not wait for their libraries
    from realtime.summing import add_summing

    app = _new_app(openapi_url=None)  # a worker describes what all of them do
    add_health(app, crew)
    add_summing(app, crew, loop)
    _add_api(app, crew, loop)
    _add_apart(app, crew, tokens)
    add_forwarding(app, crew)
    _add_page(app)
    app.add_middleware(Guard, tokens=tokens, rules=rules)
    return app


def _new_app(openapi_url: str | None) -> FastAPI:
    app = FastAPI(
        title="reenactd",
        version=__version__,
        openapi_url=openapi_url,
        docs_url=None,  # they load scripts from a foreign server
        redoc_url=None,
    )
    _add_errors(app)
    return app


def _add_daemon(app: FastAPI, daemon: Daemon, loop: str) -> None:
    """What is about the sessions of this process."""
    add_whip(app, daemon)
    add_whep(app, daemon)
    _add_api(app, daemon, loop)
    add_health(app, daemon)
    add_watching(app, daemon, loop)
    add_recording(app, daemon)
    add_commanding(app, daemon)
    add_adding(app, daemon, Enrolment(daemon.config.identities))


def _add_apart(app: FastAPI, host: Host, tokens: Tokens) -> None:
    """What needs no sessions, and is therefore answered by the process that listens."""
    add_keeping(app, Enrolment(host.config.identities))
    add_verifying(app)
    add_tokens(app, tokens)
    add_phone(app, lambda: host.config.server, tokens, web_client_directory())


def _add_page(app: FastAPI) -> None:
    """Comes last, for it takes every path that is left."""
    add_view(app, web_client_directory())
    app.mount("/", StaticFiles(directory=web_client_directory(), html=True))


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
    app.exception_handler(StartupError)(answer(507))  # a file of ours cannot be read or written
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


def _add_api(app: FastAPI, host: Host, loop: str) -> None:
    """What the page asks. Handlers that read files are plain functions: they run on threads."""
    config, studio = host.config, host.studio

    @app.get("/api/status")
    async def status() -> dict[str, Any]:
        """What runs here, and what a page must know to begin."""
        return {
            "version": __version__,
            "engine": host.engine,
            "loop": loop,
            "canvas": {"width": config.video.width_px, "height": config.video.height_px},
            "sessions": host.session_count,
            "max_sessions": host.config.server.max_sessions,
            "next_session_fps": _rounded(host.next_session_fps),
            "default_identity": config.identities.default,
            "driver": config.tracking.driver,
            "ice_servers": [server.as_json() for server in ice_servers(config.rtc)],
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
                "proof": card.proof,
                "portrait": f"/api/identities/{card.id}/portrait",
                "ready": host.is_ready(card.id),
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


SAY_NOW = functools.partial(print, flush=True)
"""also to who reads it through a pipe or in a file"""


class Uvicorn(uvicorn.Server):
    """Without its signal handling, which would kill the process again after a clean end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    config: Config,
    announce: Callable[[str], None] = SAY_NOW,
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
        token_file = config.server.token_file or state_directory() / "token"
        tokens = Tokens(load_token(token_file))

        def renew_token() -> bool:
            changed = tokens.renew(load_token(token_file))
            if changed:
                announce(f"{_address(config.server, listener)}/#token={tokens.own}")
            return changed

        rules, chain = Rules(config.server), tls.Chain(config.server)
        choice = choose_loop(config.server.loop)
        loop = choice.new()
        try:
            asyncio.set_event_loop(loop)
            host: Host
            if config.server.workers > 1:
                from realtime.crew import Crew

                host = crew = Crew(config, studio)
                app = create_crew_app(crew, tokens, str(choice), rules)
            else:
                host = daemon = Daemon(build_services(config, studio(config)))
                app = create_app(daemon, tokens, str(choice), rules)

            def adopt(fresh: Config) -> None:
                rules.adopt(fresh.server)
                host.adopt(fresh)

            if load_again is not None:
                reload = Reload(config, load_again, renew_token, adopt, chain.renew)
                _reload_on_hangup(loop, reload)
            url = f"{_address(config.server, listener)}/#token={tokens.own}"
            lines = (f"event loop: {choice}", url)
            loop.run_until_complete(_serve(host, app, listener, chain, lines, announce))
        finally:
            finish(loop)
            asyncio.set_event_loop(None)
            loop.close()


async def _serve(  # noqa: PLR0913 - what a process is made of
    host: Host,
    app: FastAPI,
    listener: socket.socket,
    chain: tls.Chain,
    lines: tuple[str, ...],
    announce: Callable[[str], None],
) -> None:
    config = host.config.server
    server = Uvicorn(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
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
    server.config.load()
    chain.context = server.config.ssl
    _stop_on_signals(server, host)
    await host.start()
    supervising = asyncio.create_task(supervise(Manager(), lambda: host.state))
    try:
        for line in lines:
            announce(line)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        failing = asyncio.create_task(host.wait_for_failure())
        await asyncio.wait({serving, failing}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        failing.cancel()
        await serving
    finally:
        supervising.cancel()
        await host.stop("the daemon is shutting down")
    if host.failure is not None:
        raise host.failure


def _address(config: Server, listener: socket.socket) -> str:
    """What a browser is to be given: a name that the certificate has, where there is one."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    if config.tls_cert is None:
        return f"http://{shown}:{port}"
    named = next((name for name in config.allowed_hosts if not is_loopback(name)), shown)
    return f"https://{named}:{port}"


def _stop_on_signals(server: uvicorn.Server, host: Host) -> None:
    end_on_signals(Ending(server, host))


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
