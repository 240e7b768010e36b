"""Which sound belongs to which picture: by reports, by arrival, and over half an hour of drift."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median

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


def test_a_late_picture_moves_nothing_and_a_clock_that_is_set_anew_all() -> None:
    lips = Lips()
    for count in range(60):
        late_ns = 400 * MS if count in (30, 31) else 0
        lips.picture_left(count * 3000, 7 * S + count * 3000 * S // 90_000 + late_ns)
        leaves_ns = lips.leaves_ns(count * 3000)
        assert leaves_ns is not None
        assert abs(leaves_ns - (7 * S + count * 3000 * S // 90_000)) < MS
    for count in range(8):
        lips.picture_left(count * 3000, 20 * S + count * 3000 * S // 90_000)
    leaves_ns = lips.leaves_ns(0)
    assert leaves_ns is not None and abs(leaves_ns - 20 * S) < MS


def test_a_picture_leaves_as_late_as_those_before_it() -> None:
    lips = Lips()
    for count in range(100):
        late_ns = (40 + count % 3) * MS
        lips.picture_left(count * 3000, 7 * S + count * 3000 * S // 90_000 + late_ns)
    leaves_ns = lips.leaves_ns(300_000)
    assert leaves_ns is not None and abs(leaves_ns - (7 * S + 300_000 * S // 90_000 + 41 * MS)) < MS


@dataclass(frozen=True)
class Weather:
    """What goes wrong on the way and here; nothing, unless said. Shares are of all."""

    jitter_ms: float = 0.0
    """mean of what each packet is late, exponentially"""
    late: float = 0.0
    """pictures that come later than that, and leave later, by up to `late_ms` each"""
    late_ms: float = 0.0
    server_ms: float = 0.0
    """standard deviation of what a picture takes here"""
    lost_pictures: float = 0.0
    lost_sound: float = 0.0
    lost_reports: float = 0.0
    """of each of the two streams by itself"""
    report_ms: float = 0.0
    """standard deviation of what a report's clocks are read wrongly by"""


ROUGH = Weather(8.0, 0.02, 300.0, 12.0, 0.10, 0.02, 0.5, 3.0)


@dataclass
class World:
    """A performer's two clocks against ours, without wall time; all in nanoseconds of ours."""

    camera_ppm: float
    microphone_ppm: float
    reports: bool
    clock: FakeClock
    weather: Weather = Weather()
    chance: random.Random = field(default_factory=lambda: random.Random(20261123))
    offsets: list[tuple[int, float]] = field(default_factory=list)
    """when, and how much later by its stamps a viewer hears than it sees, ms"""
    pictures: list[tuple[int, float]] = field(default_factory=list)
    """when one left, and how long ago it was taken, ms"""
    voices: list[tuple[int, float]] = field(default_factory=list)
    """likewise each packet of the voice"""
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

    def happens(self, share: float) -> bool:
        return share > 0 and self.chance.random() < share

    def underway_ns(self) -> int:
        """Of one packet."""
        jitter = self.weather.jitter_ms
        return 30 * MS + (round(self.chance.expovariate(1 / jitter) * MS) if jitter else 0)

    def later_ns(self) -> int:
        """What a picture is later than others, if it is."""
        weather = self.weather
        if not self.happens(weather.late):
            return 0
        return round(self.chance.uniform(0, weather.late_ms) * MS)

    def report(self, at_ns: int, ticks: int) -> SenderReport:
        """All is told against the sender's wall clock."""
        wrong_ns = round(self.chance.gauss(0, self.weather.report_ms) * MS)
        return SenderReport(at_ns + 9 * S + wrong_ns, ticks)


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
        self.world.pictures.append((at_ns, (at_ns - taken_ns) / MS))

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
        world.offsets.append((at_ns, heard_ms - self._seen_ms))
        world.voices.append((at_ns, (at_ns - taken_ns) / MS))


def run(world: World, minutes: float) -> None:
    """Pictures at 30 fps and packets of 20 ms of the microphone's own time."""
    clock, output = world.clock, Output(world)
    sound = output.sound
    newest: dict[str, SenderReport] = {}
    for at_ns, event, taken_ns in _events(world, minutes):
        clock.advance_ms(at_ns / MS - clock.now_ns() / MS)
        if event == "arrives":
            sound.lips.picture_arrived(world.pts(taken_ns), at_ns)
        elif event == "leaves":
            output.leaves(world.pts(taken_ns), taken_ns, at_ns)
        elif event == "camera reports":
            newest[event] = world.report(taken_ns, world.pts(taken_ns))
        elif event == "microphone reports":
            newest[event] = world.report(taken_ns, world.ticks(taken_ns))
            sound.lips.reported(newest.get("camera reports"), newest[event])
        else:
            sound.offer(silence(960), world.ticks(taken_ns), at_ns)
        sound.pump()
        world.waiting = max(world.waiting, len(sound._waiting))
        if output.gone and at_ns > 20 * S:
            output.judge(at_ns)
        output.gone.clear()


def _events(world: World, minutes: float) -> Iterator[tuple[int, str, int]]:
    """(when, what, taken when); 30 ms of network, 45 ms in the server for pictures, and weather."""
    upcoming: list[tuple[int, str, int]] = []
    weather = world.weather
    block_ns = 960 * S / 48_000 / (1 + world.microphone_ppm / 1e6)
    blocks = arrived_ns = left_ns = 0
    for count in range(round(minutes * 60 * 30)):
        taken_ns = S + count * S // 30
        arrived_ns = max(taken_ns + world.underway_ns() + world.later_ns(), arrived_ns)
        upcoming.append((arrived_ns, "arrives", taken_ns))
        if not world.happens(weather.lost_pictures):
            work_ns = SERVER_NS + round(world.chance.gauss(0, weather.server_ms) * MS)
            left_ns = max(arrived_ns + max(work_ns, 0) + world.later_ns(), left_ns)
            upcoming.append((left_ns, "leaves", taken_ns))
        while blocks * block_ns < taken_ns:
            heard_ns = round(blocks * block_ns)
            if not world.happens(weather.lost_sound):
                upcoming.append((heard_ns + 20 * MS + world.underway_ns(), "heard", heard_ns))
            blocks += 1
        for stream in ("camera reports", "microphone reports"):
            if world.reports and count % 150 == 0 and not world.happens(weather.lost_reports):
                upcoming.append((taken_ns + world.underway_ns(), stream, taken_ns))
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
    skew: tuple[float, float], reports: bool, figure: Callable[[str], None]
) -> None:
    """On a rough way: jitter, pictures that are late or lost, half of the reports lost or wrong."""
    world = World(*skew, reports=reports, clock=FakeClock(), weather=ROUGH)
    run(world, minutes=30)
    offsets = sorted(abs(ms) for _, ms in world.offsets)
    by_stamps = drift_ms(world.offsets)
    by_time = drift_ms(world.voices) - drift_ms(world.pictures)
    figure(
        f"half an hour of {skew[0] - skew[1]:+.0f} ppm on a rough way, reports {reports}: voice "
        f"drifts {by_stamps:.1f} ms by its stamps, {by_time:.1f} by when it leaves; off by "
        f"{offsets[len(offsets) // 2]:.1f} ms (median), "
        f"{offsets[len(offsets) * 99 // 100]:.1f} (99 %)"
    )
    assert abs(by_stamps) < 20 and abs(by_time) < 20
    assert offsets[len(offsets) // 2] < 20 and offsets[len(offsets) * 99 // 100] < 40
    apart = median(ms for _, ms in world.voices) - median(ms for _, ms in world.pictures)
    assert abs(apart) < 20
    assert world.waiting <= 30


def drift_ms(values: list[tuple[int, float]]) -> float:
    """From the first minute that counts to the last."""
    first_ns, last_ns = values[0][0] + 60 * S, values[-1][0] - 60 * S
    return median(ms for at_ns, ms in values if at_ns > last_ns) - median(
        ms for at_ns, ms in values if at_ns < first_ns
    )


@pytest.mark.parametrize("reports", [True, False])
def test_on_an_ideal_way_voice_and_lips_fit_within_5_ms_all_the_time(reports: bool) -> None:
    world = World(100.0, -100.0, reports=reports, clock=FakeClock())
    run(world, minutes=2)
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
