"""How log lines look, by the settings and by where they go."""

from __future__ import annotations

import json
import logging
import os

import pytest

from realtime import logs
from realtime.config import Log

ROOT = logging.getLogger()


def said(log: Log, capsys: pytest.CaptureFixture[str]) -> str:
    logs.set_up(log)
    logger = logging.getLogger("realtime.test")
    logger.info("a line with %s", "a value")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it failed")
    return capsys.readouterr().err


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (json.loads(line) for line in said(Log(format="json"), capsys).splitlines())
    assert first["level"] == "info" and first["message"] == "a line with a value"
    assert first["logger"] == "realtime.test" and first["time"].endswith("+00:00")
    assert second["level"] == "error" and "ValueError: two\nlines" in second["error"]


def test_every_line_for_the_journal_has_its_urgency(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(Log(format="journal"), capsys).splitlines()
    assert lines[0] == "<6>a line with a value"
    assert len(lines) > 4 and all(line.startswith("<3>") for line in lines[1:])


def test_text_has_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    first = said(Log(format="text"), capsys).splitlines()[0]
    assert first[:2] == "20" and first.endswith(" INFO a line with a value")


def test_the_level_holds_and_can_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a line with" not in said(Log(level="error"), capsys)
    assert "a line with" in said(Log(level="info"), capsys)
    assert logging.getLogger("aioice").level == logging.WARNING


def test_auto_is_journal_only_where_the_journal_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logs.shape_of(Log()) == "text"
    status = os.fstat(logs.STANDARD_ERROR)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    assert logs.shape_of(Log()) == "journal"
    assert logs.shape_of(Log(format="json")) == "json"
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
    assert logs.shape_of(Log()) == "text"


def test_no_handler_of_a_test_before_this_one_writes_to_what_is_closed() -> None:
    """Each of them had a standard error of its own."""
    streams = [each.stream for each in ROOT.handlers if isinstance(each, logging.StreamHandler)]
    assert not any(stream.closed for stream in streams)
