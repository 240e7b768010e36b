"""Films that are not signed yet: what each shows, noted while it is made.

    unsigned/NAME.json    in the state directory: {"film": path, "claim": what the manifest says}

A note begins with its film and goes once the film is signed, so that one that is left by a crash
tells what is still to be signed. Whoever makes or signs the film holds a lock on the note (flock),
which ends with that process. Only this account can write there: a folder of films may be shared,
and what somebody puts into it must not be signed here. Knows no pictures.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from realtime.c2pa_manifest import Claim
from realtime.config import state_directory
from realtime.consent import ConsentRecord
from realtime.errors import TrustError
from realtime.frames import Controls
from realtime.records import Subject

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Credit:
    """Who is seen in a picture, and where."""

    consent: ConsentRecord
    room: bool
    """the performer's room is in the picture"""


def shows_room(controls: Controls) -> bool:
    return controls.background in ("blur", "camera")


def claim_of(credit: Credit, subject: Subject) -> Claim:
    """What the manifest of one picture says."""
    return Claim(
        "composite" if credit.room else "generated",
        credit.consent.portrait_sha256,
        credit.consent.digest,
        subject.network,
        subject.weights_sha256,
        subject.payload,
        subject.payload,
    )


class Draft:
    """One film's note, locked until `close`. Used by one thread at a time."""

    def __init__(self, note: Path, file: int, film: Path, claim: Claim) -> None:
        self.note, self.film, self.claim = note, film, claim
        self._file = file
        self._last: Credit | None = None

    @classmethod
    def begin(cls, film: Path, credit: Credit, subject: Subject) -> Draft:
        """Note a film that is about to be made.

        Raises:
            OSError: the note cannot be written.
        """
        note = note_of(film)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = _locked(note, os.O_CREAT)
        if file is None:
            raise BlockingIOError(11, "another process makes a film of this name", str(note))
        draft = cls(note, file, film, claim_of(credit, subject))
        try:
            draft._write()
        except OSError:
            draft.drop()
            raise
        return draft

    @property
    def file(self) -> int:
        """Its descriptor: a child that has it keeps the lock."""
        return self._file

    def add(self, credit: Credit) -> None:
        """A picture of the film; most are as the one before.

        Raises:
            OSError: the note cannot be written.
        """
        if credit == self._last:
            return
        self._last = credit
        claim = self.claim
        seen = (credit.consent.portrait_sha256, credit.consent.digest)
        if seen not in ((claim.identity_sha256, claim.consent_sha256), *claim.further):
            claim = replace(claim, further=(*claim.further, seen))
        if credit.room:
            claim = replace(claim, picture="composite")
        if claim != self.claim:
            self.claim = claim
            self._write()

    def close(self) -> None:
        """Let go of the note; it stays if the film was not signed."""
        os.close(self._file)

    def drop(self) -> None:
        """There is no film, or it is signed."""
        self.note.unlink(missing_ok=True)
        self.close()

    def _write(self) -> None:
        """In place: another file of that name would not be locked."""
        told = {"film": str(self.film), "claim": asdict(self.claim)}
        content = json.dumps(told).encode()
        if os.pwrite(self._file, content, 0) != len(content):
            raise OSError(28, "No space left on device", str(self.note))
        os.ftruncate(self._file, len(content))


def left() -> Iterator[Draft]:
    """The notes that nobody holds; whoever gets one closes it. Damaged ones are removed."""
    for note in sorted(_directory().glob("*.json")):
        file = _locked(note, 0)
        if file is None:
            continue
        try:
            film, claim = read_note(note)
        except TrustError:
            note.unlink(missing_ok=True)
            os.close(file)
        else:
            yield Draft(note, file, film, claim)


def read_note(note: Path) -> tuple[Path, Claim]:
    """
    Raises:
        TrustError: it is no note.
    """
    try:
        with note.open("rb") as file:
            told: dict[str, Any] = json.loads(file.read(_MAX_BYTES))
        fields = told["claim"]
        fields["further"] = tuple((str(one), str(other)) for one, other in fields["further"])
        return Path(told["film"]), Claim(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrustError(f"{note}: is no note of a film: {error}") from error


def is_held(film: Path) -> bool:
    """Whether a process makes or signs this film now."""
    note = note_of(film)
    if not note.exists():
        return False
    file = _locked(note, 0)
    if file is None:
        return note.exists()
    os.close(file)
    return False


def note_of(film: Path) -> Path:
    """Films of one name in two folders have two notes."""
    where = hashlib.sha256(os.fsencode(film.absolute())).hexdigest()[:16]
    return _directory() / f"{film.stem}-{where}.json"


def _directory() -> Path:
    return state_directory() / "unsigned"


def _locked(note: Path, flags: int) -> int | None:
    """Its descriptor, locked; None where somebody else holds it, or it is gone."""
    try:
        file = os.open(note, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except FileNotFoundError:
        return None
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_nlink:  # else its holder has just removed it
            return file
    os.close(file)
    return None
