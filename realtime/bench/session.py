"""`reenactd bench session`: minutes of one real session, and whether anything grows.

A daemon in its own process, a scripted performer in this one, both on this machine. Per minute:
what the server adds in all (a camera picture's first packet -> its answer's last), the part of it
from decoded to handed to the encoder ("latency" in the daemon's messages), the rate at which
pictures come back, the daemon's resident memory, and drops. What counts is the last minute against
the first.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

from realtime import rtc_internals
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.machine import Ticks
from realtime.bench.named import for_daemon, require_named_backend
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.report import Report, print_table
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError

CLIP_FRAMES = 250
SETTLE_S = 5.0
"""not counted: connecting, calibrating, and the encoder's first seconds"""
SAMPLE_INTERVAL_S = 1.0
LATE_NS = 3 * NS_PER_S
"""the last sample of a minute may be so old"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the performer does, and how the daemon is started."""

    clip: Path
    identity: str | None
    fps: float
    minutes: int
    minute_s: float = 60.0
    """shorter for a quick look; the ratios then say little"""
    serve_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute of the session was like."""

    server_p50_ms: float
    """first packet in to last packet out; median over the daemon's own medians of two seconds"""
    server_p95_ms: float
    """likewise, over its 95th percentiles"""
    latency_p50_ms: float
    """the part of it from decoded to handed to the encoder; likewise"""
    latency_p95_ms: float
    server_fps: float
    client_fps: float
    """pictures that came back, per second"""
    resident_mib: float
    dropped: int
    """frames that a newer one replaced before they were used, over all hand-overs"""
    live_share: float
    """of the reports that say LIVE"""
    stolen_share: float
    """of the processor, given by the host to others: a slow minute may be the host's"""
    processor_ms: float
    """of the daemon, for each picture that came back: it grows only with the work"""


@dataclass(frozen=True, slots=True)
class Empty:
    """A minute that has no figures, and why."""

    reason: str


Record = Sequence[Minute | Empty]


@dataclass(frozen=True, slots=True)
class Sample:
    at_ns: int
    resident_mib: float
    ticks: Ticks
    processor_s: float


async def bench_session(plan: Plan, config: Config) -> Report:
    """Run, print a table, and return what the last line says.

    Raises:
        StartupError: the backend is `auto`.
        ReenactdError: the daemon does not start, refuses, or ends the session.
    """
    require_named_backend(config.engine)
    rtc_internals.install(config.rtc, loopback=True)
    pictures = back_and_forth(decode(plan.clip, CLIP_FRAMES))
    camera = PacedClip(pictures, plan.fps, MonotonicClock())
    samples: list[Sample] = []
    ended: ReenactdError | None = None
    async with DaemonProcess(*plan.serve_arguments, settings=for_daemon(config)) as daemon:
        performer = Performer(daemon.url, daemon.token, camera)
        try:
            await performer.connect(plan.identity)
            engine = await daemon.engine()
            await asyncio.sleep(SETTLE_S)
            began_ns = MonotonicClock().now_ns()
            await watch(daemon, performer, samples, plan.minutes * plan.minute_s)
        except ReenactdError as error:
            if not samples:
                raise
            ended = error  # what there is comes first
        finally:
            ended = await leave(performer, ended)
        if ended is not None:
            sys.stderr.write(daemon.log())
    record = record_of(performer, samples, began_ns, plan)
    print_record(record)
    if ended is not None:
        raise ended
    metrics = summarise(record)
    errors = performer.stats[-1][1]["errors"]
    return Report(
        "session",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "fps": plan.fps,
            "minutes": plan.minutes,
            "minute_s": plan.minute_s,
            "backend": config.engine.backend,
            "engine": engine,
        },
        metrics | {"errors": float(errors), "frames_sent": float(camera.sent)},
    )


async def leave(performer: Performer, ended: ReenactdError | None) -> ReenactdError | None:
    """Hang up; why the run ended before its time, which may be that this was not possible."""
    try:
        await performer.hang_up()
    except ReenactdError as error:
        return ended or error
    return ended


async def watch(
    daemon: DaemonProcess,
    performer: Performer,
    samples: list[Sample],
    duration_s: float,
    beside: asyncio.Task[None] | None = None,
) -> None:
    """Sample the daemon's memory and the machine's time until the time is over.

    Args:
        beside: what goes on meanwhile and must not end before.

    Raises:
        ReenactdError: the daemon ended the session or itself, or what goes on beside it ended.
    """
    clock = MonotonicClock()
    end_ns = clock.now_ns() + round(duration_s * NS_PER_S)
    while clock.now_ns() < end_ns:
        if performer.closed is not None:
            raise ReenactdError(f"the daemon ended the session: {performer.closed}")
        if beside is not None and beside.done():
            error = beside.exception()
            raise ReenactdError(f"the visits ended early: {error!r}") from error
        try:
            taken = (daemon.resident_mib, Ticks.now(), daemon.processor_s)
        except ProcessLookupError:
            raise ReenactdError("the daemon's process has ended") from None
        samples.append(Sample(clock.now_ns(), *taken))
        await asyncio.sleep(SAMPLE_INTERVAL_S)


def record_of(
    performer: Performer, samples: Sequence[Sample], began_ns: int, plan: Plan
) -> list[Minute | Empty]:
    """Every minute that was planned."""
    minute_ns = round(plan.minute_s * NS_PER_S)
    return [
        minute_of(performer, samples, began_ns + index * minute_ns, plan)
        for index in range(plan.minutes)
    ]


def minute_of(
    performer: Performer, samples: Sequence[Sample], first_ns: int, plan: Plan
) -> Minute | Empty:
    within = range(first_ns, first_ns + round(plan.minute_s * NS_PER_S))
    said = [message for at_ns, message in performer.stats if at_ns in within]
    timed = [message for message in said if message["fps_out"] > 0]
    before = [message for at_ns, message in performer.stats if at_ns < first_ns] or said
    taken = [sample for sample in samples if sample.at_ns in within]
    if not taken:
        return Empty("the run had ended")
    if taken[-1].at_ns + LATE_NS < within.stop:
        return Empty("the run ended before its end")
    if not said:
        return Empty("the daemon said nothing")
    if not timed:
        last = said[-1]
        return Empty(f"no avatar: {last['state']} {last['reason']}, face {last['face']}")
    came = sum(at_ns in within for at_ns in performer.received_ns)
    spent_s = taken[-1].processor_s - taken[0].processor_s
    sampled_s = (taken[-1].at_ns - taken[0].at_ns) / NS_PER_S
    return Minute(
        server_p50_ms=median(message["server_ms"]["p50"] for message in timed),
        server_p95_ms=median(message["server_ms"]["p95"] for message in timed),
        latency_p50_ms=median(message["latency_ms"]["p50"] for message in timed),
        latency_p95_ms=median(message["latency_ms"]["p95"] for message in timed),
        server_fps=fmean(message["fps_out"] for message in said),
        client_fps=came / plan.minute_s,
        resident_mib=median(sample.resident_mib for sample in taken),
        dropped=sum(said[-1]["drops"].values()) - sum(before[-1]["drops"].values()),
        live_share=fmean(message["state"] == "LIVE" for message in said),
        stolen_share=taken[-1].ticks.stolen_since(taken[0].ticks),
        processor_ms=1e3 * spent_s * plan.minute_s / max(sampled_s * came, 1e-9),
    )


def full_minutes(record: Record) -> list[tuple[int, Minute]]:
    """Those that have figures, and which they are, from 0.

    Raises:
        ReenactdError: there is none.
    """
    full = [(index, each) for index, each in enumerate(record) if isinstance(each, Minute)]
    if not full:
        reasons = dict.fromkeys(each.reason for each in record if isinstance(each, Empty))
        raise ReenactdError(f"no minute has figures: {'; '.join(reasons)}")
    return full


def summarise(record: Record) -> dict[str, float]:
    """Ratios of the last minute, to the first for times and to the second for memory: in the
    first, allocators and caches still fill. Of those that have figures.

    Raises:
        ReenactdError: none has.
    """
    indices, minutes = zip(*full_minutes(record), strict=True)
    first, second, last = minutes[0], minutes[min(1, len(minutes) - 1)], minutes[-1]
    metrics = {
        "server_first_minute_p50_ms": first.server_p50_ms,
        "server_last_minute_p50_ms": last.server_p50_ms,
        "server_last_minute_p95_ms": last.server_p95_ms,
        "server_last_to_first_ratio": last.server_p50_ms / max(first.server_p50_ms, 1e-9),
        "latency_first_minute_p50_ms": first.latency_p50_ms,
        "latency_last_minute_p50_ms": last.latency_p50_ms,
        "latency_last_minute_p95_ms": last.latency_p95_ms,
        "latency_last_to_first_ratio": last.latency_p50_ms / first.latency_p50_ms,
        "rss_second_minute_mib": second.resident_mib,
        "rss_last_minute_mib": last.resident_mib,
        "rss_last_to_second_ratio": last.resident_mib / second.resident_mib,
        "server_fps": fmean(minute.server_fps for minute in minutes),
        "client_fps": fmean(minute.client_fps for minute in minutes),
        "dropped_frames": float(sum(minute.dropped for minute in minutes)),
        "live_pct": 100 * fmean(minute.live_share for minute in minutes),
        "stolen_pct": 100 * fmean(minute.stolen_share for minute in minutes),
        "processor_ms_per_picture": fmean(minute.processor_ms for minute in minutes),
        "empty_minutes": float(len(record) - len(minutes)),
    }
    if len(minutes) > 1:
        metrics |= {
            "server_slope_ms_per_min": _slope(indices, [each.server_p50_ms for each in minutes]),
            "latency_slope_ms_per_min": _slope(indices, [each.latency_p50_ms for each in minutes]),
            "rss_slope_mib_per_min": _slope(indices, [each.resident_mib for each in minutes]),
        }
    return metrics


def _slope(indices: Sequence[int], values: Sequence[float]) -> float:
    """Least-squares slope per step."""
    return float(np.polyfit(indices, values, 1)[0])


def print_record(record: Record) -> None:
    columns = (
        *("minute", "server p50 ms", "p95 ms", "latency p50", "p95", "fps", "fps back"),
        *("MiB", "dropped", "live %", "stolen %", "cpu ms"),
    )
    rows = [
        (
            index + 1,
            each.server_p50_ms,
            each.server_p95_ms,
            each.latency_p50_ms,
            each.latency_p95_ms,
            each.server_fps,
            each.client_fps,
            each.resident_mib,
            each.dropped,
            100 * each.live_share,
            100 * each.stolen_share,
            each.processor_ms,
        )
        for index, each in enumerate(record)
        if isinstance(each, Minute)
    ]
    print_table("one session, minute by minute", columns, rows)
    for index, each in enumerate(record):
        if isinstance(each, Empty):
            print(f"minute {index + 1} has no figures: {each.reason}")
