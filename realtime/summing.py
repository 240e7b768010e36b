"""HTTP of a daemon with worker processes: what is about all sessions is asked of all, and summed.

As `watching.py` for one process. A worker that does not answer in time is left out, for the others'
numbers are right all the same; `worker` labels say whose they are.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args

from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from realtime import __version__
from realtime.crew import Crew
from realtime.crew_worker import Call, Unreachable
from realtime.forwarding import as_response
from realtime.frames import OutputState
from realtime.merging import OPEN_METRICS, merged_metrics, merged_traces
from realtime.session import Phase
from realtime.telemetry import Standing
from realtime.watching import MAX_TRACE_S, TRACE_POLL_S

if TYPE_CHECKING:
    import httpx

Asking: TypeAlias = "dict[int, asyncio.Task[httpx.Response]]"
"""by worker"""
PATIENCE_S = 3.0
TRACE_MARGIN_S = 30.0
"""for workers to write down what they have"""


def add_summing(app: FastAPI, crew: Crew, loop: str) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """The Prometheus text format, or OpenMetrics to whom accepts it."""
        answers = await _ask_all(crew, Call("GET", "/metrics", headers={"Accept": OPEN_METRICS}))
        own, _ = crew.telemetry.render(_standing(crew, loop), OPEN_METRICS)
        texts = {index: answer.text for index, answer in answers.items()}
        accept = request.headers.get("Accept", "")
        text, kind = await run_in_threadpool(merged_metrics, own.decode(), texts, accept)
        return Response(text, headers={"Content-Type": kind})

    @app.get("/api/sessions", include_in_schema=False)
    async def sessions() -> list[dict[str, Any]]:
        """Of all workers, in the order in which they began."""
        answers = await _ask_all(crew, Call("GET", "/api/sessions"))
        found = [session for answer in answers.values() for session in answer.json()]
        return sorted(found, key=lambda session: -session["age_s"])

    @app.post("/api/trace", include_in_schema=False)
    async def trace(
        request: Request, seconds: Annotated[float, Query(gt=0, le=MAX_TRACE_S)] = 10.0
    ) -> Response:
        """One document of what the threads of all processes do in the coming seconds."""
        call = Call("POST", "/api/trace", f"seconds={seconds:g}".encode())
        asking = _asking(crew, call, seconds + TRACE_MARGIN_S)
        try:
            while any(not task.done() for task in asking.values()):
                if await request.is_disconnected():
                    break
                await asyncio.wait(asking.values(), timeout=TRACE_POLL_S)
        finally:
            for task in asking.values():
                task.cancel()
        answers = await _answers(asking)
        for answer in answers.values():
            if answer.status_code != 200:
                return as_response(answer)
        if not answers:
            raise Unreachable("no worker process answers")
        texts = {index: answer.content for index, answer in answers.items()}
        return await run_in_threadpool(_trace_of, texts)


def _trace_of(texts: dict[int, bytes]) -> Response:
    return JSONResponse(merged_traces({index: json.loads(text) for index, text in texts.items()}))


async def _ask_all(crew: Crew, call: Call) -> dict[int, httpx.Response]:
    """What those say who answer."""
    answers = await _answers(_asking(crew, call, PATIENCE_S))
    return {index: answer for index, answer in answers.items() if answer.is_success}


def _asking(crew: Crew, call: Call, timeout_s: float) -> Asking:
    return {
        worker.index: asyncio.create_task(worker.ask(call, timeout_s), name=call.path)
        for worker in crew
    }


async def _answers(asking: Asking) -> dict[int, httpx.Response]:
    results = await asyncio.gather(*asking.values(), return_exceptions=True)
    answers = {}
    for index, result in zip(asking, results, strict=True):
        if isinstance(result, BaseException):
            if not isinstance(result, (Unreachable, asyncio.CancelledError)):
                raise result
        else:
            answers[index] = result
    return answers


def _standing(crew: Crew, loop: str) -> Standing:
    """Of the daemon as a whole; sessions and outputs are the workers' own."""
    return Standing(
        version=__version__,
        engine=crew.engine,
        loop=loop,
        ready=crew.state == "ready",
        phases=dict.fromkeys(get_args(Phase), 0),
        steps={},
        next_session_fps=crew.next_session_fps,
        states=dict.fromkeys(get_args(OutputState), 0),
        gpu=None,
    )
