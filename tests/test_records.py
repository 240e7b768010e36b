"""Session records: what is written can be checked, and every flipped bit shows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from realtime import signing
from realtime.errors import TrustError
from realtime.findings import Report, State
from realtime.records import (
    END,
    GAP,
    RecordWriter,
    Subject,
    check_record,
    deleted_on,
    find_record,
    keep_consent,
    prune,
    records_directory,
)
from realtime.trust import Keyring
from realtime.verify_signed import look_for_record, read_record
from tests.helpers import config_with, standing, until

SUBJECT = Subject("0123abcd", "network", "ab" * 32, {"text": "AI", "height_permille": 50})


def written(
    end: bool = True, key: Ed25519PrivateKey | None = None, payload: str = SUBJECT.payload
) -> Path:
    writer = RecordWriter(replace(SUBJECT, payload=payload), key or Keyring().signer())
    writer.start(identity="11" * 32, consent_sha256="22" * 32)
    writer.write("output", state="LIVE", reason="")
    writer.write("identity", identity="33" * 32, consent_sha256="44" * 32)
    if end:
        writer.write(END)
    writer.close()
    return writer.path


def test_a_record_tells_what_was_shown_and_holds_no_more() -> None:
    path = written()
    assert path == records_directory() / "0123abcd.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    check = check_record(path)
    assert (check.intact, check.complete, check.lines, check.origin) == (True, True, 4, "own")
    assert check.payload == "0123abcd" and check.network == "network"
    assert check.identities == ("11" * 32, "33" * 32)
    assert check.consents == ("22" * 32, "44" * 32)
    assert check.began_at <= check.last_at
    assert (check.broken_line, check.reason) == (None, "")


@pytest.mark.parametrize("mendable", [True, False])
def test_a_line_that_failed_half_way_leaves_room_for_the_next(
    monkeypatch: pytest.MonkeyPatch, mendable: bool
) -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.start(identity="11" * 32)
    truncate, whole = os.ftruncate, writer._file

    class Full:
        """Takes ten bytes of a line, as a disk with ten bytes left."""

        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def write(self, text: bytes) -> int:
            return whole.write(text[:10])

    def broken(*_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writer, "_file", Full())
    if not mendable:
        monkeypatch.setattr(os, "ftruncate", broken)
    with pytest.raises(OSError, match="No space left"):
        writer.write("output", state="LIVE")
    monkeypatch.setattr(writer, "_file", whole)
    monkeypatch.setattr(os, "ftruncate", truncate)
    writer.write(GAP, missing=1)
    writer.write(END)
    writer.close()
    check = check_record(writer.path)
    assert (check.intact, check.complete, check.lines, check.missing) == (True, True, 3, 1)
    assert "1 of its lines could not be written" in read_record(writer.path, [], _no).text


def test_a_record_to_which_nothing_was_written_goes() -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.abandon()
    assert find_record(SUBJECT.payload) is None


def test_every_flipped_byte_is_reported_at_its_line() -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.start(identity="11" * 32)
    writer.write(END)
    writer.close()
    path, whole = writer.path, writer.path.read_bytes()
    keyring = Keyring()
    line = 1
    for at, byte in enumerate(whole):
        path.write_bytes(whole[:at] + bytes([byte ^ 1]) + whole[at + 1 :])
        check = check_record(path, keyring)
        assert not check.intact, f"byte {at}"
        assert check.broken_line == line, f"byte {at}: {check.reason}"
        line += byte == ord("\n")


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda lines: lines[:1] + lines[2:], 2, "does not follow"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], 2, "does not follow"),
        (lambda lines: lines[1:], 1, "does not follow"),
        (lambda lines: [*lines, lines[3]], 5, "after the end"),
        (lambda lines: [*lines[:3], lines[3][:-5]], 4, "cut off"),
        (lambda lines: [lines[0].replace(b'":', b'": ', 1), *lines[1:]], 1, "not written as"),
        (lambda lines: [lines[0], b"\n", *lines[1:]], 2, "not JSON"),
        (lambda lines: [], 1, "empty"),
    ],
)
def test_lines_that_are_taken_out_put_in_or_moved_are_found(
    change: Callable[[list[bytes]], list[bytes]], line: int, reason: str
) -> None:
    path = written()
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    check = check_record(path)
    assert (check.intact, check.broken_line) == (False, line)
    assert reason in check.reason


def test_a_line_by_another_key_is_found() -> None:
    path = written(end=False)
    other = Ed25519PrivateKey.generate()
    fields: dict[str, Any] = signing.parse(path.read_bytes().splitlines()[1])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = signing.canonical(signing.sign(fields, other)) + b"\n"
    path.write_bytes(b"".join(lines))
    check = check_record(path)
    assert check.broken_line == 2 and "another key" in check.reason


def test_a_record_of_a_stranger_is_intact_and_nobodys() -> None:
    check = check_record(written(key=Ed25519PrivateKey.generate()))
    assert check.intact and check.origin is None


def test_a_record_stays_checkable_after_the_keys_were_changed() -> None:
    path = written()
    Keyring().rotate()
    check = check_record(path)
    assert check.intact and check.origin == "retired"


def test_a_session_that_was_cut_off_says_so() -> None:
    check = check_record(written(end=False))
    assert check.intact and not check.complete


def test_records_are_found_by_what_the_watermark_carries() -> None:
    path = written()
    assert find_record("0123abcd") == path
    assert find_record("ffffffff") is None
    for name in ("", "../x", "0123ABCD", "0123abcd0"):
        with pytest.raises(TrustError, match="8 hexadecimal digits"):
            find_record(name)


def test_a_record_is_never_written_over() -> None:
    written()
    with pytest.raises(FileExistsError):
        written()


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="cannot be read"):
        check_record(tmp_path / "none")


def test_a_full_disk_leaves_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.start(identity="11" * 32, consent_sha256="22" * 32)

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, text: bytes) -> int:
            written: int = self._file.write(text[:20])
            return written

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    writer._file = Full(writer._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space"):
        writer.write("output", state="LIVE")
    writer.abandon()
    check = check_record(writer.path)
    assert (check.intact, check.lines, check.complete) == (True, 1, False)


def test_old_records_are_deleted_whole_and_it_is_known() -> None:
    old, young = written(payload="0000000a"), written(payload="0000000b")
    content = young.read_bytes()
    consents = [keep_consent(payload, b"{}") for payload in ("0000000a", "0000000b")]
    aged_s = datetime.now(timezone.utc).timestamp() - 31 * 86_400
    os.utime(old, (aged_s, aged_s))
    assert prune(timedelta(days=30)) == ["0000000a"]
    assert [path.exists() for path in consents] == [False, True], "it goes with its record"
    assert not old.exists() and find_record("0000000a") is None
    today = datetime.now(timezone.utc).date().isoformat()
    assert deleted_on("0000000a") == today and deleted_on("0000000b") is None
    assert young.read_bytes() == content and check_record(young).intact
    assert prune(timedelta(days=30)) == [] and deleted_on("0000000a") == today
    assert (records_directory() / "deleted.txt").stat().st_mode & 0o777 == 0o600


def test_a_record_that_is_being_written_is_never_too_old() -> None:
    writer = RecordWriter(SUBJECT, Keyring().signer())
    writer.start(identity="11" * 32, consent_sha256="22" * 32)
    aged_s = datetime.now(timezone.utc).timestamp() - 31 * 86_400
    os.utime(writer.path, (aged_s, aged_s))
    assert prune(timedelta(days=30)) == [] and deleted_on(SUBJECT.payload) is None
    writer.close()
    assert prune(timedelta(days=30)) == [SUBJECT.payload]


async def test_a_daemon_deletes_what_is_older_than_it_is_told() -> None:
    old, young = written(payload="0000000a"), written(payload="0000000b")
    aged_s = datetime.now(timezone.utc).timestamp() - 8 * 86_400
    os.utime(old, (aged_s, aged_s))
    async with standing():
        assert find_all() == [old, young], "without the setting all are kept"
    async with standing(config_with(records={"keep_days": 7})):
        await until(lambda: find_all() == [young])
    marked = Report("invisible mark", State.MARKED, "certain", "", "0000000a")
    report = look_for_record(young, [marked], _no)
    assert report is not None and report.state is State.NOTHING
    assert "record of session 0000000a was deleted on 20" in report.text


def find_all() -> list[Path]:
    return sorted(records_directory().glob("*.jsonl"))


def _no(done: int, of: int) -> None:
    """Nobody watches."""
