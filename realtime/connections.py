"""Connections that ask nothing: ended soon, and only so many from one other machine.

uvicorn waits for ever for the first request of a connection, and for the rest of one whose headers
have begun. A few hundred of those would take every place (`server.MAX_CONNECTIONS`), the page's own
calls with them. Knows no requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.responses import JSONResponse
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from realtime.access import is_loopback

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol

HEADERS_WITHIN_S = 10.0
"""of a new connection, and of the first byte of each further request on it"""
MAX_PER_ADDRESS = 32
"""of another machine. This one's programs share an address, and a proxy before the daemon has it"""
MAX_TOLD = 4
"""Of an address that has so many: further connections that may ask once, so as to be told why not.
Any more are closed at once"""
RETRY_AFTER_S = 5
"""an idle connection is closed after that"""
LOG_INTERVAL_S = 60.0
CROWDED = (
    "{} has {} connections open, and one address may have no more: close pages that nobody needs; "
    "where all come through a proxy or a router, run a proxy on the daemon's own machine, which "
    "has no such limit"
)

logger = logging.getLogger(__name__)


class BoundedProtocol(_Protocol):
    """uvicorn's protocol, with a deadline for headers and a limit for each address."""

    _open: ClassVar[Counter[str]] = Counter()
    """by address; of all connections of the process, which live on one event loop"""
    _refused: ClassVar[int] = 0
    """since the log said so"""
    _silent_until_s: ClassVar[float] = 0.0
    _deadline: asyncio.TimerHandle | None = None
    _address = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) and not is_loopback(peer[0]) else ""
        if self._address:
            self._open[self._address] += 1
            if (beyond := self._open[self._address] - MAX_PER_ADDRESS) > 0:
                self._refuse()
                if beyond > MAX_TOLD:
                    transport.close()
                    return
        self._wait()

    def _refuse(self) -> None:
        """Whatever it asks is answered with why not, and once; the log hears of it now and then."""
        why = CROWDED.format(self._address, MAX_PER_ADDRESS)
        headers = {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"}
        self.app = JSONResponse({"error": why}, 503, headers)
        ours = BoundedProtocol
        ours._refused += 1
        now_s = self.loop.time()
        if now_s >= ours._silent_until_s:
            logger.warning("%d connections refused: %s", ours._refused, why)
            ours._refused, ours._silent_until_s = 0, now_s + LOG_INTERVAL_S

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._address:
            self._open[self._address] -= 1
            if self._open[self._address] == 0:
                del self._open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:
            self._wait()
        super().data_received(data)
        if self._is_asked:
            self._stop_waiting()

    @property
    def _is_asked(self) -> bool:
        """A request's headers are complete, and its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADERS_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._is_asked:
            self.transport.close()
