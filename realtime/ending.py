"""How a process that serves ends: SIGTERM leaves those who perform a while, Ctrl-C does not.

    SIGTERM          no new session; those that run go on until the last has ended, at most for
                     `server.drain_s`
    SIGTERM, again   the end, now; so does SIGINT
    a third one      and no answer that is under way is waited for

The end of what runs is `stop`'s business. Knows no HTTP, and of sessions their number.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from typing import Protocol

from realtime.config import Config

logger = logging.getLogger(__name__)

LOOK_S = 0.1


class Server(Protocol):
    """What uvicorn's server goes by."""

    should_exit: bool
    force_exit: bool


class Host(Protocol):
    """Who has the sessions."""

    @property
    def config(self) -> Config: ...
    @property
    def session_count(self) -> int: ...
    def drain(self, within_s: float = 0.0) -> None: ...


class Ending:
    """Lives on the event loop."""

    def __init__(self, server: Server, host: Host) -> None:
        self._server = server
        self._host = host
        self._draining: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Once nobody performs any more; asked again, now."""
        if self._draining is not None or self._server.should_exit:
            self.now()
        else:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    def now(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = True
        self._host.drain()

    async def _drain(self) -> None:
        host, loop = self._host, asyncio.get_running_loop()
        drain_s = host.config.server.drain_s
        until_s = loop.time() + drain_s
        running = host.session_count
        host.drain(drain_s)
        if running and drain_s:
            logger.info(
                "%d session(s) may go on for %g s (server.drain_s); SIGTERM again ends them now",
                *(running, drain_s),
            )
        while True:  # who leaves, leaves by themselves: there is nobody to tell of it
            if not host.session_count or loop.time() >= until_s:
                break
            await asyncio.sleep(LOOK_S)
        self._server.should_exit = True


def end_on_signals(ending: Ending, *, interrupt: bool = True) -> None:
    """Have signals do it, where this thread and system can.

    Args:
        interrupt: SIGINT, too.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.soon)
    if interrupt:
        loop.add_signal_handler(signal.SIGINT, ending.now)
