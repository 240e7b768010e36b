"""A daemon that listens on a real port, in this process, with the fake studio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from realtime import server
from realtime.config import Config
from realtime.errors import StartupError
from realtime.server import run
from tests.helpers import FakeStudio, until


class Running:
    """`server.run` on its own thread, with the fake studio."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, studio: FakeStudio, config: Config) -> None:
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self.servers: list[Any] = []
        monkeypatch.setattr(
            server, "_stop_on_signals", lambda server, daemon: self.servers.append(server)
        )
        self.thread = threading.Thread(target=self._run, args=(config, studio))
        self.thread.start()

    @property
    def url(self) -> str:
        """As it is printed, with the token."""
        return self.lines[1]

    def _run(self, config: Config, studio: FakeStudio) -> None:
        try:
            run(config, self.lines.append, lambda config: studio)
        except StartupError as exc:
            self.error = exc

    async def listening(self) -> None:
        await until(lambda: len(self.lines) == 2)

    def stop(self) -> None:
        if self.servers:
            self.servers[0].should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def served(running: Running) -> Iterator[str]:
    """Its URL, for a thread whose own event loop is Playwright's."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(running.listening())).result()
    yield running.url
    running.stop()
