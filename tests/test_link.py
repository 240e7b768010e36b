"""Whether a receiver's estimate of its link is to be believed."""

from __future__ import annotations

from realtime.clock import NS_PER_MS, FakeClock
from realtime.link import BELIEVED_NS, LOST_SHARE, QUEUE_S, LinkState, LinkWatch, bitrate_for


def test_an_estimate_alone_says_nothing() -> None:
    watch = LinkWatch(FakeClock())
    assert watch.state == LinkState(None, False)
    watch.estimated(300_000)
    watch.reported(0.0, None)
    assert watch.state == LinkState(300_000, False)


def test_trouble_is_remembered_for_a_while_and_then_it_is_tried_again() -> None:
    clock = FakeClock()
    watch = LinkWatch(clock)
    watch.reported(LOST_SHARE - 0.01, 0.02)
    assert not watch.state.strained, "Wi-Fi loses as much"
    watch.reported(LOST_SHARE, 0.02)
    clock.advance_ms(BELIEVED_NS / NS_PER_MS - 1)
    watch.reported(0.0, 0.02)
    assert watch.state.strained
    clock.advance_ms(1)
    assert not watch.state.strained


def test_a_queue_is_told_by_the_shortest_round_trip() -> None:
    watch = LinkWatch(FakeClock())
    for round_trip_s in (0.5, 0.4, 0.39 + QUEUE_S):
        watch.reported(0.0, round_trip_s)
    assert not watch.state.strained
    watch.reported(0.0, 0.401 + QUEUE_S)
    assert watch.state.strained


def test_smaller_pictures_need_less() -> None:
    assert bitrate_for(640, 480) == 4 * bitrate_for(320, 240)
