"""Films: what goes in comes out, at its time, and a disk that fills up or a crash leaves one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from realtime.bench.clap import Offsets, in_file
from realtime.clock import SOUND_CLOCK_HZ, VIDEO_CLOCK_HZ
from realtime.frames import OutputFrame, Timings
from realtime.opus import silence
from realtime.sinks.film import Film
from realtime.sinks.fragments import FilmFile, whole_bytes
from realtime.sinks.sound_line import BLOCK, LOOK_AHEAD, SoundLine

WIDTH, HEIGHT = 160, 120
BEGAN = 123_456


def picture(seq: int, luma: int = 60) -> OutputFrame:
    i420 = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    i420[:HEIGHT] = luma
    i420[:8, : 8 + seq % 100] = 200
    return OutputFrame(i420, WIDTH, HEIGHT, seq, 0, "LIVE", Timings(0), 0)


def clicking(ppm: float = 0.0) -> Iterator[tuple[int, bytes]]:
    """(camera stamp from 0, packet) of a microphone that clicks every second of true time."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = SOUND_CLOCK_HZ, "mono", "s16"
    encoder.open()
    rate_hz = SOUND_CLOCK_HZ * (1 + ppm / 1e6)
    block = 0
    while True:
        first = block * 960
        at_s = np.arange(first, first + 960) / rate_hz
        lit = (at_s % 1 < 0.005) & (at_s > 0.5)
        tone = (np.sin(at_s % 1 * 2 * np.pi * 2000) * lit * 20_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = SOUND_CLOCK_HZ
        packets = [bytes(packet) for packet in encoder.encode(frame)]
        assert len(packets) == 1
        yield round(first / rate_hz * VIDEO_CLOCK_HZ), packets[0]
        block += 1


def shoot(film: Film, seconds: float, ppm: float = 0.0) -> None:
    """Flashes and clicks together each second."""
    voices = clicking(ppm)
    heard, packet = next(voices)
    for count in range(round(seconds * 30)):
        stamp = count * 3000
        while heard <= stamp:
            film.voice(packet, BEGAN + heard)
            heard, packet = next(voices)
        film.picture(picture(count, 220 if count > 15 and count % 30 < 3 else 60), BEGAN + stamp)


def times_of(path: Path) -> list[float]:
    """Seconds of every picture that can be decoded."""
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        return [float((frame.pts or 0) * (base or 0)) for frame in container.decode(video=0)]


def test_pictures_keep_their_uneven_times(tmp_path: Path) -> None:
    film = Film(FilmFile(tmp_path / "a.mp4"), WIDTH, HEIGHT, BEGAN)
    stamps = [0, 2900, 6100, 30_000, 30_001, 120_000, 210_000]
    for seq, stamp in enumerate(stamps):
        film.picture(picture(seq), BEGAN + stamp)
    film.close()
    assert times_of(tmp_path / "a.mp4") == pytest.approx([at / 90_000 for at in stamps])
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"].startswith("Synthetic video")
        assert [stream.codec.canonical_name for stream in container.streams] == ["h264", "aac"]
        assert container.streams.video[0].codec_context.colorspace == 6


def test_flash_and_click_stay_together(tmp_path: Path) -> None:
    film = Film(FilmFile(tmp_path / "a.mp4"), WIDTH, HEIGHT, BEGAN)
    shoot(film, 6)
    film.close()
    offsets = Offsets.of(*in_file(tmp_path / "a.mp4"))
    assert offsets.claps == 5 and abs(offsets.worst_ms) < 1


@pytest.mark.parametrize("ppm", [2000.0, -2000.0, 100.0])
def test_a_skewed_microphone_is_followed_in_the_times(ppm: float) -> None:
    """100 ppm, as of a poor crystal; 2000 is beyond a tick for each packet."""
    line = SoundLine()
    worst = 0.0
    for count in range(3000):
        at = round(count * 960 / (1 + ppm / 1e6))
        line.add(silence(960), at)
        for _ in line.blocks():
            pass
        worst = max(worst, abs(line._next - (at - LOOK_AHEAD + 960)) if count > 50 else 0)
    assert worst < 32 * 48 if abs(ppm) > 1000 else worst < 20


def test_where_there_is_no_voice_there_is_silence_and_what_is_late_is_cut() -> None:
    line = SoundLine()
    line.fill(4800)
    line.add(silence(960), 4800 - 2000 + LOOK_AHEAD)  # all of it too late
    assert line._next == 4800
    line.add(silence(960), 48_000 + LOOK_AHEAD)
    line.add(b"\xff" * 300, 50_000)
    blocks = list(line.blocks())
    assert line._next == 48_960 and line.damaged == 1
    assert [at for at, _ in blocks] == list(range(0, 48_960 - BLOCK, BLOCK))
    assert not any(block.any() for _, block in blocks) and list(line.blocks()) == []


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        FilmFile(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"mine"


def test_a_film_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    FilmFile(tmp_path / "a.mp4").close()
    assert list(tmp_path.iterdir()) == []


class FullDisk:
    """`os.write` on a disk with so much room; the last write is cut short, as real ones are."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.write = os.write

    def __call__(self, file: int, data: Any) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.write(file, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 500, 3000, 9000, 20_000])
def test_a_full_disk_leaves_a_film_that_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "a.mp4"
    film = Film(FilmFile(path), WIDTH, HEIGHT, BEGAN)
    monkeypatch.setattr(os, "write", FullDisk(room))
    with pytest.raises(OSError, match="No space left"):
        shoot(film, 30)
    shot_s = film.seconds
    film.close()
    monkeypatch.undo()
    if room < 3000:  # not even a first fragment
        assert not path.exists()
        return
    times = times_of(path)
    assert times and shot_s - 1.5 < times[-1] <= shot_s + 0.1
    with path.open("rb") as file:
        assert whole_bytes(file.fileno()) == path.stat().st_size


def test_every_cut_of_a_film_plays_up_to_its_last_whole_fragment(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    film = Film(FilmFile(path), WIDTH, HEIGHT, BEGAN)
    shoot(film, 4)
    film.close()
    whole = path.read_bytes()
    cuts = np.linspace(3000, len(whole), 25).astype(int)
    reached = []
    for cut in cuts:
        part = tmp_path / "cut.mp4"
        part.write_bytes(whole[:cut])
        with part.open("rb") as file:
            bound = whole_bytes(file.fileno())
        os.truncate(part, bound)
        reached.append(times_of(part)[-1] if bound else 0.0)
    assert reached == sorted(reached) and reached[-1] == pytest.approx(119 / 30)
    assert len(set(reached)) >= 12, "four fragments a second"
