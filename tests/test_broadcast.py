"""Whose motion goes out, and that a program that fails or hangs is nobody else's trouble."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading

import pytest

from realtime.broadcast import Broadcast, build_broadcast
from realtime.clock import MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError
from realtime.frames import Motion
from realtime.workers import MotionWorker
from tests.sinks.test_vmc import motion


class Noting:
    """A sink that notes what it is shown; it can fail, or hang until it is let go."""

    def __init__(self) -> None:
        self.shown: queue.Queue[Motion | None] = queue.Queue()
        self.closed = threading.Event()
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()

    def show(self, motion: Motion | None) -> None:
        self.shown.put(motion)
        self.free.wait(10)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed.set()

    def next(self) -> Motion:
        while (given := self.shown.get(timeout=10)) is None:
            pass
        return given


def broadcasting(*sinks: Noting) -> Broadcast:
    clock = MonotonicClock()
    return Broadcast([MotionWorker(f"noting-{n}", sink, clock) for n, sink in enumerate(sinks)])


async def test_the_longest_running_session_is_the_one_that_is_told_of() -> None:
    sink, first, second = Noting(), motion({}), motion({"jawOpen": 1.0})
    broadcast = broadcasting(sink)
    broadcast.start()
    tell_first, tell_second = broadcast.seat("first"), broadcast.seat("second")
    assert tell_first is not None and tell_second is not None

    tell_second(second)
    tell_first(first)
    assert await asyncio.to_thread(sink.next) is first
    broadcast.leave("first")
    tell_first(first)
    tell_second(second)
    assert await asyncio.to_thread(sink.next) is second

    await broadcast.close()
    assert sink.closed.is_set()


async def test_a_sink_that_hangs_or_fails_keeps_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hanging, failing, given = Noting(), Noting(), motion({})
    hanging.free.clear()
    failing.error = ReenactdError("nobody is there")
    broadcast = broadcasting(hanging, failing)
    broadcast.start()
    tell = broadcast.seat("one")
    assert tell is not None
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            tell(given)
            assert await asyncio.to_thread(failing.next) is given
    assert "failed, last: nobody is there" in caplog.text
    assert "Traceback" not in caplog.text
    hanging.free.set()
    await broadcast.close()


def test_where_no_program_is_named_nothing_is_told() -> None:
    assert build_broadcast(Config(), MonotonicClock()).seat("one") is None
