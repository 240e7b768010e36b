"""The real daemon as a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LiveDaemon:
    """`reenactd serve` on a port of its own, with its state under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self.url = self.start()

    def start(self) -> str:
        """Start it (again, on the same port); the URL that it prints."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REENACTD_")
        }
        environment["XDG_STATE_HOME"] = str(self._directory)
        environment["PYTHONUNBUFFERED"] = "1"
        environment["REENACTD_QUALITY__ADAPT"] = (
            "false"  # a slow machine shows what a quick one does
        )
        environment["REENACTD_SERVER__MIN_FPS"] = "0"
        environment["REENACTD_SERVER__DRAIN_S"] = "0"  # a page is left open when it is stopped
        with (self._directory / "daemon.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "realtime.cli", "serve", "--port", str(self.port)],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        while True:
            line = lines.get(timeout=START_S)
            assert line, f"the daemon ended while starting: {self.log()}"
            if line.startswith("http://"):
                return line.strip()

    def wait_until_prepared(self) -> None:
        """Until every identity can be worn at once, which takes processor time after the start."""
        token = self.url.partition("#token=")[2]
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/identities",
            headers={"Authorization": f"Bearer {token}"},
        )
        for _ in range(START_S):
            with urllib.request.urlopen(asked) as answer:
                if all(identity["ready"] for identity in json.load(answer)):
                    return
            time.sleep(1)
        raise AssertionError(f"the identities are not prepared in {START_S} s: {self.log()}")

    def kill(self) -> None:
        """As a crash would: no goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def log(self) -> str:
        return (self._directory / "daemon.log").read_text()[-4000:]

    def _end(self, number: int) -> None:
        assert self._process.poll() is None, f"the daemon ended by itself: {self.log()}"
        self._process.send_signal(number)
        self._process.wait(timeout=15)
        self._reader.join(timeout=5)

    def _read(self, lines: queue.Queue[str]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                lines.put(line)
        lines.put("")
