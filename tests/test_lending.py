"""A portrait file for one run: the rules of an identity that is kept; what stays is its consent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realtime import picture_file, picture_process, portrait, signing
from realtime.config import Identities
from realtime.consent import STATEMENTS, ConsentKind, ConsentRecord
from realtime.enrolment import Picture, Wish
from realtime.errors import IdentityError
from realtime.identity import IdentityStore, Lent
from realtime.lending import METHOD, lend
from realtime.private_files import write_private
from realtime.trust import Keyring
from tests import fakes
from tests.portraits import enrolment, one_face, picture_bytes

RELEASE = "ab" * 32


@pytest.fixture(autouse=True)
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a process of its own, which takes its time and has its own tests."""
    monkeypatch.setattr(
        picture_process, "decode", lambda data, name: portrait.decode(data, Path(name))
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "ada.jpg"
    path.write_bytes(picture_bytes("JPEG"))
    return path


def wish(kind: ConsentKind = "self", **changes: Any) -> Wish:
    return Wish("x", kind, METHOD, **changes)


def yes(picture: Picture) -> bool:
    return True


def lent(path: Path, terms: Wish, confirm: Callable[[Picture], bool] = yes) -> Lent:
    made = lend(path, terms, enrolment(), confirm)
    assert made is not None
    return made


def store() -> IdentityStore:
    matte: Callable[..., Any] = lambda rgb: np.ones(rgb.shape[:2], np.float32)  # noqa: E731
    return IdentityStore(Identities(), find_faces=one_face, person_matte=matte)


def worn(made: Lent) -> Any:
    return store().from_portrait(made, fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_a_lent_portrait_is_worn_with_a_signed_consent(photo: Path) -> None:
    shown: list[Picture] = []

    def confirm(picture: Picture) -> bool:
        shown.append(picture)
        return True

    made = lent(photo, wish("third-party", release_sha256=RELEASE), confirm)
    assert len(shown) == 1 and shown[0].examined.crop_rgb.size
    identity = worn(made)
    assert (identity.id, identity.name) == ("ada", "ada")
    consent = identity.consent
    assert consent.statement == STATEMENTS["third-party"] and consent.release_sha256 == RELEASE
    assert consent.portrait_sha256 == picture_file.sha256(photo.read_bytes())
    assert consent.scope.startswith("one rendered file") and "no live check" in consent.method
    assert consent.signed_by is not None and Keyring().origin_of(consent.signed_by) == "own"
    kept = ConsentRecord.parse(made.signed, photo)
    assert kept == consent and kept.digest == consent.digest
    assert not store().own_folders(), "the picture is not kept"


def test_who_declines_lends_nothing(photo: Path) -> None:
    assert lend(photo, wish(), enrolment(), lambda picture: False) is None


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (wish("third-party"), "give the document in which the person agreed"),
        (wish("self", release_sha256=RELEASE), "belongs to third-party, not to self"),
    ],
)
def test_terms_are_those_of_an_identity_that_is_kept(photo: Path, terms: Wish, said: str) -> None:
    with pytest.raises(IdentityError, match=said):
        lent(photo, terms)


def test_a_revoked_portrait_is_not_lent(photo: Path) -> None:
    made = enrolment()
    made.add(made.look_at(photo.read_bytes(), "x"), Wish("Ada", "self", "a test"))
    kept = store().folder("ada") / "portrait.png"
    lent(photo, wish())
    lent(kept, wish())
    made.revoke("ada")
    for path in (photo, kept):
        with pytest.raises(IdentityError, match="a consent for this picture was revoked here"):
            lent(path, wish())
    copy = photo.with_name("copy.png")
    copy.write_bytes(kept.read_bytes())
    made.delete("ada")
    with pytest.raises(IdentityError, match="was revoked here"):
        lent(copy, wish())
    # Another method, for two records of the same words and the same second would be one.
    made.add(made.look_at(photo.read_bytes(), "x"), Wish("Ada", "self", "asked again"))
    assert store().consent("ada"), "who agrees anew is added anew"


def test_a_portrait_that_was_revoked_before_portraits_were_listed_is_not_lent(photo: Path) -> None:
    made = enrolment()
    for name in ("Ada", "Bea"):
        kept = Wish(name, "self", f"a test of {name}")
        seed = int(name == "Bea")
        made.add(made.look_at(picture_bytes("JPEG", seed=seed), "x"), kept)
    made.revoke("ada")
    revoked = Keyring().directory / "revoked.json"
    fields = signing.parse(revoked.read_bytes())
    assert fields.pop("portraits")
    write_private(revoked, signing.canonical(fields))
    with pytest.raises(IdentityError, match="a consent for this picture was revoked here"):
        lent(photo, wish())
    other = photo.with_name("bea.jpg")
    other.write_bytes(picture_bytes("JPEG", seed=1))
    lent(other, wish())
    made.delete("ada")
    with pytest.raises(IdentityError, match="was revoked here"):
        lent(photo, wish())
    made.delete("bea")
    lent(other, wish())


def test_a_consent_that_does_not_hold_is_not_worn(photo: Path) -> None:
    made = lent(photo, wish())
    fields = json.loads(made.signed)
    fields["expires_at"] = "2026-01-02T00:00:00+00:00"
    stranger = Keyring(photo.parent / "stranger").sign(fields)
    late = Keyring().sign(fields)
    bare = {name: value for name, value in fields.items() if name != "signature"}
    for changed, said in ((stranger, "not believed"), (late, "expired"), (bare, "is not signed")):
        signed = json.dumps(changed).encode()
        other = Lent(photo, made.rgba, ConsentRecord.parse(signed, photo), signed)
        with pytest.raises(IdentityError, match=said):
            worn(other)


def test_a_copy_of_its_consent_makes_no_identity_for_long(photo: Path) -> None:
    consent = lent(photo, wish()).consent
    assert consent.expires_at is not None
    assert 0 < (consent.expires_at - consent.issued_at).total_seconds() <= 24 * 3600
