"""`reenactd bench crowd`: one performer, then two, then more, and what each further one costs.

All in a daemon of one process; with `--workers N` also in one with so many worker processes, in
turns of some seconds, so that the two can be held against each other: what processes gain is what
Python's lock takes. While it is not their turn, cameras stand still and outputs show the card.
Performers run in this process on the same machine, and its share of the processor is stated: on few
cores they are a good part of the load. The ladder and admission are off unless `--adapt` is given.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import av

from realtime import rtc_internals
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.machine import Ticks, usable_cores
from realtime.bench.named import for_daemon, require_named_backend
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.report import Report, print_table
from realtime.bench.whip import hung_up
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import AdmissionRefused, ReenactdError

CLIP_FRAMES = 90
"""of each performer, who starts at another one"""
SETTLE_S = 4.0
"""of a turn, not counted: calibrating, and what the windows of two seconds still remember"""
ROOMY = {"REENACTD_SERVER__MAX_SESSIONS": "64"}

Housing = Literal["one", "workers"]
"""a daemon of one process, or of several"""


@dataclass(frozen=True, slots=True)
class Plan:
    clip: Path
    identity: str | None
    sessions: int
    seconds: float
    fps: float
    rounds: int
    workers: int
    """also by so many worker processes; 0: not"""
    adapt: bool
    """leave the ladder and admission as they are configured"""
    serve_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """Some seconds with so many performers."""

    housing: Housing
    sessions: int
    fps: tuple[float, ...]
    """new avatar pictures of each, as the daemon says"""
    back_fps: tuple[float, ...]
    """pictures that came back to each"""
    latency_p50_ms: float
    """decoded to handed to the encoder; mean over the performers"""
    latency_p95_ms: float
    server_cpu_s: float
    """of the daemon, over all its processes, per second"""
    client_cpu_s: float
    other_cpu_s: float
    """of everybody else on this machine: a bench beside others measures them, too"""
    stolen_share: float
    steps: tuple[int, ...]
    """how far down the quality ladder each is"""

    @property
    def total_fps(self) -> float:
        return sum(self.fps)

    @property
    def cpu_ms_per_frame(self) -> float:
        return 1000 * self.server_cpu_s / max(self.total_fps, 1e-3)


class Camera(PacedClip):
    """Stands still while it is not the turn of those who have it."""

    def __init__(self, frames: Sequence[av.VideoFrame], start: int, fps: float) -> None:
        film = itertools.islice(back_and_forth(list(frames)), start, None)
        super().__init__(film, fps, MonotonicClock())
        self._runs = asyncio.Event()
        self._stopped_ns = MonotonicClock().now_ns()

    def stop_film(self) -> None:
        self._runs.clear()
        self._stopped_ns = MonotonicClock().now_ns()

    def start_film(self) -> None:
        """On at the same pace, without making up for any."""
        if self.sent:
            self.skip_ns(MonotonicClock().now_ns() - self._stopped_ns)
        self._runs.set()

    async def recv(self) -> av.VideoFrame:
        await self._runs.wait()
        return await super().recv()


@dataclass
class House:
    """A daemon, and who performs there."""

    housing: Housing
    daemon: DaemonProcess
    performers: list[Performer] = field(default_factory=list)
    cameras: list[Camera] = field(default_factory=list)

    async def admit(self, plan: Plan, stack: contextlib.AsyncExitStack) -> None:
        """One more performer.

        Raises:
            AdmissionRefused: the daemon has no room.
        """
        index = len(self.performers)
        camera = Camera(decode(plan.clip, CLIP_FRAMES), 7 * index, plan.fps)
        performer = Performer(self.daemon.url, self.daemon.token, camera)
        await stack.enter_async_context(hung_up(performer))
        camera.start_film()
        await performer.connect(plan.identity)
        self.performers.append(performer)
        self.cameras.append(camera)

    async def perform(self, seconds: float) -> Turn:
        """All of them for so long, and then a pause."""
        for camera in self.cameras:
            camera.start_film()
        await asyncio.sleep(SETTLE_S)
        turn = await _measure(self, seconds)
        self.pause()
        return turn

    def pause(self) -> None:
        for camera in self.cameras:
            camera.stop_film()


async def bench_crowd(plan: Plan, config: Config) -> Report:
    """Run, print a table, and return what the last line says.

    Raises:
        StartupError: the backend is `auto`.
        ReenactdError: a daemon does not start, or ends a session.
    """
    require_named_backend(config.engine)
    rtc_internals.install(config.rtc, loopback=True)
    turns: list[Turn] = []
    refusals: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        houses = [House("one", await stack.enter_async_context(_daemon(plan, config, 1)))]
        if plan.workers:
            several = await stack.enter_async_context(_daemon(plan, config, plan.workers))
            houses.append(House("workers", several))
        engine = await houses[0].daemon.engine()
        for _ in range(plan.sessions):
            try:
                for house in houses:
                    for camera in house.cameras:
                        camera.start_film()
                    await house.admit(plan, stack)
                    house.pause()
            except AdmissionRefused as exc:
                refusals.append(str(exc))
                break
            for index in range(plan.rounds):
                for house in houses if index % 2 == 0 else reversed(houses):
                    turns.append(await house.perform(plan.seconds))
    metrics = summarise(turns)
    _print(turns, refusals)
    return Report(
        "crowd",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "fps": plan.fps,
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "workers": plan.workers,
            "adapt": plan.adapt,
            "backend": config.engine.backend,
            "engine": engine,
        },
        metrics | {"refused": float(len(refusals))},
    )


@contextlib.asynccontextmanager
async def _daemon(plan: Plan, config: Config, workers: int) -> AsyncIterator[DaemonProcess]:
    """One that is ready, with every identity prepared in each of its processes.

    Raises:
        StartupError: it is not ready in time.
    """
    settings = {**ROOMY, **for_daemon(config), "REENACTD_SERVER__WORKERS": str(workers)}
    if plan.adapt:
        defaults = Config()
        settings["REENACTD_QUALITY__ADAPT"] = "true"
        settings["REENACTD_SERVER__MIN_FPS"] = str(defaults.server.min_fps)
    async with DaemonProcess(*plan.serve_arguments, settings=settings) as daemon:
        await daemon.prepared(workers)
        yield daemon


async def _measure(house: House, seconds: float) -> Turn:
    """
    Raises:
        ReenactdError: a session was ended, or nobody has a face.
    """
    clock, daemon, performers = MonotonicClock(), house.daemon, house.performers
    began_ns, ticks = clock.now_ns(), Ticks.now()
    server_s, client_s = daemon.processor_s, time.process_time()
    await asyncio.sleep(seconds)
    ended_ns, after = clock.now_ns(), Ticks.now()
    spent_s = (ended_ns - began_ns) / NS_PER_S
    server_cpu_s = (daemon.processor_s - server_s) / spent_s
    client_cpu_s = (time.process_time() - client_s) / spent_s
    within = range(began_ns, ended_ns)
    said = [_said(performer, within) for performer in performers]
    return Turn(
        house.housing,
        len(performers),
        tuple(fmean(message["fps_out"] for message in each) for each in said),
        tuple(
            sum(at_ns in within for at_ns in performer.received_ns) / spent_s
            for performer in performers
        ),
        _latency_ms(said, "p50"),
        _latency_ms(said, "p95"),
        server_cpu_s,
        client_cpu_s,
        after.busy_since(ticks) * usable_cores() - server_cpu_s - client_cpu_s,
        after.stolen_since(ticks),
        tuple(each[-1]["quality"]["step"] for each in said),
    )


def _said(performer: Performer, within: range) -> list[dict[str, Any]]:
    if performer.closed is not None:
        raise ReenactdError(f"the daemon ended a session: {performer.closed}")
    said = [message for at_ns, message in performer.stats if at_ns in within]
    if not any(message["face"] == "ok" for message in said):
        raise ReenactdError("no face was tracked for a whole turn; use another --clip")
    return said


def _latency_ms(said: Sequence[Sequence[dict[str, Any]]], name: str) -> float:
    """Mean over the performers; one who got no avatar at all, so short is time, has none.

    Raises:
        ReenactdError: nobody got one.
    """
    shown = [[message for message in each if message["fps_out"] > 0] for each in said]
    medians = [median(message["latency_ms"][name] for message in each) for each in shown if each]
    if not medians:
        raise ReenactdError("no session showed an avatar: too many for this machine; take fewer")
    return fmean(medians)


def summarise(turns: Sequence[Turn]) -> dict[str, float]:
    """Means over the rounds, and ratios: to one performer, and of workers to one process."""
    metrics: dict[str, float] = {}
    for housing in dict.fromkeys(turn.housing for turn in turns):
        counts = sorted({turn.sessions for turn in turns if turn.housing == housing})
        for count in counts:
            same = [turn for turn in turns if (turn.housing, turn.sessions) == (housing, count)]
            figures = {
                "fps": fmean(turn.total_fps / count for turn in same),
                "lowest_fps": fmean(min(turn.fps) for turn in same),
                "total_fps": fmean(turn.total_fps for turn in same),
                "back_fps": fmean(fmean(turn.back_fps) for turn in same),
                "latency_p50_ms": fmean(turn.latency_p50_ms for turn in same),
                "latency_p95_ms": fmean(turn.latency_p95_ms for turn in same),
                "cpu_ms_per_frame": fmean(turn.cpu_ms_per_frame for turn in same),
                "server_cpu_pct": 100 * fmean(turn.server_cpu_s for turn in same),
                "client_cpu_pct": 100 * fmean(turn.client_cpu_s for turn in same),
                "other_cpu_pct": 100 * fmean(turn.other_cpu_s for turn in same),
                "stolen_pct": 100 * fmean(turn.stolen_share for turn in same),
            }
            metrics |= {f"{housing}_{count}_{name}": value for name, value in figures.items()}
            if count > counts[0]:
                first = f"{housing}_{counts[0]}"
                for name in ("fps", "total_fps", "latency_p50_ms", "cpu_ms_per_frame"):
                    ratio = figures[name] / max(metrics[f"{first}_{name}"], 1e-3)
                    metrics[f"{housing}_{count}_{name}_to_first_ratio"] = ratio
    return metrics | _workers_to_one(turns)


def _workers_to_one(turns: Sequence[Turn]) -> dict[str, float]:
    """Medians over pairs of turns that followed each other, so that both had the same machine."""
    ratios = {}
    for count in sorted({turn.sessions for turn in turns}):
        alone, shared = (
            [turn for turn in turns if (turn.housing, turn.sessions) == (housing, count)]
            for housing in ("one", "workers")
        )
        pairs = list(zip(shared, alone, strict=False))
        if not pairs:
            continue
        for name in ("total_fps", "latency_p50_ms", "cpu_ms_per_frame"):
            found = [getattr(one, name) / max(getattr(other, name), 1e-3) for one, other in pairs]
            ratios[f"workers_to_one_{count}_{name}_ratio"] = median(found)
    return ratios


def _print(turns: Sequence[Turn], refusals: Sequence[str]) -> None:
    columns = (
        *("", "sessions", "fps each", "lowest", "in all", "p50 ms", "p95 ms"),
        *("CPU ms/frame", "server %", "client %", "others %", "stolen %", "steps"),
    )
    rows = [
        (
            turn.housing,
            turn.sessions,
            turn.total_fps / turn.sessions,
            min(turn.fps),
            turn.total_fps,
            turn.latency_p50_ms,
            turn.latency_p95_ms,
            turn.cpu_ms_per_frame,
            100 * turn.server_cpu_s,
            100 * turn.client_cpu_s,
            100 * turn.other_cpu_s,
            100 * turn.stolen_share,
            " ".join(str(step) for step in turn.steps),
        )
        for turn in turns
    ]
    print_table("each further session, in the order of measuring", columns, rows)
    for reason in refusals:
        print(f"refused: {reason}")
