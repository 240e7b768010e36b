"""What a session says to its client, and what it keeps to itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from realtime.channels import MAX_BUFFERED_BYTES, Channels


@dataclass
class Channel:
    """One that remembers what was sent on it."""

    label: str
    readyState: str = "open"  # noqa: N815 - as the browser's
    bufferedAmount: int = 0  # noqa: N815
    sent: list[dict[str, int]] = field(default_factory=list)

    def send(self, data: str) -> None:
        self.sent.append(json.loads(data))


def test_events_go_to_stats_and_to_controls_where_there_is_none() -> None:
    channels, controls, stats = Channels(), Channel("controls"), Channel("stats")
    assert not channels.tell({"n": 0}) and not channels.takes_reports
    assert not channels.take(controls)
    assert channels.tell({"n": 1}) and not channels.report({"n": 2})
    assert channels.take(stats) and channels.takes_reports
    assert channels.tell({"n": 3}) and channels.report({"n": 4})
    assert (controls.sent, stats.sent) == ([{"n": 1}], [{"n": 3}, {"n": 4}])


def test_the_first_channel_for_reports_stays_and_others_are_passed_over() -> None:
    channels, first, second = Channels(), Channel("stats"), Channel("stats")
    assert channels.take(first)
    assert not channels.take(second) and not channels.take(Channel("other"))
    assert channels.report({"n": 1})
    assert (first.sent, second.sent) == ([{"n": 1}], [])


def test_who_does_not_read_or_has_hung_up_gets_no_more() -> None:
    channels, stats = Channels(), Channel("stats")
    channels.take(stats)
    stats.bufferedAmount = MAX_BUFFERED_BYTES + 1
    assert not channels.tell({"n": 1})
    stats.bufferedAmount = MAX_BUFFERED_BYTES
    assert channels.tell({"n": 2})
    stats.readyState = "closing"
    assert not channels.report({"n": 3})
    assert stats.sent == [{"n": 2}]
