"""The output gate: the only place from which a session's picture goes to the encoder.

It is pulled by the sender and waits on its own clock, so a render thread that hangs, dies or
raises cannot keep it from showing the card. It carries finished avatar frames and ready-made
cards; it has no access to a camera frame. Knows no threads and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime.clock import NS_PER_S, Clock
from realtime.frames import OutputFrame, OutputState
from realtime.latest import AsyncLatest
from realtime.metrics import SessionMetrics
from realtime.pacing import Decision, Event, Limits, Pace, decide, wake_ns


@dataclass(frozen=True, slots=True)
class Withheld:
    """The newest camera frame gave nothing to show."""

    reason: str


STARTING = Withheld("starting")
SILENT = Withheld("no new picture arrives")
UNSTEADY = Withheld("waiting for a steady picture")
TOO_SLOW = Withheld("fewer than 2 pictures a second")
"""each may stand for half a second at most: an avatar would come and go with every picture"""


class OutputGate:
    """Turns what the render thread delivers into what a viewer may see.

    Args:
        channel: finished frames, or why there is none.
        cards: ready-made card per reason; the key "" is the card for every other reason.
    """

    def __init__(
        self,
        channel: AsyncLatest[OutputFrame | Withheld],
        cards: Mapping[str, OutputFrame],
        limits: Limits,
        metrics: SessionMetrics,
        clock: Clock,
    ) -> None:
        self._channel = channel
        self._cards = cards
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._pace = Pace()
        self._last_live: OutputFrame | None = None
        self._reason = STARTING.reason

    @property
    def state(self) -> OutputState:
        return self._pace.phase

    @property
    def reason(self) -> str:
        """Why the output is not LIVE; empty while it is."""
        return "" if self._pace.phase == "LIVE" else self._reason

    def replace_cards(self, cards: Mapping[str, OutputFrame]) -> None:
        """From the next card on; for pictures of another size."""
        self._cards = cards

    async def next_frame(self) -> OutputFrame:
        """The next picture to send, as soon as there is one; about 10 fps while nothing is new.

        Raises:
            Closed: the session is over.
        """
        while True:
            wait_ns = wake_ns(self._pace, self._limits) - self._clock.now_ns()
            item = await self._channel.take(max(0.0, wait_ns / NS_PER_S))
            frame = self._step(item)
            if frame is not None:
                return frame

    def _step(self, item: OutputFrame | Withheld | None) -> OutputFrame | None:
        now_ns = self._clock.now_ns()
        if isinstance(item, OutputFrame):
            before = self._pace
            self._pace, decision = decide(before, Event.GOOD, now_ns, self._limits)
            if decision is Decision.SEND:
                self._last_live = item
                self._metrics.sent(item.timings.arrived_ns, item.timings.stage_ns)
                return item
            alone = before.good_in_row == 1 and self._pace.good_in_row == 1
            self._reason = (TOO_SLOW if alone else UNSTEADY).reason
            self._metrics.dropped(UNSTEADY.reason, item.source_seq)
        elif isinstance(item, Withheld):
            self._reason = item.reason
            self._metrics.dropped(item.reason, None)
            self._pace, decision = decide(self._pace, Event.BAD, now_ns, self._limits)
        else:
            was_live = self._pace.phase == "LIVE"
            self._pace, decision = decide(self._pace, Event.TICK, now_ns, self._limits)
            if was_live and self._pace.phase != "LIVE":
                self._reason = SILENT.reason
        return self._chosen(decision)

    def _chosen(self, decision: Decision) -> OutputFrame | None:
        if decision is Decision.REPEAT:
            return self._last_live
        if decision is Decision.CARD:
            return self._cards.get(self._reason, self._cards[""])
        return None
