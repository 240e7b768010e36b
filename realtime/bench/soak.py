"""`reenactd bench soak`: minutes of one session while others come and go, and what is left behind.

A daemon in its own process, one performer who stays and is measured, and beside him (`--churn`)
visitors of every kind in `churn.py`. What counts: whether the latency of the one who stays or the
daemon's memory grows, and whether sessions, threads or open files outlive the visitors. The first
visits of every kind come before the count, for much is made once, at first need.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from realtime import rtc_internals
from realtime.bench.churn import Churn
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.report import Report, print_table
from realtime.bench.session import (
    CLIP_FRAMES,
    SETTLE_S,
    Minute,
    Plan,
    Sample,
    minute_of,
    print_record,
    watch,
)
from realtime.bench.trends import Slope, slope
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import StartupError

SEED = 5
BIN_S = 10.0
"""what a slope is fitted to: medians over so long"""
GROWN_UP_MINUTES = 3
"""of memory: allocators and caches still fill before"""
ASK_INTERVAL_S = 0.25
QUIET_S = 3.0
"""after the last visitor's session is gone, for threads and sockets to follow"""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the daemon's process holds at one moment."""

    sessions: int
    threads: int
    descriptors: int


async def bench_soak(plan: Plan, churning: bool, config: Config) -> Report:
    """Run, print tables, and return what the last line says.

    Raises:
        ReenactdError: the daemon does not start, refuses the one who stays, or ends the session.
    """
    _require_proc()
    rtc_internals.install(config.rtc, loopback=True)
    pictures = decode(plan.clip, CLIP_FRAMES)
    camera = PacedClip(back_and_forth(pictures), plan.fps, MonotonicClock())
    samples: list[Sample] = []
    async with DaemonProcess(*plan.serve_arguments) as daemon:
        churn = Churn(daemon.url, daemon.token, pictures, SEED)
        performer = Performer(daemon.url, daemon.token, camera)
        try:
            await performer.connect(plan.identity)
            if churning:
                await churn.visit_all()
            await asyncio.sleep(SETTLE_S)
            before = await at_rest(daemon, config)
            began_ns = MonotonicClock().now_ns()
            visiting = asyncio.create_task(churn.go_on()) if churning else None
            try:
                await watch(daemon, performer, samples, plan.minutes * plan.minute_s)
            finally:
                if visiting is not None:
                    await _end(visiting)
            after = await at_rest(daemon, config)
        finally:
            await performer.hang_up()
    minute_ns = round(plan.minute_s * NS_PER_S)
    record = [
        minute_of(performer, samples, began_ns + index * minute_ns, plan)
        for index in range(plan.minutes)
    ]
    end_ns = began_ns + plan.minutes * minute_ns
    latency = _latency_slope(performer, began_ns, end_ns, plan.minute_s)
    memory = _memory_slope(samples, began_ns, plan.minute_s)
    print_record(record)
    _print(churn, before, after, latency, memory)
    return Report(
        "soak",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "fps": plan.fps,
            "minutes": plan.minutes,
            "minute_s": plan.minute_s,
            "churn": churning,
            "visits": dict(churn.counts),
        },
        summarise(record, before, after)
        | _slope_metrics("latency_slope", "ms_per_min", latency)
        | _slope_metrics("rss_slope", "mib_per_min", memory)
        | {
            "connections": float(1 + churn.connections),
            "refused": float(churn.counts["refused"]),
            "failed_visits": float(churn.counts["failed"]),
        },
    )


def summarise(record: Sequence[Minute], before: Holdings, after: Holdings) -> dict[str, float]:
    """What is left behind, and the last minute's memory against the first one after the third."""
    metrics = {
        "latency_p50_ms": median(minute.latency_p50_ms for minute in record),
        "latency_p95_ms": median(minute.latency_p95_ms for minute in record),
        "server_fps": fmean(minute.server_fps for minute in record),
        "client_fps": fmean(minute.client_fps for minute in record),
        "live_pct": 100 * fmean(minute.live_share for minute in record),
        "stolen_pct": 100 * fmean(minute.stolen_share for minute in record),
        "rss_last_minute_mib": record[-1].resident_mib,
        "leaked_peers": float(max(after.sessions - before.sessions, 0)),
        "leaked_threads": float(max(after.threads - before.threads, 0)),
        "leaked_fds": float(max(after.descriptors - before.descriptors, 0)),
    }
    if len(record) > GROWN_UP_MINUTES + 1:
        grown = record[-1].resident_mib / record[GROWN_UP_MINUTES].resident_mib
        metrics["rss_growth_after_minute_3_pct"] = 100 * (grown - 1)
    return metrics


def bins(
    stamped: Sequence[tuple[int, float]], began_ns: int, minute_s: float
) -> tuple[list[float], list[float]]:
    """Medians of values over `BIN_S`; times are the bins' middles in minutes since `began_ns`."""
    width_ns = round(BIN_S * NS_PER_S)
    grouped: dict[int, list[float]] = {}
    for at_ns, value in stamped:
        if at_ns >= began_ns:
            grouped.setdefault((at_ns - began_ns) // width_ns, []).append(value)
    times = [(index + 0.5) * BIN_S / minute_s for index in sorted(grouped)]
    return times, [median(grouped[index]) for index in sorted(grouped)]


def _latency_slope(
    performer: Performer, began_ns: int, end_ns: int, minute_s: float
) -> Slope | None:
    timed = [
        (at_ns, message["latency_ms"]["p50"])
        for at_ns, message in performer.stats
        if at_ns < end_ns and message["fps_out"] > 0
    ]
    return slope(*bins(timed, began_ns, minute_s))


def _memory_slope(samples: Sequence[Sample], began_ns: int, minute_s: float) -> Slope | None:
    """After the minutes in which it still fills; of all of them in a shorter run."""
    grown_up_ns = began_ns + round(GROWN_UP_MINUTES * minute_s * NS_PER_S)
    late = [sample for sample in samples if sample.at_ns >= grown_up_ns]
    counted = late if len(late) > len(samples) // 2 else samples
    return slope(*bins([(each.at_ns, each.resident_mib) for each in counted], began_ns, minute_s))


def _slope_metrics(name: str, unit: str, found: Slope | None) -> dict[str, float]:
    if found is None:
        return {}
    return {
        f"{name}_{unit}": found.estimate,
        f"{name}_low_{unit}": found.low,
        f"{name}_high_{unit}": found.high,
        f"{name}_is_flat": float(found.is_flat),
    }


async def at_rest(daemon: DaemonProcess, config: Config) -> Holdings:
    """What the daemon holds once only the one who stays is there, or at the end of patience."""
    patience_s = config.rtc.idle_timeout_s + config.rtc.connect_timeout_s
    for _ in range(round(patience_s / ASK_INTERVAL_S)):
        if await asyncio.to_thread(_sessions, daemon) <= 1:
            break
        await asyncio.sleep(ASK_INTERVAL_S)
    await asyncio.sleep(QUIET_S)
    process = Path(f"/proc/{daemon.pid}")
    return Holdings(
        await asyncio.to_thread(_sessions, daemon),
        sum(1 for _ in (process / "task").iterdir()),
        sum(1 for _ in (process / "fd").iterdir()),
    )


def _sessions(daemon: DaemonProcess) -> int:
    """As `/api/status` says; blocks."""
    headers = {"Authorization": f"Bearer {daemon.token}"}
    request = urllib.request.Request(f"{daemon.url}/api/status", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(json.load(response)["sessions"])


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task; a visitor who is there hangs up first. What failed in it is raised."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _require_proc() -> None:
    if not Path("/proc/self/task").is_dir():
        raise StartupError("there is no /proc: threads and open files are counted on Linux only")


def _print(
    churn: Churn, before: Holdings, after: Holdings, latency: Slope | None, memory: Slope | None
) -> None:
    print_table(
        "the daemon's process at rest",
        ("", "sessions", "threads", "open files"),
        [
            (name, each.sessions, each.threads, each.descriptors)
            for name, each in (("before", before), ("after", after))
        ],
    )
    visits = ", ".join(f"{count} {name}" for name, count in sorted(churn.counts.items()))
    print(f"visits: {visits or 'none'}")
    for reason in churn.failures[:5]:
        print(f"failed: {reason}")
    for name, unit, found in (("latency", "ms", latency), ("memory", "MiB", memory)):
        if found is None:
            print(f"{name}: too short a run for a slope")
            continue
        flat = "not to be told from zero" if found.is_flat else "it is not zero"
        print(
            f"{name}: {found.estimate:+.3f} {unit} per minute ({found.low:+.3f} to "
            f"{found.high:+.3f}): {flat}"
        )
