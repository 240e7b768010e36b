"""A trace: what is kept, how much of it, and whether viewers can read it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from realtime.clock import NS_PER_MS, FakeClock
from realtime.frames import Timings
from realtime.metrics import SessionMetrics
from realtime.tracing import Frame, Recording, Tracer, TraceRunning
from tests.traces import check_arrows, check_form, check_nesting, named


def document(recording: Recording) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b"".join(recording.chunks({"version": "1"})))
    return found


def on_thread(name: str, work: Any, *arguments: Any) -> None:
    thread = threading.Thread(target=work, args=arguments, name=name)
    thread.start()
    thread.join()


def frame_of(metrics: SessionMetrics, clock: FakeClock, seq: int) -> None:
    """One frame's way over four threads, as the workers tell it."""
    arrived_ns = clock.now_ns()
    clock.advance_ms(1)
    metrics.offered(arrived_ns, replaced=False)
    timings = Timings(arrived_ns)

    def half(work: str, *stages: str) -> None:
        nonlocal timings
        began_ns = clock.now_ns()
        clock.advance_ms(1)
        for stage in stages:
            at_ns = clock.now_ns()
            clock.advance_ms(3)
            timings = timings.with_stage(stage, clock.now_ns() - at_ns, at_ns)
        clock.advance_ms(1)
        metrics.worked(work, began_ns, timings, seq)

    on_thread("track-abcdef", half, "tracking", "ingest", "track")
    clock.advance_ms(2)
    on_thread("cpu-0", half, "rendering", "reenact", "emit")


def test_a_frame_is_a_slice_on_each_thread_with_its_stages_inside() -> None:
    clock = FakeClock(NS_PER_MS)
    metrics = SessionMetrics(clock, session="abcdef", tracer=Tracer(clock))
    metrics.tracer.start()
    for seq in range(3):
        frame_of(metrics, clock, seq)
    trace = document(metrics.tracer.stop())
    events = trace["traceEvents"]
    check_form(events)
    check_nesting(events)
    check_arrows(events)
    (first, *_) = named(events, "rendering")
    assert first["dur"] == 8000 and first["args"] == {"session": "abcdef", "frame": 0}
    assert [event["ts"] for event in named(events, "ingest")] == [2000, 21000, 40000]
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert sorted(threads.values()) == ["cpu-0", "event loop", "track-abcdef"]
    way = [event for event in events if event.get("id") == "abcdef:1000000"]
    assert [(event["ph"], threads[event["tid"]]) for event in way] == [
        ("s", "event loop"),
        ("t", "track-abcdef"),
        ("f", "cpu-0"),
    ]
    about = {"version": "1", "complete": True, "began_ns": 1_000_000, "duration_ns": 57_000_000}
    assert trace["otherData"] == about


def test_a_drop_is_an_instant_with_its_frame() -> None:
    clock = FakeClock(NS_PER_MS)
    metrics = SessionMetrics(clock, session="abcdef", tracer=Tracer(clock))
    metrics.tracer.start()
    clock.advance_ms(5)
    metrics.dropped("render", 7)
    (event,) = named(document(metrics.tracer.stop())["traceEvents"], "dropped: render")
    assert (event["ph"], event["ts"]) == ("i", 5000)
    assert event["args"] == {"session": "abcdef", "frame": 7}


def test_a_frame_that_only_one_thread_saw_has_no_arrow() -> None:
    clock = FakeClock()
    tracer = Tracer(clock)
    tracer.start()
    tracer.work("arrive", 0, 1000, Frame("a", 0))
    tracer.work("arrive", 2000, 3000, Frame("b", 0))
    events = document(tracer.stop())["traceEvents"]
    assert [event["ph"] for event in events if event["name"] == "arrive"] == ["X", "X"]
    assert not [event for event in events if event["ph"] in "stf"], "of two sessions neither"


def test_off_it_keeps_nothing() -> None:
    clock = FakeClock()
    metrics = SessionMetrics(clock, tracer=Tracer(clock))
    frame_of(metrics, clock, 0)
    metrics.tracer.work("late", 0, 1, Frame("a", 0))
    metrics.tracer.start()
    assert metrics.tracer.stop().events == []


def test_what_began_before_the_trace_is_left_out() -> None:
    clock = FakeClock()
    tracer = Tracer(clock)
    clock.advance_ms(10)
    tracer.start()
    tracer.work("tracking", 9 * NS_PER_MS, 11 * NS_PER_MS, Frame("a", 0))
    tracer.work("rendering", 10 * NS_PER_MS, 11 * NS_PER_MS, Frame("a", 0))
    assert [event.name for event in tracer.stop().events] == ["rendering"]


def test_it_is_bounded_stops_itself_and_says_so() -> None:
    clock = FakeClock()
    tracer = Tracer(clock, capacity=10)
    tracer.start()

    def work() -> None:
        for number in range(100):
            tracer.work("work", 0, 1, Frame("a", number))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracer.full and not tracer.armed
    recording = tracer.stop()
    assert len(recording.events) == 10
    assert document(recording)["otherData"]["complete"] is False
    tracer.start()
    assert tracer.armed and not tracer.full, "the next one begins anew"


def test_there_is_one_trace_at_a_time() -> None:
    tracer = Tracer(FakeClock())
    tracer.start()
    with pytest.raises(TraceRunning, match="ask again"):
        tracer.start()
    tracer.stop()
    tracer.start()


def test_a_long_trace_is_written_in_small_pieces() -> None:
    clock = FakeClock()
    tracer = Tracer(clock)
    tracer.start()
    for number in range(5000):
        tracer.work("work", number, number + 1, Frame("a", number % 7))
    pieces = list(tracer.stop().chunks({}))
    assert max(map(len, pieces)) < 100_000
    events = json.loads(b"".join(pieces))["traceEvents"]
    assert len(named(events, "work")) == 5000
    check_arrows(events)
