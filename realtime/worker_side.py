"""HTTP of a worker process: its parent alone may call, in the name of those who asked it.

The parent has looked at Host, Origin, token and rate before; it sends what the token grants. Here
nothing of that is believed without the secret that the parent made for this start.
"""

from __future__ import annotations

import hmac

from fastapi import FastAPI, Response
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from realtime.access import GRANT, PROTECTED, opens
from realtime.daemon import Daemon
from realtime.worker_talk import GRANT_HEADER, LOOK, SECRET_HEADER, Look, Running, grant_of_text


class FromParent:
    """ASGI middleware in front of everything: refuses who does not know the secret.

    What a token grants is held against the path once more: the parent may have read it otherwise.
    """

    def __init__(self, app: ASGIApp, *, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers, path = Headers(scope=scope), scope["path"]
        if not hmac.compare_digest(headers.get(SECRET_HEADER, "").encode("latin-1"), self._secret):
            return JSONResponse({"error": "a worker process answers its parent only"}, 403)
        said = headers.get(GRANT_HEADER)
        if said is not None:
            scope[GRANT] = grant_of_text(said)
        if scope["method"] == "OPTIONS" or not path.startswith((*PROTECTED, LOOK)):
            return None
        if said is None or not opens(scope[GRANT], path, scope["method"]):
            return JSONResponse({"error": "this token does not open this path"}, 403)
        return None


def add_look(app: FastAPI, daemon: Daemon) -> None:
    @app.get(LOOK, include_in_schema=False)
    async def look() -> Response:
        """How this process does, for its parent."""
        return Response(look_at(daemon).body(), media_type="application/json")


def look_at(daemon: Daemon) -> Look:
    services = daemon.services
    return Look(
        state=daemon.state,
        engine=daemon.engine,
        sessions=tuple(
            Running(
                *(each.id, each.name, each.phase, each.age_s),
                counts=daemon.sessions.counts(each),
                late=daemon.sessions.is_late(each),
            )
            for each in daemon.sessions
        ),
        viewers=tuple(viewer.id for viewer in daemon.viewers),
        awaited=frozenset(viewer.wish.session for viewer in daemon.viewers if viewer.deserted),
        identities=frozenset(name for name in services.wardrobe.ids if daemon.is_ready(name)),
        ledger=daemon.sessions.ledger,
    )
