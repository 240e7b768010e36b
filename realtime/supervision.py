"""What the service manager is told: ready, stopping, reloading, still alive (sd_notify(3)).

A datagram to the socket that systemd names in the environment; without one nothing happens. The
watchdog is fed from the event loop, and only while a restart would not help: a loop that hangs, or
a daemon that can serve nobody any more, is started again. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from realtime.daemon import State

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""how soon a change of state is passed on"""
STATUS: Mapping[State, str] = {
    "loading": "loading the networks",
    "ready": "ready",
    "sick": "cannot serve any more",
    "draining": "ending",
}


class Manager:
    """The service manager, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment)
        """a sign of life is expected within this time; None: never"""

    def tell(self, *lines: str) -> None:
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as exc:
            logger.warning("the service manager at %s cannot be told (%s)", self._path, exc)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if ours and microseconds.isdecimal() else None


async def supervise(manager: Manager, state: Callable[[], State]) -> None:
    """Pass the daemon's state on until cancelled."""
    told: State | None = None
    look_s = LOOK_S if manager.watchdog_s is None else min(LOOK_S, manager.watchdog_s / 3)
    try:
        while True:
            now = state()
            if now != told:
                news = {"ready": ["READY=1"], "draining": ["STOPPING=1"]}.get(now, [])
                manager.tell(*news, f"STATUS={STATUS[now]}")
                told = now
            if manager.watchdog_s is not None and now != "sick":
                manager.tell("WATCHDOG=1")
            await asyncio.sleep(look_s)
    finally:
        if told != "draining":
            manager.tell("STOPPING=1", f"STATUS={STATUS['draining']}")


def reloading(manager: Manager, reload: Callable[[], None]) -> None:
    """Reload, and say when that began and that it is done."""
    manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        reload()
    finally:
        manager.tell("READY=1")
