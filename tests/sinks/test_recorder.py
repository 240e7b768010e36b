"""The recorder's thread: names, rotation, a full queue, and every way in which it can fail."""

from __future__ import annotations

import asyncio
import datetime
import errno
import os
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from realtime.capture_times import CaptureTimes
from realtime.clock import FakeClock
from realtime.config import Output, Recording
from realtime.frames import U8, Composited, OutputFrame, Timings, Voice
from realtime.opus import silence
from realtime.sinks import film_queue
from realtime.sinks import recorder as recorder_module
from realtime.sinks.film import Film
from realtime.sinks.recorder import Progress, Recorder, RecordingError
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from realtime.watermark_search import Search
from tests import performers
from tests.helpers import until
from tests.marks import label_seen
from tests.sinks.test_film import picture, times_of


def today() -> datetime.datetime:
    return datetime.datetime(2026, 11, 22, 20, 15, 3)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of pictures are put at once here, and all of them are wanted."""
    monkeypatch.setattr(film_queue, "LONG_QUEUE", 10**9)


class Shoot:
    """A recorder and a performer at 30 fps, on a clock of their own."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.clock = FakeClock(10**9)
        config = Recording(directory=directory, **settings)
        self.recorder = Recorder(config, "abc123", self.clock, CaptureTimes(0), today=today)
        self.count = 0

    async def start(self) -> Shoot:
        await asyncio.wrap_future(self.recorder.start())
        return self

    def go(self, pictures: int, shown: OutputFrame | None = None) -> None:
        for _ in range(pictures):
            now_ns = self.clock.now_ns()
            self.recorder.see(
                replace(
                    shown or picture(self.count),
                    source_seq=self.count,
                    pts=7000 + self.count * 3000,
                    timings=Timings(now_ns - 30_000_000),
                )
            )
            self.recorder.hear(Voice(silence(960), 0, 7000 + self.count * 3000, now_ns))
            self.count += 1
            self.clock.advance_ms(100 / 3)

    async def written(self, pictures: int) -> None:
        """Wait until so many are in films."""
        await until(lambda: self.recorder.progress.seconds > (pictures - 1.5) / 30)


def size_of(files: tuple[str, ...]) -> int:
    return sum(Path(path).stat().st_size for path in files)


async def test_a_film_is_named_by_date_and_session_and_lasts_as_long(tmp_path: Path) -> None:
    shoot = await Shoot(tmp_path / "films").start()
    shoot.go(45)
    said = await shoot.recorder.close()
    path = tmp_path / "films" / "2026-11-22_20-15-03_abc123.mp4"
    assert said.state == "stopped" and said.files == (str(path),) and said.problem == ""
    assert said.seconds == pytest.approx(44 / 30, abs=0.01) and said.bytes == path.stat().st_size
    times = times_of(path)
    assert len(times) == 45 and times[-1] == pytest.approx(44 / 30, abs=0.01)
    assert (tmp_path / "films").stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


async def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    first, second = await Shoot(tmp_path).start(), await Shoot(tmp_path).start()
    for shoot in (first, second):
        shoot.go(2)
        await shoot.recorder.close()
    assert [Path(shoot.recorder.progress.files[0]).name for shoot in (first, second)] == [
        "2026-11-22_20-15-03_abc123.mp4",
        "2026-11-22_20-15-03_abc123_2.mp4",
    ]


@pytest.mark.parametrize("bound", [{"max_minutes": 1 / 60}, {"max_mib": 1}])
async def test_a_film_that_is_long_or_large_enough_is_followed_by_another(
    tmp_path: Path, bound: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "max_mib" in bound:  # as if a film grew fast
        monkeypatch.setattr(recorder_module, "BYTES_PER_MIB", 2000)
    shoot = await Shoot(tmp_path, **bound).start()
    shoot.go(100)
    said = await shoot.recorder.close()
    lengths = [len(times_of(Path(path))) for path in said.files]
    assert len(lengths) >= 3 and sum(lengths) == 100
    assert said.bytes == size_of(said.files)
    assert said.seconds == pytest.approx((100 - len(lengths)) / 30, abs=0.02)


PAYLOAD = Payload(0xC0FFEE42)


@cache
def marked(width_px: int) -> list[OutputFrame]:
    """Half a second of a performer before a wall, as pipelines of that size send it."""
    height_px, made = width_px * 3 // 4, []
    mark, emit = Mark(Output(), PAYLOAD), Emit()
    for rgb in performers.pictures("performer1")[:15]:
        how = cv2.INTER_AREA
        sized = np.asarray(cv2.resize(rgb, (width_px, height_px), interpolation=how), np.uint8)
        made.append(emit(mark(Composited(sized)), 1, 0, "LIVE", Timings(0)))
    return made


def pictures_of(path: Path) -> list[U8]:
    """(H, W) luma of all."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]


@pytest.mark.parametrize("widths", [(640, 320, 640), (320, 640, 480)])
async def test_a_film_goes_on_while_the_pictures_change_their_size_and_both_marks_stay(
    tmp_path: Path, widths: tuple[int, ...]
) -> None:
    """Up and down the quality ladder: one film, in its first size."""
    shoot = await Shoot(tmp_path).start()
    for width in widths:
        for shown in marked(width):
            shoot.go(1, shown)
    said = await shoot.recorder.close()
    assert len(said.files) == 1 and said.seconds == pytest.approx(44 / 30, abs=0.01)
    pictures = pictures_of(Path(said.files[0]))
    assert {luma.shape for luma in pictures} == {(widths[0] * 3 // 4, widths[0])}
    assert len(pictures) == 45
    for luma, width in zip(pictures[::15], widths, strict=True):
        as_sent = np.asarray(cv2.resize(luma, (width, width * 3 // 4)), np.uint8)
        assert label_seen(as_sent), f"of {width} pixels"
    for part in (pictures, pictures[15:30]):
        search = Search()
        for luma in part[::3]:
            search.add(luma)
        finding = search.find()
        assert finding.payload == PAYLOAD and finding.marked
        assert finding.alignment.size == pytest.approx(1, abs=0.02), "nothing is stretched"


async def test_pictures_of_another_shape_begin_a_new_film(tmp_path: Path) -> None:
    shoot = await Shoot(tmp_path).start()
    for width_px, height_px in ((160, 120), (120, 160)):
        i420 = np.full((height_px * 3 // 2, width_px), 128, np.uint8)
        shoot.go(3, OutputFrame(i420, width_px, height_px, 0, 0, "LIVE", Timings(0), 0))
    said = await shoot.recorder.close()
    assert [len(times_of(Path(path))) for path in said.files] == [3, 3]


async def test_a_recording_without_pictures_leaves_nothing(tmp_path: Path) -> None:
    shoot = await Shoot(tmp_path).start()
    assert await shoot.recorder.close() == Progress("stopped", ())
    assert os.listdir(tmp_path) == []


async def test_a_folder_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RecordingError, match="file.*set recording.directory to another"):
        await Shoot(tmp_path / "file").start()


async def test_a_full_disk_ends_the_film_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shoot = await Shoot(tmp_path).start()
    shoot.go(60)
    await shoot.written(60)

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        shoot.go(60)
        await until(lambda: shoot.recorder.progress.state == "failed")
    said = await shoot.recorder.close()
    assert "No space left on device; the film ends here and can be played" in said.problem
    assert said.problem in caplog.text
    times = times_of(Path(said.files[0]))
    assert 25 <= len(times) <= 60


async def test_pictures_that_find_the_queue_full_are_counted_and_the_rest_stays_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(film_queue, "QUEUE_BYTES", 10 * picture(0).i420.nbytes)
    slow, write = threading.Event(), Film.picture

    def wait(film: Film, output: OutputFrame, stamp: int) -> None:
        slow.wait(20)
        write(film, output, stamp)

    monkeypatch.setattr(Film, "picture", wait)
    shoot = await Shoot(tmp_path).start()
    shoot.go(30)
    slow.set()
    said = await shoot.recorder.close()
    times = times_of(Path(said.files[0]))
    assert said.dropped + len(times) == 30 and 10 <= len(times) <= 11
    assert times == sorted(times)


async def test_where_much_waits_pictures_are_left_out_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is lost in a crash; a film that falls behind by all that fits would lose 3.5 s."""
    slow, write = threading.Event(), Film.picture

    def wait(film: Film, output: OutputFrame, stamp: int) -> None:
        slow.wait(20)
        write(film, output, stamp)

    monkeypatch.setattr(film_queue, "LONG_QUEUE", 90_000 * 3 // 4)
    monkeypatch.setattr(Film, "picture", wait)
    shoot = await Shoot(tmp_path).start()
    shoot.go(90)
    slow.set()
    said = await shoot.recorder.close()
    gaps = np.diff(times_of(Path(said.files[0])))
    assert said.dropped + len(gaps) + 1 == 90
    assert gaps[:22] == pytest.approx(1 / 30, abs=0.001), "a moment's delay costs nothing"
    assert list(gaps[22:]) == pytest.approx(sorted(gaps[22:]), abs=0.04) and gaps.max() < 1.1
    assert len(gaps) < 40


async def test_a_fault_of_the_recorder_ends_the_film_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot = await Shoot(tmp_path).start()
    shoot.go(3)
    await shoot.written(3)

    def break_down(*_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(Film, "picture", break_down)
    shoot.go(1)
    await until(lambda: shoot.recorder.progress.state == "failed")
    said = await shoot.recorder.close()
    assert "a fault of the recorder: ValueError('a bug')" in said.problem
    assert len(times_of(Path(said.files[0]))) == 3
