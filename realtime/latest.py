"""One-slot channels: live video wants the newest value, a queue only stores latency.

The only way in which values cross threads here. A value that is replaced before it was read is
dropped and counted: `delivered + dropped + waiting == put`.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel was closed; no value will come any more."""


class Latest(Generic[T]):
    """Many writers, one reader; both may be on any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._value: T | None = None
        self._closed = False
        self.dropped = 0

    def put(self, value: T) -> T | None:
        """Replace the waiting value, and return it. Never blocks; a put after close is ignored."""
        with self._condition:
            if self._closed:
                return None
            replaced, self._value = self._value, value
            if replaced is not None:
                self.dropped += 1
            self._condition.notify()
            return replaced

    def wait(self) -> None:
        """Return once a value waits; it stays, and a newer one may still replace it.

        Raises:
            Closed: as of `take`.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._value is not None or self._closed)
            if self._value is None:
                raise Closed

    def take(self, timeout_s: float | None = None) -> T | None:
        """The newest value, or None when `timeout_s` passed without one.

        Raises:
            Closed: the channel was closed and nothing is waiting.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._value is not None or self._closed, timeout_s)
            value, self._value = self._value, None
            if value is None and self._closed:
                raise Closed
            return value

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class AsyncLatest(Generic[T]):
    """Put from any thread, read by one coroutine of the loop that it was made for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._event = asyncio.Event()
        self._value: T | None = None
        self._closed = False
        self.dropped = 0

    def put(self, value: T) -> T | None:
        """Replace the waiting value, return it, and wake the reader. Never blocks."""
        with self._lock:
            if self._closed:
                return None
            replaced, self._value = self._value, value
            if replaced is not None:
                self.dropped += 1
        if replaced is None:
            self._wake()
        return replaced

    async def take(self, timeout_s: float | None = None) -> T | None:
        """The newest value, or None when `timeout_s` passed without one.

        Raises:
            Closed: the channel was closed and nothing is waiting.
        """
        deadline = None if timeout_s is None else self._loop.time() + timeout_s
        while True:
            with self._lock:
                value, self._value = self._value, None
                closed = self._closed
                self._event.clear()
            if value is not None:
                return value
            if closed:
                raise Closed
            remaining_s = None if deadline is None else deadline - self._loop.time()
            if remaining_s is not None and remaining_s <= 0:
                return None
            try:
                await asyncio.wait_for(self._event.wait(), remaining_s)
            except asyncio.TimeoutError:
                return None

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop is closed: nobody reads any more
            return
