"""Signed JSON: any change shows, and there is one way to write it."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from realtime import signing
from realtime.signing import Malformed

FIELDS: dict[str, Any] = {"name": "Zoë", "count": 3, "gone": None, "inner": {"b": [1], "a": True}}


def signed() -> dict[str, Any]:
    return signing.sign(FIELDS, Ed25519PrivateKey.generate())


def test_canonical_json_is_sorted_dense_and_utf_8() -> None:
    text = '{"count":3,"gone":null,"inner":{"a":true,"b":[1]},"name":"Zoë"}'
    assert signing.canonical(FIELDS) == text.encode()


def test_what_is_nested_too_deep_is_not_signed_either() -> None:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(Malformed, match="nested deeper than 16"):
        signing.canonical({"x": deep})


@pytest.mark.parametrize("value", [1.5, float("nan"), {"a": [2.0]}, {1, 2}, "\ud800"])
def test_what_has_no_one_form_is_refused(value: Any) -> None:
    with pytest.raises(Malformed):
        signing.canonical({"x": value})


def test_a_signature_holds_whatever_the_layout_of_the_file() -> None:
    fields = signed()
    assert signing.is_intact(dict(reversed(fields.items())))
    assert signing.digest(fields) == signing.digest(FIELDS)


@pytest.mark.parametrize("change", [{"count": 4}, {"new": 1}, {"name": "Zoe"}, {"inner": {}}])
def test_every_change_breaks_it(change: dict[str, Any]) -> None:
    assert not signing.is_intact({**signed(), **change})


def test_a_field_that_is_taken_out_breaks_it() -> None:
    fields = signed()
    del fields["gone"]
    assert not signing.is_intact(fields)


def test_another_key_does_not_fit() -> None:
    fields, other = signed(), signed()
    fields["signature"]["key"] = other["signature"]["key"]
    assert not signing.is_intact(fields)
    fields["signature"]["key"] = "00" * 32
    assert not signing.is_intact(fields)


@pytest.mark.parametrize(
    "signature",
    [None, "x", {}, {"key": "ab" * 32}, {"key": "AB" * 32, "value": "ab" * 64},
     {"key": "ab" * 32, "value": "ab" * 63}, {"key": "ab" * 32, "value": "ab" * 64, "more": 1}],
)  # fmt: skip
def test_what_is_no_signature_is_said_to_be_none(signature: Any) -> None:
    with pytest.raises(Malformed, match="signature"):
        signing.is_intact({**FIELDS, "signature": signature})


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b'{"a":1,"a":2}', b"\xff", b"{", b"[" * 100_000, b'{"a":1} x'),
        *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (18, 500, 2000, 100_000)),
        b'{"a":' + b"[" * 17 + b"]" * 17 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_not_one_object_is_refused(text: bytes) -> None:
    with pytest.raises(Malformed):
        signing.parse(text)


def test_people_compare_short_fingerprints() -> None:
    one, other = (signed()["signature"]["key"] for _ in range(2))
    assert len(signing.fingerprint(one).split()) == 8
    assert signing.fingerprint(one) != signing.fingerprint(other)
