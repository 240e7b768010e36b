"""What a picture's receiver tells of the link to it, and what follows for what is sent. Pure.

A browser's estimate of what its link carries begins low, and on a busy machine it takes late
packets for congestion: obeyed, it starves a picture that would get through. And behind a queue that
is always full it sees no delay that grows, and estimates too much. So what counts is what becomes
of that which is sent: a bound falls when packets are lost or wait, and rises again by itself.

A long round trip alone proves nothing. Where the other side's own packets take as much longer, it
is their way that is full; and where sending less does not shorten it, it is a longer way, or
another's traffic. Knows no network; `rtc_reports.py` tells it what was heard.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from realtime.clock import NS_PER_S, Clock

LOST_SHARE, FEW_LOST = 0.1, 0.02
"""of the packets since the last report: from the first on less is sent, below the second more
(draft-ietf-rmcat-gcc-02 section 6). Between them is what Wi-Fi loses at any rate"""
QUEUE_S = 0.2
"""a round trip so much longer than the shortest: packets wait in a queue"""
SHORTEST_NS = 30 * NS_PER_S
"""of so long: a hand-over or a VPN lengthens the way for good"""
EMPTY_S, EMPTIES_S = 0.05, 0.02
"""a queue that was too long is left to empty, as long as each report shortens it by the second,
until it is below the first: else the way without it is forgotten, and a full one is never seen"""
QUEUE_CUT = 0.85
"""what is then sent of what was"""
CUT_PAUSE_NS = NS_PER_S // 2
"""between two cuts, for the first to be felt"""
CUTS_IN_VAIN = 6
"""so many in a row, by 62 % in all, that have changed nothing: they are taken back"""
FELT_S = 0.1
"""a wait that is shorter by so much has been shortened"""
GROWTH, SLOW_GROWTH = 1.08, 1.02
"""of the bound per report without trouble: up to the receiver's estimate, and beyond it"""
SENT_NS = 2 * NS_PER_S
"""what is sent is a mean over so long"""
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


@dataclass(frozen=True, slots=True)
class Report:
    """What one report of a receiver tells, and what is known beside it when it comes."""

    lost_share: float
    """of the packets since its last one"""
    round_trip_s: float | None = None
    """None where it heard no report of ours yet"""
    way_up_s: float | None = None
    """how long packets took from there to here, and a constant; None where it sends no pictures"""
    sent_bytes: int | None = None
    """to it, so far"""


class _Shortest:
    """By how much a time is above the least of the last `SHORTEST_NS`."""

    def __init__(self) -> None:
        self._rising: deque[tuple[int, float]] = deque()
        """when and how long; who is followed by a shorter one does not matter any more"""

    def excess(self, now_ns: int, time_s: float) -> float:
        rising = self._rising
        while rising and rising[-1][1] >= time_s:
            rising.pop()
        rising.append((now_ns, time_s))
        while rising[0][0] < now_ns - SHORTEST_NS:
            rising.popleft()
        return time_s - rising[0][1]

    def forget(self) -> None:
        self._rising.clear()


@dataclass(frozen=True, slots=True)
class _Trial:
    """Whether it helps to send less."""

    bound_bps: float | None
    """before it"""
    waited_s: float
    """the wait against which the next ones are held"""
    cuts: int = 0
    """since then"""


class LinkWatch:
    """Hears one receiver's reports. Lives on the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._estimate_bps: int | None = None
        self._bound_bps: float | None = None
        self._round_trip, self._way_up = _Shortest(), _Shortest()
        self._was_queued = False
        self._empties_from_s: float | None = None
        """how long the wait in a queue was that is left to empty"""
        self._trial: _Trial | None = None
        self._cut_ns = -CUT_PAUSE_NS
        self._sent: deque[tuple[int, int]] = deque()
        """when, and how many bytes by then"""
        self._to_repeat_bits = 0.0
        self._filled_ns = clock.now_ns()

    @property
    def state(self) -> LinkState:
        bound_bps = None if self._bound_bps is None else round(self._bound_bps)
        return LinkState(self._estimate_bps, bound_bps)

    def estimated(self, bitrate_bps: int) -> None:
        self._estimate_bps = bitrate_bps

    def reported(self, report: Report) -> None:
        now_ns = self._clock.now_ns()
        if report.sent_bytes is not None:
            self._note_sent(now_ns, report.sent_bytes)
        waits_s = self._waits_s(now_ns, report)
        queued, was_queued = waits_s > QUEUE_S, self._was_queued
        self._was_queued = queued
        if report.lost_share >= LOST_SHARE or not queued:
            self._trial = None  # a loss needs no trial: it is this way that is too narrow
        if report.lost_share >= LOST_SHARE:
            self._lower(1 - report.lost_share / 2)
        elif queued and was_queued:  # one late report may be a busy machine's
            self._try_less(now_ns, waits_s)
        elif report.lost_share < FEW_LOST and not queued and not self._empties(waits_s):
            self._raise()

    def _waits_s(self, now_ns: int, report: Report) -> float:
        """In a queue on the way there, as far as it can be told."""
        way_up_s = report.way_up_s
        later_s = 0.0 if way_up_s is None else self._way_up.excess(now_ns, way_up_s)
        if report.round_trip_s is None:
            return 0.0
        return self._round_trip.excess(now_ns, report.round_trip_s) - later_s

    def _empties(self, waits_s: float) -> bool:
        """Whether a queue that was cut is on its way to be empty."""
        before_s = self._empties_from_s
        shorter = before_s is not None and waits_s < before_s - EMPTIES_S
        empties = shorter and waits_s > EMPTY_S
        self._empties_from_s = waits_s if empties else None
        return empties

    def _try_less(self, now_ns: int, waits_s: float) -> None:
        if now_ns - self._cut_ns < CUT_PAUSE_NS:
            return
        trial = self._trial or _Trial(self._bound_bps, waits_s)
        if waits_s < trial.waited_s - FELT_S:  # it helps: what was before was too much
            trial = _Trial(self._bound_bps, waits_s)
        elif waits_s > trial.waited_s + QUEUE_S:  # it still grows: nothing is proven
            trial = replace(trial, waited_s=waits_s, cuts=0)
        if trial.cuts < CUTS_IN_VAIN:
            self._trial, self._cut_ns = replace(trial, cuts=trial.cuts + 1), now_ns
            self._empties_from_s = waits_s
            self._lower(QUEUE_CUT)
            return
        self._bound_bps, self._trial, self._was_queued = trial.bound_bps, None, False
        for way in (self._round_trip, self._way_up):  # this long is what it is from now on
            way.forget()

    def _lower(self, share: float) -> None:
        known = [each for each in (self._estimate_bps, self._bound_bps) if each is not None]
        known = known or ([] if (sent_bps := self._sent_bps()) is None else [sent_bps])
        if known:
            self._bound_bps = max(share * min(known), LEAST_BPS)

    def _raise(self) -> None:
        if self._bound_bps is not None:
            estimate_bps = self._estimate_bps
            below = estimate_bps is None or self._bound_bps < estimate_bps
            raised_bps = self._bound_bps * (GROWTH if below else SLOW_GROWTH)
            self._bound_bps = min(raised_bps, MOST_BPS)

    def _note_sent(self, now_ns: int, sent_bytes: int) -> None:
        self._sent.append((now_ns, sent_bytes))
        while len(self._sent) > 2 and self._sent[1][0] <= now_ns - SENT_NS:
            self._sent.popleft()

    def _sent_bps(self) -> float | None:
        """Of late; a receiver that estimates nothing can lose no more than that."""
        if len(self._sent) < 2:
            return None
        (began_ns, before), (ended_ns, after) = self._sent[0], self._sent[-1]
        if ended_ns == began_ns:
            return None
        return (after - before) * 8 * NS_PER_S / (ended_ns - began_ns)

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
