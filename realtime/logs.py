"""How log lines look: for a terminal, for the journal, or as JSON for machines.

Under systemd, standard error is the journal, which notes time and process itself and takes the
urgency from a number in angle brackets (sd-daemon(3)). Knows no settings but its own section.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, TextIO

from realtime.config import Log

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # generic from Python 3.11 on

Shape = Literal["text", "journal", "json"]

CHATTY = ("aioice", "httpcore", "httpx", "uvicorn")
"""libraries that tell at "info" what is nobody's business"""
STANDARD_ERROR = 2
_URGENCY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def set_up(log: Log) -> None:
    """Send everything that is logged to standard error, so shaped; may be called again."""
    handler = _Handler()
    handler.setFormatter(FORMATTERS[shape_of(log)]())
    root = logging.getLogger()
    for ours in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(ours)
    root.addHandler(handler)
    root.setLevel(log.level.upper())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def shape_of(log: Log) -> Shape:
    """What `auto` means here."""
    if log.format != "auto":
        return log.format
    return "journal" if _journal_reads() else "text"


def _journal_reads() -> bool:
    """systemd names the device and inode that the journal's stream has (systemd.exec(5))."""
    try:
        status = os.fstat(STANDARD_ERROR)
    except OSError:  # closed
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Handler(_StreamHandler):
    """Ours, to be told from others'."""


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")


class _Journal(logging.Formatter):
    """Every line of a traceback carries the urgency, for the journal takes line by line."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        urgency = f"<{_URGENCY.get(record.levelname, 6)}>"
        return "\n".join(urgency + line for line in super().format(record).splitlines())


class _Json(logging.Formatter):
    """One object per line: time (UTC), level, logger, message, and error where there was one."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, timezone.utc)
        line = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


FORMATTERS: dict[Shape, type[logging.Formatter]] = {
    "text": _Text,
    "journal": _Journal,
    "json": _Json,
}
