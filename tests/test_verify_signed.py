"""A rendered file from end to end: signed and intact, and what `verify` says of each tampering."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from realtime import cli
from realtime.c2pa_manifest import check_c2pa
from realtime.findings import Report, State
from realtime.media_file import MediaReader, Timeline, VideoWriter
from realtime.records import END, RecordWriter, records_directory
from realtime.trust import Keyring
from realtime.verify_signed import look_for_record
from tests import performers
from tests.helpers import look_in_this_process
from tests.test_records import SUBJECT, written

FRAMES = 30


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    look_in_this_process(monkeypatch)


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


@pytest.mark.parametrize("place", [b"uuid", b"\xd8\xfe\xc3\xd6", b"jumb"])
def test_a_flipped_bit_in_what_leads_to_the_manifest_is_tampering(film: Path, place: bytes) -> None:
    """After which no manifest is found, as if it had carried none."""
    flip(film, film.read_bytes().index(place))
    code, text = said(film)
    assert code == 2 and "does not fit it" in text


@pytest.mark.parametrize("name", ["film.bin", "film", "film.png", "film.webm"])
def test_another_name_changes_nothing(film: Path, name: str) -> None:
    renamed = film.rename(film.with_name(name))
    code, text = said(renamed)
    assert code == 0, text
    flip(renamed, renamed.read_bytes().index(b"mdat") + 5000)
    code, text = said(renamed)
    assert code == 2 and "does not fit it" in text


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


def test_a_manifest_of_another_identity_is_tampering(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = check_c2pa(film)
    assert check.claim is not None
    for other in (
        replace(check.claim, identity_sha256="00" * 32),
        replace(check.claim, consent_sha256="00" * 32),
        replace(check.claim, further=(("00" * 32, check.claim.consent_sha256),)),
    ):
        told = replace(check, claim=other)
        monkeypatch.setattr("realtime.verify_signed.check_c2pa", lambda path, told=told: told)
        code, text = said(film)
        assert code == 2 and "does not name the identity and the consent" in text


# Records alone, without a film


def test_a_record_under_the_name_of_another_session_is_tampering(tmp_path: Path) -> None:
    one, other = written(payload="0000000a"), written(payload="0000000b")
    assert said(one)[0] == 0
    shutil.copy(other, one)
    code, text = said(one)
    assert code == 2 and "Record 0000000a.jsonl is of session 0000000b" in text
    mark = Report("invisible mark", State.MARKED, "certain", "", "0000000a")
    found = look_for_record(tmp_path / "film.mp4", [mark], lambda done, of: None)
    assert found is not None and found.state is State.TAMPERED
    renamed = Path(shutil.copy(other, tmp_path / "mine.jsonl"))
    assert said(renamed)[0] == 0, "a name that is no session's says nothing"


def test_a_record_whose_last_lines_were_taken_away_is_not_intact() -> None:
    path = written()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    code, text = said(path)
    assert code == 1 and "(confidence: high)" in text
    assert "It has no end" in text and "last lines were taken away" in text


def test_a_record_that_is_being_written_needs_no_end(tmp_path: Path) -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.start(identity="11" * 32, consent_sha256="22" * 32)
    code, text = said(writer.path)
    assert code == 0 and "Its session still runs" in text
    copy = Path(shutil.copy(writer.path, tmp_path / writer.path.name))
    assert said(copy)[0] == 1, "of a copy nobody can tell"
    writer.write(END)
    writer.close()
    assert said(writer.path)[0] == 0


def test_no_private_key_is_read_to_tell_whose_a_record_is(monkeypatch: pytest.MonkeyPatch) -> None:
    own, strangers = written(), written(key=Ed25519PrivateKey.generate(), payload="0000000b")
    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "_signing_key", lambda self: pytest.fail("it was read"))
        assert said(own)[0] == 0
        code, text = said(strangers)
        assert code == 1 and "signer is not known here" in text
    (Keyring().directory / "keys.json").unlink()
    assert said(own)[0] == 0, "the list is lost: the key itself says whose it is"


def test_a_record_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert said(Path(shutil.copy(written(), tmp_path / "record.txt")))[0] == 0


@pytest.mark.parametrize("depth", [500, 2000])
def test_deep_json_is_no_stack_trace(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a":' * depth + b"1" + b"}" * depth + b"\n")
    code, text = said(path)
    assert code == 2 and "nested deeper than 16" in text
