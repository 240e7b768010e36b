"""What is sent follows what becomes of it: the bound of a link."""

from __future__ import annotations

import pytest

from realtime.clock import FakeClock
from realtime.link import (
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
    watch.reported(LOST_SHARE - 0.01, None)
    assert watch.state == LinkState(300_000, None), "Wi-Fi loses as much"


def test_losses_lower_the_bound_by_half_of_their_share() -> None:
    watch = told()
    watch.reported(0.2, 0.02)
    assert watch.state.bound_bps == 360_000
    watch.reported(0.5, 0.02)
    assert watch.state.bound_bps == 270_000
    for _ in range(20):
        watch.reported(0.9, 0.02)
    assert watch.state.bound_bps == LEAST_BPS


def test_days_of_good_reports_end_at_a_number() -> None:
    watch = told()
    watch.reported(0.5, 0.02)
    for _ in range(100_000):
        watch.reported(0.0, 0.02)
    assert watch.state.bound_bps == MOST_BPS


def test_losses_before_any_estimate_say_nothing() -> None:
    watch = LinkWatch(FakeClock())
    watch.reported(0.9, 0.02)
    assert watch.state == LinkState()


def test_the_bound_rises_up_to_the_estimate_and_more_slowly_beyond_it() -> None:
    watch = told()
    watch.reported(0.5, 0.02)
    watch.reported(0.0, 0.02)
    assert watch.state.bound_bps == round(300_000 * GROWTH)
    watch.reported(0.05, 0.02)
    assert watch.state.bound_bps == round(300_000 * GROWTH), "neither good nor bad"
    watch.estimated(200_000)
    watch.reported(0.0, 0.02)
    assert watch.state.bound_bps == pytest.approx(300_000 * GROWTH * SLOW_GROWTH, abs=1)


def test_a_queue_is_told_by_the_shortest_round_trip_and_by_two_reports() -> None:
    watch = told()
    for round_trip_s in (0.5, 0.4, 0.41 + QUEUE_S, 0.4, 0.41 + QUEUE_S):
        watch.reported(0.0, round_trip_s)
    assert watch.state.bound_bps is None, "a long way is no queue, and one report no proof"
    watch.reported(0.0, 0.41 + QUEUE_S)
    assert watch.state.bound_bps == round(QUEUE_CUT * 400_000)


def test_what_is_sent_again_gets_its_share_of_the_link() -> None:
    clock = FakeClock()
    watch = LinkWatch(clock)
    watch.estimated(400_000)
    watch.reported(0.5, 0.02)
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
