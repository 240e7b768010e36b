"""`reenactd bench session`: minutes of one real session, and whether anything grows.

A daemon in its own process, a scripted performer in this one, both on this machine. Per minute: the
daemon's own latency (decoded -> handed to the encoder), the rate at which pictures come back, the
daemon's resident memory, and drops. What counts is the last minute against the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

from realtime import rtc_internals
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.machine import Ticks
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.report import Report, print_table
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError

CLIP_FRAMES = 250
SETTLE_S = 5.0
"""not counted: connecting, calibrating, and the encoder's first seconds"""
SAMPLE_INTERVAL_S = 1.0


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

    latency_p50_ms: float
    """median over the daemon's own medians of two seconds"""
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
class Sample:
    at_ns: int
    resident_mib: float
    ticks: Ticks
    processor_s: float


async def bench_session(plan: Plan, config: Config) -> Report:
    """Run, print a table, and return what the last line says.

    Raises:
        ReenactdError: the daemon does not start, refuses, or ends the session.
    """
    rtc_internals.install(config.rtc, loopback=True)
    pictures = back_and_forth(decode(plan.clip, CLIP_FRAMES))
    camera = PacedClip(pictures, plan.fps, MonotonicClock())
    samples: list[Sample] = []
    async with DaemonProcess(*plan.serve_arguments) as daemon:
        performer = Performer(daemon.url, daemon.token, camera)
        try:
            await performer.connect(plan.identity)
            await asyncio.sleep(SETTLE_S)
            began_ns = MonotonicClock().now_ns()
            await watch(daemon, performer, samples, plan.minutes * plan.minute_s)
        finally:
            await performer.hang_up()
    record = [
        minute_of(performer, samples, began_ns + round(index * plan.minute_s * NS_PER_S), plan)
        for index in range(plan.minutes)
    ]
    print_record(record)
    errors = performer.stats[-1][1]["errors"]
    return Report(
        "session",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "fps": plan.fps,
            "minutes": plan.minutes,
            "minute_s": plan.minute_s,
        },
        summarise(record) | {"errors": float(errors), "frames_sent": float(camera.sent)},
    )


async def watch(
    daemon: DaemonProcess,
    performer: Performer,
    samples: list[Sample],
    duration_s: float,
) -> None:
    """Sample the daemon's memory and the machine's time until the time is over.

    Raises:
        ReenactdError: the daemon ended the session.
    """
    clock = MonotonicClock()
    end_ns = clock.now_ns() + round(duration_s * NS_PER_S)
    while clock.now_ns() < end_ns:
        if performer.closed is not None:
            raise ReenactdError(f"the daemon ended the session: {performer.closed}")
        samples.append(Sample(clock.now_ns(), daemon.resident_mib, Ticks.now(), daemon.processor_s))
        await asyncio.sleep(SAMPLE_INTERVAL_S)


def minute_of(performer: Performer, samples: Sequence[Sample], first_ns: int, plan: Plan) -> Minute:
    within = range(first_ns, first_ns + round(plan.minute_s * NS_PER_S))
    said = [message for at_ns, message in performer.stats if at_ns in within]
    timed = [message["latency_ms"] for message in said if message["fps_out"] > 0]
    before = [message for at_ns, message in performer.stats if at_ns < first_ns]
    taken = [sample for sample in samples if sample.at_ns in within]
    if not timed or not before or not taken:
        raise ReenactdError("the daemon reported no avatar for a whole minute")
    came = sum(at_ns in within for at_ns in performer.received_ns)
    spent_s = taken[-1].processor_s - taken[0].processor_s
    sampled_s = (taken[-1].at_ns - taken[0].at_ns) / NS_PER_S
    return Minute(
        latency_p50_ms=median(latency["p50"] for latency in timed),
        latency_p95_ms=median(latency["p95"] for latency in timed),
        server_fps=fmean(message["fps_out"] for message in said),
        client_fps=came / plan.minute_s,
        resident_mib=median(sample.resident_mib for sample in taken),
        dropped=sum(said[-1]["drops"].values()) - sum(before[-1]["drops"].values()),
        live_share=fmean(message["state"] == "LIVE" for message in said),
        stolen_share=taken[-1].ticks.stolen_since(taken[0].ticks),
        processor_ms=1e3 * spent_s * plan.minute_s / max(sampled_s * came, 1e-9),
    )


def summarise(record: Sequence[Minute]) -> dict[str, float]:
    """Ratios of the last minute, to the first for latency and to the second for memory: in the
    first, allocators and caches still fill."""
    first, second, last = record[0], record[min(1, len(record) - 1)], record[-1]
    metrics = {
        "latency_first_minute_p50_ms": first.latency_p50_ms,
        "latency_last_minute_p50_ms": last.latency_p50_ms,
        "latency_last_minute_p95_ms": last.latency_p95_ms,
        "latency_last_to_first_ratio": last.latency_p50_ms / first.latency_p50_ms,
        "rss_second_minute_mib": second.resident_mib,
        "rss_last_minute_mib": last.resident_mib,
        "rss_last_to_second_ratio": last.resident_mib / second.resident_mib,
        "server_fps": fmean(minute.server_fps for minute in record),
        "client_fps": fmean(minute.client_fps for minute in record),
        "dropped_frames": float(sum(minute.dropped for minute in record)),
        "live_pct": 100 * fmean(minute.live_share for minute in record),
        "stolen_pct": 100 * fmean(minute.stolen_share for minute in record),
        "processor_ms_per_picture": fmean(minute.processor_ms for minute in record),
    }
    if len(record) > 1:
        metrics["latency_slope_ms_per_min"] = _slope([each.latency_p50_ms for each in record])
        metrics["rss_slope_mib_per_min"] = _slope([each.resident_mib for each in record])
    return metrics


def _slope(values: Sequence[float]) -> float:
    """Least-squares slope per step."""
    return float(np.polyfit(range(len(values)), values, 1)[0])


def print_record(record: Sequence[Minute]) -> None:
    columns = (
        "minute",
        "p50 ms",
        "p95 ms",
        "fps",
        "fps back",
        "MiB",
        "dropped",
        "live %",
        "stolen %",
        "cpu ms",
    )
    rows = [
        (
            index + 1,
            minute.latency_p50_ms,
            minute.latency_p95_ms,
            minute.server_fps,
            minute.client_fps,
            minute.resident_mib,
            minute.dropped,
            100 * minute.live_share,
            100 * minute.stolen_share,
            minute.processor_ms,
        )
        for index, minute in enumerate(record)
    ]
    print_table("one session, minute by minute", columns, rows)
