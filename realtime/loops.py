"""Which event loop runs, and its end. Knows nothing of what runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from realtime.errors import StartupError


@dataclass(frozen=True, slots=True)
class LoopChoice:
    """The event loop, and why this one."""

    name: str
    reason: str
    new: Callable[[], asyncio.AbstractEventLoop]

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def choose_loop(setting: str) -> LoopChoice:
    """Take uvloop where it is installed, unless the setting says otherwise.

    Raises:
        StartupError: uvloop is asked for and not installed.
    """
    if setting == "asyncio":
        return LoopChoice("asyncio", "server.loop = asyncio", asyncio.new_event_loop)
    try:
        import uvloop
    except ImportError:
        if setting == "uvloop":
            raise StartupError(
                "server.loop = uvloop, but it is not installed: `pip install uvloop`, "
                "or set it to auto"
            ) from None
        return LoopChoice("asyncio", "auto: uvloop is not installed", asyncio.new_event_loop)
    reason = "server.loop = uvloop" if setting == "uvloop" else "auto: uvloop is installed"
    return LoopChoice("uvloop", reason, uvloop.new_event_loop)


def finish(loop: asyncio.AbstractEventLoop) -> None:
    """Let what was cancelled end before the loop goes; `asyncio.run` does the same."""
    leftovers = asyncio.all_tasks(loop)
    for task in leftovers:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
