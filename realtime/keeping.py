"""HTTP for the identities that a user keeps: revoke, delete, export, import; as the command line.

All of it needs the daemon's own token: whoever may perform here does not decide who is kept here.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from realtime import identity_archive
from realtime.answers import BODY, refusals
from realtime.enrolment import MAX_REASON, Enrolment
from realtime.errors import ReenactdError
from realtime.http_body import read_body
from realtime.signing import fingerprint

ARCHIVE_TYPE = "application/zip"
IMPORT_NAME = f"the file{identity_archive.SUFFIX}"
"""a file's own name never comes here"""

logger = logging.getLogger(__name__)


class Revocation(BaseModel):
    """Why a consent is taken back."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=MAX_REASON)
    """stands in the signed record"""


class ArchiveResponse(Response):
    media_type = ARCHIVE_TYPE


class Unbelieved(ReenactdError):
    """An import that is signed by a key which is not believed here."""

    def __init__(self, signer: str) -> None:
        self.fingerprint = fingerprint(signer)
        super().__init__(
            f"signed by the key {self.fingerprint}, which is not believed here: compare it with "
            "`reenactd trust show` over there, then import with trust="
        )


def add_keeping(app: FastAPI, enrolment: Enrolment) -> None:
    """The endpoints; an IdentityError is 400, with its line."""

    def unbelieved(request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, Unbelieved)
        return JSONResponse({"error": str(exc), "fingerprint": exc.fingerprint}, 409)

    app.exception_handler(Unbelieved)(unbelieved)

    @app.get("/api/own-identities")
    def kept() -> list[dict[str, Any]]:
        """All that did not ship, those that may no longer be used as well, with the reason."""
        return [asdict(own) for own in enrolment.own()]

    @app.post("/api/own-identities/{identity_id}/revocation", responses=refusals(400, 507))
    def revoke(identity_id: str, why: Revocation) -> dict[str, str]:
        """Take its consent back for good; sessions that show it end within a second."""
        enrolment.revoke(identity_id, why.reason)
        logger.warning("identity %s was revoked in the page", identity_id)
        return {"id": identity_id}

    @app.delete("/api/own-identities/{identity_id}", responses=refusals(400, 507))
    def delete(identity_id: str) -> dict[str, Any]:
        """Delete it, and every file that was made of it here."""
        removed = enrolment.delete(identity_id)
        logger.warning("identity %s was deleted in the page: %d files", identity_id, removed)
        return {"id": identity_id, "files": removed}

    @app.get(
        "/api/own-identities/{identity_id}/export",
        response_class=ArchiveResponse,
        responses=refusals(400, 507),
    )
    def export(identity_id: str) -> Response:
        """One file for another installation; its consent stays as it was signed."""
        content, signer = enrolment.packed(identity_id)
        name = f'attachment; filename="{identity_id}{identity_archive.SUFFIX}"'
        headers = {"Content-Disposition": name, "Reenactd-Signer": fingerprint(signer)}
        return ArchiveResponse(content, headers=headers)

    @app.post(
        "/api/own-identities",
        status_code=201,
        openapi_extra=_ARCHIVE_BODY,
        responses=refusals(400, 409, *BODY, 507),
    )
    async def take_in(
        request: Request,
        id: Annotated[str | None, Query(max_length=64)] = None,  # noqa: A002 - as it is called
        trust: Annotated[str | None, Query(max_length=64)] = None,
    ) -> dict[str, str]:
        """Take in an exported identity. 409 with the signer's fingerprint where its key is not
        believed here: repeat it with that as `trust`, once compared."""

        def believe(public_key: str) -> bool:
            found = fingerprint(public_key)
            if trust is None or _bare(trust) != _bare(found):
                raise Unbelieved(public_key)
            return True

        data = await read_body(request, (ARCHIVE_TYPE,), identity_archive.MAX_BYTES)
        taken = await run_in_threadpool(enrolment.take_in, data, IMPORT_NAME, id, believe)
        logger.warning("identity %s was imported in the page", taken)
        return {"id": taken}


def _bare(digits: str) -> str:
    return digits.replace(" ", "").lower()


_ARCHIVE_BODY = {
    "requestBody": {
        "required": True,
        "content": {ARCHIVE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
