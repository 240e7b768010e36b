"""`reenactd render` with everything real: networks, tracker, identities."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from realtime import cli, enrolment
from realtime.consent import ConsentRecord
from realtime.media_file import MediaReader, Timeline, VideoWriter
from realtime.records import check_record, records_directory
from realtime.trust import Keyring
from tests.portraits import one_face

FRAMES = 30
PORTRAIT = Path(__file__).parents[1] / "realtime" / "identities" / "slate" / "portrait.png"


def with_sound(source: Path, target: Path) -> Path:
    """The clip's first frames, with a tone beside them."""
    with MediaReader(source) as reader, VideoWriter(target, reader, 640, 480) as writer:
        timeline = Timeline.of(reader)
        for item in reader:
            if isinstance(item, av.VideoFrame) and writer.frames < FRAMES:
                i420 = np.asarray(item.to_ndarray(format="yuv420p"), np.uint8)
                writer.write(i420, timeline.next(item.pts))
    silent = target.with_name("silent.mp4")
    target.rename(silent)
    with av.open(f"file:{silent}") as video, av.open(f"file:{target}", "w") as both:
        pictures = both.add_stream_from_template(video.streams.video[0])
        tone = both.add_stream("aac", rate=48_000, layout="mono")
        samples = np.sin(np.arange(48_000 * FRAMES // 25) / 20, dtype=np.float32)[None]
        block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        block.sample_rate, block.pts = 48_000, 0
        both.mux(tone.encode(block))
        both.mux(tone.encode(None))
        for packet in video.demux(video.streams.video[0]):
            if packet.dts is not None:
                packet.stream = pictures
                both.mux(packet)
    silent.unlink()
    return target


def pictures(path: Path) -> tuple[NDArray[np.uint8], list[float], int]:
    """RGB (N, H, W, 3), times in seconds, packets of sound."""
    frames, times, sound = [], [], 0
    with MediaReader(path) as reader:
        for item in reader:
            if isinstance(item, av.VideoFrame):
                frames.append(np.asarray(item.to_ndarray(format="rgb24"), np.uint8))
                times.append(item.time or 0.0)
            else:
                sound += 1
    return np.stack(frames), times, sound


def test_a_file_comes_back_as_the_avatar_frame_by_frame(
    tmp_path: Path, performer_clip: Path
) -> None:
    source = with_sound(performer_clip, tmp_path / "für Zoë 映像.mp4")
    target = tmp_path / "der Avatar.mp4"

    result = CliRunner().invoke(
        cli.app, ["render", str(source), str(target), "--identity", "juniper"]
    )

    assert result.exit_code == 0, result.output
    assert f"{FRAMES} frames, {FRAMES} with the avatar" in result.output
    sent, sent_times, sent_sound = pictures(source)
    shown, shown_times, shown_sound = pictures(target)
    assert shown.shape == sent.shape
    assert shown_times == pytest.approx(sent_times, abs=1e-4)
    assert shown_sound == sent_sound > 0
    assert np.abs(shown.astype(int) - sent).mean() > 10, "the performer himself came back"
    moved = np.abs(np.diff(shown.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert (moved > 0.05).mean() > 0.8, "the avatar does not move"


def test_a_portrait_file_needs_a_reason_and_is_used_once(
    tmp_path: Path, performer_clip: Path
) -> None:
    source = with_sound(performer_clip, tmp_path / "in.mp4")
    portrait = PORTRAIT
    arguments = ["render", str(source), str(tmp_path / "o.mp4"), "--identity", str(portrait)]

    refused = CliRunner().invoke(cli.app, arguments)
    assert "needs --consent KIND" in str(refused.exception)
    assert not (tmp_path / "o.mp4").exists()

    accepted = CliRunner().invoke(cli.app, [*arguments, "--consent", "fictional"])
    assert accepted.exit_code == 0, accepted.output
    assert "statement (fictional): This picture shows no real person" in accepted.output
    assert pictures(tmp_path / "o.mp4")[0].shape == (FRAMES, 480, 640, 3)
    (record,) = records_directory().glob("*.jsonl")
    kept = record.with_name(f"{record.stem}.consent.json")
    consent = ConsentRecord.read(kept)
    assert "nobody was there to confirm it" in consent.method
    assert check_record(record).consents == (consent.digest,)
    assert consent.portrait_sha256 == hashlib.sha256(portrait.read_bytes()).hexdigest()
    assert consent.signed_by is not None and Keyring().origin_of(consent.signed_by) == "own"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("self",), "nobody is there to confirm the statement"),
        (("public-domain",), "nobody is there to confirm the statement"),
        (("third-party", "--yes"), "give the document in which the person agreed"),
        (("third-party", "--yes", "--release", "none.pdf"), "none.pdf: cannot be read"),
        (("self", "--yes", "--release", str(PORTRAIT)), "belongs to third-party, not to self"),
        (("because", "--yes"), "--consent = 'because': must be one of self"),
    ],
)
def test_a_portrait_file_is_asked_about_as_an_identity(
    tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    files = [str(tmp_path / "in.mp4"), str(tmp_path / "o.mp4")]
    arguments = ["render", *files, "--identity", str(PORTRAIT), "--consent", *more]
    refused = CliRunner().invoke(cli.app, arguments)
    assert said in str(refused.exception) and "\n" not in str(refused.exception)
    if "nobody" in said:
        assert "statement (" in refused.output, "there is something to read"
    assert not records_directory().exists()


def test_who_is_asked_can_decline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, performer_clip: Path
) -> None:
    monkeypatch.setattr("realtime.cli_consent.someone_is_there", lambda: True)
    monkeypatch.setattr(enrolment, "_camera_find_faces", one_face)
    target = tmp_path / "o.mp4"
    arguments = ["render", str(performer_clip), str(target), "--identity", str(PORTRAIT)]
    declined = CliRunner().invoke(cli.app, [*arguments, "--consent", "fictional"], input="n\n")
    assert declined.exit_code == 1 and "nothing was rendered" in declined.output
    assert "the face that was found" in declined.output
    assert not target.exists() and not records_directory().exists()
