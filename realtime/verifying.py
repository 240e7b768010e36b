"""HTTP for `verify`: was a file made here? No account, no network, nothing of the file is kept.

    POST   /api/verify?name=film.mp4   the file; answers at once with a job
    GET    /api/verify/ID              how far it is, or the verdict
    DELETE /api/verify/ID              stop it, or forget it

The file is looked at in a process of its own (`verify_process.py`), one at a time.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from realtime import verify_process
from realtime.answers import BODY, refusals
from realtime.http_body import save_body
from realtime.verify_process import Heard
from realtime.verify_signed import RECORD_NAME

MAX_UPLOAD_BYTES = 512 * 1024 * 1024
MOST_KEPT = 16
"""answers of jobs that ended; the oldest go first"""
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")
_FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@dataclass(eq=False)
class _Job:
    """One file that is looked at; written by the thread that waits for the process."""

    folder: Path
    heard: Heard = field(default_factory=lambda: Heard("running"))
    stopped: bool = False
    task: asyncio.Task[None] | None = None


class Verifier:
    """Looks at one file at a time. Lives on the event loop.

    Args:
        look: blocks until the file is looked at; tells of progress, and asks whether to stop.
    """

    def __init__(
        self,
        look: Callable[
            [Path, Callable[[Heard], None], Callable[[], bool]], None
        ] = verify_process.look,
    ) -> None:
        self._look = look
        self._jobs: dict[str, _Job] = {}
        self._receiving = False

    async def begin(self, request: Request, name: str) -> str:
        """Take a file in, and begin to look at it. Returns the job's id.

        Raises:
            HTTPException: 503 while another file is looked at; 408, 413, 415, 507 as of the body.
        """
        if self._receiving or any(job.heard.state == "running" for job in self._jobs.values()):
            raise HTTPException(503, "another file is being looked at", {"Retry-After": "2"})
        suffix = Path(name).suffix
        file = f"file{suffix.lower() if _SUFFIX.fullmatch(suffix) else ''}"
        if RECORD_NAME.fullmatch(name):  # which names the session that it must be of
            file = name
        try:
            folder = Path(tempfile.mkdtemp(prefix="reenactd-verify-"))  # 0700
        except OSError as exc:
            raise HTTPException(
                507, f"the file cannot be kept to look at it: {exc.strerror}"
            ) from exc
        self._receiving = True
        try:
            await save_body(request, folder / file, MAX_UPLOAD_BYTES)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._receiving = False
        while len(self._jobs) >= MOST_KEPT:
            del self._jobs[next(iter(self._jobs))]
        job_id, job = secrets.token_urlsafe(16), _Job(folder)
        self._jobs[job_id] = job
        job.task = asyncio.create_task(self._run(job, folder / file))
        return job_id

    async def _run(self, job: _Job, path: Path) -> None:
        answer = Heard("failed", error="it was stopped")

        def tell(heard: Heard) -> None:
            nonlocal answer
            if heard.state == "running":
                job.heard = heard
            else:
                answer = heard

        try:
            await run_in_threadpool(self._look, path, tell, lambda: job.stopped)
        finally:
            await run_in_threadpool(shutil.rmtree, job.folder, ignore_errors=True)
            job.heard = answer  # last: who hears it knows that nothing is left of the file

    def heard(self, job_id: str) -> Heard:
        """
        Raises:
            HTTPException: 404, there is no such job, or no longer.
        """
        return self._find(job_id).heard

    def forget(self, job_id: str) -> None:
        """As `heard` raises."""
        self._find(job_id).stopped = True
        if self._jobs[job_id].heard.state != "running":
            del self._jobs[job_id]

    def _find(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise HTTPException(404, "there is no such check of a file, or no longer")
        return job


def add_verifying(app: FastAPI, verifier: Verifier | None = None) -> None:
    verifier = verifier or Verifier()

    @app.post(
        "/api/verify",
        status_code=202,
        openapi_extra=_FILE_BODY,
        responses=refusals(400, *BODY, 503, 507),
    )
    async def begin(
        request: Request, name: Annotated[str, Query(max_length=255)] = ""
    ) -> dict[str, Any]:
        """Look at a picture, a film or a session's record; `name` tells by its ending which.

        The file is read as it comes, at most 512 MiB, and deleted once it was looked at.
        """
        job_id = await verifier.begin(request, name)
        return {"job": job_id, **verifier.heard(job_id).as_json()}

    @app.get("/api/verify/{job_id}", responses=refusals(404))
    async def heard(job_id: str) -> dict[str, Any]:
        """`state` is running, done or failed; done has the verdict of `reenactd verify --json`."""
        return {"job": job_id, **verifier.heard(job_id).as_json()}

    @app.delete("/api/verify/{job_id}", status_code=204, responses=refusals(404))
    async def forget(job_id: str) -> Response:
        """Stop looking at it."""
        verifier.forget(job_id)
        return Response(status_code=204)
