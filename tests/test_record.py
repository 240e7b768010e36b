"""`reenactd record` beside a daemon that listens on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from realtime import record
from realtime.c2pa_manifest import check_c2pa, is_installed
from realtime.client import Address, Unanswered, find
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
        await performer.connect()
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


async def run(
    address: Address, name: str, out: Path | None = None, seconds: float | None = None
) -> str:
    """As the command does; without a time, Ctrl-C comes at once."""
    wait = interrupt if seconds is None else again
    return await asyncio.to_thread(record.run, address, name, out, seconds, wait)


async def test_a_film_is_made_and_moved(stage: tuple[Address, Performer], tmp_path: Path) -> None:
    address, performer = stage
    name = performer.location.rpartition("/")[2][:6]
    said = await run(address, name, tmp_path / "mine", 1.0)
    film = await asyncio.to_thread(lambda: next((tmp_path / "mine").iterdir()))
    assert said.startswith(f"{film}: 0:01, ") and said.endswith(" MiB")
    assert check_c2pa(film).state == ("trusted" if is_installed() else "unavailable")
    times = times_of(film)
    assert 1.0 <= times[-1] - times[0] < 8
    await until(lambda: state_of(performer) == "stopped")


async def test_ctrl_c_is_the_way_to_end_it(stage: tuple[Address, Performer]) -> None:
    address, performer = stage
    said = await run(address, performer.location.rpartition("/")[2][:6])
    assert "films" in said or "there is no film" in said
    await until(lambda: state_of(performer) == "stopped")


async def test_what_cannot_be_is_one_line(stage: tuple[Address, Performer], tmp_path: Path) -> None:
    address, performer = stage
    name = performer.location.rpartition("/")[2][:6]
    with pytest.raises(StartupError, match=f"no session 'other'; there are: {name}"):
        await run(address, "other")
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


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (61.9, "1:01"), (3723, "1:02:03")])
def test_lengths_are_told_as_on_a_clock(seconds: float, text: str) -> None:
    assert record.as_clock(seconds) == text
