"""A rendered file from end to end: signed and intact, and what `verify` says of each tampering."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from realtime import cli
from realtime.c2pa_manifest import check_c2pa
from realtime.media_file import MediaReader, Timeline, VideoWriter
from realtime.records import records_directory
from tests import performers

FRAMES = 30


def said(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["verify", str(path)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film that the command line made, and the state directory in which it did."""
    folder = tmp_path_factory.mktemp("rendered")
    source = folder / "in.mp4"
    with (
        MediaReader(performers.FOLDER / "performer1.mp4") as reader,
        VideoWriter(source, reader, 640, 480) as writer,
    ):
        timeline = Timeline.of(reader)
        for item in reader:
            if isinstance(item, av.VideoFrame) and writer.frames < FRAMES:
                i420 = np.asarray(item.to_ndarray(format="yuv420p"), np.uint8)
                writer.write(i420, timeline.next(item.pts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        target = folder / "out.mp4"
        command = ["render", str(source), str(target), "--identity", "juniper"]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.output
        assert "signed (C2PA)" in result.output.replace("\n", " ")
    return target, folder / "state"


@pytest.fixture
def film(rendered: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in a copy of the installation that made it."""
    target, state = rendered
    shutil.copytree(state, tmp_path / "own")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    return Path(shutil.copy(target, tmp_path / "film.mp4"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def record() -> Path:
    [path] = records_directory().glob("*.jsonl")
    return path


def test_what_was_rendered_here_is_signed_and_intact(film: Path) -> None:
    code, text = said(film)
    assert code == 0, text
    assert "signed and intact (confidence: certain)" in text
    assert f"session {record().stem}" in text and "is intact" in text


def test_a_flipped_bit_in_the_pictures_is_tampering(film: Path) -> None:
    flip(film, film.read_bytes().index(b"mdat") + 5000)
    code, text = said(film)
    assert code == 2 and "does not fit it" in text


def test_a_flipped_bit_in_the_manifest_is_tampering(film: Path) -> None:
    flip(film, film.read_bytes().index(b"consent_sha256") + 20)
    assert said(film)[0] == 2


def test_a_flipped_bit_in_the_sessions_record_is_tampering(film: Path) -> None:
    flip(record(), record().stat().st_size // 2)
    code, text = said(film)
    assert code == 2 and "is broken at line" in text
    assert said(record())[0] == 2


def test_without_its_manifest_it_is_still_marked(film: Path, tmp_path: Path) -> None:
    """As a download or an upload leaves it: the same packets, none of the metadata."""
    bare = tmp_path / "bare.mp4"
    with av.open(str(film)) as source, av.open(str(bare), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    code, text = said(bare)
    assert code == 1, text
    assert "carries no C2PA manifest" in text and "is intact" in text


def test_elsewhere_it_is_marked_by_somebody_unknown(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    code, text = said(film)
    assert code == 1
    assert "its signer is not known here" in text and "There is no record of session" in text


def test_a_manifest_of_another_session_is_tampering(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's whole manifest around pictures of another session."""

    check = check_c2pa(film)
    assert check.claim is not None

    other = replace(check, claim=replace(check.claim, session="00000000"))
    monkeypatch.setattr("realtime.verify_signed.check_c2pa", lambda path: other)
    code, text = said(film)
    assert code == 2 and "its pictures are of" in text


def test_a_record_itself_can_be_verified(film: Path) -> None:
    code, text = said(record())
    assert code == 0 and "is intact" in text
