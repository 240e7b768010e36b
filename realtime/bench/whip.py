"""The daemon's HTTP side as a bench's client sees it: one WHIP resource (RFC 9725)."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Protocol

from realtime.errors import AdmissionRefused, ReenactdError

HTTP_TIMEOUT_S = 70.0
"""an offer waits until the daemon has loaded its networks"""


class Client(Protocol):
    async def hang_up(self) -> None:
        """
        Raises:
            ReenactdError: the daemon does not know the session any more, or does not answer.
        """


@contextlib.asynccontextmanager
async def hung_up(client: Client) -> AsyncIterator[None]:
    """Hang up in the end. Where something failed before, that is what is told: a daemon that has
    died, or ended the session, cannot be told goodbye either."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ReenactdError):
            await client.hang_up()
        raise
    await client.hang_up()


class Whip:
    """One session at the daemon, from offer to hang-up."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._session = ""

    async def offer(self, sdp: str, identity: str | None) -> str:
        """The daemon's answer.

        Raises:
            AdmissionRefused: it has no place.
            ReenactdError: the daemon refuses for another reason, or does not answer.
        """
        path = "/whip" if identity is None else f"/whip?identity={identity}"
        return await asyncio.to_thread(self._call, "POST", path, sdp.encode())

    async def hang_up(self) -> None:
        """End the session, if there is one.

        Raises:
            ReenactdError: the daemon does not know it any more, or does not answer.
        """
        if self._session:
            await asyncio.to_thread(self._call, "DELETE", self._session, None)
            self._session = ""

    def forget(self) -> None:
        """Leave the session to the daemon: `hang_up` does nothing any more."""
        self._session = ""

    def _call(self, method: str, path: str, body: bytes | None) -> str:
        """One HTTP call; blocks."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/sdp"}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
                self._session = response.headers.get("Location", "")
                text: str = response.read().decode()
                return text
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            refusal = AdmissionRefused if error.code == 503 else ReenactdError
            raise refusal(f"{method} {path}: HTTP {error.code}: {said}") from None
        except OSError as error:
            raise ReenactdError(f"{method} {path}: the daemon does not answer: {error}") from None
