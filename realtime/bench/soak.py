"""`reenactd bench soak`: minutes of one session while others come and go, and what is left behind.

A daemon in its own process, one performer who stays and is measured, and beside him (`--churn`)
visitors of every kind in `churn.py`. What counts: whether what the server adds for the one who
stays (first packet in -> last packet out) or the daemon's memory grows, and whether sessions,
threads or open files outlive the visitors. The first visits of every kind come before the count,
for much is made once, at first need.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from realtime import rtc_internals
from realtime.bench.churn import Churn
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.named import for_daemon, require_named_backend
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.report import Report, print_table
from realtime.bench.session import (
    CLIP_FRAMES,
    SETTLE_S,
    Plan,
    Record,
    Sample,
    full_minutes,
    leave,
    print_record,
    record_of,
    watch,
)
from realtime.bench.trends import Slope, bins, slope
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError, StartupError

SEED = 5
GROWN_UP_MINUTES = 3
"""of memory: allocators and caches still fill before"""
ASK_INTERVAL_S = 0.25
SLOPES = {
    "server": ("first packet in to last packet out", "ms"),
    "latency": ("of it decoded to handed to the encoder", "ms"),
    "rss": ("memory", "MiB"),
}
QUIET_S = 3.0
"""after the last visitor's session is gone, for threads and sockets to follow"""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the daemon's process holds at one moment."""

    sessions: int
    threads: int
    descriptors: int


@dataclass
class Course:
    """What a run has come to so far; a run that ends early has this to show."""

    samples: list[Sample] = field(default_factory=list)
    engine: str = ""
    began_ns: int = 0
    before: Holdings | None = None
    after: Holdings | None = None
    ended: ReenactdError | None = None
    """why before its time"""


async def bench_soak(plan: Plan, churning: bool, config: Config) -> Report:
    """Run, print tables, and return what the last line says.

    Raises:
        ReenactdError: the daemon does not start, refuses the one who stays, or ends the session;
            what was measured before is printed.
        StartupError: the backend is `auto`.
    """
    _require_proc()
    require_named_backend(config.engine)
    rtc_internals.install(config.rtc, loopback=True)
    pictures = decode(plan.clip, CLIP_FRAMES)
    camera = PacedClip(back_and_forth(pictures), plan.fps, MonotonicClock())
    course = Course()
    async with DaemonProcess(*plan.serve_arguments, settings=for_daemon(config)) as daemon:
        churn = Churn(daemon.url, daemon.token, pictures, SEED)
        performer = Performer(daemon.url, daemon.token, camera)
        try:
            await performer.connect(plan.identity)
            course.engine = await daemon.engine()
            if churning:
                await churn.visit_all()
            await asyncio.sleep(SETTLE_S)
            course.before = await at_rest(daemon, config)
            visits = churn.go_on() if churning else None
            await _watched(daemon, performer, course, plan, visits)
            course.after = await at_rest(daemon, config)
        except ReenactdError as error:
            if not course.samples:
                raise
            course.ended = error
        finally:
            course.ended = await leave(performer, course.ended)
        if course.ended is not None:
            sys.stderr.write(daemon.log())
    return report(course, churn, performer, plan, config)


async def _watched(
    daemon: DaemonProcess,
    performer: Performer,
    course: Course,
    plan: Plan,
    visits: Coroutine[Any, Any, None] | None,
) -> None:
    course.began_ns = MonotonicClock().now_ns()
    visiting = None if visits is None else asyncio.create_task(visits)
    try:
        await watch(daemon, performer, course.samples, plan.minutes * plan.minute_s, visiting)
    finally:
        if visiting is not None:  # a visitor who is there hangs up; `watch` said what failed
            visiting.cancel()
            await asyncio.wait([visiting])


def report(
    course: Course, churn: Churn, performer: Performer, plan: Plan, config: Config
) -> Report:
    """Print tables, and return what the last line says.

    Raises:
        ReenactdError: the run ended early, or no minute has figures.
    """
    record = record_of(performer, course.samples, course.began_ns, plan)
    span = Span(course.began_ns, plan)
    slopes = {
        "server": _time_slope(performer, "server_ms", span),
        "latency": _time_slope(performer, "latency_ms", span),
        "rss": _memory_slope(course.samples, span),
    }
    print_record(record)
    _print(churn, course, slopes)
    if course.ended is not None:
        raise course.ended
    assert course.before is not None and course.after is not None
    metrics = summarise(record, course.before, course.after)
    for name, (_, unit) in SLOPES.items():
        metrics |= _slope_metrics(f"{name}_slope", f"{unit.lower()}_per_min", slopes[name])
    return Report(
        "soak",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "fps": plan.fps,
            "minutes": plan.minutes,
            "minute_s": plan.minute_s,
            "churn": bool(churn.counts),
            "visits": dict(churn.counts),
            "backend": config.engine.backend,
            "engine": course.engine,
        },
        metrics
        | {
            "connections": float(1 + churn.connections),
            "refused": float(churn.counts["refused"]),
            "failed_visits": float(churn.counts["failed"]),
        },
    )


def summarise(record: Record, before: Holdings, after: Holdings) -> dict[str, float]:
    """What is left behind, and the last minute's memory against the first one after the third.

    Raises:
        ReenactdError: no minute has figures.
    """
    full = full_minutes(record)
    minutes = [minute for _, minute in full]
    metrics = {
        "server_p50_ms": median(minute.server_p50_ms for minute in minutes),
        "server_p95_ms": median(minute.server_p95_ms for minute in minutes),
        "latency_p50_ms": median(minute.latency_p50_ms for minute in minutes),
        "latency_p95_ms": median(minute.latency_p95_ms for minute in minutes),
        "server_fps": fmean(minute.server_fps for minute in minutes),
        "client_fps": fmean(minute.client_fps for minute in minutes),
        "live_pct": 100 * fmean(minute.live_share for minute in minutes),
        "stolen_pct": 100 * fmean(minute.stolen_share for minute in minutes),
        "rss_last_minute_mib": minutes[-1].resident_mib,
        "leaked_peers": float(max(after.sessions - before.sessions, 0)),
        "leaked_threads": float(max(after.threads - before.threads, 0)),
        "leaked_fds": float(max(after.descriptors - before.descriptors, 0)),
        "empty_minutes": float(len(record) - len(minutes)),
    }
    grown_up = [minute for index, minute in full if index >= GROWN_UP_MINUTES]
    if len(grown_up) > 1:
        grown = grown_up[-1].resident_mib / grown_up[0].resident_mib
        metrics["rss_growth_after_minute_3_pct"] = 100 * (grown - 1)
    return metrics


@dataclass(frozen=True, slots=True)
class Span:
    """When it counted."""

    began_ns: int
    plan: Plan

    def after(self, minutes: float) -> int:
        return self.began_ns + round(minutes * self.plan.minute_s * NS_PER_S)


def _time_slope(performer: Performer, name: str, span: Span) -> Slope | None:
    """
    Args:
        name: of the daemon's figure: `server_ms`, first packet to last, sees every queue on the
            way; `latency_ms` sees those between decoder and encoder only.
    """
    end_ns = span.after(span.plan.minutes)
    timed = [
        (at_ns, message[name]["p50"])
        for at_ns, message in performer.stats
        if at_ns < end_ns and message["fps_out"] > 0
    ]
    return slope(*bins(timed, span.began_ns, span.plan.minute_s))


def _memory_slope(samples: Sequence[Sample], span: Span) -> Slope | None:
    """After the minutes in which it still fills; of all of them in a shorter run."""
    grown_up_ns = span.after(GROWN_UP_MINUTES)
    late = [sample for sample in samples if sample.at_ns >= grown_up_ns]
    counted = late if len(late) > len(samples) // 2 else samples
    stamped = [(each.at_ns, each.resident_mib) for each in counted]
    return slope(*bins(stamped, span.began_ns, span.plan.minute_s))


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
    """What the daemon holds once only the one who stays is there, or at the end of patience.

    Raises:
        ReenactdError: it does not answer.
    """
    patience_s = config.rtc.idle_timeout_s + config.rtc.connect_timeout_s
    for _ in range(round(patience_s / ASK_INTERVAL_S)):
        if await _sessions(daemon) <= 1:
            break
        await asyncio.sleep(ASK_INTERVAL_S)
    await asyncio.sleep(QUIET_S)
    sessions, process = await _sessions(daemon), Path(f"/proc/{daemon.pid}")
    try:
        threads, descriptors = (len(list((process / name).iterdir())) for name in ("task", "fd"))
    except OSError:
        raise ReenactdError("the daemon's process has ended") from None
    return Holdings(sessions, threads, descriptors)


async def _sessions(daemon: DaemonProcess) -> int:
    return int((await daemon.ask("/api/status"))["sessions"])


def _require_proc() -> None:
    if not Path("/proc/self/task").is_dir():
        raise StartupError("there is no /proc: threads and open files are counted on Linux only")


def _print(churn: Churn, course: Course, slopes: Mapping[str, Slope | None]) -> None:
    print_table(
        "the daemon's process at rest",
        ("", "sessions", "threads", "open files"),
        [
            (name, each.sessions, each.threads, each.descriptors)
            for name, each in (("before", course.before), ("after", course.after))
            if each is not None
        ],
    )
    visits = ", ".join(f"{count} {name}" for name, count in sorted(churn.counts.items()))
    print(f"visits: {visits or 'none'}")
    for reason in churn.failures[:5]:
        print(f"failed: {reason}")
    for name, (text, unit) in SLOPES.items():
        found = slopes[name]
        if found is None:
            print(f"{text}: too short a run for a slope")
            continue
        flat = "not to be told from zero" if found.is_flat else "it is not zero"
        print(
            f"{text}: {found.estimate:+.3f} {unit} per minute ({found.low:+.3f} to "
            f"{found.high:+.3f}): {flat}"
        )
