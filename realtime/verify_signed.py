"""What is signed: the manifest in a file, and the record of the session that it names.

Checks for `verify.py`. A manifest binds the file's bytes; a record binds what this installation
noted while the session ran. Neither looks at pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from realtime.c2pa_manifest import C2paCheck, check_c2pa
from realtime.errors import StartupError, TrustError
from realtime.findings import Confidence, Progressing, Report, State
from realtime.records import RecordCheck, check_record, deleted_on, find_record, is_written
from realtime.trust import Keyring, Origin

RECORD_SUFFIX = ".jsonl"
_BEGINNING = b'{"at":"'
RECORD_NAME = re.compile(r"([0-9a-f]{8})\.jsonl")
_MANIFEST, _RECORD = "manifest", "session record"


class _PublicKeys(Keyring):
    """Asked in a process that may have met a hostile file: no private key is read where the list
    of public ones has this installation's."""

    def origin_of(self, public_key: str) -> Origin | None:
        known = self.known()
        if all(key.origin != "own" for key in known):
            return super().origin_of(public_key)
        return next((key.origin for key in known if key.public_key == public_key), None)


def is_record(path: Path) -> bool:
    """Whether it is to be read as a session's record: by its name, or by how all of them begin."""
    if path.suffix == RECORD_SUFFIX:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_BEGINNING)) == _BEGINNING
    except OSError:  # for whoever reads it to say
        return False


def look_at_manifest(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
    """The C2PA manifest, which ends with the first byte that is changed.

    Raises:
        StartupError: the file cannot be read.
    """
    try:
        check = check_c2pa(path)
    except TrustError as error:
        raise StartupError(str(error)) from None
    if check.claim is not None and check.state in ("trusted", "valid"):
        return _told(check, check.claim.session, before)
    if check.state == "invalid":
        text = f"Its C2PA manifest does not fit it: {check.reason}."
        return Report(_MANIFEST, State.TAMPERED, "certain", text)
    words = {
        "valid": "It carries a C2PA manifest of another program, which says nothing of reenactd.",
        "absent": "It carries no C2PA manifest.",
    }
    text = words.get(check.state) or f"Manifest not looked at: {check.reason}."
    return Report(_MANIFEST, State.NOTHING, "low", text)


def _told(check: C2paCheck, session: str, before: Sequence[Report]) -> Report:
    """Of a manifest of reenactd's that fits the file."""
    shown = _session_in(before)
    if shown is not None and shown != session:
        text = f"Its C2PA manifest is of session {session}, its pictures are of {shown}."
        return Report(_MANIFEST, State.TAMPERED, "certain", text, session)
    people = () if check.claim is None else check.claim.people
    if check.state == "trusted":
        text = f"Its C2PA manifest was signed here, for session {session}, and fits the file."
        return Report(_MANIFEST, State.SIGNED, "certain", text, session, people)
    text = (
        f"Its C2PA manifest fits the file and says session {session}, but its signer is not "
        "known here: anybody can have signed it."
    )
    return Report(_MANIFEST, State.MARKED, "high", text, session, people)


def _session_in(before: Sequence[Report]) -> str | None:
    return next((report.session for report in before if report.session is not None), None)


def look_for_record(path: Path, before: Sequence[Report], progress: Progressing) -> Report | None:
    """The record that this installation kept of the session that was found; None if none was.

    Raises:
        StartupError: it is there, and cannot be read.
    """
    session = _session_in(before)
    if session is None:
        return None
    try:
        record = find_record(session)
        if record is not None:
            check, runs = _checked(record)
            return _fault(check, session, before) or _of_file(check, runs)
        day = deleted_on(session)
    except TrustError as error:
        raise StartupError(str(error)) from None
    text = f"There is no record of session {session} on this machine."
    if day is not None:
        text = f"The record of session {session} was deleted on {day} (records.keep_days)."
    return Report(_RECORD, State.NOTHING, "low", text, session)


def read_record(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
    """A record by itself, line by line.

    Raises:
        StartupError: it cannot be read.
    """
    try:
        check, runs = _checked(path)
    except TrustError as error:
        raise StartupError(str(error)) from None
    named = RECORD_NAME.fullmatch(path.name)
    fault = _fault(check, None if named is None else named[1], before)
    if fault is not None:
        return fault
    report = _of_file(check, runs)
    if check.origin is None or not (check.complete or runs):
        return report
    return Report(_RECORD, State.SIGNED, report.confidence, report.text, report.session)


def _checked(path: Path) -> tuple[RecordCheck, bool]:
    """What a record says, and whether its session still runs.

    Raises:
        TrustError: it cannot be read.
    """
    try:
        runs = is_written(path)  # before it is read: nothing is added to one that nobody writes
    except OSError:  # it cannot be read, which is said next; or its file system knows no locks
        runs = False
    return check_record(path, _PublicKeys()), runs


def _fault(check: RecordCheck, session: str | None, before: Sequence[Report]) -> Report | None:
    """What does not fit: the record itself, its session, or who is said to be seen in the file."""
    name = check.path.name
    if not check.intact:
        text = f"Record {name} is broken at line {check.broken_line}: {check.reason}."
    elif session is not None and check.payload != session:
        text = f"Record {name} is of session {check.payload or 'none'}: it was put there."
    elif check.complete and not check.missing and not _people_in(before) <= _people_of(check):
        text = (
            f"Record {name} does not name the identity and the consent that the C2PA manifest "
            "names: one of the two is not of this session."
        )
    else:
        return None
    return Report(_RECORD, State.TAMPERED, "certain", text, check.payload or None)


def _people_in(before: Sequence[Report]) -> set[str]:
    """Portraits and consents that a manifest names."""
    return {digest for report in before for both in report.people for digest in both}


def _people_of(check: RecordCheck) -> set[str]:
    return {*check.identities, *check.consents}


def _of_file(check: RecordCheck, runs: bool) -> Report:
    """Of an intact record; that of a file's session adds to what the file says itself."""
    ending = ""
    if runs and not check.complete:
        ending = " Its session still runs."
    elif not check.complete:
        ending = (
            " It has no end, though nobody writes it any more: the session was cut off by a crash, "
            "a power cut or a full disk, or its last lines were taken away."
        )
    missing = f", {check.missing} of its lines could not be written" if check.missing else ""
    text = (
        f"Record {check.path.name} is intact: {check.lines} lines, {check.network}, "
        f"{check.began_at} to {check.last_at}{missing}.{ending}"
    )
    session = check.payload or None
    if check.origin is None:
        stranger = f"{text} Its signer is not known here."
        return Report(_RECORD, State.MARKED, "high", stranger, session)
    confidence: Confidence = "certain" if check.complete or runs else "high"
    return Report(_RECORD, State.MARKED, confidence, text, session)
