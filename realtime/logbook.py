"""One session's record, kept from the event loop: it notes what changed, another thread writes.

A disk that takes no more is said once, and the session goes on without a record from there: to cut
a performer off would not undo what was shown, and every picture is marked all the same. The record
itself then ends without an end, which `records.check_record` tells. Knows no pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engines.errors import EngineError
from realtime.clock import NS_PER_S, Clock
from realtime.config import Output
from realtime.errors import StartupError
from realtime.records import END, INTERVAL_S, RecordWriter, Subject
from realtime.stages.mark import Marks
from realtime.trust import Keyring

if TYPE_CHECKING:
    from realtime.identity import Identity

logger = logging.getLogger(__name__)

Post = Callable[[Callable[[], None]], None]


def label_record(marks: Marks, output: Output) -> dict[str, Any]:
    """What a record says of the visible mark, and why there is none where a setting took it off."""
    height_permille = round(1000 * output.label_height)
    said = {"text": marks.label, "height_permille": height_permille}
    return said if marks.label else {**said, "off_because": marks.label_off_reason}


class Logbook:
    """
    Args:
        post: has a function called on the thread that writes, in the order in which they come.
        subject: slow to learn, so it is asked for on that thread.
    """

    def __init__(self, subject: Callable[[], Subject], post: Post, clock: Clock) -> None:
        self._subject, self._post, self._clock = subject, post, clock
        self._writer: RecordWriter | None = None
        """touched on the writing thread only; None before the start, and once it failed"""
        self._shown = ("", "")
        self._noted_ns = 0
        self._open = False

    def begin(self, identity: Identity) -> None:
        fields = _who(identity)
        self._open = True
        self._noted_ns = self._clock.now_ns()

        def start() -> None:
            self._writer = RecordWriter(self._subject(), Keyring().signer())
            self._writer.start(**fields)

        self._post(lambda: self._safely(start))

    def show(self, state: str, reason: str) -> None:
        """What the output shows now; called for every frame, notes changes only."""
        if (state, reason) != self._shown:
            self._shown = (state, reason)
            self._note("output", state=state, reason=reason)

    def wear(self, identity: Identity) -> None:
        self._note("identity", **_who(identity))

    def tick(self, now_ns: int) -> None:
        """Called several times a second: a line at least every INTERVAL_S."""
        if now_ns - self._noted_ns > INTERVAL_S * NS_PER_S:
            self._note("still", state=self._shown[0])

    def end(self) -> None:
        if not self._open:
            return
        self._note(END)
        self._open = False
        self._post(lambda: self._safely(self._close))

    def _note(self, event: str, **fields: Any) -> None:
        if not self._open:
            return
        self._noted_ns = self._clock.now_ns()

        def write() -> None:
            if self._writer is not None:
                self._writer.write(event, **fields)

        self._post(lambda: self._safely(write))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _safely(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, StartupError, EngineError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            logger.error("the session's record cannot be written, it goes on without: %s", said)
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.abandon()


def _who(identity: Identity) -> dict[str, str]:
    """By hashes: an id may be a person's name."""
    consent = identity.consent
    return {"identity": consent.portrait_sha256, "consent_sha256": consent.digest}
