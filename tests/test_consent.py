from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from realtime.consent import ConsentRecord
from realtime.errors import IdentityError

RECORD: dict[str, Any] = {
    "kind": "self",
    "statement": "I am shown, and I agree.",
    "portrait_sha256": "ab" * 32,
    "method": "typed in",
    "issued_at": "2026-01-02T03:04:05Z",
}


CHECK: dict[str, Any] = {
    "steps": ["left", "blink", "up", "right"],
    "score": "0.0123",
    "threshold": "0.0400",
    "checked_at": "2026-01-02T03:04:05+00:00",
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "consent.json"
    record = {name: value for name, value in {**RECORD, **changes}.items() if value != "absent"}
    path.write_text(json.dumps(record), "utf-8")
    return path


def test_a_record_is_read_with_its_times(tmp_path: Path) -> None:
    record = ConsentRecord.read(written(tmp_path, expires_at="2027-01-01T00:00:00+02:00"))
    assert record.kind == "self"
    assert record.issued_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert record.expires_at is not None
    assert record.expires_at.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "celebrity"}, "must be one of self, third-party, fictional, public-domain"),
        ({"kind": 3}, "kind must be a text"),
        ({"statement": "  "}, "statement must be a text"),
        ({"statement": "x" * 3000}, "statement must be a text"),
        ({"method": "absent"}, "'method' is missing"),
        ({"portrait_sha256": "AB" * 32}, "64 lower-case hexadecimal"),
        ({"portrait_sha256": "ab"}, "64 lower-case hexadecimal"),
        ({"issued_at": "yesterday"}, "ISO 8601"),
        ({"issued_at": "2026-01-02T03:04:05"}, "time zone"),
        ({"expires_at": 5}, "expires_at must be a text"),
        ({"signature": "x"}, "has no signature"),
        ({"colour": "x"}, "'colour' is not known"),
        ({"kind": "third-party"}, "needs release_sha256"),
        ({"release_sha256": "x"}, "release_sha256 must be 64"),
        ({"revoked_at": "soon"}, "ISO 8601"),
        ({"method": 1.5}, "signed numbers are whole"),
        ({"revoked_because": ""}, "revoked_because must be a text"),
        ({"live_check": "yes"}, "live_check must hold steps, score"),
        ({"live_check": {**CHECK, "landmarks": []}}, "and nothing else"),
        ({"live_check": {**CHECK, "steps": []}}, "steps must be some of left, right"),
        ({"live_check": {**CHECK, "steps": ["wink"]}}, "steps must be some of left, right"),
        ({"live_check": {**CHECK, "score": "1"}}, "score must be written as"),
        ({"live_check": {**CHECK, "score": "0.0401"}}, "above its threshold"),
        ({"live_check": {**CHECK, "checked_at": "now"}}, "ISO 8601"),
        ({"live_check": CHECK, "kind": "fictional"}, "belongs to self, not to fictional"),
    ],
)
def test_a_broken_rule_is_named_with_its_file(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(IdentityError, match=message) as caught:
        ConsentRecord.read(written(tmp_path, **changes))
    assert "consent.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'"text"', b"null"])
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "consent.json"
    path.write_bytes(content)
    with pytest.raises(IdentityError, match="consent.json"):
        ConsentRecord.read(path)


def test_a_missing_record_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="missing; an identity needs a consent record"):
        ConsentRecord.read(tmp_path / "consent.json")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "consent.json"
    path.write_bytes(b" " * 100_000)
    with pytest.raises(IdentityError, match="larger than"):
        ConsentRecord.read(path)


def test_a_check_at_the_camera_is_read_and_written_alike(tmp_path: Path) -> None:
    record = ConsentRecord.read(written(tmp_path, live_check=CHECK))
    assert record.proof == "checked at the camera"
    assert record.fields()["live_check"] == CHECK
    bare = ConsentRecord.read(written(tmp_path))
    assert bare.proof == "attested" and "live_check" not in bare.fields()


def test_a_record_holds_from_its_issue_to_its_expiry(tmp_path: Path) -> None:
    path = written(tmp_path, expires_at="2026-02-01T00:00:00Z")
    record = ConsentRecord.read(path)
    record.check_valid(path, datetime(2026, 1, 15, tzinfo=timezone.utc))
    with pytest.raises(IdentityError, match="expired on 2026-02-01"):
        record.check_valid(path, datetime(2026, 2, 1, tzinfo=timezone.utc))
    with pytest.raises(IdentityError, match="future"):
        record.check_valid(path, datetime(2026, 1, 1, tzinfo=timezone.utc))
