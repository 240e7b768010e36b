"""Which sound belongs to which picture: by reports, by arrival, and over half an hour of drift."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from realtime.capture_times import CameraClock, CaptureTimes
from realtime.clock import FakeClock
from realtime.frames import OutputFrame, Timings, Voice
from realtime.lips import Lips, SenderReport, Unwrapped
from realtime.opus import silence
from realtime.rtc_viewers import Hearing
from realtime.sound import Sound
from tests.pictures import i420_of, texture

MS = 1_000_000
S = 1000 * MS
PICTURE = OutputFrame(i420_of(texture()), 320, 240, 0, 0, "LIVE", Timings(0), 0)


def test_time_stamps_go_on_rising_past_their_32_bits() -> None:
    unwrapped = Unwrapped()
    stamps = [(1 << 32) - 960, 0, 1920, 960, (1 << 32) - 1]
    base = (1 << 32) - 960
    assert [unwrapped(stamp) - base for stamp in stamps] == [0, 960, 2880, 1920, 959]
    assert unwrapped.near(3840) == base + 4800
    assert Unwrapped().near(7) is None


def test_without_a_picture_no_sound_has_a_place() -> None:
    lips = Lips()
    assert lips.heard(0, 960, 5 * S) is None
    assert lips.leaves_ns(0) is None and lips.ticks_at(0) is None


def test_what_arrives_together_was_taken_together_until_there_are_reports() -> None:
    lips = Lips()
    lips.picture_arrived(9000, 10 * S)
    assert lips.heard(123, 960, 10 * S + 20 * MS) == 9000
    camera, microphone = SenderReport(50 * S, 9000), SenderReport(50 * S, 123 + 960)
    lips.reported(camera, microphone)  # the voice was on the way for 20 ms more than the picture
    assert lips.heard(123 + 960, 960, 10 * S + 60 * MS) == 9000
    assert lips.ticks_at(9000 + 90) == 123 + 960 + 48


def test_reports_of_clocks_that_are_not_the_same_are_not_believed() -> None:
    lips = Lips()
    lips.picture_arrived(9000, 10 * S)
    lips.reported(SenderReport(0, 9000), SenderReport(50 * S, 123))
    assert lips.heard(123, 960, 10 * S + 20 * MS) == 9000


def test_a_picture_leaves_as_late_as_those_before_it() -> None:
    lips = Lips()
    for count in range(100):
        late_ns = (40 + count % 3) * MS
        lips.picture_left(count * 3000, 7 * S + count * 3000 * S // 90_000 + late_ns)
    leaves_ns = lips.leaves_ns(300_000)
    assert leaves_ns is not None and abs(leaves_ns - (7 * S + 300_000 * S // 90_000 + 41 * MS)) < MS


@dataclass
class World:
    """A performer's two clocks against ours, without wall time; all in nanoseconds of ours."""

    camera_ppm: float
    microphone_ppm: float
    reports: bool
    clock: FakeClock
    worst_ms: float = 0.0
    """how far what was heard is from what was seen, by the time stamps that went out"""
    apart_ms: float = 0.0
    """how far they leave from each other"""
    viewer_ms: float = 0.0
    """how far what a viewer hears is from what it sees, by its stamps and sender reports"""
    waiting: int = 0

    def pts(self, at_ns: int) -> int:
        return round(at_ns * (1 + self.camera_ppm / 1e6) * 90_000 / S) + 777_000

    def ticks(self, at_ns: int) -> int:
        return round(at_ns * (1 + self.microphone_ppm / 1e6) * 48_000 / S) + 55_000

    def heard_ns(self, ticks: float) -> float:
        return (ticks - 55_000) * S / 48_000 / (1 + self.microphone_ppm / 1e6)


SERVER_NS = 45 * MS


class Output:
    """What goes out: the session's own pictures, and those of an encode for viewers."""

    def __init__(self, world: World) -> None:
        camera = CameraClock()
        self.world = world
        self.sound = Sound(world.clock, lambda: False, camera)
        self.own, self.viewers = CaptureTimes(5 * S, camera), CaptureTimes(0, camera)
        self.hearing = Hearing(world.clock)
        self.hearing.follow(self.sound)
        self.gone: list[Voice] = []
        self.sound.listen(self.gone.append)
        self._seen_ms = 0.0
        self._count = 0

    def leaves(self, pts: int, taken_ns: int, at_ns: int) -> None:
        """A picture; every third is not for viewers: their encoder has not kept up."""
        shown = replace(PICTURE, source_seq=pts, pts=pts, timings=Timings(at_ns - SERVER_NS))
        self.own.stamp(shown, at_ns)
        self._count += 1
        if self._count % 3:
            stamp = self.viewers.stamp(shown, at_ns)
            # A receiver takes its time from the stamp and the newest report.
            told_ns = at_ns - (at_ns * 90_000 // S - stamp) * S / 90_000
            self._seen_ms = (told_ns - taken_ns) / MS
        self.sound.lips.picture_left(pts, at_ns)

    def judge(self, at_ns: int) -> None:
        world = self.world
        camera_now, ticks_now = self.sound.camera.reads(at_ns), self.sound.ticks_at(at_ns)
        assert camera_now is not None and ticks_now is not None
        # Sender reports of both streams say these clocks belong to the same moment; so when was it?
        seen_ns = (camera_now - 777_000) * S / 90_000 / (1 + world.camera_ppm / 1e6)
        heard_ns = world.heard_ns(ticks_now)
        world.worst_ms = max(world.worst_ms, abs(heard_ns - seen_ns) / MS)
        taken_ns = world.heard_ns(self.gone[-1].ticks)
        world.apart_ms = max(world.apart_ms, abs(at_ns - (taken_ns + 30 * MS + SERVER_NS)) / MS)
        report = self.hearing.ticks_at(at_ns)
        assert report is not None
        told_ns = at_ns - (report - self.hearing._queue[-1].ticks) * S / 48_000
        heard_ms = (told_ns - taken_ns) / MS
        world.viewer_ms = max(world.viewer_ms, abs(heard_ms - self._seen_ms))


def run(world: World, minutes: float) -> None:
    """Pictures at 30 fps and packets of 20 ms of the microphone's own time."""
    clock, output = world.clock, Output(world)
    sound = output.sound
    for at_ns, event, taken_ns in _events(world, minutes):
        clock.advance_ms(at_ns / MS - clock.now_ns() / MS)
        if event == "arrives":
            sound.lips.picture_arrived(world.pts(taken_ns), at_ns)
        elif event == "leaves":
            output.leaves(world.pts(taken_ns), taken_ns, at_ns)
        elif event == "report":
            # a microphone's clock and a camera's are both told against the sender's wall clock
            reports = (
                SenderReport(at_ns + 9 * S, world.pts(at_ns)),
                SenderReport(at_ns + 9 * S, world.ticks(at_ns)),
            )
            sound.lips.reported(*reports)
        else:
            sound.offer(silence(960), world.ticks(taken_ns), at_ns)
        sound.pump()
        world.waiting = max(world.waiting, len(sound._waiting))
        if output.gone and at_ns > 20 * S:
            output.judge(at_ns)
        output.gone.clear()


def _events(world: World, minutes: float) -> Iterator[tuple[int, str, int]]:
    """(when, what, taken when); 30 ms of network, and 45 ms in the server for pictures."""
    upcoming: list[tuple[int, str, int]] = []
    block_ns = 960 * S / 48_000 / (1 + world.microphone_ppm / 1e6)
    blocks = 0
    for count in range(round(minutes * 60 * 30)):
        taken_ns = S + count * S // 30
        upcoming.append((taken_ns + 30 * MS, "arrives", taken_ns))
        upcoming.append((taken_ns + 30 * MS + SERVER_NS, "leaves", taken_ns))
        while blocks * block_ns < taken_ns:
            heard_ns = round(blocks * block_ns)
            upcoming.append((heard_ns + 20 * MS + 30 * MS, "heard", heard_ns))
            blocks += 1
        if world.reports and count % 150 == 0:
            upcoming.append((taken_ns, "report", taken_ns))
        if count % 30 == 29:
            upcoming.sort()
            ready = [event for event in upcoming if event[0] < taken_ns - S // 10]
            yield from ready
            del upcoming[: len(ready)]


@pytest.mark.parametrize(
    ("skew", "reports"),
    [((100.0, -100.0), True), ((-100.0, 100.0), False)],
)
def test_half_an_hour_of_skewed_clocks_moves_voice_and_lips_apart_by_less_than_20_ms(
    skew: tuple[float, float], reports: bool
) -> None:
    world = World(*skew, reports=reports, clock=FakeClock())
    run(world, minutes=30)
    assert world.worst_ms < 5 and world.apart_ms < 20
    assert world.viewer_ms < 5
    assert world.waiting <= 4


def test_the_picture_clock_follows_a_skewed_camera_without_a_jump() -> None:
    times, last = CaptureTimes(0), -1
    for count in range(30 * 60 * 30):
        taken_ns = S + count * S // 30
        pts = round(taken_ns * (1 + 100e-6) * 90_000 / S)
        shown = replace(PICTURE, source_seq=count, pts=pts, timings=Timings(taken_ns + 5 * MS))
        stamp = times.stamp(shown, taken_ns + 25 * MS)
        assert last < 0 or abs(stamp - last - 3000) <= 3
        last = stamp
    assert abs(last - (S + 53_999 * S // 30 + 5 * MS) * 90_000 // S) < 90
