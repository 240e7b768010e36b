"""Video files: rate, sound and names are kept, and a result is whole or absent."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.errors import StartupError
from realtime.media_file import MediaReader, Timeline, VideoWriter


def make_clip(
    path: Path,
    *,
    frames: int = 12,
    rate: Fraction = Fraction(25),
    sound: str | None = None,
    video_codec: str = "libx264",
) -> Path:
    """A 64x48 clip whose brightness rises with the frame; `sound` names an audio codec."""
    with av.open(f"file:{path}", "w") as container:
        video = container.add_stream(video_codec, rate=rate)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None if sound is None else container.add_stream(sound, rate=48_000)
        for index in range(frames):
            picture = np.full((48, 64, 3), index * 10, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if audio is not None:
            samples = round(48_000 * frames / rate)
            tone = np.sin(np.arange(samples) / 20, dtype=np.float32)[None]
            block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            block.sample_rate, block.pts = 48_000, 0
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def copy_clip(source: Path, target: Path) -> None:
    """The frames' own pictures through the writer, with the sound."""
    with MediaReader(source) as reader, VideoWriter(target, reader, 64, 48) as writer:
        timeline = Timeline.of(reader)
        for item in reader:
            if isinstance(item, av.VideoFrame):
                i420 = np.asarray(item.to_ndarray(format="yuv420p"), np.uint8)
                writer.write(i420, timeline.next(item.pts))
            else:
                writer.write_sound(item)


def times(path: Path) -> list[float]:
    with MediaReader(path) as reader:
        return [item.time or 0.0 for item in reader if isinstance(item, av.VideoFrame)]


def sound_of(path: Path) -> tuple[str, float]:
    """Codec and length in seconds."""
    with MediaReader(path) as reader:
        (stream,) = reader.sound
        packets = [item for item in reader if isinstance(item, av.Packet)]
        return stream.codec_context.codec.canonical_name, float(
            sum(packet.duration or 0 for packet in packets) * (stream.time_base or 0)
        )


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(15, 2)])
def test_every_frame_keeps_its_time(tmp_path: Path, rate: Fraction) -> None:
    source = make_clip(tmp_path / "in.mp4", rate=rate)
    copy_clip(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == pytest.approx(times(source), abs=1e-4)
    assert len(times(source)) == 12


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame"])
def test_sound_that_mp4_holds_is_copied(tmp_path: Path, codec: str) -> None:
    source = make_clip(tmp_path / "in.mkv", sound=codec)
    copy_clip(source, tmp_path / "out.mp4")
    name, seconds = sound_of(tmp_path / "out.mp4")
    assert name == sound_of(source)[0]
    assert seconds == pytest.approx(sound_of(source)[1], abs=0.06)


def test_sound_that_mp4_cannot_hold_is_encoded_as_aac(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", sound="pcm_s16le", frames=25)
    copy_clip(source, tmp_path / "out.mp4")
    name, seconds = sound_of(tmp_path / "out.mp4")
    assert name == "aac"
    assert seconds == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("name", ["grüße an Zoë.mp4", "日本語 映像.mp4", "a:b.mp4", "-i.mp4"])
def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    source = make_clip(tmp_path / f"in {name}")
    copy_clip(source, tmp_path / name)
    assert len(times(tmp_path / name)) == 12


def test_a_failure_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    target = tmp_path / "out.mp4"
    target.write_bytes(b"what was there before")
    with pytest.raises(KeyboardInterrupt), MediaReader(source) as reader:
        with VideoWriter(target, reader, 64, 48) as writer:
            writer.write(np.full((72, 64), 128, np.uint8), 0)
            raise KeyboardInterrupt
    assert target.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_the_result_says_that_it_is_synthetic(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4")
    copy_clip(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert "Synthetic" in container.metadata["comment"]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(StartupError, match=r"absent\.mp4: cannot be read"):
        MediaReader(tmp_path / "absent.mp4")
    with pytest.raises(StartupError, match=r"text\.mp4: cannot be read"):
        MediaReader(tmp_path / "text.mp4")


def test_sound_without_video_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8_000)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        block.sample_rate = 8_000
        container.mux(stream.encode(block))
    with pytest.raises(StartupError, match="holds no picture and no video"):
        MediaReader(tmp_path / "sound.wav")


def test_another_suffix_or_folder_is_refused(tmp_path: Path) -> None:
    with MediaReader(make_clip(tmp_path / "in.mp4")) as reader:
        with pytest.raises(StartupError, match=r"name it \*\.mp4"):
            VideoWriter(tmp_path / "out.avi", reader, 64, 48)
        with pytest.raises(StartupError, match="cannot be written: No such file"):
            VideoWriter(tmp_path / "absent" / "out.mp4", reader, 64, 48)


def test_times_always_rise() -> None:
    timeline = Timeline(time_base=Fraction(1, 1000), rate=Fraction(25))
    given = [None, None, 80, 80, 75, 120, None]
    assert [timeline.next(pts) for pts in given] == [0, 40, 80, 81, 82, 120, 160]
