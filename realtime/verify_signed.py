"""What is signed: the manifest in a file, and the record of the session that it names.

Checks for `verify.py`. A manifest binds the file's bytes; a record binds what this installation
noted while the session ran. Neither looks at pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realtime.c2pa_manifest import C2paCheck, check_c2pa
from realtime.errors import StartupError, TrustError
from realtime.findings import Progressing, Report, State
from realtime.records import check_record, deleted_on, find_record

RECORD_SUFFIX = ".jsonl"
_MANIFEST, _RECORD = "manifest", "session record"


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
    shown = next((report.session for report in before if report.session is not None), None)
    if shown is not None and shown != session:
        text = f"Its C2PA manifest is of session {session}, its pictures are of {shown}."
        return Report(_MANIFEST, State.TAMPERED, "certain", text, session)
    if check.state == "trusted":
        text = f"Its C2PA manifest was signed here, for session {session}, and fits every byte."
        return Report(_MANIFEST, State.SIGNED, "certain", text, session)
    text = (
        f"Its C2PA manifest fits every byte and says session {session}, but its signer is not "
        "known here: anybody can have signed it."
    )
    return Report(_MANIFEST, State.MARKED, "high", text, session)


def look_for_record(path: Path, before: Sequence[Report], progress: Progressing) -> Report | None:
    """The record that this installation kept of the session that was found; None if none was."""
    session = next((report.session for report in before if report.session is not None), None)
    if session is None:
        return None
    record = find_record(session)
    if record is None:
        try:
            day = deleted_on(session)
        except TrustError as error:
            raise StartupError(str(error)) from None
        text = f"There is no record of session {session} on this machine."
        if day is not None:
            text = f"The record of session {session} was deleted on {day} (records.keep_days)."
        return Report(_RECORD, State.NOTHING, "low", text, session)
    return read_record(record, before, progress)


def read_record(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
    """A record, line by line.

    Raises:
        StartupError: it cannot be read.
    """
    try:
        check = check_record(path)
    except TrustError as error:
        raise StartupError(str(error)) from None
    session = check.payload or None
    if not check.intact:
        text = f"Record {path.name} is broken at line {check.broken_line}: {check.reason}."
        return Report(_RECORD, State.TAMPERED, "certain", text, session)
    span = f"{check.began_at} to {check.last_at}" + ("" if check.complete else ", without an end")
    span += f", {check.missing} of its lines could not be written" if check.missing else ""
    text = f"Record {path.name} is intact: {check.lines} lines, {check.network}, {span}."
    if check.origin is None:
        stranger = f"{text} Its signer is not known here."
        return Report(_RECORD, State.MARKED, "high", stranger, session)
    alone = path.suffix == RECORD_SUFFIX and not before
    state = State.SIGNED if alone else State.MARKED
    return Report(_RECORD, state, "certain", text, session)
