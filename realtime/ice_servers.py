"""The STUN and TURN servers of the settings, with what opens them: for aiortc, pages and Link.

A TURN server relays for whom it knows. coturn knows them in one of two ways:

    user=NAME:PASSWORD         rtc.turn_username and rtc.turn_credential; everybody gets the same
    static-auth-secret=SECRET  rtc.turn_secret; everybody gets a name that says until when it is
                               good, and the password that goes with it (draft-uberti-behave-turn-
                               rest); the secret itself stays here

Either is told only to who has a token. Knows no HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timezone

from realtime.config import Rtc, is_turn

GOOD_FOR_S = 24 * 3600
"""a made-up name; coturn looks at it when a relay is asked for, so a session may last longer"""
ANYBODY = "reenactd"
"""the part of a made-up name that is for people, where `rtc.turn_username` has none"""


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server, for one client."""

    url: str
    username: str | None = None
    credential: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, str]:
        """An RTCIceServer of a browser."""
        if self.username is None or self.credential is None:
            return {"urls": self.url}
        return {"urls": self.url, "username": self.username, "credential": self.credential}

    def as_link(self) -> str:
        """A value of the Link header: RFC 9725 section 4.6."""
        link = f'<{self.url}>; rel="ice-server"'
        if self.username is None or self.credential is None:
            return link
        named = f"username={_quoted(self.username)}; credential={_quoted(self.credential)}"
        return f'{link}; {named}; credential-type="password"'


def ice_servers(config: Rtc, now_s: float | None = None) -> list[IceServer]:
    """Those of the settings, for a client that comes now.

    Args:
        now_s: of the wall clock, by which coturn goes, too; None: as it is.
    """
    username = config.turn_username
    given = config.turn_credential
    credential = None if given is None else given.get_secret_value()
    if config.turn_secret is not None:
        now_s = datetime.now(timezone.utc).timestamp() if now_s is None else now_s
        until_s = int(now_s) + GOOD_FOR_S
        username = f"{until_s}:{username or ANYBODY}"
        credential = _password(config.turn_secret.get_secret_value(), username)
    return [
        IceServer(url, username, credential) if is_turn(url) else IceServer(url)
        for url in config.ice_servers
    ]


def _password(secret: str, username: str) -> str:
    """What coturn reckons for that name: HMAC-SHA1, as the draft has it."""
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _quoted(text: str) -> str:
    """A quoted-string: RFC 9110 section 5.6.4."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
