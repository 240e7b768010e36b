"""A fault in one who is watched ends no watch, and a watch that is of no use is told of."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime import watches
from realtime.clock import MonotonicClock
from realtime.crew_worker import Call, Worker
from realtime.daemon import Daemon, build_services
from realtime.ladder import Rung
from realtime.quality import QualityControl
from realtime.session import Session
from realtime.viewing import Viewer
from realtime.watches import PATIENCE, Guard, Watch
from tests.helpers import FakeStudio, config_with, until


class Looks:
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        self.count = 0
        self.failures = failures

    async def __call__(self) -> float:
        self.count += 1
        if self.count <= self.failures:
            raise ZeroDivisionError("a bug")
        return 0.001


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "AGAIN_S", 0.001)


async def test_a_watch_survives_what_it_finds_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = Looks(failures=3)
    watch = Watch(looks, "sheep", MonotonicClock())
    watch.start()
    await until(lambda: looks.count >= 6)
    assert watch.failure is None
    assert "1 sheep look failed, last: a bug" in caplog.text
    assert "Traceback" in caplog.text, "a bug is found by its place"
    watch.stop()


async def test_a_watch_that_always_fails_is_told_of_until_it_works_again() -> None:
    looks = Looks(failures=PATIENCE + 20)
    watch = Watch(looks, "sheep", MonotonicClock())
    watch.start()
    await until(lambda: watch.failure is not None)
    assert watch.failure == "the watch over the sheep fails: ZeroDivisionError('a bug')"
    await until(lambda: watch.failure is None)
    watch.stop()


async def test_a_watch_that_ends_unasked_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    stopped, killed = (Watch(Looks(0), "sheep", MonotonicClock()) for _ in range(2))
    for watch in (stopped, killed):
        watch.start()
    await asyncio.sleep(0)
    stopped.stop()
    assert killed._task is not None
    killed._task.cancel()
    await until(lambda: killed.failure is not None)
    assert killed.failure == "the watch over the sheep has ended: cancelled"
    assert stopped.failure is None and caplog.text.count("has ended") == 1


def test_one_that_fails_is_given_up_after_a_while_and_the_others_are_looked_at() -> None:
    guard, seen = Guard("sheep", MonotonicClock()), list[str]()

    def fail() -> None:
        raise KeyError("leg")

    for _ in range(PATIENCE - 1):
        assert guard.look("dolly", fail) is None
        assert guard.look("shaun", lambda: seen.append("shaun")) is None
    assert guard.look("dolly", lambda: None) is None, "in a row, not in all"
    said = [guard.look("dolly", fail) for _ in range(PATIENCE)]
    assert said[-1] == "a fault of the daemon: KeyError('leg')" and set(said[:-1]) == {None}
    assert len(seen) == PATIENCE - 1


class Watched:
    """As much of a session or viewer as is watched."""

    def __init__(self, name: str, *, broken: bool) -> None:
        self.id = name
        self.broken = broken
        self.looks = 0
        self.closed: list[str] = []
        self.phase = "live"
        self.is_overdue = False

    def exertion(self) -> Any:
        raise AttributeError("a bug in what it costs")

    def watch(self, *_: object) -> None:
        self.looks += 1
        if self.broken:
            raise ValueError("a bug in one session")

    def close_soon(self, reason: str) -> None:
        self.closed.append(reason)


async def test_a_session_that_cannot_be_watched_ends_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    daemon = Daemon(build_services(config_with(), FakeStudio()))
    broken, well = Watched("broken", broken=True), Watched("well", broken=False)
    daemon.sessions._load._last = SimpleNamespace(at_ns=0)  # type: ignore[assignment]
    for each in (broken, well):
        daemon.sessions._sessions[each.id] = cast(Session, each)
    for _ in range(PATIENCE):
        await daemon.sessions._look()
    assert broken.closed == ["a fault of the daemon: ValueError('a bug in one session')"]
    assert well.closed == [] and well.looks == PATIENCE, "nor is anybody's cost its end"
    assert "a bug in one session" in caplog.text and "a bug in what it costs" in caplog.text


async def test_a_viewer_that_cannot_be_watched_ends_and_no_other() -> None:
    daemon = Daemon(build_services(config_with(), FakeStudio()))
    broken, well = Watched("broken", broken=True), Watched("well", broken=False)
    for each in (broken, well):
        daemon.viewers._viewers[each.id] = cast(Viewer, each)
    for _ in range(PATIENCE):
        await daemon.viewers._look()
    assert len(broken.closed) == 1 and well.closed == [] and well.looks == PATIENCE


@pytest.mark.parametrize("which", ["sessions", "viewers", "_consents"])
def test_a_daemon_whose_watches_fail_is_sick(which: str) -> None:
    daemon = Daemon(build_services(config_with(), FakeStudio()))
    states = [daemon.state]
    getattr(daemon, which)._watch.failure = "the watch over the sheep has ended: cancelled"
    assert [*states, daemon.state] == ["loading", "sick"]


async def test_a_fault_while_the_picture_changes_does_not_stop_the_ladder(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quality = QualityControl(config_with(quality={"adapt": True}))
    quality._changing = True

    async def fail(*_: object) -> None:
        raise RuntimeError("a bug in the wardrobe")

    session = SimpleNamespace(
        _quality=quality, _change_canvas=fail, _log=logging.getLogger("realtime.session")
    )
    await Session._change_quality(cast(Session, session), Rung(480, 360))
    assert quality.due(10**12) and quality.step == 0
    assert "RuntimeError" in caplog.text and "the picture stays at 640x480" in caplog.text


async def test_a_worker_that_talks_nonsense_keeps_its_last_look(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(1, tmp_path, "studio", {}, MonotonicClock())
    worker._http = cast(Any, object())

    async def nonsense(call: Call, timeout_s: float) -> Any:
        return SimpleNamespace(status_code=200, content=b'{"state": 7}')

    monkeypatch.setattr(worker, "ask", nonsense)
    await worker.look_again()
    assert worker.look is None and "worker 1 says what is no look" in caplog.text
