"""What a picture's receiver tells of the link to it, and what follows for what is sent. Pure.

A browser's estimate of what its link carries begins low, and on a busy machine it takes late
packets for congestion: obeyed, it starves a picture that would get through. And behind a queue that
is always full it sees no delay that grows, and estimates too much. So what counts is what becomes
of that which is sent: a bound falls when packets are lost or wait, and rises again by itself. Knows
no network; `rtc_reports.py` tells it what was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.clock import NS_PER_S, Clock

LOST_SHARE, FEW_LOST = 0.1, 0.02
"""of the packets since the last report: from the first on less is sent, below the second more
(draft-ietf-rmcat-gcc-02 section 6). Between them is what Wi-Fi loses at any rate"""
QUEUE_S = 0.2
"""a round trip so much longer than the shortest: packets wait in a queue"""
QUEUE_CUT = 0.85
"""what is then sent of what was"""
GROWTH, SLOW_GROWTH = 1.08, 1.02
"""of the bound per report without trouble: up to the receiver's estimate, and beyond it"""
MOST_BPS = 1_000_000_000
"""beyond what any encoder is asked for: a bound that has risen so far binds nothing"""
LEAST_BPS = 60_000
"""no link is believed to carry less"""
REPEATED_SHARE = 0.5
"""of what a link carries, for packets that are sent again: without a limit they alone fill a narrow
one, and nothing comes through in time"""
REPEATED_S = 0.25
"""so much of it may go out at once"""
PACKET_BITS = 1200 * 8
UNKNOWN_BPS = 1_000_000
"""what is sent again on a link of which nothing bad is known is counted as if it carried this, or
more"""
BITS_PER_PIXEL = 0.05
"""of a picture: with fewer a smaller picture looks better (docs/LOG.md)"""
PICTURES_PER_S = 30
"""what an encoder's rate control counts on"""


def bitrate_for(width_px: int, height_px: int) -> int:
    """Below so many bits per second, a smaller picture looks better than one of this size."""
    return round(BITS_PER_PIXEL * PICTURES_PER_S * width_px * height_px)


@dataclass(frozen=True, slots=True)
class LinkState:
    """What is known of one link."""

    estimate_bps: int | None = None
    """what the receiver says that it carries; None before the first word"""
    bound_bps: int | None = None
    """what it can be trusted to carry; None where nothing was ever lost or late"""


class LinkWatch:
    """Hears one receiver's reports. Lives on the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._estimate_bps: int | None = None
        self._bound_bps: float | None = None
        self._shortest_s: float | None = None
        self._was_queued = False
        self._to_repeat_bits = 0.0
        self._filled_ns = clock.now_ns()

    @property
    def state(self) -> LinkState:
        bound_bps = None if self._bound_bps is None else round(self._bound_bps)
        return LinkState(self._estimate_bps, bound_bps)

    def estimated(self, bitrate_bps: int) -> None:
        self._estimate_bps = bitrate_bps

    def reported(self, lost_share: float, round_trip_s: float | None) -> None:
        """A receiver's report.

        Args:
            lost_share: of the packets since its last one.
            round_trip_s: None where it heard no report of ours yet.
        """
        queued, was_queued = self._is_queued(round_trip_s), self._was_queued
        self._was_queued = queued
        if lost_share >= LOST_SHARE:
            self._lower(1 - lost_share / 2)
        elif queued and was_queued:  # one late report may be a busy machine's
            self._lower(QUEUE_CUT)
        elif lost_share < FEW_LOST and not queued:
            self._raise()

    def _is_queued(self, round_trip_s: float | None) -> bool:
        if round_trip_s is None:
            return False
        shortest_s = round_trip_s if self._shortest_s is None else self._shortest_s
        self._shortest_s = min(shortest_s, round_trip_s)
        return round_trip_s - self._shortest_s > QUEUE_S

    def _lower(self, share: float) -> None:
        known = [each for each in (self._estimate_bps, self._bound_bps) if each is not None]
        if known:
            self._bound_bps = max(share * min(known), LEAST_BPS)

    def _raise(self) -> None:
        if self._bound_bps is not None:
            below = self._estimate_bps is not None and self._bound_bps < self._estimate_bps
            raised_bps = self._bound_bps * (GROWTH if below else SLOW_GROWTH)
            self._bound_bps = min(raised_bps, MOST_BPS)

    def may_repeat(self) -> bool:
        """Whether a packet that was lost may be sent again now; counts it if so."""
        now_ns, bound_bps = self._clock.now_ns(), self._bound_bps
        carried_bps = max(self._estimate_bps or 0, UNKNOWN_BPS) if bound_bps is None else bound_bps
        rate_bps = REPEATED_SHARE * carried_bps
        earned_bits = rate_bps * (now_ns - self._filled_ns) / NS_PER_S
        most_bits = max(rate_bps * REPEATED_S, PACKET_BITS)
        self._to_repeat_bits = min(self._to_repeat_bits + earned_bits, most_bits)
        self._filled_ns = now_ns
        if self._to_repeat_bits < PACKET_BITS:
            return False
        self._to_repeat_bits -= PACKET_BITS
        return True
