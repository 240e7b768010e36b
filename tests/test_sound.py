"""The voice waits for its picture, in order, within bounds, and is silenced where that is asked."""

from __future__ import annotations

import asyncio

import pytest

from realtime.clock import FakeClock, MonotonicClock
from realtime.frames import Voice
from realtime.opus import silence
from realtime.sound import MAX_WAITING, Sound

MS = 1_000_000
PACKET = b"\xf8some opus"
BLOCK = 960


class Ear:
    def __init__(self, clock: FakeClock | None = None, *, muted: bool = False) -> None:
        self.clock = clock or FakeClock()
        self.muted = muted
        self.sound = Sound(self.clock, lambda: self.muted)
        self.heard: list[Voice] = []
        self.leave = self.sound.listen(self.heard.append)

    @property
    def ticks(self) -> list[int]:
        return [voice.ticks for voice in self.heard]

    def late_pictures(self, late_ms: int) -> None:
        """One arrives now, and its answer leaves so much later."""
        now_ns = self.clock.now_ns()
        self.sound.lips.picture_arrived(0, now_ns)
        self.sound.lips.picture_left(0, now_ns + late_ms * MS)


def test_without_pictures_sound_goes_as_it_comes() -> None:
    ear = Ear()
    ear.sound.offer(PACKET, 7, 0)
    assert ear.sound.pump() is None
    assert ear.heard == [Voice(PACKET, 7, None, 0)]


def test_a_packet_waits_for_its_picture() -> None:
    ear = Ear()
    ear.late_pictures(50)
    ear.clock.advance_ms(20)
    ear.sound.offer(PACKET, 0, ear.clock.now_ns())
    assert ear.sound.pump() == 30 * MS and ear.heard == []
    ear.clock.advance_ms(30)
    assert ear.sound.pump() is None and ear.ticks == [0]


def test_a_voice_waits_for_half_a_second_at_most() -> None:
    ear = Ear()
    ear.late_pictures(3000)
    ear.sound.offer(PACKET, 0, 0)
    assert ear.sound.pump() == 500 * MS


def test_packets_go_in_order_and_once_and_late_ones_are_dropped() -> None:
    ear = Ear()
    ear.late_pictures(50)
    for ticks in (0, 2 * BLOCK, BLOCK, BLOCK):
        ear.sound.offer(PACKET, ticks, 0)
    ear.clock.advance_ms(400)
    ear.sound.pump()
    ear.sound.offer(PACKET, BLOCK, ear.clock.now_ns())
    ear.sound.offer(b"", 9 * BLOCK, ear.clock.now_ns())
    ear.sound.pump()
    assert ear.ticks == [0, BLOCK, 2 * BLOCK] and ear.sound.dropped == 3


def test_a_microphone_that_begins_anew_is_heard() -> None:
    ear = Ear()
    for ticks in (500_000, 0, BLOCK):
        ear.sound.offer(PACKET, ticks, 0)
        ear.sound.pump()
    assert ear.ticks == [500_000, 0, BLOCK]


def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    ear = Ear()
    ear.late_pictures(400)
    for count in range(MAX_WAITING + 5):
        ear.sound.offer(PACKET, count * BLOCK, 0)
    ear.clock.advance_ms(600)
    ear.sound.pump()
    assert ear.ticks[0] == 5 * BLOCK and len(ear.ticks) == MAX_WAITING and ear.sound.dropped == 5


def test_muted_is_silence_of_the_same_length_at_the_same_times() -> None:
    ear = Ear(muted=True)
    ear.sound.offer(PACKET, 0, 0)
    ear.sound.pump()
    ear.muted = False
    ear.sound.offer(PACKET, BLOCK, 0)
    ear.sound.pump()
    assert [voice.opus for voice in ear.heard] == [silence(BLOCK), PACKET]
    assert ear.ticks == [0, BLOCK]


def test_who_leaves_hears_no_more() -> None:
    ear = Ear()
    others: list[Voice] = []
    ear.sound.listen(others.append)
    ear.leave()
    ear.sound.offer(PACKET, 0, 0)
    ear.sound.pump()
    assert ear.heard == [] and len(others) == 1


async def test_it_runs_until_it_is_cancelled() -> None:
    clock, heard = MonotonicClock(), list[Voice]()
    sound = Sound(clock, lambda: False)
    came = asyncio.Event()
    sound.listen(heard.append)
    sound.listen(lambda voice: came.set())
    running = asyncio.create_task(sound.run())
    now_ns = clock.now_ns()
    sound.lips.picture_arrived(0, now_ns)
    sound.lips.picture_left(0, now_ns + 30 * MS)
    sound.offer(PACKET, 0, now_ns)
    await asyncio.wait_for(came.wait(), 10)
    assert clock.now_ns() >= now_ns + 10 * MS and len(heard) == 1  # 30 less its own 20
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
