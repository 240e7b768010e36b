"""Tokens that grant less than the daemon's own: one scope, an end, and perhaps one session.

    BODY.SIGNATURE     both base64url; BODY is JSON, SIGNATURE is HMAC-SHA-256 over it (RFC 2104)

Nothing of these is stored: the key is derived from the daemon's token (whose file has mode 0600),
so that what was given out survives a restart, and a new token file takes all of it back.

A code is for who cannot be given a token without others seeing it, as a phone that reads it from a
screen: it is exchanged once, soon, for a token that publishes one session and does nothing else.
Codes are kept in memory only. Knows no HTTP.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, get_args

Scope = Literal["publish", "view", "admin"]
Right = Literal["publish", "view", "admin", "exchange"]
"""a scope, or to exchange a code for a token and nothing else"""

MAX_TOKEN_CHARS = 1024
CODE_LIFETIME_S = 300
MAX_CODES = 8
"""that wait to be exchanged; one more ends the oldest"""
EXCHANGED_LIFETIME_S = 12 * 3600
"""of the token that a code is exchanged for"""
_CODE_BYTES = 16
_CODE_MARK = "once."
_PURPOSE = b"reenactd scoped tokens, version 1"
_WRONG = "the access token is missing or wrong: open the URL that the daemon printed"
_SPENT = "this code was used already, or its time is over: make a new one on the computer"


class TokenRefused(Exception):
    """What was given is no token of this daemon's, or not any more; its text is fit for a user."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the holder of a token may do."""

    scope: Right
    """admin may do everything"""
    session: str | None = None
    """the only session that it is for; None: any"""
    expires_s: int | None = None
    """since 1970; None: never"""

    @property
    def is_bound(self) -> bool:
        """Whether it lets somebody perform in one session, and do nothing else."""
        return self.scope == "publish" and self.session is not None

    @property
    def expires(self) -> str | None:
        """As RFC 3339 has it."""
        return None if self.expires_s is None else _moment(self.expires_s)


@dataclass(frozen=True, slots=True)
class Code:
    """What is exchanged once for a token."""

    text: str
    session: str
    """the session that the token may publish, and that no other code is for"""
    expires_s: int
    """since 1970"""

    @property
    def expires(self) -> str:
        """As RFC 3339 has it."""
        return _moment(self.expires_s)


def wall_clock_s() -> float:
    """Seconds since 1970: the only clock that goes on over a restart."""
    return datetime.now(timezone.utc).timestamp()


class Tokens:
    """Makes and reads them.

    Args:
        own: the daemon's own token, which grants everything.
    """

    def __init__(self, own: str, now_s: Callable[[], float] = wall_clock_s) -> None:
        self._now_s = now_s
        self._own = self._key = b""
        self._codes: list[Code] = []
        self.renew(own)

    @property
    def own(self) -> str:
        """The daemon's own token."""
        return self._own.decode()

    def renew(self, own: str) -> bool:
        """From now on this is the daemon's own token; another one takes back all that was given.

        Returns:
            Whether it is another one.
        """
        if own.encode() == self._own:
            return False
        self._own = own.encode()
        self._key = hmac.digest(self._own, _PURPOSE, hashlib.sha256)
        self._codes = []
        return True

    def make(self, scope: Scope, session: str | None, lifetime_s: int) -> tuple[str, Grant]:
        """A new token, and what it grants."""
        grant = Grant(scope, session, round(self._now_s()) + lifetime_s)
        fields = {"scope": scope, "session": session, "exp": grant.expires_s}
        body = _encoded(json.dumps(fields, separators=(",", ":")).encode())
        return f"{body}.{self._signature(body)}", grant

    def make_code(self) -> Code:
        """A new code, for a session of a new name."""
        session = f"phone-{secrets.token_hex(3)}"
        text = _CODE_MARK + secrets.token_urlsafe(_CODE_BYTES)
        code = Code(text, session, round(self._now_s()) + CODE_LIFETIME_S)
        self._codes = [*self._codes, code][-MAX_CODES:]
        return code

    def exchange(self, session: str | None) -> tuple[str, Grant]:
        """The token for which the code of that session is good; the code is dead from here on.

        Raises:
            TokenRefused: there is no such code (any more).
        """
        left = [code for code in self._codes if code.session != session]
        if session is None or len(left) == len(self._codes):
            raise TokenRefused(_SPENT)
        self._codes = left
        return self.make("publish", session, EXCHANGED_LIFETIME_S)

    def read(self, given: str) -> Grant:
        """What a token grants.

        Raises:
            TokenRefused: it is none of ours, or its time is over.
        """
        if hmac.compare_digest(given.encode("utf-8", errors="replace"), self._own):
            return Grant("admin")
        if given.startswith(_CODE_MARK):
            return self._read_code(given)
        body, _, signature = given[:MAX_TOKEN_CHARS].partition(".")
        genuine = self._signature(body).encode()
        if not hmac.compare_digest(signature.encode("utf-8", errors="replace"), genuine):
            raise TokenRefused(_WRONG)
        grant = _grant(body)
        if grant.expires_s is not None and self._now_s() >= grant.expires_s:
            raise TokenRefused(
                f"this token was good until {grant.expires}: ask the performer for a new link"
            )
        return grant

    def _read_code(self, given: str) -> Grant:
        now_s, found = self._now_s(), None
        self._codes = [code for code in self._codes if now_s < code.expires_s]
        for code in self._codes:  # all of them, so that the time tells nothing
            if hmac.compare_digest(given.encode("utf-8", errors="replace"), code.text.encode()):
                found = code
        if found is None:
            raise TokenRefused(_SPENT)
        return Grant("exchange", found.session, found.expires_s)

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
