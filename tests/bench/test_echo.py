"""The echo bench: what turns become, a camera that stands still between them, and one real run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from realtime.bench import frame_code
from realtime.bench.echo import Standing, _asked, figures, is_measurable
from realtime.bench.frame_log import FrameLog, Served, stage_medians, write_every_answer
from realtime.bench.glass_clients import CodedCamera, Footage, Record
from realtime.bench.whip import hung_up
from realtime.clock import FakeClock
from realtime.errors import ReenactdError
from realtime.frames import OutputFrame, Timings
from realtime.metrics import SessionMetrics
from tests.pictures import i420_of, texture

MS = 1_000_000


def test_only_a_turns_last_pictures_count() -> None:
    """The first ones are shown by nobody: the output is not sure yet that pictures come again."""
    record = Record(
        sent=[(number, number * 33 * MS) for number in range(6)],
        seen=[(4, 142 * MS), (4, 150 * MS), (None, 160 * MS), (5, 185 * MS)],
    )
    served = [Served(spent, {"encode": spent / 2}) for spent in (90.0, 8.0, 10.0)]
    found = figures(record, served, 3)
    assert found["echo_p50_ms"] == pytest.approx(15)
    assert found["echo_server_p50_ms"] == 10 and found["stage_encode_p50_ms"] == 5
    assert found["echo_dropped_pct"] == pytest.approx(100 / 3)
    assert is_measurable(record, served, 3) and not is_measurable(record, [], 3)
    assert not is_measurable(Record(sent=record.sent, seen=[(1, 40 * MS)]), served, 3)
    with pytest.raises(ReenactdError, match="of 3 pictures 0 came back"):
        figures(Record(sent=record.sent), served, 3)
    with pytest.raises(ReenactdError, match="2 came back .* among 4 .* 0 answers went out"):
        figures(record, [], 3)


async def test_a_camera_that_was_stopped_goes_on_at_its_pace_and_stamps_the_pause() -> None:
    camera = CodedCamera(Footage([i420_of(texture())] * 2, fps=100, codec="h264"))
    first, second = await camera.recv(), await camera.recv()
    camera.stop_film()
    waiting = asyncio.ensure_future(camera.recv())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    camera.start_film()
    third = await waiting
    assert first.pts is not None and second.pts is not None and third.pts is not None
    assert second.pts - first.pts == 900
    assert 0.19 * 90_000 <= third.pts - second.pts - 900 < 2 * 90_000
    assert [number for number, _ in camera.sent] == [0, 1, 2], "none was made up for"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrameLog]:
    for name in ("encoded", "left"):
        monkeypatch.setattr(SessionMetrics, name, getattr(SessionMetrics, name))
    with write_every_answer(tmp_path / "frames.jsonl"):
        yield FrameLog(tmp_path / "frames.jsonl")


def test_every_answer_is_written_with_its_way_through_the_daemon(log: FrameLog) -> None:
    clock = FakeClock(100 * MS)
    metrics = SessionMetrics(clock)
    assert log.take() == []
    for seq, encode_ms in ((1, 4), (2, 6)):
        timings = Timings(clock.now_ns()).with_stage("receive", 5 * MS, clock.now_ns() - 5 * MS)
        timings = timings.with_stage("copy", 2 * MS, clock.now_ns())
        i420 = np.zeros((3, 2), np.uint8)
        output = OutputFrame(i420, 2, 2, seq, 0, "LIVE", timings, 0)
        clock.advance_ms(20)
        metrics.encoded(output, clock.now_ns() - encode_ms * MS, clock.now_ns())
        metrics.left(output, 9 * MS)
    one, two = log.take()
    assert one == Served(25, {"receive": 5, "copy": 2, "encode": 4, "send": 9})
    assert stage_medians([one, two])["encode"] == 5
    assert log.take() == [] and metrics.snapshot().server_p50_ms == 25, "as before"


class Goodbye:
    """A client that can hang up, or not."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.tried = 0

    async def hang_up(self) -> None:
        self.tried += 1
        if self.fails:
            raise ReenactdError("DELETE /whip/x: the daemon does not answer")


@pytest.mark.parametrize("fails", [False, True])
async def test_what_failed_first_is_told_whether_or_not_it_can_be_hung_up(fails: bool) -> None:
    client = Goodbye(fails=fails)
    with pytest.raises(ReenactdError, match="^of 15 pictures 0 came back$"):
        async with hung_up(client):
            raise ReenactdError("of 15 pictures 0 came back")
    assert client.tried == 1


async def test_a_goodbye_that_fails_after_all_went_well_is_told() -> None:
    with pytest.raises(ReenactdError, match="does not answer"):
        async with hung_up(Goodbye(fails=True)):
            pass
    async with hung_up(Goodbye(fails=False)):
        pass


class Resting:
    async def rest(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Who asks, and what is read of it."""
    reading, writing = os.pipe()
    with FileIO(reading) as requests, FileIO(writing, "w") as asker:
        yield asker, requests


async def test_every_line_is_a_request_and_the_end_of_the_file_is_none(
    pipe: tuple[FileIO, FileIO],
) -> None:
    asker, requests = pipe
    asker.write(b"\n\n")
    asker.close()
    asked = [await _asked(cast(Standing, Resting()), requests) for _ in range(3)]
    assert asked == [True, True, False]


def test_ctrl_c_ends_who_waits_for_a_request_without_one(pipe: tuple[FileIO, FileIO]) -> None:
    asker, requests = pipe
    in_the_end = threading.Timer(5, lambda: asker.write(b"\n"))  # else a fault would hang for ever

    async def interrupted() -> None:
        waiting = asyncio.create_task(_asked(cast(Standing, Resting()), requests))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    in_the_end.start()
    began_s = time.monotonic()
    asyncio.run(interrupted())
    assert time.monotonic() - began_s < 3
    in_the_end.cancel()
    in_the_end.join()


def test_the_real_thing_stands_ready_for_turns() -> None:
    command = [sys.executable, "-m", "realtime.cli", "bench", "echo"]
    asked = [*command, "--on-request", "--pictures", "10", "--fps", "20", "--size", "320x240"]
    done = subprocess.run(asked, input="\n\n", capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    turns = [json.loads(line) for line in done.stdout.splitlines()]
    assert [turn["scenario"] for turn in turns] == ["echo", "echo"]
    for turn in turns:
        metrics = turn["metrics"]
        assert metrics["echo_p50_ms"] > metrics["echo_server_p50_ms"] > 0
        for stage in ("receive", "ingest", "copy", "encode", "send"):
            assert metrics[f"stage_{stage}_p50_ms"] > 0
        assert metrics["stage_send_p50_ms"] >= metrics["stage_encode_p50_ms"]
        assert turn["config"]["engine"] not in ("", "auto", "loading")


def test_a_number_in_the_smallest_picture_that_is_let_pass_can_be_read() -> None:
    width, height = frame_code.LEAST_WIDTH_PX, frame_code.LEAST_HEIGHT_PX
    frame_code.require_code_fits("a picture", width, height)
    i420 = np.full((height * 3 // 2, width), 90, np.uint8)
    frame_code.draw(i420, 40_961)
    assert frame_code.read(i420[:height]) == 40_961
