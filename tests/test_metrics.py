"""Counting: windows, percentiles, and a reporter that speaks once a second."""

from __future__ import annotations

import logging

import pytest

from realtime.clock import NS_PER_MS, FakeClock
from realtime.frames import OutputFrame, Timings
from realtime.metrics import ErrorReporter, SessionMetrics, percentile
from tests.pictures import i420_of, texture


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([3.0], 0.95, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(1, 21)], 0.95, 19.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def answer_to(arrived_ns: int) -> OutputFrame:
    """A finished frame whose camera picture took 4 ms to come."""
    timings = Timings(arrived_ns).with_stage("receive", 4 * NS_PER_MS, arrived_ns - 4 * NS_PER_MS)
    return OutputFrame(i420_of(texture()), 320, 240, 0, 0, "LIVE", timings, 0)


def test_rates_and_latencies_look_back_two_seconds_only() -> None:
    clock = FakeClock(10_000 * NS_PER_MS)
    metrics = SessionMetrics(clock)
    for _ in range(200):
        clock.advance_ms(50)
        metrics.arrived(clock.now_ns(), 640, 480)
        metrics.sent(clock.now_ns() - 12 * NS_PER_MS, {"track": 8 * NS_PER_MS})
        metrics.left(answer_to(clock.now_ns() - 17 * NS_PER_MS), send_ns=4 * NS_PER_MS)
    now = metrics.snapshot()
    assert now.fps_in == pytest.approx(20, abs=1)
    assert now.fps_out == pytest.approx(20, abs=1)
    assert now.latency_p50_ms == now.latency_p95_ms == 12
    assert now.server_p50_ms == now.server_p95_ms == 21
    assert now.stages_ms == {"track": 8, "send": 4}
    assert (now.camera_width_px, now.camera_height_px) == (640, 480)
    clock.advance_ms(3000)
    idle = metrics.snapshot()
    assert (idle.fps_in, idle.fps_out, idle.latency_p95_ms, idle.stages_ms) == (0, 0, 0, {})


def test_errors_are_counted_each_and_reported_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    reporter = ErrorReporter(logging.getLogger("test"), clock)
    with caplog.at_level(logging.WARNING, "test"):
        for number in range(25):
            reporter.add(ValueError(f"number {number}"))
            clock.advance_ms(100)
    assert reporter.total == 25
    assert [record.getMessage() for record in caplog.records] == [
        "1 frame failed, last: number 0",
        "10 frames failed, last: number 10",
        "10 frames failed, last: number 20",
    ]


def test_an_unexpected_error_brings_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    reporter = ErrorReporter(logging.getLogger("test"), FakeClock())
    with caplog.at_level(logging.WARNING, "test"):
        reporter.add(ValueError("a bug"), unexpected=True)
    assert caplog.records[0].exc_info is not None


def test_frames_that_nobody_took_in_time_are_told_from_those_that_were_looked_at() -> None:
    clock = FakeClock(10**12)
    metrics = SessionMetrics(clock)
    for index in range(60):
        metrics.arrived(clock.now_ns(), 640, 480)
        if index % 6 == 0:
            metrics.dropped("track", None)
        metrics.dropped("rate" if index % 2 else "none", None)
        clock.advance_ms(33)
    assert metrics.snapshot().fps_shed == 5 and metrics.sheds
    assert not SessionMetrics(clock).sheds, "nothing came, nothing was lost"
    clock.advance_ms(3000)
    assert metrics.snapshot().fps_shed == 0 and not metrics.sheds
