"""`reenactd top` and `reenactd trace` beside a daemon that listens on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from rich.console import Console

from realtime import top
from realtime.client import Address, Unanswered, find
from realtime.config import Config
from realtime.top import Look, look
from tests.helpers import Camera, FakeStudio, Performer, config_with, until
from tests.running import Running
from tests.test_cli import run_main
from tests.traces import check_arrows, check_form, check_nesting

SHOW_CURSOR = "\x1b[?25h"
ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


@pytest_asyncio.fixture
async def daemon(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    running = Running(monkeypatch, FakeStudio(), config_with(server={"port": 0}))
    await running.listening()
    yield running
    running.stop()


@pytest_asyncio.fixture
async def performer(daemon: Running) -> AsyncIterator[Performer]:
    address = find(Config(), daemon.url)
    headers = {"Authorization": f"Bearer {address.token}"}
    async with httpx.AsyncClient(base_url=address.url, headers=headers, timeout=60) as client:
        performing = Performer(client, Camera())
        await performing.connect()
        await until(lambda: performing.stat("state") == "LIVE")
        yield performing
        await client.delete(performing.location)
        await performing.close()


def shown(address: Address, wait: Callable[[float], None], **how: Any) -> str:
    """What `top` writes."""
    out = io.StringIO()
    console = Console(file=out, highlight=False, **how)
    top.run(address, console, once=False, wait=wait)
    return out.getvalue()


def no_wait(seconds: float) -> None:
    raise AssertionError("one table only")


async def test_one_table_where_there_is_no_terminal(daemon: Running, performer: Performer) -> None:
    said = await asyncio.to_thread(shown, find(Config(), daemon.url), no_wait)
    header, engine, _, names, row = said.rstrip().split("\n")
    assert re.match(r"reenactd \S+ +1 of 8 sessions +\d+ MiB +loop ", header)
    assert engine == "engine fake network: for tests"
    assert (
        names.split()
        == "session identity state fps in out p50 ms p95 drops err face camera age why".split()
    )
    cells = row.split()
    assert cells[0] == performer.heard("hello")[0]["session"]
    assert cells[1:3] == ["juniper", "LIVE"] and float(cells[3]) > 0
    assert cells[9:] == ["ok", "320x240", cells[11]] and re.match(r"\d+:\d\d$", cells[11])
    assert "\x1b" not in said


def test_a_session_is_shown_with_its_name_as_well() -> None:
    status = {"version": "1", "sessions": 1, "max_sessions": 2, "loop": "l", "engine": "e"}
    session = {
        **{"session": "abc123", "name": "my-stage", "identity": "juniper", "state": "LIVE"},
        **{"phase": "live", "fps_in": 30, "fps_out": 30, "latency_ms": {"p50": 1, "p95": 2}},
        **{"drops": {}, "errors": 0, "face": "ok", "camera": {"width": 640, "height": 480}},
        **{"age_s": 1, "reason": "", "quality": {"step": 0}},
    }
    table = top.shown(Look(0.0, status, [session], 0.0, 0.0), None)
    for width, said in ((140, "abc123 (my-stage) juniper"), (80, "(my-stage)")):
        out = io.StringIO()
        Console(file=out, width=width).print(table)
        assert said in out.getvalue() and "juniper" in out.getvalue()


async def test_it_is_drawn_anew_until_ctrl_c_which_leaves_a_clean_terminal(
    daemon: Running, performer: Performer
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            raise KeyboardInterrupt

    address = find(Config(), daemon.url)
    said = await asyncio.to_thread(shown, address, wait, force_terminal=True, width=80)
    assert len(waits) == 4
    assert said.rstrip().endswith(SHOW_CURSOR)
    text = ESCAPES.sub("", said)
    assert text.count("reenactd ") == 4 + 1, "once per look, and once more at the end"
    assert "% CPU" in text and "LIVE" in text and "320x240" in text, "all of it in 80 columns"


async def test_a_daemon_that_goes_ends_it_with_one_line(daemon: Running) -> None:
    def wait(seconds: float) -> None:
        daemon.stop()

    address = find(Config(), daemon.url)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True)
    with pytest.raises(Unanswered, match="no reenactd answers at"):
        await asyncio.to_thread(top.run, address, console, once=False, wait=wait)
    assert out.getvalue().rstrip().endswith(SHOW_CURSOR)


async def test_a_real_terminal_is_left_clean(daemon: Running) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "realtime.cli", "top", "--url", daemon.url]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    said = b""

    def read() -> bytes:
        with contextlib.suppress(OSError):  # the other end is closed
            return os.read(ours, 4096)
        return b""

    while b"engine fake network" not in said:
        more = await asyncio.to_thread(read)
        assert more, f"it ended by itself: {said.decode()}"
        said += more
    process.send_signal(signal.SIGINT)
    while more := await asyncio.to_thread(read):
        said += more
    assert await process.wait() == 0
    os.close(ours)
    assert said.rstrip().endswith(SHOW_CURSOR.encode())
    assert b"Traceback" not in said


def test_the_processors_share_is_of_the_time_between_two_looks() -> None:
    before = Look(10.0, {}, [], cpu_s=5.0, resident_bytes=0.0)
    assert top._cpu_pct(replace(before, at_s=12.0, cpu_s=6.5), before) == 75


def test_a_lowered_picture_is_told_where_nothing_worse_is() -> None:
    full = {"width": 640, "height": 480, "max_fps": None, "step": 0, "reason": ""}
    assert top._lowered(full) == ""
    low = {**full, "width": 320, "height": 240, "max_fps": 15.0, "step": 4, "reason": "it is slow"}
    assert top._lowered(low) == "320x240, at most 15 fps: it is slow"


async def test_sessions_are_in_the_look(daemon: Running, performer: Performer) -> None:
    seen = await asyncio.to_thread(look, find(Config(), daemon.url))
    assert seen.cpu_s > 0 and seen.resident_bytes > 1 << 20
    assert [session["phase"] for session in seen.sessions] == ["live"]


async def test_a_trace_becomes_a_file(
    daemon: Running,
    performer: Performer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "trace.json"
    target.write_text("an older one")
    words = ("trace", str(target), "--seconds", "0.4", "--url", daemon.url)
    code, out, error = await asyncio.to_thread(run_main, monkeypatch, capsys, *words)
    assert (code, error) == (0, "")
    events = json.loads(target.read_text())["traceEvents"]
    check_form(events)
    check_nesting(events)
    check_arrows(events)
    assert re.match(rf"{target}: 0\.[45] s, {len(events)} events, sessions: 1; open it at", out)
    assert sorted(os.listdir(tmp_path)) == ["state", "trace.json"], "and no part of one"


async def test_a_trace_that_nobody_waits_for_any_more_makes_room(daemon: Running) -> None:
    address = find(Config(), daemon.url)
    headers = {"Authorization": f"Bearer {address.token}"}
    async with httpx.AsyncClient(base_url=address.url, headers=headers, timeout=30) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/api/trace?seconds=60", timeout=httpx.Timeout(30, read=0.3))
        asked = asyncio.get_running_loop().time()
        while (await client.post("/api/trace?seconds=0.01")).status_code == 409:
            assert asyncio.get_running_loop().time() < asked + 20, "of 60 s"


async def test_failures_are_one_line_and_exit_code_2(
    daemon: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = daemon.url.partition("#")[0]
    wrong = f"{url}#token={'x' * 43}"
    target = str(tmp_path / "t.json")
    for words, said in (
        (("top", "--url", wrong), "the token is not that of the daemon"),
        (("top", "--once", "--url", "http://127.0.0.1:9/#token=x"), "no reenactd answers at"),
        (("trace", target, "--url", wrong), "the token is not that of the daemon"),
        (("trace", str(tmp_path / "absent" / "t.json"), "--url", daemon.url), "cannot be written"),
    ):
        code, out, error = await asyncio.to_thread(run_main, monkeypatch, capsys, *words)
        assert (code, out) == (2, "") and said in error
        assert error.startswith("reenactd: ") and error.count("\n") == 1
    assert os.listdir(tmp_path) == ["state"]
