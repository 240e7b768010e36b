"""What a session is called: its id, the id's first six characters, or its name. One rule for all
who ask: viewers, films, pictures, commands, checks, and the command line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

from realtime.errors import ConfigError

LATEST = "latest"
"""instead of a session's name: the one that began last"""
SHORT_CHARS = 6
"""of an id, as lists and logs show it"""
_CALLED = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Called(Protocol):
    """What is needed of a session."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=Called)


def short(session_id: str) -> str:
    """As lists and logs show it."""
    return session_id[:SHORT_CHARS]


def pick(newest_first: Iterable[S], wanted: str) -> S | None:
    """The session that is meant, the newest of several.

    An id goes before a name: the daemon draws ids, but a performer chooses a name, and must not get
    what was meant for another's session.
    """
    found = [one for one in newest_first if wanted in (LATEST, *_ids(one), one.name)]
    return min(found, key=lambda one: wanted not in _ids(one), default=None)


def shown(short_id: str, name: str) -> str:
    """How a list shows a session, with both of what it can be asked for by."""
    return short_id if name in ("", short_id) else f"{short_id} ({name})"


def check_called(text: str) -> str:
    """What somebody typed, if a session can be called so.

    Raises:
        ConfigError: none can.
    """
    if not _CALLED.fullmatch(text):
        raise ConfigError(
            f"session {text[:64]!r}: must be letters, digits, - or _; `reenactd top` shows every "
            "session's id and name"
        )
    return text


def _ids(session: Called) -> tuple[str, str]:
    return session.id, short(session.id)
