"""One session's record, kept from the event loop: it notes what changed, another thread writes.

A disk that takes no more is said once in the log, and to the performer for as long as it lasts; the
session goes on: to cut a performer off would not undo what was shown, and every picture is marked
all the same. Each further note tries again. The first that can be written comes after a line that
says how many are missing, and as whom the session is seen then; a record that nothing more could be
written to has no end, which `records.check_record` tells. Knows no pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engines.errors import EngineError
from realtime.clock import NS_PER_S, Clock
from realtime.config import Output
from realtime.errors import StartupError
from realtime.records import END, GAP, INTERVAL_S, RecordWriter, Subject
from realtime.stages.mark import Marks
from realtime.trust import Keyring

if TYPE_CHECKING:
    from realtime.identity import Identity

logger = logging.getLogger(__name__)

Post = Callable[[Callable[[], None]], None]

_BEGIN = "begin"
"""is written as the record's first line, whenever that can be"""


def label_record(marks: Marks, output: Output) -> dict[str, Any]:
    """What a record says of the visible mark, and why it is off or discloses nothing, if so."""
    height_permille = round(1000 * output.label_height)
    said = {"text": marks.label, "height_permille": height_permille}
    reason = marks.label_off_reason
    return said if reason is None else {**said, "off_because": reason}


class Logbook:
    """
    Args:
        post: has a function called on the thread that writes, in the order in which they come.
        subject: slow to learn, so it is asked for on that thread.
        failed: called there for each note that could not be written.
    """

    def __init__(
        self,
        subject: Callable[[], Subject],
        post: Post,
        clock: Clock,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._subject, self._post, self._clock = subject, post, clock
        self._failed = failed
        self.problem: str | None = None
        """why nothing can be written, for the performer; None while it can. Any thread reads it"""
        self._writer: RecordWriter | None = None
        """touched on the writing thread only; None before the start, and once it ended"""
        self._started = False
        """likewise: its first line is written"""
        self._missing = 0
        """likewise: notes that could not be"""
        self._worn: dict[str, str] = {}
        self._shown = ("", "")
        self._noted_ns = 0
        self._open = False

    def begin(self, identity: Identity) -> None:
        self._worn = _who(identity)
        self._open = True
        self._note(_BEGIN)

    def show(self, state: str, reason: str) -> None:
        """What the output shows now; called for every frame, notes changes only."""
        if (state, reason) != self._shown:
            self._shown = (state, reason)
            self._note("output", state=state, reason=reason)

    def wear(self, identity: Identity) -> None:
        self._worn = _who(identity)
        self._note("identity", **self._worn)

    def tick(self, now_ns: int) -> None:
        """Called several times a second: a line at least every INTERVAL_S."""
        if now_ns - self._noted_ns > INTERVAL_S * NS_PER_S:
            self._note("still", state=self._shown[0])

    def end(self) -> None:
        if not self._open:
            return
        self._note(END)
        self._open = False
        self._post(self._close)

    def _note(self, event: str, **fields: Any) -> None:
        if not self._open:
            return
        self._noted_ns = self._clock.now_ns()
        worn = dict(self._worn)
        self._post(lambda: self._try(event, fields, worn))

    def _try(self, event: str, fields: dict[str, Any], worn: dict[str, str]) -> None:
        try:
            self._write(event, fields, worn)
        except (OSError, StartupError, EngineError) as error:
            said = (error.strerror if isinstance(error, OSError) else None) or str(error)
            if self.problem is None:
                logger.error("the session's record cannot be written, it goes on without: %s", said)
            self.problem = said
            self._missing += event != _BEGIN  # its line is still to come
            self._failed()
            return
        if self.problem is not None:
            logger.warning("the session's record can be written again")
            self.problem = None

    def _write(self, event: str, fields: dict[str, Any], worn: dict[str, str]) -> None:
        if self._writer is None:
            self._writer = RecordWriter(self._subject(), Keyring().signer())
        if not self._started:
            self._writer.start(**worn)
            self._started = True
        if self._missing:
            self._writer.write(GAP, missing=self._missing, **worn)
            self._missing = 0
        if event != _BEGIN:
            self._writer.write(event, **fields)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._missing:  # also its end
            writer.abandon()
            return
        try:
            writer.close()
        except OSError as error:
            logger.error("the session's record may not be on the disk: %s", error.strerror)


def _who(identity: Identity) -> dict[str, str]:
    """By hashes: an id may be a person's name."""
    consent = identity.consent
    return {"identity": consent.portrait_sha256, "consent_sha256": consent.digest}
