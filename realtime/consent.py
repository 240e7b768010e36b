"""Consent: who is shown, and why that is allowed. No identity exists without such a record.

A record is a `consent.json` beside its portrait. It names the portrait by its SHA-256, so that a
record cannot be carried over to another face, and it is signed, so that it cannot be changed
unnoticed. It is an attestation, not a proof: a signature says whose words they are, not that they
are true. Whose signatures are believed is known to `trust.py` alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from realtime import signing
from realtime.challenge import STEPS
from realtime.errors import IdentityError

ConsentKind = Literal["self", "third-party", "fictional", "public-domain"]

CONSENT_KINDS: tuple[str, ...] = get_args(ConsentKind)

STATEMENTS: dict[ConsentKind, str] = {
    "self": (
        "I am the person in this picture. I agree that reenactd shows my face moving as whoever "
        "is at the camera moves, always marked as synthetic."
    ),
    "third-party": (
        "The person in this picture has agreed, in the document whose SHA-256 stands in this "
        "record, that reenactd shows their face moving as whoever is at the camera moves, always "
        "marked as synthetic. I keep that document and can show it."
    ),
    "fictional": "This picture shows no real person, and is not meant to be taken for one.",
    "public-domain": (
        "This picture is in the public domain, and I know of no right of the person shown, or of "
        "their family, that moving it would break. I will not use it to deceive."
    ),
}
"""what is read and confirmed when an identity is added, in the words that the record keeps"""

SCOPE = "live sessions and rendered files, every picture marked as synthetic"

CHECKED, ATTESTED = "checked at the camera", "attested"
"""how much stands behind a record"""

_REQUIRED = ("kind", "statement", "portrait_sha256", "method", "issued_at")
_OPTIONAL = (
    *("scope", "release_sha256", "expires_at", "revoked_at", "revoked_because", "live_check"),
    signing.SIGNATURE,
)
_CHECK = ("steps", "score", "threshold", "checked_at")
_MAX_BYTES = 64 * 1024
_MAX_TEXT = 2000


@dataclass(frozen=True, slots=True)
class LiveCheck:
    """What was found when the person stood before the camera: numbers, nothing of the face."""

    steps: tuple[str, ...]
    """as they were asked for, and made"""
    score: str
    """distance from the picture's shape in face units, with four decimals"""
    threshold: str
    """the largest score that passed, likewise"""
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    kind: ConsentKind
    statement: str
    """in words: who is shown, and who allowed it"""
    portrait_sha256: str
    """lower-case hexadecimal, of the portrait file's bytes"""
    method: str
    """how the statement was obtained"""
    issued_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    scope: str = SCOPE
    release_sha256: str | None = None
    """of the document in which a third party agreed; the document itself stays where it was"""
    live_check: LiveCheck | None = None
    """only for `self`, and only where it was passed"""
    revoked_because: str | None = None
    digest: str = ""
    """SHA-256 of what the signature covers; empty for a record that was never written"""
    signed_by: str | None = None
    """the public key whose signature fits; None where there is no signature"""

    @classmethod
    def read(cls, path: Path) -> ConsentRecord:
        """
        Raises:
            IdentityError: the file is missing, no JSON object, was changed after it was signed, or
                breaks a rule; names both.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise IdentityError(f"{path}: larger than {_MAX_BYTES} bytes; not a consent record")
            content = path.read_bytes()
        except FileNotFoundError:
            raise IdentityError(
                f"{path}: missing; an identity needs a consent record beside its portrait"
            ) from None
        except OSError as error:
            raise IdentityError(f"{path}: cannot be read ({error.strerror})") from error
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> ConsentRecord:
        """As `read`, of what was read already; `path` is for messages only."""
        try:
            fields = signing.parse(content)
            digest = signing.digest(fields)
            signed_by = _signer(path, fields) if signing.SIGNATURE in fields else None
        except signing.Malformed as error:
            raise IdentityError(f"{path}: cannot be read as a record: {error}") from error
        _check_names(path, fields)
        kind = consent_kind(_text(path, fields, "kind"), f"{path}: kind")
        release = _digest(path, fields, "release_sha256") if "release_sha256" in fields else None
        if kind == "third-party" and release is None:
            raise IdentityError(
                f"{path}: kind third-party needs release_sha256, the hash of the document in "
                "which the person agreed"
            )
        check = _live_check(path, fields["live_check"]) if "live_check" in fields else None
        if check is not None and kind != "self":
            raise IdentityError(f"{path}: live_check belongs to self, not to {kind}")
        return cls(
            kind,
            _text(path, fields, "statement"),
            _digest(path, fields, "portrait_sha256"),
            _text(path, fields, "method"),
            _time(path, fields, "issued_at"),
            _time(path, fields, "expires_at") if fields.get("expires_at") is not None else None,
            _time(path, fields, "revoked_at") if fields.get("revoked_at") is not None else None,
            _text(path, fields, "scope") if "scope" in fields else SCOPE,
            release,
            check,
            _text(path, fields, "revoked_because") if "revoked_because" in fields else None,
            digest,
            signed_by,
        )

    @property
    def proof(self) -> str:
        """`CHECKED` or `ATTESTED`."""
        return ATTESTED if self.live_check is None else CHECKED

    def fields(self) -> dict[str, Any]:
        """As they are written, without a signature."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "statement": self.statement,
            "scope": self.scope,
            "portrait_sha256": self.portrait_sha256,
            "method": self.method,
            "issued_at": self.issued_at.isoformat(),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "revoked_at": None if self.revoked_at is None else self.revoked_at.isoformat(),
        }
        if self.release_sha256 is not None:
            fields["release_sha256"] = self.release_sha256
        if self.revoked_because is not None:
            fields["revoked_because"] = self.revoked_because
        if self.live_check is not None:
            fields["live_check"] = {
                "steps": list(self.live_check.steps),
                "score": self.live_check.score,
                "threshold": self.live_check.threshold,
                "checked_at": self.live_check.checked_at.isoformat(),
            }
        return fields

    def check_valid(self, path: Path, now: datetime) -> None:
        """
        Raises:
            IdentityError: the record does not hold yet, or no longer.
        """
        if self.revoked_at is not None:
            raise IdentityError(
                f"{path}: the consent was revoked on {self.revoked_at.isoformat()}; the identity "
                "may no longer be used: add it anew if the person agrees again"
            )
        if self.issued_at > now:
            raise IdentityError(
                f"{path}: issued_at {self.issued_at.isoformat()} lies in the future; correct the "
                "record or this machine's clock"
            )
        if self.expires_at is not None and self.expires_at <= now:
            raise IdentityError(
                f"{path}: the consent expired on {self.expires_at.isoformat()}; ask the person "
                "again and renew the record"
            )


def consent_kind(value: str, where: str) -> ConsentKind:
    """The value as a kind.

    Raises:
        IdentityError: it is none; `where` begins the message.
    """
    if value not in CONSENT_KINDS:
        raise IdentityError(f"{where} = {value!r}: must be one of {', '.join(CONSENT_KINDS)}")
    return cast(ConsentKind, value)


def _signer(path: Path, fields: dict[str, Any]) -> str:
    if not _is_intact(signing.canonical(fields)):
        raise IdentityError(
            f"{path}: was changed after it was signed; restore it, or have the consent given anew"
        )
    return signing.signature_of(fields).public_key


@lru_cache(64)
def _is_intact(record: bytes) -> bool:
    """Remembered by all that is signed and the signature: looked at several times a second."""
    return signing.is_intact(signing.parse(record))


def _check_names(path: Path, fields: dict[str, Any]) -> None:
    missing = [name for name in _REQUIRED if name not in fields]
    unknown = [name for name in fields if name not in _REQUIRED + _OPTIONAL]
    if missing:
        raise IdentityError(f"{path}: {missing[0]!r} is missing; required: {', '.join(_REQUIRED)}")
    if unknown:
        known = ", ".join(_REQUIRED + _OPTIONAL)
        raise IdentityError(f"{path}: {unknown[0]!r} is not known; known: {known}")


def _live_check(path: Path, found: Any) -> LiveCheck:
    if not isinstance(found, dict) or set(found) != set(_CHECK):
        raise IdentityError(f"{path}: live_check must hold {', '.join(_CHECK)} and nothing else")
    steps = found["steps"]
    if not isinstance(steps, list) or not steps or not all(step in STEPS for step in steps):
        raise IdentityError(f"{path}: live_check: steps must be some of {', '.join(STEPS)}")
    for name in ("score", "threshold"):
        if re.fullmatch(r"\d\.\d{4}", _text(path, found, name)) is None:
            raise IdentityError(f"{path}: live_check: {name} must be written as 0.0271")
    if found["score"] > found["threshold"]:
        raise IdentityError(f"{path}: live_check: a score above its threshold is not passed")
    return LiveCheck(
        tuple(steps), found["score"], found["threshold"], _time(path, found, "checked_at")
    )


def _text(path: Path, fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT:
        raise IdentityError(f"{path}: {name} must be a text of 1 to {_MAX_TEXT} characters")
    return value


def _digest(path: Path, fields: dict[str, Any], name: str) -> str:
    value = _text(path, fields, name)
    if re.fullmatch(r"[0-9a-f]{64}", value) is None:
        raise IdentityError(f"{path}: {name} must be 64 lower-case hexadecimal digits")
    return value


def _time(path: Path, fields: dict[str, Any], name: str) -> datetime:
    value = _text(path, fields, name)
    rule = f"{path}: {name} = {value!r}: must be ISO 8601 with a time zone, 2026-11-21T12:00:00Z"
    try:
        # datetime.fromisoformat reads the Z only from Python 3.11 on
        time = datetime.fromisoformat(re.sub(r"Z$", "+00:00", value))
    except ValueError:
        raise IdentityError(rule) from None
    if time.tzinfo is None:
        raise IdentityError(rule)
    return time
