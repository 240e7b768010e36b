"""A real daemon in a process of its own, on a free port: `reenactd serve`, or a bench's variant."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from realtime.bench.machine import family, processor_s, resident_mib
from realtime.errors import StartupError

COMPARABLE = {"REENACTD_QUALITY__ADAPT": "false", "REENACTD_SERVER__MIN_FPS": "0"}
"""a bench measures what it says: no smaller pictures, nobody refused, unless the environment or the
bench itself asks for it"""
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
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

    async def __aenter__(self) -> DaemonProcess:
        command = (sys.executable, "-m", *self._program, "--port", "0", *self._arguments)
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
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
                "PYTHONUNBUFFERED": "1",
            },
        )
        try:
            self.url, self.token = await asyncio.wait_for(self._read_url(), START_TIMEOUT_S)
        except asyncio.TimeoutError:
            await self._stop()
            raise StartupError(f"the daemon did not listen within {START_TIMEOUT_S:g} s") from None
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
        """Processor time that it has used so far, over all its threads and worker processes."""
        return sum(processor_s(pid) for pid in family(self.pid))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def resident_mib(self) -> float:
        """Of all its processes; what they share counts for each."""
        return sum(resident_mib(pid) for pid in family(self.pid))

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
