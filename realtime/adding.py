"""HTTP for adding an identity in the page: look at a picture, then add it with consent.

A picture is decoded in a process of its own and kept nowhere until it is added. Who adds sends the
statement back that they confirmed: what goes into the record is what they read.
"""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from starlette.exceptions import HTTPException

from realtime.answers import BODY, refusals
from realtime.checking import Checks, add_checking
from realtime.consent import STATEMENTS, consent_kind
from realtime.daemon import Daemon
from realtime.enrolment import Enrolment, Picture, Wish
from realtime.errors import IdentityError
from realtime.frames import U8
from realtime.http_body import IMAGE_TYPES, PICTURE_BODY, read_body

MAX_UPLOAD_BYTES = 16 * 1024 * 1024
METHOD = "confirmed in the page, no live check"
CHECKED_METHOD = "live-check"
NAME = "the picture"
"""a file's own name never comes here"""


def add_adding(app: FastAPI, daemon: Daemon, enrolment: Enrolment) -> None:
    """The endpoints; one picture at a time, for each takes a second of a core."""
    checks = Checks(daemon.services.clock, enrolment.count_faces)
    one_at_a_time = asyncio.Lock()

    async def look(request: Request) -> tuple[bytes, Picture]:
        if one_at_a_time.locked():
            raise HTTPException(503, "another picture is being looked at", {"Retry-After": "2"})
        async with one_at_a_time:
            data = await read_body(request, IMAGE_TYPES, MAX_UPLOAD_BYTES)
            return data, await run_in_threadpool(enrolment.look_at, data, NAME)

    add_checking(app, daemon, checks, look)

    @app.post(
        "/api/identities/look",
        openapi_extra=PICTURE_BODY,
        responses=refusals(400, *BODY, 503, 507),
    )
    async def look_at(request: Request) -> dict[str, Any]:
        """The face that is found in a picture, what could be better, and what is to be confirmed.

        Nothing is kept. 400 where it is no picture of one face.
        """
        examined = (await look(request))[1].examined
        return {
            "crop": await run_in_threadpool(_data_url, examined.crop_rgb),
            "advice": examined.advice,
            "statements": STATEMENTS,
        }

    @app.post(
        "/api/identities",
        status_code=201,
        openapi_extra=PICTURE_BODY,
        responses=refusals(400, 409, *BODY, 503, 507),
    )
    async def add(  # noqa: PLR0913 - a query parameter each
        request: Request,
        afterwards: BackgroundTasks,
        name: str,
        kind: str,
        statement: str,
        release_sha256: str | None = None,
        expires: str | None = Query(None, pattern=r"^\d{4}-\d{2}-\d{2}$"),
        check: str | None = None,
    ) -> dict[str, str]:
        """Add the picture as an identity; `statement` is the text that was read and confirmed.
        The network encodes it next.

        `check` is the one that was passed at the camera, for `self`.
        """
        known = consent_kind(kind, "kind")
        if (known == "self") != (check is not None):
            raise IdentityError(
                "self needs a check at the camera (POST /api/identities/check), and no other kind "
                "has one; without a camera: `reenactd identity add`, whose record says that nobody "
                "checked"
            )
        if statement != STATEMENTS[known]:
            raise HTTPException(409, "the statement is not the present one: read it again")
        wish = Wish(name, known, METHOD, release_sha256=release_sha256, expires_at=_end_of(expires))
        await run_in_threadpool(enrolment.check, wish)
        data, picture = await look(request)
        if check is not None:
            passed = await checks.redeem(check, data)
            wish = replace(wish, method=CHECKED_METHOD, live_check=passed)
        identity_id = await run_in_threadpool(enrolment.add, picture, wish)
        afterwards.add_task(daemon.services.wardrobe.prepare, [identity_id])
        return {"id": identity_id}


def _end_of(day: str | None) -> datetime | None:
    if day is None:
        return None
    try:
        date = datetime.strptime(day, "%Y-%m-%d")
    except ValueError:
        raise IdentityError(f"expires {day}: there is no such day") from None
    return date.replace(hour=23, minute=59, second=59, tzinfo=timezone.utc)


def _data_url(rgb: U8) -> str:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
