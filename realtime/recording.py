"""HTTP for what is kept of a session: start and end a film, ask how it goes, take one picture.

The films are written by `sinks/recorder.py` where the settings say; a client chooses no folder.
Knows no frames.
"""

from __future__ import annotations

from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from realtime.answers import refusals
from realtime.daemon import Daemon
from realtime.naming import short
from realtime.session import Session
from realtime.sinks.recorder import Progress, RecordingError
from realtime.sinks.snapshot import png_of


class PngResponse(Response):
    media_type = "image/png"


def add_recording(app: FastAPI, daemon: Daemon) -> None:
    """A session is called by its name, by its id, or by the id's beginning (`naming.py`)."""
    app.exception_handler(RecordingError)(
        lambda request, exc: JSONResponse({"error": str(exc)}, 409)
    )

    def named(name: str) -> Session:
        return daemon.sessions.named(name, ending=True)

    @app.post("/api/sessions/{name}/recording", status_code=201, responses=refusals(404, 409))
    async def begin(name: str, response: Response) -> Progress:
        """Film the session; 409 while that is done already, or where nothing can be written.

        `Location` is of this very session, whoever takes its name later.
        """
        session = named(name)
        response.headers["Location"] = f"/api/sessions/{short(session.id)}/recording"
        return await session.films.begin()

    @app.get("/api/sessions/{name}/recording", responses=refusals(404))
    async def progress(name: str) -> Progress:
        """How the last recording goes, or went; 404 before the first."""
        film = named(name).films.progress
        if film is None:
            raise HTTPException(404, f"session {name[:64]!r} was not recorded")
        return film

    @app.delete("/api/sessions/{name}/recording", responses=refusals(404, 409))
    async def end(name: str) -> Progress:
        """End the film; the answer comes when it is whole, and 409 where none is being made."""
        return await named(name).films.end()

    @app.get(
        "/api/sessions/{name}/snapshot",
        response_class=PngResponse,
        responses=refusals(404, 409),
    )
    async def snapshot(name: str) -> Response:
        """What viewers see now, as PNG, with its mark, and signed (C2PA) where that can be."""
        session = named(name)
        shown = session.shown
        if shown is None:
            raise RecordingError("nothing was shown yet; ask again once the session is live")
        png = await run_in_threadpool(lambda: session.sealing.picture(png_of(shown)))
        return PngResponse(png)
