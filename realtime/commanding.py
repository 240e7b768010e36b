"""HTTP: what a performer's `controls` channel may say, from somebody else's page.

A phone that is the camera has no room for sliders; the page on the computer has. Knows the words of
`messages.py` only by their errors.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from realtime.answers import BODY, refusals
from realtime.daemon import Daemon
from realtime.messages import MAX_MESSAGE_CHARS, MessageError
from realtime.signalling import read_text

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


def add_commanding(app: FastAPI, daemon: Daemon) -> None:
    app.exception_handler(MessageError)(lambda request, exc: JSONResponse({"error": str(exc)}, 400))

    @app.post(
        "/api/sessions/{name}/commands",
        status_code=204,
        openapi_extra=_BODY,
        responses=refusals(400, 404, *BODY),
    )
    async def command(name: str, request: Request) -> Response:
        """One message of the `controls` channel: controls, calibrate or identity."""
        message = await read_text(request, "application/json", 4 * MAX_MESSAGE_CHARS)
        daemon.sessions.named(name).obey(message)
        return Response(status_code=204)
