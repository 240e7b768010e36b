"""The output gate: what a viewer sees for what the render thread delivers, and when."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np
import pytest

from realtime.clock import NS_PER_MS, NS_PER_S, FakeClock, MonotonicClock
from realtime.frames import OutputFrame, OutputState, Timings
from realtime.gate import TOO_SLOW, OutputGate, Withheld
from realtime.latest import AsyncLatest, Closed
from realtime.metrics import SessionMetrics
from realtime.pacing import Limits

FAST = Limits(hold_ns=60 * NS_PER_MS, watchdog_ns=30 * NS_PER_MS, recover_frames=3)


def frame(state: OutputState, seq: int = 0) -> OutputFrame:
    return OutputFrame(np.zeros((6, 4), np.uint8), 4, 4, seq, 0, state, Timings(0, {"emit": 1}), 0)


PAUSED, FACELESS = frame("CARD", -1), frame("CARD", -2)


class Bench:
    def __init__(self, limits: Limits = FAST) -> None:
        clock = MonotonicClock()
        self.channel: AsyncLatest[OutputFrame | Withheld] = AsyncLatest(asyncio.get_running_loop())
        self.metrics = SessionMetrics(clock)
        cards = {"": PAUSED, "none": FACELESS}
        self.gate = OutputGate(self.channel, cards, limits, self.metrics, clock)


async def test_a_card_comes_at_once_before_anything_was_rendered() -> None:
    bench = Bench()
    assert await bench.gate.next_frame() is PAUSED
    assert (bench.gate.state, bench.gate.reason) == ("START", "starting")


async def test_a_good_frame_goes_out_as_it_is_and_is_counted() -> None:
    bench = Bench()
    good = frame("LIVE", 7)
    bench.channel.put(good)
    assert await bench.gate.next_frame() is good
    assert (bench.gate.state, bench.gate.reason) == ("LIVE", "")
    assert bench.metrics.snapshot().fps_out > 0


class SilentChannel:
    """Gives one frame and then only lets the time pass that it was asked to wait for."""

    def __init__(self, first: OutputFrame, clock: FakeClock) -> None:
        self._first: OutputFrame | None = first
        self._clock = clock

    async def take(self, timeout_s: float) -> OutputFrame | None:
        first, self._first = self._first, None
        if first is None:
            self._clock.advance_ms(timeout_s * 1000)
        return first


async def test_silence_holds_the_last_frame_and_then_shows_the_card() -> None:
    clock, good = FakeClock(NS_PER_S), frame("LIVE", 7)
    channel = cast(AsyncLatest[OutputFrame | Withheld], SilentChannel(good, clock))
    limits = Limits(hold_ns=500 * NS_PER_MS, watchdog_ns=250 * NS_PER_MS, recover_frames=3)
    gate = OutputGate(channel, {"": PAUSED}, limits, SessionMetrics(clock), clock)
    shown: list[tuple[int, int]] = []
    while not shown or shown[-1][0] != id(PAUSED):
        picture = await gate.next_frame()
        shown.append((id(picture), round((clock.now_ns() - NS_PER_S) / NS_PER_MS)))
    held = [(id(good), at_ms) for at_ms in (0, 250, 350, 450)]
    assert shown == [*held, (id(PAUSED), 500)]
    assert (gate.state, gate.reason) == ("CARD", "no new picture arrives")


async def test_a_lost_face_shows_its_own_card() -> None:
    bench = Bench()
    bench.channel.put(frame("LIVE", 7))
    await bench.gate.next_frame()
    while bench.gate.state != "CARD":
        bench.channel.put(Withheld("none"))
        shown = await bench.gate.next_frame()
    assert shown is FACELESS
    assert bench.gate.reason == "none"


async def test_a_card_gives_way_after_enough_good_frames() -> None:
    bench = Bench(Limits(hold_ns=0, watchdog_ns=2000 * NS_PER_MS, recover_frames=3))
    bench.channel.put(frame("LIVE", 1))
    await bench.gate.next_frame()
    bench.channel.put(Withheld("none"))
    assert await bench.gate.next_frame() is FACELESS

    async def feed() -> None:
        for seq in range(2, 200):
            bench.channel.put(frame("LIVE", seq))
            await asyncio.sleep(0.005)

    feeding = asyncio.ensure_future(feed())
    shown = [await bench.gate.next_frame()]
    while bench.gate.state != "LIVE":
        shown.append(await bench.gate.next_frame())
    feeding.cancel()
    assert all(card.source_seq < 0 for card in shown[:-1])
    assert shown[-1].source_seq >= 4


class SlowChannel:
    """A picture every 700 ms, and between them only time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._next_ns = clock.now_ns()
        self.given = 0

    async def take(self, timeout_s: float) -> OutputFrame | None:
        left_ns = self._next_ns - self._clock.now_ns()
        self._clock.advance_ms(min(left_ns / NS_PER_MS, timeout_s * 1000))
        if self._clock.now_ns() < self._next_ns:
            return None
        self._next_ns += 700 * NS_PER_MS
        self.given += 1
        return frame("LIVE", self.given)


async def test_pictures_too_few_for_an_avatar_leave_a_card_that_says_so() -> None:
    """Each may stand for half a second: an avatar would come and go with every one."""
    clock, slow = FakeClock(NS_PER_S), frame("CARD", -3)
    channel = SlowChannel(clock)
    cards = {"": PAUSED, TOO_SLOW.reason: slow}
    limits = Limits(hold_ns=500 * NS_PER_MS, watchdog_ns=250 * NS_PER_MS, recover_frames=5)
    waiting = cast(AsyncLatest[OutputFrame | Withheld], channel)
    gate = OutputGate(waiting, cards, limits, SessionMetrics(clock), clock)
    while channel.given < 4:
        await gate.next_frame()
    shown = [await gate.next_frame() for _ in range(100)]
    assert channel.given > 10 and all(picture is slow for picture in shown)
    assert (gate.state, gate.reason) == ("CARD", TOO_SLOW.reason)


async def test_a_closed_channel_ends_the_wait() -> None:
    bench = Bench()
    await bench.gate.next_frame()
    waiting = asyncio.ensure_future(bench.gate.next_frame())
    await asyncio.sleep(0)
    bench.channel.close()
    with pytest.raises(Closed):
        await waiting
