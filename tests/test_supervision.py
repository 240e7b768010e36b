"""What systemd is told, over a real socket; and the daemon under a manager from start to end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.daemon import State
from realtime.supervision import Manager, supervise
from tests.helpers import FakeStudio, config_with
from tests.running import Running

ROOT = Path(__file__).parents[1]


class Systemd:
    """Its end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(20)
        self.heard: list[str] = []

    def until(self, line: str) -> None:
        while line not in self.heard:
            self.heard += self.socket.recv(4096).decode().split("\n")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path / "notify")
    yield systemd
    systemd.socket.close()


async def test_states_are_passed_on_and_the_watchdog_is_fed(systemd: Systemd) -> None:
    state: list[State] = ["loading"]
    environment = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "30000"}
    task = asyncio.create_task(supervise(Manager(environment), lambda: state[0]))
    await asyncio.to_thread(systemd.until, "STATUS=loading the networks")
    await asyncio.to_thread(systemd.until, "WATCHDOG=1")
    assert "READY=1" not in systemd.heard
    state[0] = "ready"
    await asyncio.to_thread(systemd.until, "READY=1")
    state[0] = "sick"
    await asyncio.to_thread(systemd.until, "STATUS=cannot serve any more")
    state[0] = "draining"
    systemd.heard.clear()
    await asyncio.to_thread(systemd.until, "STOPPING=1")
    assert systemd.heard[0] != "WATCHDOG=1", "a sick daemon feeds no watchdog"
    task.cancel()


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    fed = {"WATCHDOG_USEC": "20000000"}
    assert Manager(fed).watchdog_s == 20
    assert Manager({**fed, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 20
    assert Manager({**fed, "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Manager({}).watchdog_s is None


def test_without_a_manager_or_with_a_dead_one_nothing_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Manager({}).tell("READY=1")
    assert not caplog.records
    Manager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert "cannot be told" in caplog.text


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0reenactd-test")
        Manager({"NOTIFY_SOCKET": "@reenactd-test"}).tell("READY=1", "STATUS=ready")
        assert listening.recv(100) == b"READY=1\nSTATUS=ready"


async def test_a_daemon_is_ready_when_it_is_and_says_that_it_stops(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.path)
    running = Running(monkeypatch, FakeStudio(), config_with(server={"port": 0}))
    try:
        await running.listening()
        await asyncio.to_thread(systemd.until, "READY=1")
        assert "STOPPING=1" not in systemd.heard
    finally:
        running.stop()
    await asyncio.to_thread(systemd.until, "STOPPING=1")


OTHER_TOKEN = "another-token-of-the-tests-that-is-long-enough"
PROGRAM = """
import sys
from pathlib import Path
from realtime.config import load
from realtime.server import run
from tests.helpers import FakeStudio
file = Path(sys.argv[1])
again = lambda: load(file, {})
run(again(), lambda line: print(line, flush=True), lambda config: FakeStudio(), again)
"""


def test_sighup_reloads_what_can_be_and_sigterm_ends(systemd: Systemd, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("[server]\nport = 0\n")
    token_file = tmp_path / "state" / "reenactd" / "token"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    environment = {**os.environ, **state, "NOTIFY_SOCKET": systemd.path, "PYTHONPATH": str(ROOT)}
    daemon = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(file)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        systemd.until("READY=1")
        for text in (
            "[server]\nport = 0\nmax_sessions = 3\n"
            "[log]\nformat = 'json'\n[video]\nwidth_px = 320\n",
            "[server]\nport = 'x'\n",
        ):
            systemd.heard.clear()
            file.write_text(text)
            daemon.send_signal(signal.SIGHUP)
            systemd.until("READY=1")
            assert "RELOADING=1" in systemd.heard
        token_file.write_text(OTHER_TOKEN)
        daemon.send_signal(signal.SIGHUP)
        systemd.heard.clear()
        systemd.until("READY=1")
        daemon.send_signal(signal.SIGTERM)
        printed, log = daemon.communicate(timeout=20)
    finally:
        daemon.kill()
    assert daemon.returncode == 0
    assert '"message": "reloaded: log.format, server.max_sessions"' in log
    assert "hold after a restart only: video.width_px" in log
    assert "the old ones hold: [server] port = 'x'" in log
    assert "Traceback" not in log
    assert printed.splitlines()[-1].endswith(f"/#token={OTHER_TOKEN}")
    assert "the access token is another one" in log and OTHER_TOKEN not in log
