"""Fixtures for all tests: a clean environment, and the performer clips."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from aiortc import RTCPeerConnection

from realtime.logs import CHATTY
from tests.doubles.gpu import Gpu, installed

TESTS = Path(__file__).parent
PERFORMERS = TESTS / "data" / "performers"
KEEP_TIME = frozenset(
    {
        "bench/test_crash.py",
        "bench/test_echo.py",
        "bench/test_glass.py",
        "bench/test_soak.py",
        "test_every_sink_is_marked.py",
        "test_fail_closed.py",
        "test_gstreamer.py",
        "test_lip_sync.py",
        "test_live_studio.py",
        "test_loss.py",
        "test_offer_mutations.py",
        "test_openapi.py",
        "test_overload.py",
        "test_packet_mutations.py",
        "test_picture_process.py",
        "test_recording.py",
        "test_viewers_voice.py",
    }
)
"""what is marked `alone`: bounds on real time, and figures that are told"""


def pytest_sessionstart() -> None:
    """Ctrl-C is heard by the programs that tests start, even where a shell runs the tests in the
    background: it then has them ignore it, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    assert all((TESTS / name).is_file() for name in KEEP_TIME)
    for item in items:
        if item.path.relative_to(TESTS).as_posix() in KEEP_TIME:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the settings, the token and the models of whoever runs it."""
    for name in os.environ:
        if name.upper().startswith("REENACTD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """A handler that a test has installed writes to that test's standard error, which is closed."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, CHATTY))}
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture(scope="session")
def made_peers() -> Iterator[WeakSet[RTCPeerConnection]]:
    """Every peer connection that this process has made and not yet forgotten."""
    made: WeakSet[RTCPeerConnection] = WeakSet()

    def make(cls: type[RTCPeerConnection], *_: Any, **__: Any) -> RTCPeerConnection:
        peer = object.__new__(cls)
        made.add(peer)
        return peer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RTCPeerConnection, "__new__", make)
        yield made


@pytest.fixture(autouse=True)
def no_peer_stays_open(made_peers: WeakSet[RTCPeerConnection]) -> Iterator[None]:
    """Whoever leaves a connection open fails, and not a later test that counts them."""
    yield
    if any(peer.connectionState != "closed" for peer in made_peers):
        gc.collect()
    left = [peer.connectionState for peer in made_peers if peer.connectionState != "closed"]
    made_peers.clear()
    assert left == [], "peer connections that this test left open"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a measured figure, which the end of the test run repeats."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [
        text for report in reports for name, text in report.user_properties if name == "figure"
    ]
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(str(line))


@pytest.fixture
def performer_clip() -> Path:
    """640x480, 25 fps, 10 s, a fictional person who talks, blinks and turns."""
    return PERFORMERS / "performer1.mp4"


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    """A pretended GPU for the tests of what needs one."""
    made = Gpu()
    with installed(made):
        yield made
