"""`reenactd verify` on files: verdicts, exit codes, JSON."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from realtime import cli, verify, verify_process
from realtime.errors import StartupError
from realtime.findings import Check, Progressing, Report, State
from realtime.frames import U8
from realtime.media_file import MediaReader, VideoWriter
from realtime.watermark import Payload, Watermark
from realtime.watermark_search import Alignment, Finding
from tests import performers
from tests.helpers import look_in_this_process
from tests.test_stretches import write_film

PAYLOAD = Payload(0x0DDBA115)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    look_in_this_process(monkeypatch)


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


class Blind:
    """A search that finds nothing, and takes no time for it."""

    def __init__(self) -> None:
        self.pictures = 0

    def add(self, luma: U8) -> None:
        self.pictures += 1

    def find(self) -> Finding:
        return Finding(0.0, Alignment(1.0, False, 0.0, 0.0), None)


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


# Without a verdict: whatever the reason, none of the exit codes that say one


@pytest.mark.parametrize("arguments", [(), ("--nonsense", "x.png"), ("--json",)])
def test_a_mistake_in_the_command_is_no_verdict(arguments: Sequence[str]) -> None:
    assert said(*arguments)[0] == 4


def test_help_is_no_mistake() -> None:
    assert said("--help")[0] == 0


@pytest.mark.parametrize(
    "error", [StartupError("libEGL.so.1 is missing"), ImportError("no av"), OSError(5, "no disk")]
)
def test_what_is_missing_is_no_verdict(
    marked: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("realtime.doctor.require_system_libraries", raises(error))
    code, (line,) = said(marked)
    assert code == 4 and line.startswith("reenactd: ")


def test_a_fault_is_no_verdict(marked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_process, "look", raises(ZeroDivisionError("of ours")))
    code, (line,) = said(marked)
    assert code == 4 and line == "reenactd: verify cannot go on: ZeroDivisionError: of ours"


@pytest.mark.parametrize(
    "error",
    [
        *(struct.error("unpack"), TypeError("none"), IndexError("range"), MemoryError()),
        *(RecursionError("depth"), OverflowError("large"), KeyError("tag"), EOFError()),
    ],
)
def test_whatever_a_decoder_raises_ends_its_file_and_not_the_batch(
    marked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(verify, "Search", Blind)
    bad = still(tmp_path / "bad.png", np.zeros((480, 640), np.uint8))
    to_rgb = Image.Image.convert

    def convert(image: Image.Image, *arguments: Any, **settings: Any) -> Image.Image:
        if not image.getextrema()[1]:
            raise error
        return to_rgb(image, *arguments, **settings)

    monkeypatch.setattr(Image.Image, "convert", convert)
    code, lines = said("--json", bad, marked)
    records = [json.loads(line) for line in lines]
    assert [record["exit_code"] for record in records] == [4, 3] and code == 4
    why = "4 GiB of memory" if isinstance(error, MemoryError) else "cannot be read as a picture"
    assert why in records[0]["error"]


def test_a_check_that_fails_does_not_silence_the_others(marked: Path) -> None:
    def breaks(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
        raise RecursionError("too deep")

    checks = (breaks, finds(State.TAMPERED))
    assert verify.verify(marked, checks, lambda done, of: None).state is State.TAMPERED
    with pytest.raises(StartupError, match="damaged .* RecursionError too deep"):
        verify.verify(marked, (breaks, finds(State.MARKED)), lambda done, of: None)


def test_a_pipe_is_not_waited_for(tmp_path: Path, marked: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    code, lines = said(tmp_path / "pipe.png", tmp_path, tmp_path / ("x" * 300), marked)
    assert code == 4 and len(lines) == 4 and "session 0ddba115" in lines[3]
    assert "no regular file" in lines[0] and "no regular file" in lines[1]
    assert "too long" in lines[2]


def test_a_name_that_is_no_text_is_shown_all_the_same(marked: Path) -> None:
    renamed = marked.rename(os.fsdecode(os.fsencode(marked.parent) + b"/\xff.png"))
    code, (line,) = said(renamed)
    assert code == 1 and "\\udcff.png: marked" in line


def test_a_process_that_dies_ends_its_file_and_not_the_batch(
    marked: Path, unmarked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = (
        "import json, os, sys\n"
        "if sys.argv[1].endswith('/marked.png'): os.abort()\n"
        "checks = [{'text': 'with ' + ' '.join(sys.argv[2:])}]\n"
        "print(json.dumps({'verdict': {'verdict': 'nothing', 'confidence': 'low',"
        " 'exit_code': 3, 'checks': checks}}))"
    )
    monkeypatch.setattr(verify_process, "_COMMAND", [sys.executable, "-c", program])
    code, (first, second) = said("--all", marked, unmarked)
    assert code == 4 and first.startswith(f"reenactd: {marked}: cannot be looked at")
    assert second == f"{unmarked}: nothing found (confidence: low). with --all --patient"


def raises(error: Exception) -> Callable[..., None]:
    def function(*_: object, **__: object) -> None:
        raise error

    return function


# How much was looked at


def test_it_says_how_much_of_a_long_film_it_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Search", Blind)
    monkeypatch.setattr("realtime.stretches.STRETCH_S", 2.0)
    monkeypatch.setattr("realtime.stretches.STRETCHES", 2)
    long, short = write_film(tmp_path / "long.mp4", 10), write_film(tmp_path / "short.mp4", 3)
    _, lines = said(long, short)
    assert "It was looked for in 0:04 of 0:10 minutes; `reenactd verify --all`" in lines[0]
    assert "looked for in" not in lines[1]
    _, lines = said("--json", long, short)
    checks = [json.loads(line)["checks"][0] for line in lines]
    assert checks[0]["looked_at_s"] == pytest.approx(4, abs=0.3) and checks[0]["length_s"] == 10
    assert checks[1]["looked_at_s"] == pytest.approx(3, abs=0.3) and checks[1]["length_s"] == 3
    _, (line,) = said("--all", "--json", long)
    (check, *_) = json.loads(line)["checks"]
    assert check["looked_at_s"] == pytest.approx(10, abs=0.3)
    assert "looked for in" not in check["text"]


def test_a_mark_that_ends_the_search_says_how_far_it_came(
    tmp_path: Path, performer_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "EARLY_S", 0.5)
    _, (line,) = said(film(tmp_path / "film.mp4", performer_clip, marked_from=0))
    assert "It was found after 0:01 of 0:02 minutes." in line


class Bright(Blind):
    """A search that finds a mark in bright pictures."""

    found = False

    def add(self, luma: U8) -> None:
        super().add(luma)
        self.found = self.found or float(luma.mean()) > 128

    def find(self) -> Finding:
        nothing = super().find()
        return Finding(20.0, nothing.alignment, PAYLOAD) if self.found else nothing


@pytest.mark.parametrize(("marked_half", "code", "looked_at_s"), [(0, 1, 2), (1, 1, 4), (2, 3, 6)])
def test_a_film_with_one_key_frame_is_looked_at_where_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked_half: int, code: int, looked_at_s: int
) -> None:
    monkeypatch.setattr(verify, "Search", Bright)
    monkeypatch.setattr("realtime.stretches.STRETCH_S", 2.0)
    monkeypatch.setattr("realtime.stretches.STRETCHES", 3)
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.options = {"preset": "ultrafast", "g": "9999", "sc_threshold": "0"}
        for number in range(100):
            i420 = np.full((72, 64), 200 if number // 50 == marked_half else 40, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(i420, format="yuv420p")))
        container.mux(video.encode(None))
    found, (line,) = said("--json", path)
    assert found == code
    (check, *_) = json.loads(line)["checks"]
    assert check["looked_at_s"] == pytest.approx(looked_at_s, abs=0.3) and check["length_s"] == 20


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
