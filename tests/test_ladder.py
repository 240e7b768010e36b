"""The quality ladder: down when the machine does not keep up, up when it does, and no flapping."""

from __future__ import annotations

from dataclasses import replace

import pytest

from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.ladder import (
    CLIMB_AFTER,
    LINK_ROOM,
    MOST_PATIENCE,
    Rung,
    Seen,
    Stand,
    Thinning,
    decide,
    rungs_of,
)
from realtime.link import LinkState

HOLD_S = 4
RUNGS = rungs_of(640, 480)
FINE = Seen(camera_fps=30, shed_fps=0, avatar_fps=30, latency_ms=30, busy=0.4)
POOR = replace(FINE, shed_fps=12, avatar_fps=18)


class Machine:
    """A stand on the ladder, looked at once a second."""

    def __init__(self, stand: Stand | None = None) -> None:
        self.stand = stand or Stand()
        self.now_s = 1000
        self.steps: list[tuple[int, int]] = []
        """(second, step) of every change"""

    def go(self, seen: Seen, seconds: int) -> int:
        """The step after so many seconds of it."""
        for _ in range(seconds):
            before = self.stand.step
            self.stand = decide(self.stand, seen, self.now_s * NS_PER_S, HOLD_S * NS_PER_S, RUNGS)
            if self.stand.step != before:
                self.steps.append((self.now_s, self.stand.step))
            self.now_s += 1
        return self.stand.step


def test_the_rungs_are_smaller_canvases_of_one_shape_then_lower_rates() -> None:
    sizes = [(rung.width_px, rung.height_px, rung.max_fps) for rung in RUNGS]
    assert sizes == [
        (640, 480, None),
        (480, 360, None),
        (320, 240, None),
        (320, 240, 20),
        (320, 240, 15),
    ]
    assert str(RUNGS[0]) == "640x480" and str(RUNGS[3]) == "320x240, at most 20 fps"


@pytest.mark.parametrize("size", [(1280, 720), (854, 480), (642, 482), (200, 150), (160, 1080)])
def test_every_canvas_is_even_and_of_nearly_the_same_shape(size: tuple[int, int]) -> None:
    rungs = rungs_of(*size)
    assert (rungs[0].width_px, rungs[0].height_px) == size and rungs[0].max_fps is None
    for rung in rungs:
        assert rung.width_px % 2 == rung.height_px % 2 == 0
        assert rung.width_px >= 160 and rung.height_px >= 120
        assert rung.width_px * size[1] == pytest.approx(rung.height_px * size[0], rel=0.02)
    assert [rung.max_fps for rung in rungs[-2:]] == [20, 15]


def test_a_slow_second_changes_nothing() -> None:
    machine = Machine()
    for _ in range(20):
        assert machine.go(POOR, HOLD_S - 1) == 0
        assert machine.go(FINE, 1) == 0


def test_it_goes_down_step_by_step_and_says_why() -> None:
    machine = Machine()
    assert machine.go(POOR, HOLD_S + 1) == 1
    assert machine.stand.reason == "the machine keeps up with 18 of 30 fps"
    assert machine.go(POOR, HOLD_S) == 1
    assert machine.go(POOR, 1) == 2, "each step is given its time"
    assert machine.go(POOR, 60) == len(RUNGS) - 1, "and there is a last one"


def test_late_pictures_are_as_bad_as_lost_ones() -> None:
    machine = Machine()
    assert machine.go(replace(FINE, latency_ms=200), HOLD_S + 1) == 1
    assert machine.stand.reason == "a frame takes 200 ms"


def test_a_rate_is_judged_by_what_is_wanted_of_it() -> None:
    machine = Machine(Stand(3, "slow"))
    assert machine.go(replace(FINE, avatar_fps=20, busy=0.9), 100) == 3, "10 of 30 are let go"


def test_a_rate_that_the_camera_does_not_reach_is_stepped_over() -> None:
    machine = Machine(Stand(2))
    slow_camera = replace(POOR, camera_fps=18, shed_fps=9)
    assert machine.go(slow_camera, HOLD_S + 1) == 4
    machine = Machine(Stand(2))
    assert machine.go(replace(slow_camera, camera_fps=12), 60) == 2, "none would help"


def test_it_goes_up_again_more_slowly_and_to_the_top() -> None:
    machine = Machine(Stand(2, "slow"))
    assert machine.go(FINE, CLIMB_AFTER * HOLD_S) == 2
    assert machine.go(FINE, 1) == 1 and machine.stand.reason == "slow"
    assert machine.go(FINE, CLIMB_AFTER * HOLD_S + 1) == 0 and machine.stand.reason == ""


@pytest.mark.parametrize(
    "seen",
    [
        replace(FINE, busy=0.9),
        replace(FINE, latency_ms=120),
        replace(FINE, shed_fps=3),
        replace(FINE, avatar_fps=0, latency_ms=0),
    ],
    ids=["no room", "not in time", "some are lost", "nobody in view"],
)
def test_it_stays_where_more_would_hardly_fit(seen: Seen) -> None:
    assert Machine(Stand(2)).go(seen, 1000) == 2
    assert Machine(Stand(0)).go(seen, 1000) == 0


def test_a_load_between_two_rungs_does_not_make_it_flap() -> None:
    """The simulated machine manages rung 2, and not rung 1."""
    machine = Machine()
    for _ in range(1800):
        machine.go(POOR if machine.stand.step < 2 else FINE, 1)
    climbs = [at_s for at_s, step in machine.steps if step == 1][1:]
    waits = [later - earlier for earlier, later in zip(climbs, climbs[1:], strict=False)]
    assert waits == sorted(waits) and len(climbs) <= 9, "less and less often"
    assert waits[-1] >= MOST_PATIENCE * CLIMB_AFTER * HOLD_S
    poor_s = sum(HOLD_S + 1 for _ in climbs)
    assert poor_s < 0.03 * 1800


def test_what_failed_before_is_forgiven_once_it_lasts() -> None:
    machine = Machine(Stand(2, patience=MOST_PATIENCE))
    machine.go(FINE, 2 * MOST_PATIENCE * CLIMB_AFTER * HOLD_S)
    assert machine.stand.step == 1, "it waited long"
    machine.go(FINE, 3 * MOST_PATIENCE * CLIMB_AFTER * HOLD_S)
    assert machine.stand.step == 0 and machine.stand.patience < MOST_PATIENCE


def through(bound_bps: float) -> Seen:
    """A machine that keeps up, and a link that is known to be narrow."""
    return replace(FINE, link=LinkState(None, round(bound_bps)))


TOP, MIDDLE, SMALLEST = (rung.least_bps for rung in RUNGS[:3])


def test_a_narrow_link_gets_the_largest_picture_that_it_carries_at_once() -> None:
    machine = Machine()
    assert machine.go(through(MIDDLE), HOLD_S) == 0, "it is given its time"
    assert machine.go(through(MIDDLE), 1) == 1
    assert machine.stand.cause == "link"
    assert machine.stand.reason == f"the link carries {MIDDLE / 1e3:.0f} kbit/s"
    assert Machine().go(through(MIDDLE - 1), HOLD_S + 1) == 2, "no stop on the way"
    assert Machine().go(through(0.1 * SMALLEST), 100) == 2, "fewer pictures are no relief"


def test_an_estimate_alone_changes_nothing() -> None:
    assert Machine().go(replace(FINE, link=LinkState(1000, None)), 100) == 0
    assert Machine().go(through(TOP), 100) == 0


def test_a_step_up_needs_room_on_the_link() -> None:
    machine = Machine(Stand(2, "narrow", "link"))
    assert machine.go(through(LINK_ROOM * MIDDLE - 1), 1000) == 2
    assert machine.go(through(LINK_ROOM * MIDDLE), 1) == 1
    assert (machine.stand.reason, machine.stand.cause) == ("narrow", "link")
    assert machine.go(through(LINK_ROOM * TOP), 100) == 0
    assert (machine.stand.reason, machine.stand.cause) == ("", "")


def test_a_higher_rate_of_the_same_size_needs_none() -> None:
    assert Machine(Stand(4, "slow", "cpu")).go(through(SMALLEST), 1000) == 2


def test_the_machines_trouble_comes_first() -> None:
    machine = Machine()
    machine.go(replace(POOR, link=through(SMALLEST).link), HOLD_S + 1)
    assert (machine.stand.step, machine.stand.cause) == (1, "cpu")


def test_a_link_between_two_sizes_does_not_make_it_flap() -> None:
    """It carries 400 kbit/s: the bound falls where more is sent, and rises a little each second."""
    machine, bound = Machine(), 400_000.0
    for _ in range(1800):
        sent = max(RUNGS[machine.stand.step].least_bps, bound)
        bound = 0.85 * 400_000 if min(sent, bound) > 400_000 else 1.02 * bound
        machine.go(through(bound), 1)
    assert len(machine.steps) <= 12


def taken(thinning: Thinning, fps: float, seconds: float, jitter_ms: float = 0.0) -> list[int]:
    times = [
        round((index / fps + (jitter_ms / 1000 if index % 2 else 0)) * NS_PER_S) + NS_PER_S
        for index in range(round(fps * seconds))
    ]
    return [at_ns for at_ns in times if thinning.takes(at_ns)]


@pytest.mark.parametrize("camera_fps", [60, 30, 29.97, 25, 24])
@pytest.mark.parametrize("max_fps", [15, 20])
@pytest.mark.parametrize("jitter_ms", [0, 8])
def test_a_limited_rate_is_met_and_never_exceeded(
    camera_fps: float, max_fps: float, jitter_ms: float
) -> None:
    thinning = Thinning()
    thinning.limit(max_fps)
    kept = taken(thinning, camera_fps, 10, jitter_ms)
    assert 0.95 * max_fps <= len(kept) / 10 <= max_fps + 0.2
    assert thinning.thinned == round(10 * camera_fps) - len(kept)


@pytest.mark.parametrize("limit", [None, 20.0])
def test_a_camera_within_the_limit_loses_nothing(limit: float | None) -> None:
    thinning = Thinning()
    thinning.limit(limit)
    assert len(taken(thinning, 15, 10, jitter_ms=5)) == 150


def test_a_pause_is_not_made_up_for() -> None:
    thinning = Thinning()
    thinning.limit(15)
    assert thinning.takes(NS_PER_S) and thinning.takes(10 * NS_PER_S)
    assert not thinning.takes(10 * NS_PER_S + 33 * NS_PER_MS)


def test_rungs_are_told_apart_by_size_and_rate() -> None:
    assert Rung(320, 240).canvas_hw == Rung(320, 240, 15).canvas_hw == (240, 320)
    assert Rung(320, 240) != Rung(320, 240, 15)
