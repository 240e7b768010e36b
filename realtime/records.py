"""Session records: what was shown, as whom and with whose consent, so that it can be checked later.

One file per session in the state directory: `records/PAYLOAD.jsonl`, where the payload is a 32-bit
number for the session's watermark to carry. Each line is one signed JSON object that names the
SHA-256 of the line before it; at least one comes every INTERVAL_S. So a line that is changed, taken
out or put in breaks the chain at its place, and a file that stops without an end says so.

A record holds no picture, no name and no measure of a face. Whoever has the signing key could write
another one: it shows that nobody else changed it, not that its owner told the truth.

Records are kept, or deleted whole after some days (`prune`); `deleted.txt` says which and when.
Beside the record of a film that was made of a portrait file lies its consent, which nothing else
keeps: `records/PAYLOAD.consent.json`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from realtime import signing
from realtime.config import state_directory
from realtime.errors import TrustError
from realtime.private_files import write_private
from realtime.trust import Keyring, Origin

INTERVAL_S = 10.0
"""a line at least so often, while a session runs"""
FORMAT = 1
START, END = "start", "end"
GAP = "gap"
"""lines are missing, for they could not be written"""
DELETED = "deleted.txt"
"""beside the records: a line for each that is gone, with its payload and the day"""
_FIRST = "0" * 64
"""what the first line names instead of a line before it"""
_MAX_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Subject:
    """What a record is about; the same for the whole session."""

    payload: str
    """8 hexadecimal digits: what the watermark carries"""
    network: str
    weights_sha256: str
    """over the pinned hashes of all files of the network"""
    label: Mapping[str, Any]
    """the visible mark: what it says, how high it is in thousandths of the picture"""


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What a record says, as far as it is intact."""

    path: Path
    intact: bool
    """every line is signed, chained, and as it was written"""
    lines: int
    """that are"""
    broken_line: int | None = None
    """the first that is not; the first is 1"""
    reason: str = ""
    """what is wrong with it"""
    complete: bool = False
    """it tells the session's end; else the session runs, or was cut off"""
    missing: int = 0
    """lines that could not be written, as it says itself"""
    origin: Origin | None = None
    """whose key signed it; None: nobody's who is believed here"""
    public_key: str = ""
    payload: str = ""
    network: str = ""
    weights_sha256: str = ""
    identities: tuple[str, ...] = ()
    """that were shown, in their order"""
    consents: tuple[str, ...] = ()
    """digests of their records"""
    began_at: str = ""
    last_at: str = ""
    """ISO 8601: the newest line"""


class RecordWriter:
    """One session's file. Called on one thread; no call waits for anything but the disk.

    Raises:
        OSError: of every call: the disk is full, gone, or not ours. What was whole stays whole.
    """

    def __init__(
        self, subject: Subject, key: Ed25519PrivateKey, directory: Path | None = None
    ) -> None:
        if re.fullmatch("[0-9a-f]{8}", subject.payload) is None:
            raise ValueError(f"payload {subject.payload!r}: must be 8 hexadecimal digits")
        folder = directory or records_directory()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{subject.payload}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._file: BinaryIO = os.fdopen(os.open(self.path, flags, 0o600), "wb", buffering=0)
        with contextlib.suppress(OSError):  # some network file systems know no locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed: see prune
        self._key = key
        self._subject = subject
        self._lines = 0
        self._whole_bytes = 0
        self._torn = False
        self._before = _FIRST

    def start(self, **fields: Any) -> None:
        subject = self._subject
        about = {
            "format": FORMAT,
            "payload": subject.payload,
            "network": subject.network,
            "weights_sha256": subject.weights_sha256,
            "label": dict(subject.label),
        }
        self.write(START, **about, **fields)

    def write(self, event: str, **fields: Any) -> None:
        """Append one line."""
        bare = {
            "line": self._lines + 1,
            "before": self._before,
            "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "event": event,
            **fields,
        }
        text = signing.canonical(signing.sign(bare, self._key)) + b"\n"
        if self._torn:
            self._mend()
        try:
            written = self._file.write(text)
            if written != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._torn = True
            with contextlib.suppress(OSError):
                self._mend()
            raise
        self._lines += 1
        self._whole_bytes += len(text)
        self._before = hashlib.sha256(text).hexdigest()

    def _mend(self) -> None:
        """Take away what a failed write left, so that another can follow."""
        os.ftruncate(self._file.fileno(), self._whole_bytes)
        self._file.seek(self._whole_bytes)
        self._torn = False

    def abandon(self) -> None:
        """Let go of a file that takes no more; one to which nothing was written goes."""
        with contextlib.suppress(OSError):
            if self._whole_bytes == 0:
                self.path.unlink(missing_ok=True)
            self._file.close()

    def close(self) -> None:
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def records_directory() -> Path:
    return state_directory() / "records"


def find_record(payload: str, directory: Path | None = None) -> Path | None:
    """The record of the session whose watermark carries this; None where there is none here.

    Args:
        payload: 8 hexadecimal digits.

    Raises:
        TrustError: it is none.
    """
    if re.fullmatch("[0-9a-f]{8}", payload) is None:
        raise TrustError(f"session {payload[:40]!r}: must be 8 hexadecimal digits, in lower case")
    path = (directory or records_directory()) / f"{payload}.jsonl"
    return path if path.is_file() else None


def keep_consent(payload: str, signed: bytes, directory: Path | None = None) -> Path:
    """Keep a consent that holds for one film, as it was signed, beside the film's record.

    Raises:
        StartupError: it cannot be written.
    """
    path = _consent_beside((directory or records_directory()) / f"{payload}.jsonl")
    write_private(path, signed)
    return path


def _consent_beside(record: Path) -> Path:
    return record.with_name(f"{record.stem}.consent.json")


def prune(keep: timedelta, directory: Path | None = None) -> list[str]:
    """Delete the records whose last line is older than that. Returns their payloads.

    Only whole files: what is left can be checked as before. That one was deleted is noted, so that
    a check can say so. A record that is being written stays, however long a film takes to render.

    Raises:
        OSError: one cannot be deleted, or that cannot be noted.
    """
    folder = directory or records_directory()
    oldest_s = (datetime.now(timezone.utc) - keep).timestamp()
    deleted = []
    for path in sorted(folder.glob("*.jsonl")):
        if path.stat().st_mtime >= oldest_s or is_written(path):
            continue
        with _opened_private(folder / DELETED) as notes:
            notes.write(f"{path.stem} {datetime.now(timezone.utc).date().isoformat()}\n")
        _consent_beside(path).unlink(missing_ok=True)
        path.unlink()
        deleted.append(path.stem)
    return deleted


def is_written(path: Path) -> bool:
    """Whether a RecordWriter, of this process or of another, has it open."""
    with path.open("rb") as record:
        try:
            fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def deleted_on(payload: str, directory: Path | None = None) -> str | None:
    """The day on which `prune` deleted the record of a session, as ISO 8601; None where it did not.

    Raises:
        TrustError: that cannot be read.
    """
    path = (directory or records_directory()) / DELETED
    try:
        with path.open(encoding="ascii", errors="replace") as notes:
            for note in notes:
                name, _, day = note.strip().partition(" ")
                if name == payload:
                    return day
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror or error}") from error
    return None


def _opened_private(path: Path) -> TextIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "a", encoding="ascii")


def check_record(path: Path, keyring: Keyring | None = None) -> RecordCheck:
    """Read a record from its beginning until something is wrong with it.

    Raises:
        TrustError: the file cannot be read.
    """
    check = RecordCheck(path, intact=True, lines=0)
    before = _FIRST
    try:
        for text in _lines_of(path):
            try:
                check = _after(check, _read_line(text, check, before))
            except signing.Malformed as error:
                check = replace(check, intact=False, broken_line=check.lines + 1, reason=str(error))
                break
            before = hashlib.sha256(text).hexdigest()
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror or error}") from error
    if check.intact and check.lines == 0:
        check = replace(check, intact=False, broken_line=1, reason="the file is empty")
    if check.public_key:
        check = replace(check, origin=(keyring or Keyring()).origin_of(check.public_key))
    return check


def _lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while text := file.readline(_MAX_LINE):
            yield text


def _read_line(text: bytes, check: RecordCheck, before: str) -> dict[str, Any]:
    """The fields of a line that is as it was written.

    Raises:
        Malformed: it is not.
    """
    if not text.endswith(b"\n"):
        raise signing.Malformed("is cut off")
    fields = signing.parse(text)
    if signing.canonical(fields) + b"\n" != text:
        raise signing.Malformed("is not written as records are")
    if not signing.is_intact(fields):
        raise signing.Malformed("was changed after it was signed")
    if check.complete:
        raise signing.Malformed("comes after the end")
    if fields.get("line") != check.lines + 1 or fields.get("before") != before:
        raise signing.Malformed("does not follow the line before it")
    if (fields.get("event") == START) != (check.lines == 0):
        raise signing.Malformed("a record has one start, at its beginning")
    if check.public_key and signing.signature_of(fields).public_key != check.public_key:
        raise signing.Malformed("is signed by another key than the lines before it")
    return fields


def _after(check: RecordCheck, fields: Mapping[str, Any]) -> RecordCheck:
    """What is known with one more line."""
    if fields.get("event") == START:
        check = replace(
            check,
            public_key=signing.signature_of(fields).public_key,
            payload=str(fields.get("payload", "")),
            network=str(fields.get("network", "")),
            weights_sha256=str(fields.get("weights_sha256", "")),
            began_at=str(fields.get("at", "")),
        )
    identity, consent = fields.get("identity"), fields.get("consent_sha256")
    if isinstance(identity, str) and check.identities[-1:] != (identity,):
        check = replace(check, identities=(*check.identities, identity))
    missing = fields.get("missing")
    if fields.get("event") == GAP and isinstance(missing, int):
        check = replace(check, missing=check.missing + missing)
    if isinstance(consent, str) and check.consents[-1:] != (consent,):
        check = replace(check, consents=(*check.consents, consent))
    return replace(
        check,
        lines=check.lines + 1,
        complete=fields.get("event") == END,
        last_at=str(fields.get("at", "")),
    )
