"""Looking again and again, whatever a look finds: a fault is logged, and the next look comes.

Who watches over others must not end by a fault in one of them, or end unheard. Knows nobody that is
watched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from realtime.clock import Clock
from realtime.metrics import ErrorReporter

logger = logging.getLogger(__name__)

AGAIN_S = 0.1
"""after a look that failed"""
PATIENCE = 20
"""looks in a row that fail before somebody is given up: two seconds"""


class Watch:
    """One task. Lives on the event loop.

    Args:
        look: returns after how many seconds the next one is due.
        name: of what is looked at, in the log.
    """

    def __init__(self, look: Callable[[], Awaitable[float]], name: str, clock: Clock) -> None:
        self.failure: str | None = None
        """why nothing is watched any more, if so"""
        self._look = look
        self._name = name
        self._errors = ErrorReporter(logger, clock, f"{name} look")
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"watch over the {self._name}")
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        failed = 0
        while True:
            try:
                pause_s = await self._look()
            except Exception as exc:  # noqa: BLE001 - the task's root: it must go on
                self._errors.add(exc, unexpected=True)
                failed, pause_s = failed + 1, AGAIN_S
                if failed >= PATIENCE:
                    self.failure = f"the watch over the {self._name} fails: {exc!r}"
            else:
                failed, self.failure = 0, None
            await asyncio.sleep(pause_s)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stopped:
            fault = "cancelled" if task.cancelled() else repr(task.exception())
            self.failure = f"the watch over the {self._name} has ended: {fault}"
            logger.error(self.failure)


class Guard:
    """Looks at each of several by itself, so that one that fails keeps nobody else waiting."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._errors = ErrorReporter(logger, clock, f"{what} look")
        self._failed: dict[str, int] = {}
        """by name: how often in a row"""

    def look(self, name: str, look: Callable[[], None]) -> str | None:
        """Look at the one of that name. Returns why it is to be given up, if it is."""
        try:
            look()
        except Exception as exc:  # noqa: BLE001 - one's fault is nobody else's
            self._errors.add(exc, unexpected=True)
            failed = self._failed[name] = self._failed.get(name, 0) + 1
            return f"a fault of the daemon: {exc!r}" if failed >= PATIENCE else None
        self._failed.pop(name, None)
        return None

    def forget(self, name: str) -> None:
        self._failed.pop(name, None)
