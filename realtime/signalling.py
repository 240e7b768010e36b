"""WHIP (RFC 9725) for those who perform, WHEP (draft-ietf-wish-whep) for those who watch.

Both are an SDP offer by POST, candidates by PATCH, the end by DELETE. Who may call them is
`access.py`'s business. Knows no frames.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from realtime.access import grant_of
from realtime.answers import BODY, refusals
from realtime.daemon import Daemon
from realtime.errors import IceRestarted, NobodyPerforms
from realtime.http_body import CLIENT_GONE, read_body
from realtime.ice_servers import ice_servers
from realtime.naming import LATEST
from realtime.offer import MAX_SDP_BYTES
from realtime.sinks.feed import Background
from realtime.sinks.sizes import Size
from realtime.viewing import Wish

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT_BYTES = 16 * 1024
RETRY_AFTER_S = 5
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_SDP_BODY = {
    "requestBody": {"required": True, "content": {SDP: {"schema": {"type": "string"}}}},
}
_FRAGMENT_BODY = {
    "requestBody": {"required": True, "content": {SDP_FRAGMENT: {"schema": {"type": "string"}}}}
}


class SdpResponse(Response):
    media_type = SDP


class Resource(Protocol):
    """What an offer made, as far as HTTP goes on with it."""

    @property
    def etag(self) -> str: ...
    async def add_candidates(self, fragment: str) -> None: ...
    async def close(self, reason: str) -> None: ...


def add_whip(app: FastAPI, daemon: Daemon) -> None:
    """Publish: a performer's camera comes in, and the avatar goes back to who takes it."""

    @app.options("/whip", status_code=204)
    async def capabilities(request: Request) -> Response:
        """What may be posted here (RFC 9725 section 4.2); the ICE servers to who has a token."""
        return _capabilities(request, daemon)

    @app.post(
        "/whip",
        status_code=201,
        openapi_extra=_SDP_BODY,
        response_class=SdpResponse,
        responses=refusals(400, 403, *BODY, 503, 507),
    )
    async def publish(
        request: Request, identity: str | None = None, name: str | None = None
    ) -> Response:
        """An SDP offer in, a session and the SDP answer out.

        `name` is what viewers find the session by; an offer that takes no video back is good. A
        token of one session chooses no identity.
        """
        name = _checked_name(request, name)
        bound = _is_bound(request)
        if bound and identity is not None:
            raise HTTPException(403, "this token publishes a session; it chooses no identity")
        offer = await read_text(request, SDP, MAX_SDP_BYTES)
        await daemon.wait_until_loaded()
        if await request.is_disconnected():  # nobody hears the answer
            return Response(status_code=CLIENT_GONE)
        session, answer = await daemon.open_session(offer, identity, name, obeys=not bound)
        return _created(daemon, f"/whip/{session.id}", session, answer)

    @app.options("/whip/{session_id}", status_code=204)
    async def session_capabilities(session_id: str) -> Response:
        """What may be done to a session; tells nothing of whether there is one."""
        return _resource_capabilities()

    @app.patch(
        "/whip/{session_id}",
        status_code=204,
        openapi_extra=_FRAGMENT_BODY,
        responses=refusals(400, 404, 412, *BODY, 422),
    )
    async def trickle(session_id: str, request: Request) -> Response:
        """More ICE candidates (RFC 9725 section 4.3.1)."""
        return await _trickle(daemon.sessions.get(session_id), "session", request)

    @app.delete("/whip/{session_id}", response_class=Response, responses=refusals(404))
    async def hang_up(session_id: str) -> Response:
        """End a session; the answer comes when it has ended."""
        return await _hang_up(daemon.sessions.get(session_id), "session", "the client hung up")


def add_whep(app: FastAPI, daemon: Daemon) -> None:
    """Watch: a session's marked output, encoded once for all who take the same."""

    def nobody(request: Request, exc: Exception) -> Response:
        return JSONResponse({"error": str(exc)}, 404, {"Retry-After": str(RETRY_AFTER_S)})

    app.exception_handler(NobodyPerforms)(nobody)

    async def watch(request: Request, wish: Wish) -> Response:
        check_session(request, wish.session)
        offer = await read_text(request, SDP, MAX_SDP_BYTES)
        viewer, answer = await daemon.open_viewer(offer, wish)
        return _created(daemon, f"/whep/{wish.session}/{viewer.id}", viewer, answer)

    @app.options("/whep", status_code=204)
    @app.options("/whep/{session}", status_code=204)
    async def capabilities(request: Request) -> Response:
        """What may be posted here; the ICE servers to who has a token."""
        return _capabilities(request, daemon)

    watching: dict[str, Any] = {
        "status_code": 201,
        "openapi_extra": _SDP_BODY,
        "response_class": SdpResponse,
        "responses": refusals(400, 403, 404, *BODY, 503, 507),
    }

    @app.post("/whep", **watching)
    async def watch_latest(
        request: Request, background: Background = "scene", size: Size | None = None
    ) -> Response:
        """Watch the session that began last; survives the performer's reconnection."""
        grant = grant_of(request.scope)
        only = grant.session if grant is not None else None
        return await watch(request, Wish(only or LATEST, background, size))

    @app.post("/whep/{session}", **watching)
    async def watch_one(
        session: str,
        request: Request,
        background: Background = "scene",
        size: Size | None = None,
    ) -> Response:
        """Watch the session of a name or id. `transparent` is the avatar above its matte, one video
        of twice the height: colour extended under what is transparent, and below it the opacity.
        `half` and `quarter` are of its width and height, but no less than 240 lines; without a size
        it is the largest that the link carries. Everybody who takes the same codec, background and
        size shares one encode."""
        return await watch(request, Wish(session, background, size))

    @app.options("/whep/{session}/{viewer_id}", status_code=204)
    async def viewer_capabilities(session: str, viewer_id: str) -> Response:
        """What may be done to a viewer; tells nothing of whether there is one."""
        return _resource_capabilities()

    @app.patch(
        "/whep/{session}/{viewer_id}",
        status_code=204,
        openapi_extra=_FRAGMENT_BODY,
        responses=refusals(400, 404, 412, *BODY, 422),
    )
    async def trickle(session: str, viewer_id: str, request: Request) -> Response:
        """More ICE candidates."""
        return await _trickle(daemon.viewers.get(viewer_id), "viewer", request)

    @app.delete("/whep/{session}/{viewer_id}", response_class=Response, responses=refusals(404))
    async def hang_up(session: str, viewer_id: str) -> Response:
        """Stop watching; the answer comes when the connection has ended."""
        return await _hang_up(daemon.viewers.get(viewer_id), "viewer", "the client hung up")


def _capabilities(request: Request, daemon: Daemon) -> Response:
    headers = {"Accept-Post": SDP, "Allow": "OPTIONS, POST"}
    response = Response(status_code=204, headers=headers)
    if grant_of(request.scope) is not None:
        _name_ice_servers(response, daemon)
    return response


def _resource_capabilities() -> Response:
    headers = {"Accept-Patch": SDP_FRAGMENT, "Allow": "DELETE, OPTIONS, PATCH"}
    return Response(status_code=204, headers=headers)


def _created(daemon: Daemon, location: str, resource: Resource, answer: str) -> Response:
    headers = {"Location": location, "ETag": resource.etag, "Accept-Patch": SDP_FRAGMENT}
    response = Response(answer, 201, headers, SDP)
    _name_ice_servers(response, daemon)
    return response


def _name_ice_servers(response: Response, daemon: Daemon) -> None:
    for server in ice_servers(daemon.config.rtc):
        response.headers.append("Link", server.as_link())


async def _trickle(resource: Resource | None, what: str, request: Request) -> Response:
    if resource is None:
        raise HTTPException(404, f"there is no such {what}")
    expected = request.headers.get("If-Match")
    if expected is not None and expected not in (resource.etag, "*"):
        raise HTTPException(412, f"If-Match is not this {what}'s ETag; ICE restarts: post anew")
    fragment = await read_text(request, SDP_FRAGMENT, MAX_FRAGMENT_BYTES)
    try:
        await resource.add_candidates(fragment)
    except IceRestarted as exc:  # RFC 9725 section 4.3.1, of who takes candidates and no restarts
        raise HTTPException(422, str(exc)) from exc
    return Response(status_code=204)


async def _hang_up(resource: Resource | None, what: str, reason: str) -> Response:
    if resource is None:
        raise HTTPException(404, f"there is no such {what}")
    await resource.close(reason)
    return Response(status_code=200)


def _checked_name(request: Request, name: str | None) -> str | None:
    """The session's name; that of the token where the token is for one session.

    Raises:
        HTTPException: it is no name, or not the token's.
    """
    if name is not None and (not _NAME.fullmatch(name) or name == LATEST):
        raise HTTPException(
            400,
            f"name {name[:60]!r}: must be 1 to 40 letters, digits, - or _, and not {LATEST!r}",
        )
    grant = grant_of(request.scope)
    if grant is not None and grant.session is not None:
        if name is not None:
            check_session(request, name)
        return grant.session
    return name


def _is_bound(request: Request) -> bool:
    grant = grant_of(request.scope)
    return grant is not None and grant.is_bound


def check_session(request: Request, session: str) -> None:
    """
    Raises:
        HTTPException: the token is for another session.
    """
    grant = grant_of(request.scope)
    if grant is not None and grant.session not in (None, session):
        raise HTTPException(
            403, f"this token is for session {grant.session!r}, not {session[:60]!r}"
        )


async def read_text(request: Request, content_type: str, limit: int) -> str:
    """The body, if it is of the right type, not too large, and UTF-8."""
    body = await read_body(request, (content_type,), limit)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise HTTPException(400, f"the body is not UTF-8: {exc}") from exc
