"""What a picture's receiver tells of the link to it, and whether it is to be believed. Pure.

A browser's estimate of what its link carries begins low, and on a busy machine it takes late
packets for congestion: obeyed, it starves a picture that would get through. So it counts only where
what is sent now visibly does not get through: packets are lost, or wait in a queue. Knows no
network; `rtc_reports.py` tells it what was heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.clock import NS_PER_S, Clock

LOST_SHARE = 0.1
"""of the packets since the last report; from there on a sender must send less
(draft-ietf-rmcat-gcc-02 section 6). Less of it is what Wi-Fi loses at any rate"""
QUEUE_S = 0.2
"""a round trip so much longer than the shortest: packets wait in a queue"""
BELIEVED_NS = 10 * NS_PER_S
"""after the last sign of trouble; then it is tried whether more gets through"""
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
    strained: bool = False
    """lately what was sent did not get through, so the estimate is to be believed"""


class LinkWatch:
    """Hears one receiver's reports. Lives on the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._estimate_bps: int | None = None
        self._shortest_s: float | None = None
        self._trouble_ns: int | None = None

    def estimated(self, bitrate_bps: int) -> None:
        self._estimate_bps = bitrate_bps

    def reported(self, lost_share: float, round_trip_s: float | None) -> None:
        """A receiver's report.

        Args:
            lost_share: of the packets since its last one.
            round_trip_s: None where it heard no report of ours yet.
        """
        queued = False
        if round_trip_s is not None:
            shortest_s = self._shortest_s
            self._shortest_s = round_trip_s if shortest_s is None else min(shortest_s, round_trip_s)
            queued = round_trip_s - self._shortest_s > QUEUE_S
        if queued or lost_share >= LOST_SHARE:
            self._trouble_ns = self._clock.now_ns()

    @property
    def state(self) -> LinkState:
        since_ns = self._trouble_ns
        strained = since_ns is not None and self._clock.now_ns() - since_ns < BELIEVED_NS
        return LinkState(self._estimate_bps, strained)
