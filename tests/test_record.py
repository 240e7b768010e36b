"""`reenactd record` beside a daemon that listens on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from realtime import record
from realtime.c2pa_manifest import check_c2pa, is_installed
from realtime.client import Absent, Address, Unanswered, find
from realtime.config import Config
from realtime.errors import StartupError
from tests.helpers import Camera, FakeStudio, Performer, config_with, until
from tests.running import Running
from tests.sinks.test_film import times_of


@pytest_asyncio.fixture
async def stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[tuple[Address, Performer]]:
    config = config_with(server={"port": 0}, recording={"directory": tmp_path / "films"})
    running = Running(monkeypatch, FakeStudio(), config)
    await running.listening()
    address = find(Config(), running.url)
    headers = {"Authorization": f"Bearer {address.token}"}
    async with httpx.AsyncClient(base_url=address.url, headers=headers, timeout=60) as client:
        performer = Performer(client, Camera())
        await performer.connect(name="stage")
        await until(lambda: performer.stat("state") == "LIVE")
        yield address, performer
        await client.delete(performer.location)
        await performer.close()
    running.stop()


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def state_of(performer: Performer) -> str:
    """Of the recording, as the page is told."""
    return str((performer.stat("recording") or {}).get("state"))


def again(seconds: float) -> None:
    """Ask the daemon again at once."""


def short_id(performer: Performer) -> str:
    return performer.location.rpartition("/")[2][:6]


async def run(
    address: Address, name: str, out: Path | None = None, seconds: float | None = None
) -> str:
    """As the command does; without a time, Ctrl-C comes at once."""
    wait = interrupt if seconds is None else again
    return await asyncio.to_thread(record.run, address, name, out, seconds, wait)


async def test_a_film_is_made_and_moved(stage: tuple[Address, Performer], tmp_path: Path) -> None:
    address, performer = stage
    said = await run(address, short_id(performer), tmp_path / "mine", 1.0)
    film = await asyncio.to_thread(lambda: next((tmp_path / "mine").iterdir()))
    assert said.startswith(f"{film}: 0:01, ") and said.endswith(" MiB")
    assert check_c2pa(film).state == ("trusted" if is_installed() else "unavailable")
    times = times_of(film)
    assert 1.0 <= times[-1] - times[0] < 8
    await until(lambda: state_of(performer) == "stopped")


async def test_ctrl_c_is_the_way_to_end_it(stage: tuple[Address, Performer]) -> None:
    address, performer = stage
    said = await run(address, "stage")
    assert "films" in said or "there is no film" in said
    await until(lambda: state_of(performer) == "stopped")


async def test_what_cannot_be_is_one_line(stage: tuple[Address, Performer], tmp_path: Path) -> None:
    address, performer = stage
    name = short_id(performer)
    there = rf"no session 'other'; there are: {name} \(stage\)$"
    with pytest.raises(StartupError, match=there):
        await run(address, "other")
    with pytest.raises(StartupError, match="session '../x': must be letters"):
        await run(address, "../x")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StartupError, match="--out .*file: .*; name a folder"):
        await run(address, name, tmp_path / "file")
    taken = tmp_path / "taken"
    taken.mkdir()
    said = await run(address, name, None, 0.2)
    film = Path(said.partition(":")[0])
    (taken / film.name).write_text("mine")
    with pytest.raises(StartupError, match="is there already; the film stays at"):
        record._moved(film, taken)
    assert (taken / film.name).read_text() == "mine"
    with pytest.raises(StartupError, match="is not on this machine"):
        record._moved(tmp_path / "elsewhere.mp4", taken)
    async with httpx.AsyncClient(base_url=address.url) as client:
        headers = {"Authorization": f"Bearer {address.token}"}
        await client.post(f"/api/sessions/{name}/recording", headers=headers)
    with pytest.raises(Unanswered, match="recorded already"):
        await run(address, name)


class Daemon:
    """Films in words: answers as the test lists them, and what it was asked for."""

    def __init__(self, *answers: Exception | dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def ask(self, address: Address, method: str, path: str, timeout_s: float = 5.0) -> record.Said:
        self.asked.append(method)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def progress(state: str = "on", seconds: float = 0.0) -> record.Said:
    film = {"state": state, "seconds": seconds, "files": ["/films/one.mp4"], "bytes": 2**20}
    return {**film, "dropped": 0, "problem": "", "unsigned": ""}


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[record._Talk, Daemon, list[str]]]:
    def make(*answers: Any) -> tuple[record._Talk, Daemon, list[str]]:
        daemon, lines = Daemon(*answers), list[str]()
        monkeypatch.setattr(record, "_ask", daemon.ask)
        address = Address("http://127.0.0.1:9", "token")
        return record._Talk(address, "/path", progress(), lines.append, again), daemon, lines

    return make


SLOW, BUSY = Unanswered("no answer (timed out)"), Unanswered("HTTP 429: too many requests")


def test_a_slow_answer_is_not_the_end(talk: Any) -> None:
    """The daemon films on: it is asked again, and then told to end."""
    talking, daemon, lines = talk(SLOW, BUSY, progress(seconds=3), progress("stopped", 3.1))
    talking.watch(2.0)
    assert talking.end() == progress("stopped", 3.1)
    assert daemon.asked == ["GET", "GET", "GET", "DELETE"]
    assert lines[1:] == [f"{why}; asking again  (Ctrl-C ends it)" for why in (SLOW, BUSY)]


def test_only_a_session_that_is_gone_is_the_end(talk: Any) -> None:
    talking, daemon, _ = talk(progress(seconds=1), Absent("there is no session"))
    talking.watch(None)
    assert talking.end() == progress("stopped", 1) and daemon.asked == ["GET", "GET"]


def test_an_end_without_an_answer_is_asked_after(talk: Any) -> None:
    """The second DELETE would be refused, for nothing is filmed any more."""
    ended = progress("stopped", 4)
    talking, daemon, _ = talk(SLOW, progress(seconds=3), Unanswered("HTTP 409: not filmed"), ended)
    assert talking.end() == ended
    assert daemon.asked == ["DELETE", "GET", "DELETE", "GET"]
    gone, daemon, _ = talk(SLOW, Absent("there is no session"))
    assert gone.end() == progress("stopped") and daemon.asked == ["DELETE", "GET"]


def test_a_daemon_that_stays_silent_ends_it_and_its_film_is_left_alone(
    talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "PATIENCE_S", -1.0)
    talking, _, _ = talk(SLOW)
    with pytest.raises(Unanswered, match="timed out.*; /films/one.mp4 is left as it is$"):
        talking.watch(None)


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (61.9, "1:01"), (3723, "1:02:03")])
def test_lengths_are_told_as_on_a_clock(seconds: float, text: str) -> None:
    assert record.as_clock(seconds) == text
