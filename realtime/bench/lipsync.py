"""`reenactd bench lipsync`: minutes of clapping, and whether lips and voice stay together.

A daemon in its own process returns the camera's picture (`coded_daemon.py`, `echo`), for a flash
does not show through an avatar. A performer claps once a second; a WHEP viewer and the daemon's own
recorder see and hear it. The microphone's crystal may run fast (`--fast-ppm`), as a real one does:
ignored, 100 ppm would part voice and lips by 180 ms in half an hour.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from realtime import rtc_internals
from realtime.bench.clap import (
    Audience,
    Clap,
    ClapCamera,
    ClapMicrophone,
    attending,
    in_file,
    offsets_ms,
)
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.report import Report, print_table
from realtime.bench.trends import slope
from realtime.client import Address, call
from realtime.clock import MonotonicClock
from realtime.config import Config
from realtime.drafts import is_held
from realtime.errors import ReenactdError

SETTLE_S = 5.0
"""not counted: the performer's sender reports have not come by then"""
NEAR_MS = 40.0
ANSWER_S = 70.0
"""a first offer waits until the daemon has loaded its networks"""
END_S = 120.0
"""for the film to be ended and signed"""


@dataclass(frozen=True, slots=True)
class Plan:
    minutes: float
    fast_ppm: float
    serve_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """How voice and lips fit over a run; positive where the voice is late."""

    claps: int
    median_ms: float
    worst_ms: float
    within_40_pct: float
    drift_ms: float | None
    """over the whole run, by the line through all claps; None for too few of them"""
    drift_low_ms: float | None
    drift_high_ms: float | None
    first_fifth_ms: float
    """median over the first fifth of the claps"""
    last_fifth_ms: float

    @classmethod
    def of(cls, flashes_ns: Sequence[int], clicks_ns: Sequence[int]) -> Fit:
        """
        Raises:
            ReenactdError: no flash has its click.
        """
        found = offsets_ms(list(flashes_ns), list(clicks_ns))
        if not found:
            raise ReenactdError(
                f"{len(flashes_ns)} flashes, {len(clicks_ns)} clicks, and none of them together"
            )
        line = slope(range(len(found)), found)
        low, middle, high = (
            (None, None, None)
            if line is None
            else (each * len(found) for each in (line.low, line.estimate, line.high))
        )
        fifth = max(len(found) // 5, 1)
        return cls(
            claps=len(found),
            median_ms=median(found),
            worst_ms=max(found, key=abs),
            within_40_pct=100 * sum(abs(each) < NEAR_MS for each in found) / len(found),
            drift_ms=middle,
            drift_low_ms=low,
            drift_high_ms=high,
            first_fifth_ms=median(found[:fifth]),
            last_fifth_ms=median(found[-fifth:]),
        )


async def bench_lipsync(plan: Plan, config: Config) -> Report:
    """Clap, print a table, and return what the last line says.

    Raises:
        ReenactdError: the daemon does not start or refuses, or flashes or clicks do not come.
    """
    rtc_internals.install(config.rtc, loopback=True)
    with tempfile.TemporaryDirectory(prefix="reenactd-lipsync-") as films:
        settings = {
            "REENACTD_RECORDING__DIRECTORY": films,
            "REENACTD_RECORDING__MAX_MINUTES": str(plan.minutes + 5),
        }
        program = ("realtime.bench.coded_daemon", "echo")
        async with DaemonProcess(
            *plan.serve_arguments, program=program, settings=settings
        ) as daemon:
            at = Address(daemon.url, daemon.token)
            viewer, film = await _clap(at, plan)
            fits = {
                "viewer": _stamped(viewer),
                "viewer_arrival": _arrived(viewer),
                "film": Fit.of(*await asyncio.to_thread(in_file, film)),
            }
    _print(fits, plan)
    return Report(
        "lipsync",
        {"minutes": plan.minutes, "fast_ppm": plan.fast_ppm},
        {
            f"{where}_{name}": float(value)
            for where, fit in fits.items()
            for name in Fit.__slots__
            if (value := getattr(fit, name)) is not None
        },
    )


async def _clap(at: Address, plan: Plan) -> tuple[Audience, Path]:
    """The viewer, and the film, once the time is over."""
    began_ns = MonotonicClock().now_ns()
    performing = [ClapCamera(began_ns), ClapMicrophone(began_ns, plan.fast_ppm)]
    async with (
        attending(_offering(at, "/whip"), performing, "sendonly") as performer,
        attending(_offering(at, "/whep"), ("video", "audio"), "recvonly") as viewer,
    ):
        await asyncio.sleep(SETTLE_S)
        for seen in (performer, viewer):
            seen.flashes.clear()
        sessions = json.loads(await asyncio.to_thread(_ask, at, "GET", "/api/sessions"))
        recording = f"/api/sessions/{sessions[0]['session']}/recording"
        await asyncio.to_thread(_ask, at, "POST", recording)
        await asyncio.sleep(plan.minutes * 60)
        said = json.loads(await asyncio.to_thread(_ask, at, "DELETE", recording))
        film = Path(said["files"][-1])
        await asyncio.to_thread(_wait_until_signed, film)
    return viewer, film


def _wait_until_signed(film: Path) -> None:
    """Or at the end of patience; a film plays without, too."""
    end_s = time.monotonic() + END_S
    while is_held(film) and time.monotonic() < end_s:
        time.sleep(0.5)


def _offering(at: Address, path: str) -> Callable[[str], Awaitable[str]]:
    def post(sdp: str) -> str:
        with call(at, "POST", path, ANSWER_S, sdp) as response:
            text: str = response.read().decode()
            return text

    return lambda sdp: asyncio.to_thread(post, sdp)


def _ask(at: Address, method: str, path: str) -> str:
    with call(at, method, path, END_S) as response:
        text: str = response.read().decode()
        return text


def _stamped(viewer: Audience) -> Fit:
    return _fit(viewer, lambda clap: clap.stamped_ns)


def _arrived(viewer: Audience) -> Fit:
    return _fit(viewer, lambda clap: clap.came_ns)


def _fit(viewer: Audience, when: Callable[[Clap], int]) -> Fit:
    return Fit.of([when(each) for each in viewer.flashes], [when(each) for each in viewer.clicks])


def _print(fits: dict[str, Fit], plan: Plan) -> None:
    rows = [
        (
            name,
            fit.claps,
            fit.median_ms,
            fit.worst_ms,
            fit.within_40_pct,
            fit.first_fifth_ms,
            fit.last_fifth_ms,
            "-" if fit.drift_ms is None else fit.drift_ms,
        )
        for name, fit in (
            ("viewer, by time stamps", fits["viewer"]),
            ("viewer, by arrival", fits["viewer_arrival"]),
            ("film", fits["film"]),
        )
    ]
    columns = (
        *("", "claps", "median ms", "worst ms", "within 40 ms, %"),
        *("first fifth", "last fifth", "drift ms"),
    )
    print_table(
        f"the voice after the lips, {plan.minutes:g} min, microphone {plan.fast_ppm:+g} ppm",
        columns,
        rows,
    )
