"""HTTP for a phone as the camera: where it finds this machine, a code to scan, what that is for.

GET  /api/phone            under which addresses a phone can come here; else what to type first
POST /api/phone            a code, as a URL and as a QR code; good once, and for some minutes
POST /api/phone/exchange   the code in, a token that publishes one session out
GET  /phone                the phone's page; the code is in the fragment

A browser gives its camera to a page that came over TLS, or from its own machine (W3C Secure
Contexts). A phone is never this machine. Knows no sessions and no frames.
"""

from __future__ import annotations

import io
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import ifaddr
import segno
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from realtime import tls
from realtime.access import EXCHANGE_PATH, grant_of, is_loopback
from realtime.answers import refusals
from realtime.config import Server
from realtime.tickets import Token
from realtime.tokens import TokenRefused, Tokens

Problem = Literal["no-tls", "loopback", "not-covered", "no-network"]
MOST_ADDRESSES = 3
"""that a new certificate is proposed for: bridges of containers make more, and no phone is there"""
QUIET_ZONE = 4
"""modules of white around a QR code: ISO/IEC 18004 section 9.1"""


class Ways(BaseModel):
    """How a phone can come here."""

    hosts: list[str]
    """addresses and names that the certificate is for, and that are served; the likeliest first"""
    fingerprint: str | None
    """SHA-256 of the certificate, to compare with what the phone shows"""
    problem: Problem | None
    """why there is no way"""
    own: list[str]
    """this machine's addresses, whatever the certificate says"""
    commands: list[str]
    """what to type where there is no way"""


class CodeWish(BaseModel):
    """Under which of `hosts` the phone shall come."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, Field(max_length=253)]


class Invitation(BaseModel):
    """What is shown to the phone."""

    url: str
    qr: str
    """the URL as a QR code, an SVG document"""
    session: str
    """under which viewers will find the phone's session"""
    expires: str
    """RFC 3339"""


def add_phone(app: FastAPI, server: Callable[[], Server], tokens: Tokens, web_client: Path) -> None:
    """
    Args:
        server: its settings as they are then.
    """

    @app.get("/api/phone")
    def ways() -> Ways:
        """How a phone can come here; where it cannot, what to type first."""
        return ways_here(server())

    @app.post("/api/phone", status_code=201, responses=refusals(400, 409))
    async def invite(wish: CodeWish, request: Request) -> Invitation:
        """A code that is good once. 409 where no phone can come, 400 for another host."""
        found = await run_in_threadpool(ways_here, server())
        if found.problem is not None:
            raise HTTPException(
                409, f"no phone can come here ({found.problem}): see GET /api/phone"
            )
        if wish.host not in found.hosts:
            raise HTTPException(
                400, f"host {wish.host[:80]!r}: must be one of {', '.join(found.hosts)}"
            )
        code = tokens.make_code()
        url = f"https://{_with_port(wish.host, request.url.port)}/phone#once={code.text}"
        return Invitation(url=url, qr=qr_code(url), session=code.session, expires=code.expires)

    @app.post(EXCHANGE_PATH, status_code=201, responses=refusals(403))
    async def exchange(request: Request) -> Token:
        """The code, as bearer, for a token of scope publish and one session; then it is dead."""
        grant = grant_of(request.scope)
        if grant is None or grant.scope != "exchange":
            raise HTTPException(403, "only a code of POST /api/phone is exchanged here")
        try:
            token, given = tokens.exchange(grant.session)
        except TokenRefused as exc:  # somebody was quicker
            raise HTTPException(401, str(exc), {"WWW-Authenticate": "Bearer"}) from exc
        assert given.expires is not None
        return Token(token=token, scope="publish", session=given.session, expires=given.expires)

    @app.get("/phone", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(web_client / "phone.html")


def ways_here(server: Server) -> Ways:
    """What the settings and the network cards allow.

    Raises:
        StartupError: the certificate cannot be read any more.
    """
    own = own_addresses()
    if not own:
        return Ways(hosts=[], fingerprint=None, problem="no-network", own=[], commands=[])
    commands = tls.commands(tuple(own[:MOST_ADDRESSES]))
    if server.tls_cert is None:
        return Ways(hosts=[], fingerprint=None, problem="no-tls", own=own, commands=commands)
    certified = tls.certified(server.tls_cert)
    hosts = list(_reached(certified.hosts, own, server))
    problem: Problem | None = None
    if is_loopback(server.host):
        hosts, problem, commands = [], "loopback", ["REENACTD_SERVER__HOST=0.0.0.0 reenactd serve"]
    elif not hosts:
        problem = "not-covered"
    return Ways(
        hosts=hosts,
        fingerprint=certified.fingerprint,
        problem=problem,
        own=own,
        commands=[] if problem is None else commands,
    )


def _reached(certified: tuple[str, ...], own: list[str], server: Server) -> Iterator[str]:
    """Of what the certificate is for: what is this machine, and is answered."""
    allowed = {host.lower().strip("[]") for host in server.allowed_hosts}
    ranked = sorted(certified, key=lambda host: own.index(host) if host in own else len(own))
    for host in ranked:
        is_here = host in own or (not _is_address(host) and "*" not in host)
        bound = _is_any(server.host) or server.host.strip("[]") == host or not _is_address(host)
        if is_here and bound and not is_loopback(host) and host.lower() in allowed:
            yield host


def own_addresses() -> list[str]:
    """Under which other machines reach this one; that of the default route comes first."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local or address.is_multicast):
                found.append(str(address))
    first = _outward_address()
    return sorted(dict.fromkeys(found), key=lambda text: (text != first, ":" in text))


def _outward_address() -> str | None:
    """From where this machine talks to others. Nothing is sent: a datagram's socket only looks up
    its route (the address is one of RFC 5737's, for documents)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def qr_code(url: str) -> str:
    """An SVG document: black on white, with its quiet zone."""
    written = io.BytesIO()
    segno.make(url, error="m", micro=False).save(
        written, kind="svg", border=QUIET_ZONE, light="#fff", xmldecl=False, scale=8
    )
    return written.getvalue().decode("utf-8")


def _with_port(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, 443) else f"{shown}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_any(host: str) -> bool:
    return host.strip("[]") in ("0.0.0.0", "::")
