"""The threads: what they deliver, what they survive, and what ends them."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from typing import cast

import av
import pytest

from realtime.clock import FakeClock, MonotonicClock
from realtime.desk import Desk, Live
from realtime.frames import Arrived, Controls, OutputFrame, Tracked
from realtime.gate import Withheld
from realtime.identity import Identity
from realtime.latest import AsyncLatest
from realtime.metrics import ErrorReporter, SessionMetrics
from realtime.turns import Turn
from realtime.workers import RESTARTS, BackgroundWorker, RenderJob, RenderWorker, TrackWorker
from tests.helpers import FakeIdentity, FakePipeline, FakeTrackStage, Script, until
from tests.pictures import draw_number, i420_of, texture

LOGGER = logging.getLogger("test")


def arrived(number: int = 0) -> Arrived:
    luma = texture()
    draw_number(luma, number)
    return Arrived(av.VideoFrame.from_ndarray(i420_of(luma), format="yuv420p"), number)


class Bench:
    """One session's end of the threads, without a session."""

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.script = Script()
        self.ends: list[str] = []
        self.outputs: AsyncLatest[OutputFrame | Withheld] = AsyncLatest(asyncio.get_running_loop())
        self.desk = Desk(
            Live(Controls(), cast(Identity, FakeIdentity("juniper"))),
            SessionMetrics(self.clock),
            ErrorReporter(LOGGER, self.clock),
            self.outputs,
            self.ends.append,
            Turn(self.clock),
        )

    def tracker(self, deliver: Callable[[Tracked], None]) -> TrackWorker:
        return TrackWorker(
            "track-test", lambda: FakeTrackStage(self.script), self.desk, deliver, self.clock
        )

    def job(self) -> RenderJob:
        return RenderJob(FakePipeline(self.script), self.desk)


async def test_a_tracked_frame_is_delivered_and_its_stage_is_closed_with_the_worker() -> None:
    bench = Bench()
    got: list[Tracked] = []
    worker = bench.tracker(got.append)
    worker.start()
    worker.offer(arrived(5))
    await until(lambda: len(got) == 1)
    assert got[0].timings.arrived_ns == 5 and bench.desk.metrics.face == "ok"
    assert bench.script.open_stages == 1
    await worker.close()
    assert bench.script.open_stages == 0


async def test_a_bug_in_the_tracker_costs_its_frames_only() -> None:
    bench = Bench()
    got: list[Tracked] = []
    worker = bench.tracker(got.append)
    worker.start()
    bench.script.fault = "track_raises"
    worker.offer(arrived())
    assert await bench.outputs.take(10) == Withheld("tracking failed")
    assert bench.desk.errors.total == 1 and not bench.ends
    bench.script.fault = ""
    worker.offer(arrived())
    await until(lambda: len(got) == 1)
    await worker.close()


async def test_a_camera_that_is_not_served_ends_the_session() -> None:
    bench = Bench()
    worker = bench.tracker(lambda tracked: None)
    worker.start()
    bench.script.fault = "track_refuses"
    worker.offer(arrived())
    await until(lambda: bench.ends == ["the camera sends what is not served"])
    await worker.close()


async def test_a_killed_tracker_is_started_again_but_not_for_ever() -> None:
    bench, clock = Bench(), FakeClock()
    worker = TrackWorker(
        "track-test", lambda: FakeTrackStage(bench.script), bench.desk, lambda tracked: None, clock
    )
    bench.script.fault = "track_killed"
    worker.start()
    for _ in range(RESTARTS):
        worker.offer(arrived())
        await until(lambda: not alive(worker))
        assert worker.ensure() is None and not alive(worker), "the card is to be seen first"
        clock.advance_ms(1000)
        assert worker.ensure() is None
    worker.offer(arrived())
    await until(lambda: not alive(worker))
    assert (
        worker.ensure()
        == f"the track-test thread died {RESTARTS + 1} times, last killed by SystemExit()"
    )
    await worker.close()


async def test_a_thread_that_lived_long_may_die_again() -> None:
    bench, clock = Bench(), FakeClock()
    worker = TrackWorker(
        "track-test", lambda: FakeTrackStage(bench.script), bench.desk, lambda tracked: None, clock
    )
    bench.script.fault = "track_killed"
    worker.start()
    for _ in range(RESTARTS + 3):
        clock.advance_ms(61_000)
        worker.offer(arrived())
        await until(lambda: not alive(worker))
        assert worker.ensure() is None
        clock.advance_ms(1000)
        assert worker.ensure() is None
    await worker.close()


async def test_a_hung_thread_is_reported_and_left_behind() -> None:
    bench = Bench()
    clock = FakeClock()
    worker = TrackWorker(
        "track-test", lambda: FakeTrackStage(bench.script), bench.desk, lambda tracked: None, clock
    )
    bench.script.fault = "track_hangs"
    worker.start()
    worker.offer(arrived())
    await until(lambda: worker._thread.busy_since_ns is not None)
    assert worker.ensure() is None
    clock.advance_ms(10_001)
    assert worker.ensure() == "the track-test thread has not answered for 10 s"
    began = asyncio.get_running_loop().time()
    await worker.close()
    assert asyncio.get_running_loop().time() - began >= 1.0
    bench.script.released.set()


async def test_a_tracker_that_hangs_at_its_start_is_reported_too() -> None:
    bench, clock = Bench(), FakeClock()
    released = threading.Event()

    def make() -> FakeTrackStage:
        released.wait(30)
        return FakeTrackStage(bench.script)

    worker = TrackWorker("track-test", make, bench.desk, lambda tracked: None, clock)
    worker.start()
    await until(lambda: worker._thread.making)
    clock.advance_ms(29_000)
    assert worker.ensure() is None, "a start takes longer than a frame"
    clock.advance_ms(1_001)
    assert worker.ensure() == "the track-test thread has not answered for 30 s"
    released.set()
    await until(lambda: not worker._thread.making)
    assert worker.ensure() is None
    await worker.close()


async def test_sessions_take_turns_and_only_their_newest_frame_is_rendered() -> None:
    first, second = Bench(), Bench()
    order: list[str] = []
    gate = threading.Event()

    class Slow(FakePipeline):
        def __init__(self, bench: Bench, name: str) -> None:
            super().__init__(bench.script)
            self.name = name

        def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
            gate.wait(10)
            order.append(f"{self.name}{tracked.source.seq}")
            output = super().process(tracked, controls, identity)
            assert isinstance(output, OutputFrame)
            return output

    worker = RenderWorker("cpu-test", MonotonicClock())
    jobs = [
        RenderJob(Slow(bench, name), bench.desk) for bench, name in ((first, "a"), (second, "b"))
    ]
    for job in jobs:
        worker.add(job)
    worker.start()
    stages = [FakeTrackStage(Script()) for _ in jobs]
    for _ in range(4):
        for job, stage in zip(jobs, stages, strict=True):
            worker.deliver(job, stage(arrived(), Controls()))
    gate.set()
    await until(lambda: sum(name.endswith("4") for name in order) == 2)
    assert all(order.count(name) == 1 for name in order)
    assert jobs[1].tracked.dropped >= 2
    assert [name[0] for name in order[-2:]] in (["a", "b"], ["b", "a"])
    await worker.close()


async def test_a_slow_session_gets_no_second_turn_before_the_quick_one_had_its_own() -> None:
    """While the slow one renders, new frames of both come in: nobody ever lacks work."""
    benches = [Bench(), Bench()]
    order: list[str] = []
    stage = FakeTrackStage(Script())
    worker = RenderWorker("cpu-test", MonotonicClock())

    class Slow(FakePipeline):
        def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
            order.append("slow")
            if len(order) < 20:
                for job in (slow, quick, quick, quick):
                    worker.deliver(job, stage(arrived(), Controls()))
            output = super().process(tracked, controls, identity)
            assert isinstance(output, OutputFrame)
            return output

    class Quick(FakePipeline):
        def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
            order.append("quick")
            output = super().process(tracked, controls, identity)
            assert isinstance(output, OutputFrame)
            return output

    slow = RenderJob(Slow(benches[0].script), benches[0].desk)
    quick = RenderJob(Quick(benches[1].script), benches[1].desk)
    worker.add(slow)
    worker.add(quick)
    worker.start()
    worker.deliver(slow, stage(arrived(), Controls()))
    await until(lambda: len(order) >= 20)
    assert order[:20] == ["slow", "quick"] * 10
    assert slow.spent.frames >= 9 and slow.spent.avatar_frames == slow.spent.frames
    assert worker.busy_ns >= slow.spent.busy_ns + quick.spent.busy_ns > 0
    await worker.close()


async def test_what_only_the_render_thread_may_do_is_awaited_there() -> None:
    worker = RenderWorker("cpu-test", MonotonicClock())
    worker.start()
    assert await worker.run(lambda: threading.current_thread().name) == "cpu-test"

    def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await worker.run(fail)
    assert await worker.run(lambda: 1) == 1, "the thread lives on"
    await worker.close()


async def test_a_frame_beyond_the_rate_is_let_go_before_it_costs_anything() -> None:
    bench = Bench()
    got: list[Tracked] = []
    worker = bench.tracker(got.append)
    worker.thinning.limit(10)
    worker.start()
    for at_ms, delivered in ((0, 1), (33, 1), (66, 1), (100, 2)):
        worker.offer(Arrived(arrived().frame, 10**12 + at_ms * 10**6))
        await until(lambda: len(got) == delivered)  # noqa: B023 - awaited in this turn
    assert [tracked.timings.arrived_ns - 10**12 for tracked in got] == [0, 100 * 10**6]
    assert worker.arrivals.dropped == 0
    await worker.close()


async def test_frames_that_rendering_has_no_time_for_are_not_tracked() -> None:
    bench = Bench()
    bench.script.render_delay_s = 0.05
    renderer, job = RenderWorker("cpu-test", bench.clock), bench.job()
    tracked: list[Tracked] = []

    def deliver(one: Tracked) -> None:
        tracked.append(one)
        renderer.deliver(job, one)

    tracker = bench.tracker(deliver)
    renderer.add(job)
    renderer.start()
    tracker.start()
    for number in range(200):
        tracker.offer(arrived(number))
        await asyncio.sleep(0.005)
    await tracker.close()
    await renderer.close()
    # each of 200 would be tracked, and nine of ten replaced unseen
    assert len(tracked) <= 50
    assert job.tracked.dropped <= len(tracked) / 2


async def test_a_bug_in_a_stage_and_a_refused_frame_withhold_the_picture() -> None:
    bench = Bench()
    worker = RenderWorker("cpu-test", MonotonicClock())
    job = bench.job()
    worker.add(job)
    worker.start()
    for fault in ("render_raises", "render_nan"):
        bench.script.fault = fault
        worker.deliver(job, FakeTrackStage(Script())(arrived(), Controls()))
        assert await bench.outputs.take(10) == Withheld("rendering failed")
    assert bench.desk.errors.total == 2
    await worker.close()


async def test_a_killed_render_thread_serves_again() -> None:
    bench = Bench()
    clock = FakeClock()
    worker = RenderWorker("cpu-test", clock)
    job = bench.job()
    worker.add(job)
    worker.start()
    bench.script.fault = "render_killed"
    worker.deliver(job, FakeTrackStage(Script())(arrived(), Controls()))
    await until(lambda: not alive(worker))
    bench.script.fault = ""
    assert worker.ensure() is None
    clock.advance_ms(1000)
    assert worker.ensure() is None
    worker.deliver(job, FakeTrackStage(Script())(arrived(), Controls()))
    assert isinstance(await bench.outputs.take(10), OutputFrame)
    await worker.close()


async def test_a_removed_job_gets_no_more_turns() -> None:
    bench = Bench()
    worker = RenderWorker("cpu-test", MonotonicClock())
    job = bench.job()
    worker.add(job)
    worker.start()
    worker.remove(job)
    worker.deliver(job, FakeTrackStage(Script())(arrived(), Controls()))
    assert await bench.outputs.take(0.05) is None
    await worker.close()


async def test_requests_are_done_on_the_render_thread_before_the_next_frame() -> None:
    bench = Bench()
    worker = RenderWorker("cpu-test", MonotonicClock())
    job = bench.job()
    worker.add(job)
    worker.start()
    names: list[str] = []
    job.request(lambda: names.append(threading.current_thread().name))
    worker.deliver(job, FakeTrackStage(Script())(arrived(), Controls()))
    assert isinstance(await bench.outputs.take(10), OutputFrame)
    assert names == ["cpu-test"]
    await worker.close()


async def test_background_work_gives_results_and_errors_in_order() -> None:
    worker = BackgroundWorker("background-test")
    worker.start()
    seen: list[int] = []

    def note(number: int) -> int:
        seen.append(number)
        return number

    numbers = [*range(5)]
    calls = [functools.partial(note, number) for number in numbers]
    assert await asyncio.gather(*(worker.run(call) for call in calls)) == numbers
    assert seen == numbers
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    await worker.close()


async def test_closing_waits_for_the_call_under_way_and_cancels_those_behind_it() -> None:
    worker = BackgroundWorker("background-test")
    worker.start()
    begun, released = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        released.wait(10)
        return "done"

    first = asyncio.ensure_future(worker.run(work))
    second = asyncio.ensure_future(worker.run(lambda: "never"))
    await asyncio.to_thread(begun.wait)
    closing = asyncio.ensure_future(worker.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    released.set()
    await closing
    assert await first == "done"
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not worker._thread.is_alive()


def alive(worker: RenderWorker | TrackWorker) -> bool:
    thread = worker._thread._thread
    return thread is not None and thread.is_alive()
