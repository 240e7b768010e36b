"""What a session and its threads have of each other: what they call, read and deliver to.

Starts nothing; `workers.py` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from realtime.errors import FrameError
from realtime.frames import Arrived, Controls, Motion, OutputFrame, Tracked
from realtime.gate import Withheld
from realtime.latest import AsyncLatest
from realtime.metrics import ErrorReporter, SessionMetrics
from realtime.stages.mark import Marks
from realtime.turns import Turn

if TYPE_CHECKING:
    from realtime.identity import Identity


class TrackStage(Protocol):
    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked: ...
    def close(self) -> None: ...


class Source(Protocol):
    """Where faces come from that another program tracks."""

    def next(self, timeout_s: float) -> Tracked | None: ...
    def close(self) -> None: ...


class MotionSink(Protocol):
    """Takes motions elsewhere; used by one thread."""

    def show(self, motion: Motion | None) -> None:
        """None: there was no new one for a while."""

    def close(self) -> None: ...


class NoOutput(Protocol):
    @property
    def reason(self) -> str: ...


class Pipeline(Protocol):
    on_motion: Callable[[Motion], None] | None

    @property
    def calibrated(self) -> bool: ...
    @property
    def marks(self) -> Marks: ...
    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput: ...
    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame: ...
    def calibrate(self) -> None: ...
    def cut_out(self, wanted: bool) -> None: ...


@dataclass
class Live:
    """What the event loop changes while threads read it: each field is replaced whole."""

    controls: Controls
    identity: Identity


@dataclass(frozen=True)
class Desk:
    """One session's end of the threads: what they read, where they deliver."""

    live: Live
    metrics: SessionMetrics
    errors: ErrorReporter
    outputs: AsyncLatest[OutputFrame | Withheld]
    end: Callable[[str], None]
    """ends the session with a reason; may be called on any thread"""
    turn: Turn

    def deliver(self, result: OutputFrame | Withheld) -> None:
        """What the newest frame gave, for the output gate."""
        replaced = self.outputs.put(result)
        if replaced is not None:
            seq = replaced.source_seq if isinstance(replaced, OutputFrame) else None
            self.metrics.dropped("output", seq)

    def failed(self, error: Exception, what: str) -> None:
        """A frame was lost; unexpected errors are logged with their traceback."""
        unexpected = not isinstance(error, FrameError)
        self.errors.add(error, unexpected=unexpected)
        self.metrics.failed(unexpected=unexpected)
        self.deliver(Withheld(what))
