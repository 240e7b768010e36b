"""Hostile media: one clear line each or what can be made of it, no trace, and no hang."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from realtime import cli, stretches
from realtime.errors import StartupError
from realtime.media_file import MediaReader, VideoWriter
from tests.test_media_file import copy_clip, make_clip
from tests.test_render import CountingPipeline, Stage, run

QUICK_S = 2.0
"""what is refused is refused by then"""


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    path.write_text("not a film\n" * 1000)
    return path


def cut_header(path: Path) -> Path:
    """The index stands at the end, and is missing."""
    whole = make_clip(path, frames=100).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def sound_alone(path: Path) -> Path:
    with av.open(f"file:{path}", "w") as container:
        tone = container.add_stream("aac", rate=48_000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), "fltp", "mono")
        block.sample_rate, block.pts = 48_000, 0
        container.mux(tone.encode(block))
        container.mux(tone.encode(None))
    return path


def promised_size(path: Path) -> Path:
    """Pictures of 64x48 whose headers say 30,000x30,000."""
    made = path.with_suffix(".avi")
    with av.open(f"file:{made}", "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 99, np.uint8), format="yuv420p")
        container.mux(video.encode(frame.reformat(format="yuvj420p")))
    content = bytearray(made.read_bytes())
    made.unlink()
    at = -1
    while (at := content.find(b"\xff\xc0", at + 1)) >= 0:
        content[at + 5 : at + 9] = struct.pack(">HH", 30_000, 30_000)
    path.write_bytes(content)
    return path


def playlist(path: Path) -> Path:
    """Names another file, as a list of streams does."""
    other = make_clip(path.with_name("other.mp4"))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n")
    return path


def list_of_files(path: Path) -> Path:
    make_clip(path.with_name("other.mp4"))
    path.write_text("ffconcat version 1.0\nfile other.mp4\n")
    return path


def picture(path: Path) -> Path:
    Image.new("RGB", (64, 48)).save(path, "PNG")
    return path


HOPELESS = (empty, text, cut_header, sound_alone, promised_size, playlist, list_of_files)


@pytest.mark.parametrize("make", HOPELESS)
@pytest.mark.parametrize("command", ["verify", "render"])
def test_what_is_hopeless_is_refused_at_once(
    command: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path / "film.mp4")
    before = sorted(tmp_path.iterdir())
    began_s = time.monotonic()
    with pytest.raises(StartupError) as refused:
        if command == "verify":
            list(stretches.read(path))
        else:
            run(path, tmp_path / "out.mp4", Stage(CountingPipeline()))
    assert time.monotonic() - began_s < QUICK_S
    said = str(refused.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and "out.mp4" not in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("make", [empty, cut_header, promised_size])
def test_the_command_line_says_one_line(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4")
    result = CliRunner().invoke(cli.app, ["verify", str(path)])
    assert result.exit_code == 4 and isinstance(result.exception, SystemExit)
    assert len(result.output.strip().splitlines()) == 1


def test_a_picture_is_no_film_to_render_and_is_verified_by_what_it_is(tmp_path: Path) -> None:
    path = picture(tmp_path / "film.mp4")
    assert len(list(stretches.read(path))) == 1
    with pytest.raises(StartupError, match="film.mp4: is of no kind that is looked at"):
        MediaReader(path)


def test_a_film_that_breaks_off_is_used_until_there(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=100)
    path = tmp_path / "film.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    assert len(list(stretches.read(path))) > 5
    outcome = run(path, tmp_path / "out.mp4", Stage(CountingPipeline()))
    assert 30 < outcome.frames < 100


def test_times_that_stand_still_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mkv"
    with av.open(f"file:{path}", "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 99, np.uint8), format="yuv420p")
        for number in range(300):
            frame.pts = number
            for packet in video.encode(frame.reformat(format="yuvj420p")):
                packet.pts = packet.dts = 0
                container.mux(packet)
    decoded = 0
    frames = stretches._frames

    def counted(container: av.container.InputContainer) -> object:
        nonlocal decoded
        for one in frames(container):
            decoded += 1
            yield one

    monkeypatch.setattr(stretches, "_frames", counted)
    monkeypatch.setattr(stretches, "MAX_RATE", 1)
    assert len(list(stretches.read(path))) == 1
    assert decoded <= stretches.STRETCH_S * stretches.STRETCHES + 1
    assert run(path, tmp_path / "out.mp4", Stage(CountingPipeline())).frames == 300


def test_an_encoder_that_refuses_is_one_line(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with MediaReader(source) as reader, pytest.raises(StartupError, match="out.mp4: cannot be wr"):
        VideoWriter(tmp_path / "out.mp4", reader, 64, 47)  # no picture of 4:2:0 is so high
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("rate", [Fraction(60_000), Fraction(1, 60)])
def test_an_odd_rate_is_kept_or_refused_in_a_line(tmp_path: Path, rate: Fraction) -> None:
    path = make_clip(tmp_path / "film.mkv", rate=rate)
    assert len(list(stretches.read(path))) >= 1
    try:
        outcome = run(path, tmp_path / "out.mp4", Stage(CountingPipeline()))
    except StartupError as error:
        assert "\n" not in str(error)
    else:
        assert outcome.frames == 12


def test_damaged_sound_is_left_out_and_is_not_the_results_fault(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv", sound="aac", frames=50), tmp_path / "out.mp4"
    heard = 0
    with MediaReader(source) as reader, VideoWriter(target, reader, 64, 48) as writer:
        for item in reader:
            if isinstance(item, av.VideoFrame):
                writer.write(np.full((72, 64), 99, np.uint8), item.pts or 0)
                continue
            heard += 1
            if heard == 20:  # its time runs backwards
                item.pts = item.dts = 0
            writer.write_sound(item)
        assert reader.damaged == 1
    with MediaReader(target) as made:
        kept = [item for item in made if isinstance(item, av.Packet)]
    assert heard > 40 and len(kept) == heard - 1


def on_a_full_disk(target: Path) -> Path:
    """What is written there finds no room."""
    os.symlink("/dev/full", target.with_name(f".{target.stem}.partial-{os.getpid()}.mp4"))
    return target


@pytest.mark.parametrize("frames", [12, 400])
def test_a_full_disk_at_the_end_is_one_line(tmp_path: Path, frames: int) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=frames, sound="aac")
    target = on_a_full_disk(tmp_path / "out.mp4")
    with pytest.raises(StartupError, match="out.mp4: cannot be written: No space left"):
        copy_clip(source, target)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_disk_that_cannot_be_read_is_the_sources_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_clip(tmp_path / "in.mp4")
    with MediaReader(source) as reader:
        broken = av.error.FFmpegError(5, "Input/output error", str(source))

        class Failing:
            def demux(self, *_: object) -> object:
                raise broken
                yield

            def close(self) -> None: ...

        monkeypatch.setattr(reader, "_container", Failing())
        with pytest.raises(StartupError, match="in.mp4: cannot be read: Input/output error"):
            list(reader)
