"""Who may talk to the daemon: tokens, the Host header, the Origin; and what pages may do.

The daemon listens on loopback, where every web page that the user visits can reach it. So: a
256-bit bearer token on every call (no cookies, hence no CSRF with credentials), a Host allow-list
(DNS rebinding, as in CVE-2024-28224), same-origin only for what changes state, and a strict content
security policy. Other origins may use WHIP and WHEP where the configuration names them; a token
made for others grants one scope (`tokens.py`). Wrong tokens are answered slowly, one after the
other, and POSTs are counted, those of each token apart. Knows no sessions.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
import os
import secrets
import stat
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.buckets import Buckets
from realtime.clock import Clock, MonotonicClock
from realtime.config import Server
from realtime.errors import StartupError
from realtime.tokens import Grant, Right, TokenRefused, Tokens

TOKEN_BYTES = 32
MIN_TOKEN_CHARS = 32
PROTECTED = ("/api/", "/metrics", "/whip", "/whep")
EXCHANGE_PATH = "/api/phone/exchange"
NEEDED_SCOPE: tuple[tuple[str, Right], ...] = (
    (EXCHANGE_PATH, "exchange"),
    ("/whip", "publish"),
    ("/whep", "view"),
    ("/api/status", "publish"),
    ("/api/identities/check", "admin"),
    ("/api/identities", "publish"),
    ("/api/verify", "publish"),
)
"""the beginning of a path, and the scope that opens it; the first counts. All else is for admins"""
READ_ONLY = ("/api/identities",)
"""of these, to look only: whoever may perform here does not decide who is kept here"""
BOUND = ("/whip", "/api/status")
"""all that a token opens which publishes one session, as a phone's"""
SHARED = ("/whip", "/whep")
"""what pages of the configured origins may call"""
GRANT = "reenactd.grant"
"""where the request's scope (of ASGI) holds what its token grants"""
FAILURE_DELAY_S = 0.1
"""each; so that many guesses take long, whoever makes them"""
MAX_WAITING_FAILURES = 64
POST_BURST_S = 3.0
MAX_HOLDERS = 256
"""of tokens, whose POSTs are counted apart"""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CORS_HEADERS = {
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}


def load_token(path: Path) -> str:
    """The access token, made at the first start; readable by its owner only.

    Raises:
        StartupError: the file cannot be made or read, is readable by others, or holds no token.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
                token = secrets.token_urlsafe(TOKEN_BYTES)
                file.write(token + "\n")
                return token
        except FileExistsError:
            return _read_token(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise StartupError(f"the token file {path} cannot be used: {exc}") from exc


def find_token(path: Path) -> str:
    """The token of the daemon that runs, for its own command line; makes none.

    Raises:
        StartupError: there is no such file, it cannot be read, or holds no token.
    """
    try:
        return _read_token(path)
    except FileNotFoundError:
        raise StartupError(
            f"there is no token file {path}: `reenactd serve` makes it at its first start; "
            "give the --config with which it was started, or the URL that it printed as --url"
        ) from None
    except (OSError, UnicodeDecodeError) as exc:
        raise StartupError(f"the token file {path} cannot be used: {exc}") from exc


def _read_token(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        token = file.read().strip()
    if mode & 0o077:
        raise StartupError(
            f"the token file {path} has mode {mode:04o}, so others can read it: "
            f"delete it (a new one is made) or `chmod 600 {path}`"
        )
    if len(token) < MIN_TOKEN_CHARS or not set(token) <= _TOKEN_ALPHABET:
        raise StartupError(
            f"the token file {path} holds no token of at least {MIN_TOKEN_CHARS} letters, digits, "
            "- or _: delete it, a new one is made"
        )
    return token


_TOKEN_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def is_loopback(host: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The Host header without its port, lower case; an IPv6 address keeps its brackets."""
    name, separator, port = header.strip().lower().rpartition(":")
    return name if separator and (port.isdecimal() or not port) else header.strip().lower()


def same_origin(origin: str, host_header: str) -> bool:
    """Whether an Origin header names the very host and port that the request was sent to."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host_header.strip().lower()


def grant_of(scope: Scope) -> Grant | None:
    """What the request's token grants; None where it came without one, which only OPTIONS may."""
    grant: Grant | None = scope.get(GRANT)
    return grant


class Rules:
    """What of the settings the guard goes by; SIGHUP may change it under way."""

    def __init__(self, server: Server) -> None:
        self._rate: float | None = None
        self.adopt(server)

    def adopt(self, server: Server) -> None:
        if server.post_rate_per_s != self._rate:  # else who has posted much has done so still
            self._rate = rate = server.post_rate_per_s
            self.posts = Buckets(rate, max(1.0, rate * POST_BURST_S), MAX_HOLDERS)
        self.allowed_hosts = frozenset(host.lower() for host in server.allowed_hosts)
        self.cors_origins = frozenset(origin.lower() for origin in server.cors_origins)
        """other origins whose pages may use WHIP and WHEP"""


class Guard:
    """ASGI middleware in front of everything: Host, Origin, token, and headers for every answer."""

    def __init__(
        self, app: ASGIApp, *, tokens: Tokens, rules: Rules, clock: Clock | None = None
    ) -> None:
        self._app = app
        self._clock = clock or MonotonicClock()
        self._failure = asyncio.Lock()
        self._waiting_failures = 0
        self._tokens = tokens
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        shared_with = self._shared_with(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PAGE_HEADERS.items():
                    headers[name] = value
                private = scope["path"].startswith(PROTECTED)
                headers["Cache-Control"] = "no-store" if private else "no-cache"
                if shared_with is not None:
                    headers.update({**CORS_HEADERS, "Access-Control-Allow-Origin": shared_with})
            await send(message)

        refusal = self._refusal(scope, shared_with)
        if refusal is not None and refusal.status_code == 401:
            refusal = await self._slowly(refusal)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _shared_with(self, scope: Scope) -> str | None:
        """The foreign origin that may read the answer, if it is one."""
        origin = Headers(scope=scope).get("origin", "")
        shared = scope["path"].startswith(SHARED) and origin.lower() in self._rules.cors_origins
        return origin if shared else None

    def _refusal(self, scope: Scope, shared_with: str | None) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host_name(host) not in self._rules.allowed_hosts:
            return _refuse(
                421, f"host {host[:100]!r} is not served here: add it to server.allowed_hosts"
            )
        origin = headers.get("origin")
        foreign = origin is not None and shared_with is None and not same_origin(origin, host)
        if foreign and scope["method"] not in SAFE_METHODS:
            return _refuse(403, f"origin {(origin or '')[:100]!r} may not change anything here")
        token = ""  # what everybody may call is counted together
        if scope["path"].startswith(PROTECTED):
            token = _bearer(headers)
            refusal = self._unauthorised(scope, token)
            if refusal is not None:
                return refusal
        if scope["method"] == "POST":
            holder = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
            if wait_s := self._rules.posts.take(holder, self._clock.now_ns()):
                after = {"Retry-After": str(math.ceil(wait_s))}
                return _refuse(429, "too many requests: server.post_rate_per_s", after)
        return None

    async def _slowly(self, refusal: JSONResponse) -> JSONResponse:
        """The same, later."""
        if self._waiting_failures >= MAX_WAITING_FAILURES:
            return _refuse(429, "too many wrong tokens at once", {"Retry-After": "10"})
        self._waiting_failures += 1
        try:
            async with self._failure:
                await asyncio.sleep(FAILURE_DELAY_S)
        finally:
            self._waiting_failures -= 1
        return refusal

    def _unauthorised(self, scope: Scope, token: str) -> JSONResponse | None:
        """Note what the token grants; or why the call is refused."""
        try:
            grant = self._tokens.read(token)
        except TokenRefused as exc:
            if scope["method"] == "OPTIONS":
                return None
            return _refuse(401, str(exc), {"WWW-Authenticate": "Bearer"})
        scope[GRANT] = grant
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS" or opens(grant, path, method):
            return None
        needed = needed_scope(path, method)
        if grant.is_bound and needed == grant.scope:
            text = f"this token publishes session {grant.session} and does nothing else"
            return _refuse(403, f"{text}; {path[:100]} needs another")
        keys = "" if needed == "admin" else f"a token of scope {needed}, or "
        return _refuse(
            403,
            f"this token has scope {grant.scope}; {path[:100]} needs {keys}the daemon's own token",
        )


def opens(grant: Grant, path: str, method: str) -> bool:
    """Whether a grant opens a protected path for a method."""
    if grant.is_bound and not _is_below(path, BOUND):
        return False
    return grant.scope in ("admin", needed_scope(path, method))


def needed_scope(path: str, method: str) -> Right:
    """Which scope opens a protected path for a method."""
    for beginning, needed in NEEDED_SCOPE:
        if _is_below(path, (beginning,)):
            return "admin" if beginning in READ_ONLY and method not in SAFE_METHODS else needed
    return "admin"


def _is_below(path: str, beginnings: tuple[str, ...]) -> bool:
    return any(path == beginning or path.startswith(f"{beginning}/") for beginning in beginnings)


def _bearer(headers: Headers) -> str:
    """The token that a request brings; empty where it brings none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _refuse(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)
