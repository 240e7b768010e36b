"""HTTP of a daemon with worker processes: what is about one session goes to who has it.

The guard has let the request in. On goes what a worker needs, no header else, and what the token
grants, which no client can say of itself; paths only of plain segments, for a path that the guard
reads otherwise than the worker would be a way around the guard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from realtime.access import grant_of
from realtime.adding import MAX_UPLOAD_BYTES
from realtime.crew import Crew
from realtime.crew_worker import Call, Unreachable, Worker
from realtime.directing import Director
from realtime.http_body import CLIENT_GONE, read_any_body
from realtime.naming import LATEST
from realtime.offer import MAX_SDP_BYTES
from realtime.signalling import RETRY_AFTER_S

if TYPE_CHECKING:
    import httpx

PATHS = ("/whip", "/whip/{rest:path}", "/whep", "/whep/{rest:path}", "/api/{rest:path}")
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PASSED_ON = ("Content-Type", "If-Match", "Accept")
"""of a request"""
KEPT_BACK = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
"""of an answer: about the connection, which is another one"""
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def add_forwarding(app: FastAPI, crew: Crew) -> None:
    """Takes what was not added before it."""
    desk = _Desk(crew)
    app.exception_handler(Unreachable)(
        lambda request, exc: JSONResponse(
            {"error": f"{exc}; ask again soon"}, 503, {"Retry-After": str(RETRY_AFTER_S)}
        )
    )
    for path in PATHS:
        app.add_route(path, desk.forward, METHODS, include_in_schema=False)


class _Desk:
    """Takes requests, and hands answers out."""

    def __init__(self, crew: Crew) -> None:
        self._director = Director(crew)

    async def forward(self, request: Request) -> Response:
        path = request.scope["path"]
        segments = path.split("/")[1:]
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise HTTPException(404, f"there is nothing at {path[:100]!r}")
        limit = MAX_UPLOAD_BYTES if segments[0] == "api" else MAX_SDP_BYTES
        body = await read_any_body(request, limit)
        match request.method, segments:
            case "OPTIONS", _:
                worker = self._director.anybody()
            case "POST", ["whip"]:
                return await self._publish(request, body)
            case "POST", ["whep", *session] if len(session) < 2:
                name = session[0] if session else _granted_session(request) or LATEST
                worker = await self._director.for_viewer(name)
                with worker.joining.one():  # as with sessions
                    answer = await _asked(worker, request, body)
                return await _seen(worker, answer)
            case _, ["whip", session_id]:
                worker = await self._director.of_session(session_id)
            case _, ["whep", _, viewer_id]:
                worker = await self._director.of_viewer(viewer_id)
            case _, ["api", "sessions", name, *_]:
                worker = await self._director.of_session(name)
            case _, ["api", *_] if name := request.query_params.get("session"):
                worker = await self._director.of_session(name)
            case _:
                return await self._ask_around(request, body)
        return await _passed(worker, request, body)

    async def _ask_around(self, request: Request, body: bytes) -> Response:
        """About what the path does not tell: one after the other, until one knows it."""
        answer: Response | None = None
        for worker in self._director.everybody():
            try:
                answer = await _passed(worker, request, body)
            except Unreachable:
                continue
            if answer.status_code != 404:
                break
        if answer is None:
            raise Unreachable("no worker process answers")
        return answer

    async def _publish(self, request: Request, body: bytes) -> Response:
        """Where there is room; who refuses it after all may know of something new."""
        name = request.query_params.get("name") or _granted_session(request)
        answer: Response | None = None
        for worker in await self._director.for_session(name):
            # Before anything else is awaited, or too many are let in; nor between two workers.
            try:
                with worker.opening.one():
                    if await request.is_disconnected():  # while it waited for one that is loaded
                        return Response(status_code=CLIENT_GONE)
                    answer = await _asked(worker, request, body)
            except Unreachable:
                continue
            if answer.status_code != 503:
                return await _seen(worker, answer)
        if answer is None:
            raise Unreachable("no worker process answers")
        return answer


def _granted_session(request: Request) -> str | None:
    grant = grant_of(request.scope)
    return None if grant is None else grant.session


async def _passed(worker: Worker, request: Request, body: bytes) -> Response:
    """The worker's answer, once what it has changed is seen. Raises Unreachable as `_asked`."""
    answer = await _asked(worker, request, body)
    return await _seen(worker, answer) if request.method in ("POST", "DELETE") else answer


async def _seen(worker: Worker, answer: Response) -> Response:
    """So that who asks next sees what has changed."""
    await worker.look_again()
    return answer


async def _asked(worker: Worker, request: Request, body: bytes) -> Response:
    """The worker's answer.

    Raises:
        Unreachable: there is none.
    """
    call = Call(
        request.method,
        request.scope["path"],
        request.scope["query_string"],
        body,
        {name: request.headers[name] for name in PASSED_ON if name in request.headers},
        grant_of(request.scope),
    )
    return as_response(await worker.ask(call))


def as_response(said: httpx.Response) -> Response:
    answer = Response(said.content, said.status_code)
    for name, value in said.headers.multi_items():
        if name.lower() not in KEPT_BACK:
            answer.headers.append(name, value)
    return answer
