from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from PIL import Image

from realtime import stretches
from realtime.errors import StartupError
from realtime.frames import U8
from realtime.stretches import PICTURES_PER_S, STRETCH_S, STRETCHES, extent_of, read


def write_film(
    path: Path, seconds: float, fps: int = 5, codec: str = "libx264", keys_apart: int = 5
) -> Path:
    """Each picture is as bright as it is late: a level per half second.

    Args:
        keys_apart: pictures from one key frame to the next.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if codec == "libx264":
            keys = {"g": str(keys_apart), "sc_threshold": "0"}
            video.options = {"preset": "ultrafast", **keys}
        for number in range(round(seconds * fps)):
            level = 16 + number * 2 // fps % 220
            picture = np.full((72, 64), level, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(video.encode(None))
    return path


def rgb(width: int = 64, height: int = 48) -> U8:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_a_still_is_one_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"still.{suffix}"
    Image.fromarray(rgb()).save(path)
    (seen,) = read(path)
    assert seen.luma.shape == (48, 64)
    assert seen.luma.flags.c_contiguous
    assert extent_of(path).stretches == 1


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "CMYK", "LA"])
def test_every_kind_of_colour_is_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    Image.fromarray(rgb()).convert(mode).save(path)
    (seen,) = read(path)
    expected = np.asarray(Image.fromarray(rgb()).convert("L"), int)
    assert np.abs(seen.luma.astype(int) - expected).mean() < (30 if mode in "P CMYK" else 3)


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb()).save(tmp_path / "turned.png", exif=exif)
    (seen,) = read(tmp_path / "turned.png")
    assert seen.luma.shape == (64, 48)


def test_an_animation_is_read_picture_by_picture(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 200)]
    pictures[0].save(tmp_path / "two.gif", save_all=True, append_images=pictures[1:])
    assert [int(seen.luma[0, 0]) for seen in read(tmp_path / "two.gif")] == [10, 200]


@pytest.mark.parametrize(("name", "codec"), [("film.mp4", "libx264"), ("film.webm", "libvpx")])
def test_a_film_is_read_in_stretches(tmp_path: Path, name: str, codec: str) -> None:
    path = write_film(tmp_path / name, 24, codec=codec)
    seen = list(read(path))
    assert [one.stretch for one in seen] == sorted(one.stretch for one in seen)
    assert {one.stretch for one in seen} == {0, 1, 2}
    assert extent_of(path).stretches == 3
    assert all(0 <= one.at_s < STRETCH_S for one in seen)


def test_more_pictures_a_second_are_not_looked_at(tmp_path: Path) -> None:
    path = write_film(tmp_path / "fast.mp4", 2, fps=50)
    assert len(list(read(path))) <= 2 * PICTURES_PER_S + 1


def test_a_long_film_is_looked_at_here_and_there(tmp_path: Path) -> None:
    path = write_film(tmp_path / "long.mp4", 300)
    seen = list(read(path))
    assert {one.stretch for one in seen} == set(range(STRETCHES))
    assert len(seen) <= STRETCHES * (STRETCH_S * 5 + 1)
    last = [float(one.luma.mean()) for one in seen if one.stretch == STRETCHES - 1]
    assert max(last) - min(last) > 10  # of ten seconds, from the end of the film


def test_a_film_that_breaks_off_is_read_until_there(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.webm", 8, codec="libvpx")
    whole = len(list(read(path)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(list(read(path))) < whole


def test_what_is_asked_for_is_all_that_is_read(tmp_path: Path) -> None:
    pictures = read(write_film(tmp_path / "film.mp4", 24))
    assert next(pictures).at_s == 0
    pictures.close()  # type: ignore[attr-defined]  # a generator


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"not a picture at all", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "of no kind that is looked at"),
        (b"RIFF" + bytes(60), "cannot be read|of no kind"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=reason) as caught:
        list(read(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_cut_off_still_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(rgb(640, 480)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StartupError, match="cannot be read as a picture"):
        list(read(path))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "tone.wav"), "w") as container:
        tone = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 8000
        container.mux(tone.encode(block))
    with pytest.raises(StartupError, match="holds no picture"):
        list(read(tmp_path / "tone.wav"))


def test_a_picture_that_would_fill_the_memory_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (13_000, 13_000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(StartupError, match="at most"):
        list(read(tmp_path / "bomb.png"))
    monkeypatch.setattr(stretches, "MAX_PX", 1000)
    with pytest.raises(StartupError, match="make it smaller"):
        list(read(write_film(tmp_path / "film.mp4", 1)))


@pytest.mark.parametrize("size", [(900, 100), (100, 900)])
def test_a_strip_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size).save(tmp_path / "strip.png")
    with pytest.raises(StartupError, match="cut it"):
        list(read(tmp_path / "strip.png"))


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\n"
    b"(%pipe%touch /tmp/reenactd-was-here) (w) file closefile\n%%EOF\n"
)


@pytest.mark.parametrize("name", ["picture.eps", "picture.png", "film.mp4"])
def test_what_a_file_says_to_ghostscript_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = "PIL.EpsImagePlugin.Ghostscript"
    monkeypatch.setattr(run, lambda *_, **__: pytest.fail("Ghostscript was asked"))
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(StartupError, match="of no kind|cannot be read as picture or video"):
        list(read(tmp_path / name))


@pytest.mark.parametrize("suffix", ["ppm", "tga", "pcx", "ico", "jp2", "dds"])
def test_only_common_formats_reach_a_decoder_of_pillows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(rgb()).save(path)
    with pytest.raises(StartupError, match="of no kind that is looked at|cannot be read"):
        list(read(path))


def test_a_picture_that_cannot_be_converted_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Damaged:
        width, height, time, rotation = 64, 48, 0.5, 0

        def to_ndarray(self, format: str) -> U8:
            raise ValueError("Conversion to numpy array with format is not yet supported")

    frames = stretches._frames

    def two(container: InputContainer) -> Iterator[av.VideoFrame]:
        whole = list(frames(container))
        return iter([whole[0], cast(av.VideoFrame, Damaged()), whole[-1]])

    monkeypatch.setattr(stretches, "_frames", two)
    assert len(list(read(write_film(tmp_path / "film.mp4", 2)))) == 2


def test_one_thread_decodes(tmp_path: Path) -> None:
    with stretches._open(write_film(tmp_path / "film.mp4", 1)) as container:
        assert container.streams.video[0].codec_context.thread_count == 1


def test_all_of_a_long_film_is_looked_at_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STRETCH_S", 1.0)
    monkeypatch.setattr(stretches, "STRETCHES", 3)
    path = write_film(tmp_path / "film.mp4", 8)
    assert (extent_of(path).stretches, extent_of(path).is_sampled) == (3, True)
    some = list(read(path))
    assert some[-1].covered_s == pytest.approx(3, abs=0.3)  # of ten pictures a second every other
    extent = extent_of(path, whole=True)
    assert not extent.is_sampled and extent.stretches >= 8
    seen = list(read(path, extent))
    assert {one.stretch for one in seen} == set(range(8))
    assert seen[-1].covered_s == pytest.approx(8, abs=0.2)


@pytest.fixture
def looked_at_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times of the pictures that were looked at."""
    times: list[float] = []
    upright = stretches._upright

    def noting(frame: av.VideoFrame) -> U8 | None:
        times.append(frame.time or 0.0)
        return upright(frame)

    monkeypatch.setattr(stretches, "_upright", noting)
    return times


@pytest.mark.parametrize("keys_apart_s", [8, 10, 20, 60, 9999])
@pytest.mark.parametrize("seconds", [125, 300])
def test_no_second_counts_twice_however_rare_key_frames_are(
    tmp_path: Path, looked_at_s: list[float], keys_apart_s: int, seconds: int
) -> None:
    path = write_film(tmp_path / "long.mp4", seconds, keys_apart=5 * keys_apart_s)
    seen = list(read(path))
    assert {one.stretch for one in seen} == set(range(STRETCHES))
    assert looked_at_s == sorted(set(looked_at_s)), "none twice, and in order"
    assert seen[-1].covered_s == pytest.approx(len(looked_at_s) / 5, abs=1.5)
    assert seen[-1].covered_s == pytest.approx(STRETCHES * STRETCH_S, abs=12)
    assert looked_at_s[-1] > seconds - 2 * STRETCH_S, "up to its end"


def test_what_cannot_be_sought_is_decoded_as_far_as_there_is_time(
    tmp_path: Path, looked_at_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_film(tmp_path / "long.mp4", 300, keys_apart=9999)
    monkeypatch.setattr(stretches, "PASSED_PX", 64 * 48 * 5 * 60)
    *_, last = read(path)
    assert last.covered_s == pytest.approx(60, abs=2) and max(looked_at_s) < 60
    looked_at_s.clear()
    monkeypatch.setattr(stretches._Film, "_seek", lambda *_: False)
    monkeypatch.setattr(stretches, "PASSED_PX", 64 * 48 * 5 * 200)
    *_, last = read(path)
    assert last.covered_s == pytest.approx(120, abs=2)
    assert 180 < max(looked_at_s) < 211 and looked_at_s == sorted(set(looked_at_s))


def test_pictures_without_a_time_are_as_far_apart_as_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Untimed:
        time, width, height, rotation = None, 64, 48, 0

        def to_ndarray(self, format: str) -> U8:
            return np.zeros((48, 64), np.uint8)

    def untimed(_: InputContainer) -> Iterator[av.VideoFrame]:
        return iter([cast(av.VideoFrame, Untimed())] * 100)

    monkeypatch.setattr(stretches, "_frames", untimed)
    *_, last = read(write_film(tmp_path / "film.mp4", 2, fps=50))
    assert last.covered_s == pytest.approx(2, abs=0.2)


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(StartupError, match="cannot be read"):
            list(read(path))
