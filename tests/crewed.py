"""A daemon with worker processes, in processes of its own, with the studio that obeys files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from realtime.bench.machine import family
from realtime.merging import WORKER_READY

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
from pathlib import Path
from realtime.config import load
from realtime.errors import ReenactdError
from realtime.server import run
from tests.crew_studio import studio
file = Path(sys.argv[1])
try:
    run(load(file, {}), lambda line: print(line, flush=True), studio, lambda: load(file, {}))
except ReenactdError as error:
    sys.exit(f"reenactd: {error}")
"""
SETTINGS = """
[server]
port = 0
workers = 2
min_fps = 0
post_rate_per_s = 1000
max_sessions = 3
drain_s = 0
[quality]
adapt = false
"""
START_S = 40.0
URL = re.compile(r"(http://\S+?)/#token=(\S+)")


class Crewed:
    """Starts; `ready` waits until all workers are."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self.state = folder / "state" / "reenactd"
        self.state.mkdir(parents=True, exist_ok=True)
        self.sockets = folder / "tmp"
        self.sockets.mkdir(exist_ok=True)
        self.file = folder / "r.toml"
        self.file.write_text(settings)
        self.log_file = folder / "log"
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("REENACTD_")},
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "data"),
            "TMPDIR": str(self.sockets),
            "PYTHONPATH": str(ROOT),
        }
        self.began_s = time.monotonic()
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.file)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
        self.url = self.token = ""

    def listen(self) -> float:
        """Wait for the printed URL. Returns how long it took from the start, in seconds."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := URL.search(line):
                self.url, self.token = found[1], found[2]
                return time.monotonic() - self.began_s
        raise AssertionError(f"it ended before it listened: {self.log}")

    def ready(self) -> Crewed:
        self.listen()
        self.until(lambda: len(self.up()) == 2)
        return self

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def http(self, token: str | None = None) -> httpx.AsyncClient:
        headers = self.headers if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)

    def get(self, path: str) -> Any:
        answer = httpx.get(self.url + path, headers=self.headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """(name, values of its labels, sorted by their names) -> value."""
        text = httpx.get(f"{self.url}/metrics", headers=self.headers, timeout=10).text
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for found in text_string_to_metric_families(text)
            for sample in found.samples
        }

    def up(self) -> list[str]:
        """Workers that are ready."""
        return [key[1] for key, value in self.metrics().items() if key[0] == WORKER_READY and value]

    def live(self) -> dict[str, float]:
        """worker -> its sessions that are live."""
        return {
            key[2]: value
            for key, value in self.metrics().items()
            if key[0] == "reenactd_sessions" and key[1] == "live"
        }

    def processes(self) -> list[int]:
        """The parent's first, then the workers' in the order of their start."""
        return family(self.process.pid)

    def until(self, condition: Callable[[], bool], timeout_s: float = START_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {self.log}"
            time.sleep(0.05)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=20)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "\nState:\tZ" not in status


def grant_header(scope: str) -> dict[str, str]:
    """What a client that knows the code would try."""
    from realtime.worker_talk import GRANT_HEADER

    said = {"scope": scope, "session": None, "expires_s": None}
    return {GRANT_HEADER: json.dumps(said)}
