"""HTTP for the check at the camera: is the person who performs the one in this picture?

    POST   /api/identities/check?session=S   a picture; the check begins on that session
    GET    /api/identities/check/ID          how it goes, and what is to be done now
    DELETE /api/identities/check/ID          give up

The daemon draws the steps, watches them in what the session tracks, and decides; the page only says
what to do. A passed check is good once, for that very picture, for some minutes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from realtime import likeness, picture_file
from realtime.answers import BODY, refusals
from realtime.challenge import draw
from realtime.clock import NS_PER_S, Clock
from realtime.consent import LiveCheck as Passed
from realtime.daemon import Daemon
from realtime.enrolment import Picture
from realtime.errors import IdentityError, NobodyPerforms
from realtime.http_body import PICTURE_BODY
from realtime.live_check import TOTAL_S, LiveCheck, Progress
from realtime.session import Session
from realtime.signalling import check_session

KEPT_S = 600.0
"""how long a passed check can be used"""
MOST_KEPT = 32
ENDED = "the session ended"
GIVEN_UP = "it was given up"

Look = Callable[[Request], Awaitable[tuple[bytes, Picture]]]


@dataclass(frozen=True, slots=True)
class _Kept:
    check: LiveCheck
    session: Session
    picture_sha256: str
    """of the file as it was sent"""
    began_ns: int
    began_at: datetime


class Checks:
    """The checks that run, and those that were passed and not yet used. Lives on the event loop."""

    def __init__(self, clock: Clock, count_faces: Callable[[Any], int]) -> None:
        self._clock = clock
        self._count_faces = count_faces
        self._kept: dict[str, _Kept] = {}

    def begin(self, session: Session, picture: Picture, data: bytes) -> str:
        """Watch the session from now on. Returns the check's id.

        Raises:
            IdentityError: the picture's face is turned away.
        """
        photo = picture.examined.shape
        if photo is None:
            raise IdentityError(
                "the face in the picture is turned away: it cannot be compared; take one that "
                "looks at the camera"
            )
        self._tidy()
        check = LiveCheck(draw(), photo, self._clock, self._count_faces)
        check_id = secrets.token_urlsafe(16)
        now = datetime.now(timezone.utc).replace(microsecond=0)
        digest = picture_file.sha256(data)
        self._kept[check_id] = _Kept(check, session, digest, self._clock.now_ns(), now)
        session.look_on(check.see)
        asyncio.get_running_loop().call_later(TOTAL_S + 1, self._end, check_id)
        return check_id

    async def progress(self, check_id: str) -> Progress:
        """
        Raises:
            HTTPException: 404, there is no such check, or no longer.
        """
        kept = self._find(check_id)
        if kept.session.phase == "closed":
            kept.check.give_up(ENDED)
        progress = await run_in_threadpool(kept.check.progress)
        if progress.phase in ("passed", "failed"):
            self._leave(check_id)
        return progress

    def give_up(self, check_id: str) -> None:
        """As `progress` raises."""
        self._find(check_id).check.give_up(GIVEN_UP)
        self._leave(check_id)
        del self._kept[check_id]

    async def redeem(self, check_id: str, data: bytes) -> Passed:
        """What goes into the record; a check can be redeemed once.

        Raises:
            HTTPException: 404, there is no such check; 409, it is not passed, or of another
                picture.
        """
        progress = await self.progress(check_id)
        kept = self._find(check_id)
        if progress.phase != "passed" or progress.score is None:
            raise HTTPException(409, "the check at the camera was not passed")
        if kept.picture_sha256 != picture_file.sha256(data):
            raise HTTPException(409, "the check at the camera was made for another picture")
        del self._kept[check_id]
        return Passed(
            kept.check.steps,
            f"{progress.score:.4f}",
            f"{likeness.THRESHOLD:.4f}",
            kept.began_at,
        )

    def _find(self, check_id: str) -> _Kept:
        self._tidy()
        kept = self._kept.get(check_id)
        if kept is None:
            raise HTTPException(404, "there is no such check, or no longer: make another")
        return kept

    def _tidy(self) -> None:
        old_ns = self._clock.now_ns() - round(KEPT_S * NS_PER_S)
        for check_id in [key for key, kept in self._kept.items() if kept.began_ns < old_ns]:
            del self._kept[check_id]
        while len(self._kept) >= MOST_KEPT:
            oldest = next(iter(self._kept))
            self._leave(oldest)
            del self._kept[oldest]

    def _end(self, check_id: str) -> None:
        """One that nobody asks about any more; what it has seen is forgotten."""
        kept = self._kept.get(check_id)
        if kept is not None:
            self._leave(check_id)
            kept.check.give_up(GIVEN_UP)

    def _leave(self, check_id: str) -> None:
        """Let the session perform unwatched again, unless another check has begun on it."""
        kept = self._kept.get(check_id)
        if kept is not None:
            kept.session.look_away(kept.check.see)


def add_checking(app: FastAPI, daemon: Daemon, checks: Checks, look: Look) -> None:
    """
    Args:
        look: reads the picture in a request, and finds its face.
    """

    def named(name: str) -> Session:
        try:
            return daemon.sessions.named(name)
        except NobodyPerforms as exc:
            raise HTTPException(404, f"{exc}: start the camera first") from exc

    @app.post(
        "/api/identities/check",
        status_code=201,
        openapi_extra=PICTURE_BODY,
        responses=refusals(400, 404, 409, *BODY, 503, 507),
    )
    async def begin(
        request: Request, session: Annotated[str, Query(max_length=64)]
    ) -> dict[str, Any]:
        """Begin a check: the body is the picture that is to be added as `self`.

        404 without such a session, 409 where no camera drives it, 400 where it is no picture of
        one face.
        """
        performer = named(session)
        check_session(request, performer.name)
        if daemon.services.config.tracking.driver != "camera":
            raise HTTPException(409, "tracking.driver is not camera: nobody can be seen here")
        data, picture = await look(request)
        check_id = checks.begin(performer, picture, data)
        return _told(check_id, await checks.progress(check_id))

    @app.get("/api/identities/check/{check_id}", responses=refusals(404))
    async def progress(check_id: str) -> dict[str, Any]:
        """What is to be done now. Ask several times a second: a check that is not asked about
        loses sight of the face."""
        return _told(check_id, await checks.progress(check_id))

    @app.delete("/api/identities/check/{check_id}", status_code=204, responses=refusals(404))
    async def give_up(check_id: str) -> Response:
        """End it without a result."""
        checks.give_up(check_id)
        return Response(status_code=204)


def _told(check_id: str, progress: Progress) -> dict[str, Any]:
    return {
        "check": check_id,
        "phase": progress.phase,
        "done": progress.done,
        "of": progress.of,
        "ask": progress.ask,
        "left_s": round(progress.left_s, 1),
        "problem": progress.problem,
        "score": None if progress.score is None else round(progress.score, 4),
        "threshold": likeness.THRESHOLD,
    }
