"""Tokens that grant less than the daemon's own: one scope, an end, and perhaps one session.

    BODY.SIGNATURE     both base64url; BODY is JSON, SIGNATURE is HMAC-SHA-256 over it (RFC 2104)

Nothing is stored: the key is derived from the daemon's token (whose file has mode 0600), so that
what was given out survives a restart, and a new token file takes all of it back. Knows no HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, get_args

Scope = Literal["publish", "view", "admin"]

MAX_TOKEN_CHARS = 1024
_PURPOSE = b"reenactd scoped tokens, version 1"


class TokenRefused(Exception):
    """What was given is no token of this daemon's, or not any more; its text is fit for a user."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the holder of a token may do."""

    scope: Scope
    """admin may do everything"""
    session: str | None = None
    """the only session that it is for; None: any"""
    expires_s: int | None = None
    """since 1970; None: never"""

    @property
    def expires(self) -> str | None:
        """As RFC 3339 has it."""
        return None if self.expires_s is None else _moment(self.expires_s)


def wall_clock_s() -> float:
    """Seconds since 1970: the only clock that goes on over a restart."""
    return datetime.now(timezone.utc).timestamp()


class Tokens:
    """Makes and reads them.

    Args:
        own: the daemon's own token, which grants everything.
    """

    def __init__(self, own: str, now_s: Callable[[], float] = wall_clock_s) -> None:
        self._own = own.encode()
        self._key = hmac.digest(self._own, _PURPOSE, hashlib.sha256)
        self._now_s = now_s

    def make(self, scope: Scope, session: str | None, lifetime_s: int) -> tuple[str, Grant]:
        """A new token, and what it grants."""
        grant = Grant(scope, session, round(self._now_s()) + lifetime_s)
        fields = {"scope": scope, "session": session, "exp": grant.expires_s}
        body = _encoded(json.dumps(fields, separators=(",", ":")).encode())
        return f"{body}.{self._signature(body)}", grant

    def read(self, given: str) -> Grant:
        """What a token grants.

        Raises:
            TokenRefused: it is none of ours, or its time is over.
        """
        if hmac.compare_digest(given.encode("utf-8", errors="replace"), self._own):
            return Grant("admin")
        body, _, signature = given[:MAX_TOKEN_CHARS].partition(".")
        genuine = self._signature(body).encode()
        if not hmac.compare_digest(signature.encode("utf-8", errors="replace"), genuine):
            raise TokenRefused(
                "the access token is missing or wrong: open the URL that the daemon printed"
            )
        grant = _grant(body)
        if grant.expires_s is not None and self._now_s() >= grant.expires_s:
            raise TokenRefused(
                f"this token was good until {grant.expires}: ask the performer for a new link"
            )
        return grant

    def _signature(self, body: str) -> str:
        text = body.encode("utf-8", errors="replace")
        return _encoded(hmac.digest(self._key, text, hashlib.sha256))


def _grant(body: str) -> Grant:
    """What a body says whose signature is ours."""
    try:
        fields: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        grant = Grant(fields["scope"], fields["session"], int(fields["exp"]))
    except (ValueError, KeyError, TypeError, binascii.Error) as exc:
        raise TokenRefused(f"this token was made by another version: {exc!r}") from exc
    if grant.scope not in get_args(Scope):
        raise TokenRefused(f"this token has scope {grant.scope!r}, which is none")
    return grant


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
