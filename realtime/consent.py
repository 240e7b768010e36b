"""Consent: who is shown, and why that is allowed. No identity exists without such a record.

A record is a `consent.json` beside its portrait. It names the portrait by its SHA-256, so that a
record cannot be carried over to another face unnoticed. It is an attestation, not a proof.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

from realtime.errors import IdentityError

ConsentKind = Literal["self", "third-party", "fictional", "public-domain"]

CONSENT_KINDS: tuple[str, ...] = get_args(ConsentKind)

_REQUIRED = ("kind", "statement", "portrait_sha256", "method", "issued_at")
_OPTIONAL = ("expires_at",)
_MAX_BYTES = 64 * 1024
_MAX_TEXT = 2000


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

    @classmethod
    def read(cls, path: Path) -> ConsentRecord:
        """
        Raises:
            IdentityError: the file is missing, no JSON object, or breaks a rule; names both.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise IdentityError(f"{path}: larger than {_MAX_BYTES} bytes; not a consent record")
            fields = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise IdentityError(
                f"{path}: missing; an identity needs a consent record beside its portrait"
            ) from None
        except (OSError, ValueError) as error:
            raise IdentityError(f"{path}: cannot be read as JSON ({error})") from error
        if not isinstance(fields, dict):
            raise IdentityError(f"{path}: must hold one JSON object")
        _check_names(path, fields)
        digest = _text(path, fields, "portrait_sha256")
        if re.fullmatch(r"[0-9a-f]{64}", digest) is None:
            raise IdentityError(f"{path}: portrait_sha256 must be 64 lower-case hexadecimal digits")
        return cls(
            consent_kind(_text(path, fields, "kind"), f"{path}: kind"),
            _text(path, fields, "statement"),
            digest,
            _text(path, fields, "method"),
            _time(path, fields, "issued_at"),
            _time(path, fields, "expires_at") if fields.get("expires_at") is not None else None,
        )

    def check_valid(self, path: Path, now: datetime) -> None:
        """
        Raises:
            IdentityError: the record does not hold yet, or no longer.
        """
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


def _check_names(path: Path, fields: dict[str, Any]) -> None:
    missing = [name for name in _REQUIRED if name not in fields]
    unknown = [name for name in fields if name not in _REQUIRED + _OPTIONAL]
    if missing:
        raise IdentityError(f"{path}: {missing[0]!r} is missing; required: {', '.join(_REQUIRED)}")
    if unknown:
        known = ", ".join(_REQUIRED + _OPTIONAL)
        raise IdentityError(f"{path}: {unknown[0]!r} is not known; known: {known}")


def _text(path: Path, fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT:
        raise IdentityError(f"{path}: {name} must be a text of 1 to {_MAX_TEXT} characters")
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
