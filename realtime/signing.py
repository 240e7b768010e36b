"""Signed JSON: an object, and beside its fields a signature over all of them.

Ed25519 (RFC 8032) over canonical JSON: sorted keys, no spaces, UTF-8, as in RFC 8785; numbers are
whole, so that there is one way to write each. The signature carries the public key, so whoever has
the object can check it; whether that key is to be believed is for `trust.py` to say.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

SIGNATURE = "signature"
MAX_DEPTH = 16
"""of objects and arrays within each other; what is signed has three"""
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} objects or arrays"


class Malformed(ValueError):
    """Not signed JSON at all; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Signature:
    public_key: str
    """64 lower-case hexadecimal digits: the key's 32 bytes"""
    value: str
    """128 of them"""


def canonical(fields: Mapping[str, Any]) -> bytes:
    """The one way to write these fields.

    Raises:
        Malformed: a value has no one way: a fraction, or no JSON at all; or it is nested too deep.
    """
    for value in _walk(fields):
        if isinstance(value, float):
            raise Malformed(f"{value!r}: signed numbers are whole")
    try:
        text = json.dumps(
            fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise Malformed(f"cannot be written as JSON: {error}") from error


def parse(text: bytes) -> dict[str, Any]:
    """One JSON object, no key twice.

    Raises:
        Malformed: it is none, or nested too deep.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise Malformed("a key stands there twice")
        return fields

    try:
        fields = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    except Malformed:
        raise
    except ValueError as error:  # no UTF-8, no JSON, or a number of thousands of digits
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Malformed("not one JSON object")
    for _ in _walk(fields):
        pass  # it is only asked how deep it goes
    return fields


def sign(fields: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The fields with a signature over all of them; an older signature is left out."""
    bare = {name: value for name, value in fields.items() if name != SIGNATURE}
    public = key.public_key().public_bytes_raw().hex()
    return {**bare, SIGNATURE: {"key": public, "value": key.sign(canonical(bare)).hex()}}


def signature_of(fields: Mapping[str, Any]) -> Signature:
    """
    Raises:
        Malformed: there is none, or it does not look like one.
    """
    found = fields.get(SIGNATURE)
    if not isinstance(found, dict) or set(found) != {"key", "value"}:
        raise Malformed('has no signature: {"key": …, "value": …}')
    key, value = found["key"], found["value"]
    if not isinstance(key, str) or re.fullmatch("[0-9a-f]{64}", key) is None:
        raise Malformed("signature: key must be 64 lower-case hexadecimal digits")
    if not isinstance(value, str) or re.fullmatch("[0-9a-f]{128}", value) is None:
        raise Malformed("signature: value must be 128 lower-case hexadecimal digits")
    return Signature(key, value)


def is_intact(fields: Mapping[str, Any]) -> bool:
    """Whether the signature is of exactly these fields, by the key that it carries.

    Raises:
        Malformed: there is no signature to check.
    """
    signature = signature_of(fields)
    bare = {name: value for name, value in fields.items() if name != SIGNATURE}
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        key.verify(bytes.fromhex(signature.value), canonical(bare))
    except (InvalidSignature, ValueError):
        return False
    return True


def digest(fields: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of what a signature covers: the same however the file is laid out."""
    bare = {name: value for name, value in fields.items() if name != SIGNATURE}
    return hashlib.sha256(canonical(bare)).hexdigest()


def fingerprint(public_key: str) -> str:
    """What people compare: 32 hexadecimal digits in groups of four."""
    digits = hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:32]
    return " ".join(digits[at : at + 4] for at in range(0, 32, 4))


def _walk(value: Any, depth: int = 0) -> Iterator[Any]:
    """The value itself, and every one within.

    Raises:
        Malformed: they are nested too deep; Python's own limit is met by chance, and not as this.
    """
    if depth > MAX_DEPTH:
        raise Malformed(_TOO_DEEP)
    yield value
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, (list, tuple)):
        inner = value
    for each in inner:
        yield from _walk(each, depth + 1)
