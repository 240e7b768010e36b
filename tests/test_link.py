"""What is sent follows what becomes of it: the bound of a link."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from realtime.clock import FakeClock
from realtime.link import (
    CUTS_IN_VAIN,
    GROWTH,
    LEAST_BPS,
    LOST_SHARE,
    MOST_BPS,
    PACKET_BITS,
    QUEUE_CUT,
    QUEUE_S,
    REPEATED_SHARE,
    SLOW_GROWTH,
    LinkState,
    LinkWatch,
    Report,
    bitrate_for,
)


def told(estimate_bps: int = 400_000) -> LinkWatch:
    watch = LinkWatch(FakeClock())
    watch.estimated(estimate_bps)
    return watch


def test_an_estimate_alone_says_nothing() -> None:
    watch = LinkWatch(FakeClock())
    assert watch.state == LinkState(None, None)
    watch.estimated(300_000)
    watch.reported(Report(LOST_SHARE - 0.01, None))
    assert watch.state == LinkState(300_000, None), "Wi-Fi loses as much"


def test_losses_lower_the_bound_by_half_of_their_share() -> None:
    watch = told()
    watch.reported(Report(0.2, 0.02))
    assert watch.state.bound_bps == 360_000
    watch.reported(Report(0.5, 0.02))
    assert watch.state.bound_bps == 270_000
    for _ in range(20):
        watch.reported(Report(0.9, 0.02))
    assert watch.state.bound_bps == LEAST_BPS


def test_days_of_good_reports_end_at_a_number() -> None:
    watch = told()
    watch.reported(Report(0.5, 0.02))
    for _ in range(100_000):
        watch.reported(Report(0.0, 0.02))
    assert watch.state.bound_bps == MOST_BPS


def test_losses_before_any_estimate_say_nothing() -> None:
    watch = LinkWatch(FakeClock())
    watch.reported(Report(0.9, 0.02))
    assert watch.state == LinkState()


def test_the_bound_rises_up_to_the_estimate_and_more_slowly_beyond_it() -> None:
    watch = told()
    watch.reported(Report(0.5, 0.02))
    watch.reported(Report(0.0, 0.02))
    assert watch.state.bound_bps == round(300_000 * GROWTH)
    watch.reported(Report(0.05, 0.02))
    assert watch.state.bound_bps == round(300_000 * GROWTH), "neither good nor bad"
    watch.estimated(200_000)
    watch.reported(Report(0.0, 0.02))
    assert watch.state.bound_bps == pytest.approx(300_000 * GROWTH * SLOW_GROWTH, abs=1)


def test_a_queue_is_told_by_the_shortest_round_trip_and_by_two_reports() -> None:
    watch = told()
    for round_trip_s in (0.5, 0.4, 0.41 + QUEUE_S, 0.4, 0.41 + QUEUE_S):
        watch.reported(Report(0.0, round_trip_s))
    assert watch.state.bound_bps is None, "a long way is no queue, and one report no proof"
    watch.reported(Report(0.0, 0.41 + QUEUE_S))
    assert watch.state.bound_bps == round(QUEUE_CUT * 400_000)


def test_what_is_sent_again_gets_its_share_of_the_link() -> None:
    clock = FakeClock()
    watch = LinkWatch(clock)
    watch.estimated(400_000)
    watch.reported(Report(0.5, 0.02))
    sent = 0
    for _ in range(10_000):  # ten seconds of asking
        clock.advance_ms(1)
        sent += watch.may_repeat()
    assert sent * PACKET_BITS / 10 == pytest.approx(REPEATED_SHARE * 300_000, rel=0.05)


def test_on_a_link_without_trouble_a_burst_is_sent_again_at_once() -> None:
    clock = FakeClock()
    watch = LinkWatch(clock)
    watch.estimated(2_500_000)
    clock.advance_ms(1000)
    assert sum(watch.may_repeat() for _ in range(100)) >= 30


def test_smaller_pictures_need_less() -> None:
    assert bitrate_for(640, 480) == 4 * bitrate_for(320, 240)


TARGET_BPS = 2_500_000
CARD_BPS, CARD_S = 100_000, 3
"""a session begins with a card"""


@dataclass
class Road:
    """Two ways, each with a queue, and a sender that keeps to the bound; a report each second."""

    capacity_bps: float = 10_000_000
    buffer_s: float = 0.25
    """what would wait for longer is lost"""
    base_s: float = 0.05
    estimates: bool = True
    loss: float = 0.0
    jitter_s: float = 0.0
    up_s: float = 0.0
    """how long packets wait on their way up"""
    tells_way_up: bool = False

    def __post_init__(self) -> None:
        self.clock = FakeClock(10**12)
        self.watch = LinkWatch(self.clock)
        self.queued_bits = self.sent_bytes = 0.0
        self.rates: list[float] = []
        self._random = random.Random(7)

    @property
    def wait_s(self) -> float:
        return self.queued_bits / self.capacity_bps

    def run(self, seconds: int) -> list[float]:
        """The rates of those seconds, in bit/s."""
        for _ in range(seconds):
            bound_bps = self.watch.state.bound_bps
            wanted_bps = CARD_BPS if len(self.rates) < CARD_S else TARGET_BPS
            rate_bps = wanted_bps if bound_bps is None else min(bound_bps, wanted_bps)
            self.queued_bits = max(self.queued_bits + rate_bps - self.capacity_bps, 0)
            spilt = max(self.queued_bits - self.buffer_s * self.capacity_bps, 0)
            self.queued_bits -= spilt
            self.sent_bytes += rate_bps / 8
            self.clock.advance_ms(1000)
            trip_s = self.base_s + self.wait_s + self.up_s + self._random.random() * self.jitter_s
            way_up_s = 1e9 + self.up_s if self.tells_way_up else None
            if self.estimates:
                self.watch.estimated(TARGET_BPS)
            lost = self.loss + spilt / rate_bps
            self.watch.reported(Report(lost, trip_s, way_up_s, round(self.sent_bytes)))
            self.rates.append(rate_bps)
        return self.rates[-seconds:]


@pytest.mark.parametrize("jitter_s", [0.0, 0.1, 0.18])
@pytest.mark.parametrize("longer_s", [0.25, 0.5, 2.0])
def test_a_longer_way_starves_nobody(longer_s: float, jitter_s: float) -> None:
    """A hand-over, a VPN: nothing is lost, and nothing that is sent less makes it shorter."""
    road = Road(jitter_s=jitter_s)
    road.run(30)
    road.base_s += longer_s
    assert min(road.run(120)) > 0.8 * QUEUE_CUT**CUTS_IN_VAIN * TARGET_BPS
    assert set(road.run(60)) == {TARGET_BPS}


def test_the_shortest_way_of_long_ago_is_forgotten() -> None:
    road = Road()
    road.run(30)
    road.base_s += QUEUE_S - 0.05
    road.run(40)
    road.base_s += QUEUE_S - 0.05
    assert set(road.run(60)) == {TARGET_BPS}, "neither step is a queue"


@pytest.mark.parametrize("estimates", [True, False])
@pytest.mark.parametrize("buffer_s", [0.1, 0.25, 1.0, 4.0])
@pytest.mark.parametrize("capacity_bps", [300_000, 1_200_000])
def test_a_narrow_way_is_filled_and_its_queue_emptied(
    capacity_bps: float, buffer_s: float, estimates: bool
) -> None:
    road = Road(capacity_bps=capacity_bps, buffer_s=buffer_s, estimates=estimates)
    road.run(90)
    waits_s, rates = [], []
    for _ in range(120):
        rates += road.run(1)
        waits_s.append(road.wait_s)
    assert 0.6 * capacity_bps < sum(rates) / len(rates) < 1.1 * capacity_bps
    assert sum(waits_s) / len(waits_s) < 0.19, "the queue is emptied, not only kept from growing"


def test_a_full_way_up_says_nothing_of_the_way_down() -> None:
    """Its own packets tell it; where nobody sends any, a trial does."""
    road = Road(tells_way_up=True)
    road.run(30)
    road.up_s = 1.5
    assert set(road.run(60)) == {TARGET_BPS}
    silent = Road()
    silent.run(30)
    silent.up_s = 1.5
    silent.run(60)
    assert set(silent.run(30)) == {TARGET_BPS}


def test_a_wall_clock_that_is_set_is_no_queue() -> None:
    shifts: tuple[Callable[[float], float], ...] = (lambda s: s - 3600, lambda s: s + 3600)
    for shift in shifts:
        clock = FakeClock()
        watch = LinkWatch(clock)
        watch.estimated(TARGET_BPS)
        for second in range(60):
            clock.advance_ms(1000)
            way_up_s = 5.0 if second < 30 else shift(5.0)
            watch.reported(Report(0.0, 0.05, way_up_s))
        assert watch.state.bound_bps is None


def test_who_estimates_nothing_is_sent_less_as_well_when_it_loses() -> None:
    road = Road(estimates=False, loss=0.5)
    road.run(10)
    assert road.rates[-1] < 0.2 * TARGET_BPS
    road.loss = 0.0
    assert road.run(120)[-1] == TARGET_BPS, "and more again, as fast as anybody"


def test_a_cut_waits_until_the_last_one_can_be_felt() -> None:
    """With a NACK, a receiver reports twenty times a second."""
    clock = FakeClock()
    watch = LinkWatch(clock)
    watch.estimated(400_000)
    watch.reported(Report(0.0, 0.02))
    for _ in range(10):
        clock.advance_ms(50)
        watch.reported(Report(0.0, 0.5))
    assert watch.state.bound_bps == round(QUEUE_CUT * 400_000)
