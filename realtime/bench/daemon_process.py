"""A real daemon in a process of its own, on a free port: `reenactd serve`, or a bench's variant."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from realtime.bench.machine import family, processor_s, resident_mib
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.errors import ReenactdError, StartupError

COMPARABLE = {"REENACTD_QUALITY__ADAPT": "false", "REENACTD_SERVER__MIN_FPS": "0"}
"""a bench measures what it says: no smaller pictures, nobody refused, unless the environment or the
bench itself asks for it"""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
LOAD_TIMEOUT_S = 180.0
"""for the networks, and then for the identities; of each worker process"""
ASK_TIMEOUT_S = 30.0
ASK_INTERVAL_S = 0.25
URL = re.compile(r"(http://\S+?)/#token=(\S+)")


class DaemonProcess:
    """Starts on entry and ends on exit; what it logs is shown only if it fails.

    Args:
        settings: environment names and values, before all others.

    Raises:
        StartupError: it ended, or did not listen in time.
    """

    def __init__(
        self,
        *arguments: str,
        program: tuple[str, ...] = ("realtime.cli", "serve"),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings or {}
        self._program = program
        self._arguments = arguments
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""
        self.token = ""
        self.listening_s = 0.0
        """from its start until it said where it listens"""

    async def __aenter__(self) -> DaemonProcess:
        command = (sys.executable, "-m", *self._program, "--port", "0", *self._arguments)
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        clock = MonotonicClock()
        began_ns = clock.now_ns()
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            env={
                **COMPARABLE,
                **os.environ,
                **self._settings,
                "PYTHONPATH": path,
            },
        )
        try:
            self.url, self.token = await asyncio.wait_for(self._read_url(), START_TIMEOUT_S)
        except asyncio.TimeoutError:
            await self._stop()
            raise StartupError(f"the daemon did not listen within {START_TIMEOUT_S:g} s") from None
        self.listening_s = (clock.now_ns() - began_ns) / NS_PER_S
        return self

    async def __aexit__(
        self,
        failure: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()
        if failure is not None:
            sys.stderr.write(self.log())
        self._log.close()

    @property
    def processor_s(self) -> float:
        """Processor time that it has used so far, over all its threads and worker processes.

        Raises:
            ProcessLookupError: it has ended.
        """
        return self._over_all(processor_s)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def resident_mib(self) -> float:
        """Of all its processes; what they share counts for each.

        Raises:
            ProcessLookupError: it has ended.
        """
        return self._over_all(resident_mib)

    def _over_all(self, figure: Callable[[int], float]) -> float:
        total, (_, *children) = figure(self.pid), family(self.pid)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):  # one that has ended meanwhile
                total += figure(pid)
        return total

    async def ask(self, path: str) -> Any:
        """What it answers to a GET.

        Raises:
            ReenactdError: it does not.
        """
        return await asyncio.to_thread(self._ask, path)

    async def engine(self) -> str:
        """What it computes with, once its networks are loaded: a figure is of that, not of `auto`.

        Raises:
            StartupError: they are not in time.
        """
        for _ in range(round(LOAD_TIMEOUT_S / ASK_INTERVAL_S)):
            said = str((await self.ask("/api/status"))["engine"])
            if said != "loading":
                return said
            await asyncio.sleep(ASK_INTERVAL_S)
        raise StartupError(f"the networks were not ready within {LOAD_TIMEOUT_S:g} s")

    async def prepared(self, workers: int = 1) -> None:
        """Wait until every identity is, in each of its processes: that takes processor time after
        the start.

        Raises:
            StartupError: they are not in time.
        """
        patience_s = LOAD_TIMEOUT_S * workers  # they load one after the other
        deadline = asyncio.get_running_loop().time() + patience_s
        while not all(identity["ready"] for identity in await self.ask("/api/identities")):
            if asyncio.get_running_loop().time() > deadline:
                raise StartupError(f"the identities were not ready within {patience_s:g} s")
            await asyncio.sleep(ASK_INTERVAL_S)

    def _ask(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ASK_TIMEOUT_S) as response:
                return json.load(response)
        except OSError as error:
            raise ReenactdError(f"the daemon does not answer to GET {path}: {error}") from None

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    async def _read_url(self) -> tuple[str, str]:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            match = URL.search(line.decode(errors="replace"))
            if match:
                return match[1], match[2]
        raise StartupError(f"the daemon ended before it listened: {self.log().strip()}")

    async def _stop(self) -> None:
        """Ctrl-C first, as a user would."""
        assert self._process is not None
        if self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
