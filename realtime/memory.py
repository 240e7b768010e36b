"""Memory: what a session leaves goes back to the system, what stays is not searched for waste.

Knows no sessions.

glibc keeps what is freed, in an arena for every few threads. Each performer brings three threads
and pictures of a megabyte: after seven of them a daemon at rest held 730 MiB, of which 490 were in
use (docs/LOG.md), and half an hour of them looks like a leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
from collections.abc import Awaitable, Callable
from typing import Any

AFTER_S = 2.0
"""a session's threads and buffers are gone by then; those who leave together are one"""


@functools.cache
def _trim() -> Callable[[int], Any]:
    """glibc's malloc_trim(3); nothing where another C library is at work."""
    with contextlib.suppress(OSError, AttributeError):
        found: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
        return found
    return lambda pad: 0


def give_back() -> None:
    """Some 10 ms of a processor; other threads go on, but for those that allocate meanwhile."""
    _trim()(0)


def keep_for_good() -> None:
    """All that Python has loaded by now stays: its collector need not look at it again.

    It would stop every thread for 70 to 150 ms, minutes apart or with each performer who comes
    and goes (docs/LOG.md). What is made from now on is collected as ever, and sooner.
    """
    gc.collect()
    gc.freeze()


class Trimmer:
    """Lives on one event loop.

    Args:
        run: calls a function on a thread that nobody waits for.
    """

    def __init__(self, run: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Once, however often it is asked for until then."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._wait_and_trim())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _wait_and_trim(self) -> None:
        await asyncio.sleep(AFTER_S)
        await self._run(give_back)
