"""`reenactd verify` on files: verdicts, exit codes, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from realtime import cli, verify
from realtime.findings import Check, Progressing, Report, State
from realtime.frames import U8
from realtime.media_file import MediaReader, VideoWriter
from realtime.watermark import Payload, Watermark
from tests import performers

PAYLOAD = Payload(0x0DDBA115)


def said(*arguments: object) -> tuple[int, list[str]]:
    result = CliRunner().invoke(cli.app, ["verify", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output.splitlines()


def marked_luma(seed: int = 0) -> U8:
    luma = np.ascontiguousarray(performers.pictures("performer3")[seed][:, :, 1])
    Watermark(PAYLOAD).embed(luma)
    return luma


def still(path: Path, luma: U8) -> Path:
    Image.fromarray(luma).save(path)
    return path


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    return still(tmp_path / "marked.png", marked_luma())


@pytest.fixture
def unmarked(tmp_path: Path) -> Path:
    return still(tmp_path / "unmarked.png", performers.pictures("performer3")[0][:, :, 1].copy())


def test_a_marked_picture_names_its_session_and_exits_with_1(marked: Path) -> None:
    code, (line,) = said(marked)
    assert code == 1
    assert line.startswith(f"{marked}: marked as synthetic (confidence: certain)")
    assert "session 0ddba115" in line


def test_nothing_found_exits_with_3_and_proves_nothing(unmarked: Path) -> None:
    code, (line,) = said(unmarked)
    assert code == 3
    assert "nothing found (confidence: low)" in line
    assert "no proof that the picture is genuine" in line


def test_it_says_what_was_done_to_the_picture(tmp_path: Path) -> None:
    part = np.ascontiguousarray(marked_luma()[60:420, 80:560][:, ::-1])
    _, (line,) = said(still(tmp_path / "part.png", part))
    assert "(mirrored and cropped)" in line


def film(path: Path, source: Path, marked_from: int) -> Path:
    """A second of a performer, then one of another, marked from that picture on."""
    watermark = Watermark(PAYLOAD)
    with MediaReader(source) as reader, VideoWriter(path, reader, 640, 480) as writer:
        for number in range(50):
            i420 = np.full((720, 640), 128, np.uint8)
            who = "performer3" if number < 25 else "performer4"
            i420[:480] = performers.pictures(who)[number][:, :, 1]
            if number >= marked_from:
                watermark.embed(i420[:480])
            writer.write(i420, number * 512)
    return path


def test_a_film_that_is_marked_in_part_is_marked(tmp_path: Path, performer_clip: Path) -> None:
    code, (line,) = said(film(tmp_path / "film.mp4", performer_clip, marked_from=25))
    assert code == 1
    assert "session 0ddba115" in line


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_what_cannot_be_read_is_one_line_and_exits_with_4(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "file.mp4"
    if content is not None:
        path.write_bytes(content)
    code, (line,) = said(path)
    assert code == 4
    assert line.startswith(f"reenactd: {path}: cannot be read")


def test_a_batch_is_a_line_of_json_per_file(marked: Path, unmarked: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.mp4"
    code, lines = said("--json", marked, missing, unmarked)
    records = [json.loads(line) for line in lines]
    assert [record["exit_code"] for record in records] == [1, 4, 3]
    assert [record["verdict"] for record in records] == ["marked", "unreadable", "nothing"]
    assert [record["file"] for record in records] == [str(marked), str(missing), str(unmarked)]
    assert records[0]["checks"][0]["session"] == "0ddba115"
    assert code == 4


def test_of_several_files_the_gravest_counts(marked: Path, unmarked: Path) -> None:
    assert said(marked, marked)[0] == 1
    assert said(marked, unmarked)[0] == 3


def test_no_file_is_a_mistake() -> None:
    assert said()[0] == 2


# Several checks


def finds(state: State, text: str = "") -> Check:
    def check(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
        return Report("made up", state, "high", text or f"{len(before)} before")

    return check


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ((State.SIGNED, State.MARKED), State.SIGNED),
        ((State.MARKED, State.TAMPERED, State.SIGNED), State.TAMPERED),
        ((State.NOTHING, State.MARKED), State.MARKED),
        ((State.NOTHING, State.NOTHING), State.NOTHING),
    ],
)
def test_of_several_findings_the_gravest_decides(
    marked: Path, states: Sequence[State], verdict: State
) -> None:
    found = verify.verify(marked, [finds(state) for state in states], lambda done, of: None)
    assert found.state is verdict
    assert int(found.state) == {"SIGNED": 0, "MARKED": 1, "TAMPERED": 2, "NOTHING": 3}[verdict.name]
    assert [report.text for report in found.reports] == [
        f"{number} before" for number in range(len(states))
    ]


def test_a_check_hears_which_session_the_mark_names(marked: Path) -> None:
    heard: list[str | None] = []

    def look_up(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
        heard.extend(report.session for report in before)
        return Report("record", State.SIGNED, "high", "its record is whole.")

    verify.verify(marked, (verify.look_for_mark, look_up), lambda done, of: None)
    assert heard == ["0ddba115"]


def test_progress_is_told_per_stretch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, performer_clip: Path
) -> None:
    monkeypatch.setattr("realtime.stretches.STRETCH_S", 0.7)
    path = film(tmp_path / "film.mp4", performer_clip, marked_from=99)
    told: list[tuple[int, int]] = []
    verify.verify(path, verify.CHECKS, lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3)]
