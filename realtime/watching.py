"""HTTP for those who watch: metrics, readiness, the list of sessions, a trace.

`/healthz` and `/readyz` are open and tell a state in one word; all the rest needs the token, for it
tells who performs and on what. Reads what others count; knows no frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Annotated, Any, get_args

from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from engines.errors import EngineError
from realtime import __version__
from realtime.answers import refusals
from realtime.clock import NS_PER_S
from realtime.daemon import Daemon, Host
from realtime.frames import OutputState
from realtime.session import Phase
from realtime.telemetry import GpuMemory, Standing
from realtime.tracing import Recording, TraceRunning

logger = logging.getLogger(__name__)

GPU_TIMEOUT_S = 1.0
"""how long the GPU's memory is waited for; a hung driver must not hide every other number"""
MAX_TRACE_S = 60.0
TRACE_POLL_S = 0.1
"""how soon a trace notices that it is full, or that nobody waits for it any more"""


class Health(BaseModel):
    """What supervisors and balancers are told."""

    status: str


_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "Not now."},
}


def add_health(app: FastAPI, host: Host) -> None:
    """What is open to all."""

    @app.get("/healthz", responses=_NOT_READY, response_model=Health)
    async def health() -> Response:
        """For supervisors: 503 where only a restart helps."""
        state = "ok" if host.state == "ready" else host.state
        return JSONResponse({"status": state}, 503 if state == "sick" else 200)

    @app.get("/readyz", responses=_NOT_READY, response_model=Health)
    async def readiness() -> Response:
        """For balancers: 503 while no session can be opened."""
        return JSONResponse({"status": host.state}, 200 if host.state == "ready" else 503)


def add_watching(app: FastAPI, daemon: Daemon, loop: str) -> None:
    """Every other way to look at a running daemon from outside."""
    app.exception_handler(TraceRunning)(lambda request, exc: JSONResponse({"error": str(exc)}, 409))

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """The Prometheus text format, or OpenMetrics to whom accepts it."""
        standing = _standing(daemon, loop, await _gpu_memory(daemon))
        accept = request.headers.get("Accept", "")
        text, content_type = await run_in_threadpool(
            daemon.services.telemetry.render, standing, accept
        )
        return Response(text, headers={"Content-Type": content_type})

    @app.get("/api/sessions")
    async def sessions() -> list[dict[str, Any]]:
        """Every session's numbers, as its own `stats` channel has them."""
        return [session.describe() for session in daemon.sessions]

    @app.post("/api/trace", responses=refusals(400, 409))
    async def trace(
        request: Request, seconds: Annotated[float, Query(gt=0, le=MAX_TRACE_S)] = 10.0
    ) -> Response:
        """What the threads do in the coming seconds, for Perfetto; one trace at a time."""
        recording = await _record(request, daemon, seconds)
        about = {
            "version": __version__,
            "engine": daemon.engine,
            "loop": loop,
            "asked_s": seconds,
        }
        return StreamingResponse(recording.chunks(about), media_type="application/json")


async def _record(request: Request, daemon: Daemon, seconds: float) -> Recording:
    """Takes a trace until its time is over, it is full, or nobody waits for it."""
    clock, tracer = daemon.services.clock, daemon.services.tracer
    until_ns = clock.now_ns() + round(seconds * NS_PER_S)
    tracer.start()
    try:
        while (left_s := (until_ns - clock.now_ns()) / NS_PER_S) > 0 and not tracer.full:
            if daemon.state == "draining" or await request.is_disconnected():
                break
            await asyncio.sleep(min(left_s, TRACE_POLL_S))
    finally:
        recording = tracer.stop()
    return recording


async def _gpu_memory(daemon: Daemon) -> GpuMemory | None:
    """Asked on a background thread: the event loop makes no call of CUDA."""
    services = daemon.services
    asked = services.maker.run(services.studio.gpu_memory)
    try:
        return await asyncio.wait_for(asked, GPU_TIMEOUT_S)
    except (asyncio.TimeoutError, EngineError) as exc:
        reason = str(exc) or f"no answer within {GPU_TIMEOUT_S:g} s"
        logger.warning("what GPU memory is free is not known: %s", reason)
        return None


def _standing(daemon: Daemon, loop: str, gpu: GpuMemory | None) -> Standing:
    phases = Counter(session.phase for session in daemon.sessions)
    states = Counter(session.state for session in daemon.sessions)
    return Standing(
        version=__version__,
        engine=daemon.engine,
        loop=loop,
        ready=daemon.state == "ready",
        phases={phase: phases[phase] for phase in get_args(Phase)},
        steps=Counter(session.quality_step for session in daemon.sessions),
        next_session_fps=daemon.sessions.next_session_fps,
        states={state: states[state] for state in get_args(OutputState)},
        gpu=gpu,
    )
