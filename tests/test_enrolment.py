"""A user's own identity: added whole or not at all, revoked for good, deleted, carried away."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realtime import identity_archive, picture_process, portrait, signing
from realtime.config import Identities
from realtime.consent import STATEMENTS, ConsentRecord, LiveCheck
from realtime.enrolment import Enrolment, Wish
from realtime.errors import IdentityError, StartupError
from realtime.identity import ENCODED, IdentityStore
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


def wish(**changes: Any) -> Wish:
    return Wish(**{"name": "Ada L.", "kind": "fictional", "method": "a test", **changes})


def added(made: Enrolment, **changes: Any) -> str:
    return made.add(made.look_at(picture_bytes(), "x"), wish(**changes))


def usable(identity_id: str) -> bool:
    store = IdentityStore(Identities(), find_faces=one_face)
    return identity_id in [card.id for card in store.list()]


def test_an_added_identity_can_be_worn_and_says_why(tmp_path: Path) -> None:
    expires = datetime.now(timezone.utc) + timedelta(days=3)
    made = enrolment()
    identity_id = added(made, kind="third-party", release_sha256=RELEASE, expires_at=expires)
    assert identity_id == "ada-l"
    matte: Callable[..., Any] = lambda rgb: np.ones(rgb.shape[:2], np.float32)  # noqa: E731
    store = IdentityStore(Identities(), find_faces=one_face, person_matte=matte)
    loaded = store.load(identity_id, fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)
    consent = loaded.consent
    assert (consent.kind, consent.method) == ("third-party", "a test")
    assert consent.statement == STATEMENTS["third-party"]
    assert consent.release_sha256 == RELEASE and consent.expires_at == expires
    assert consent.signed_by is not None and Keyring().origin_of(consent.signed_by) == "own"


def test_what_is_written_is_private_and_only_pixels() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = picture_bytes("JPEG", exif=exif, comment=b"of my aunt")
    assert b"taken at home" in data and b"of my aunt" in data
    made = enrolment()
    made.add(made.look_at(data, "x"), wish())
    folder = IdentityStore(Identities()).folder("ada-l")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"taken at home" not in path.read_bytes()
        assert b"of my aunt" not in path.read_bytes()
    assert {path.name for path in folder.iterdir()} == {
        "portrait.png", "crop.png", "consent.json", "identity.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": " "}, "must be 1 to 64 characters"),
        ({"name": "a\nb"}, "on one line"),
        ({"name": "x" * 65}, "must be 1 to 64 characters"),
        ({"name": "木"}, "give one with --id"),
        ({"identity_id": "../x"}, "must be 1 to 64 of a-z"),
        ({"identity_id": "coral"}, "'coral' is there already"),
        ({"kind": "third-party"}, "give the document in which the person agreed"),
        ({"release_sha256": RELEASE}, "belongs to third-party, not to fictional"),
        ({"kind": "third-party", "release_sha256": "x"}, "64 lower-case hex digits"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=timezone.utc)}, "lies in the past"),
    ],
)
def test_a_wish_that_breaks_a_rule_adds_nothing(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(IdentityError, match=said):
        enrolment().check(wish(**changes))


def test_a_name_is_taken_once() -> None:
    made = enrolment()
    added(made)
    with pytest.raises(IdentityError, match="'ada-l' is there already"):
        added(made)
    assert added(made, identity_id="ada-2") == "ada-2"


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    made = enrolment(tmp_path / "file")
    with pytest.raises(StartupError, match="cannot be written"):
        added(made)
    assert [path.name for path in tmp_path.iterdir() if path.name != "state"] == ["file"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("consent.json", lambda text: text.replace(b"fictional", b"self")),
        ("consent.json", lambda text: text.replace(b'"signature"', b'"signatura"')),
        ("portrait.png", lambda data: picture_bytes(seed=5)),
    ],
)
def test_a_changed_file_ends_it(name: str, change: Callable[[bytes], bytes]) -> None:
    added(enrolment())
    store = IdentityStore(Identities(), find_faces=one_face)
    path = store.folder("ada-l") / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IdentityError, match=r"changed after|not known|its SHA-256"):
        store.load("ada-l", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_an_unsigned_record_and_a_strangers_are_not_believed(tmp_path: Path) -> None:
    added(enrolment())
    store = IdentityStore(Identities())
    path = store.folder("ada-l") / "consent.json"
    fields = signing.parse(path.read_bytes())
    path.write_text(json.dumps(Keyring(tmp_path / "stranger").sign(fields)))
    with pytest.raises(IdentityError, match="which is not believed here"):
        store.consent("ada-l")
    del fields["signature"]
    path.write_text(json.dumps(fields))
    with pytest.raises(IdentityError, match="is not signed"):
        store.consent("ada-l")


def test_a_changed_shipped_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("realtime.identity").identity.SHIPPED, "coral", "00" * 32)
    with pytest.raises(IdentityError, match="not the record that shipped"):
        IdentityStore(Identities()).consent("coral")


def test_a_record_outlives_the_key_that_signed_it() -> None:
    added(enrolment())
    Keyring().rotate()
    assert usable("ada-l")


def encoded(identity_id: str = "ada-l") -> Path:
    """The folder of what networks made of it, with a file."""
    folder = IdentityStore(Identities()).folder(identity_id) / ENCODED
    folder.mkdir()
    (folder / "lite.640x480.encoded").write_bytes(b"made of a face")
    return folder


def test_revoked_what_was_encoded_goes_at_once() -> None:
    made = enrolment()
    added(made)
    folder = encoded()
    left = {path.name for path in folder.parent.iterdir()} - {ENCODED}
    made.revoke("ada-l")
    assert {path.name for path in folder.parent.iterdir()} == left


def test_a_revocation_that_cannot_delete_says_so_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    made = enrolment()
    added(made)
    folder = encoded()
    with monkeypatch.context() as patch:
        patch.setattr("engines.shelf.clear", refuse)
        with pytest.raises(IdentityError, match="holds no longer, but .* Permission denied; mend"):
            made.revoke("ada-l")
    assert not usable("ada-l") and folder.exists()
    made.revoke("ada-l", "she asked")
    assert not folder.exists()


def test_revoked_is_revoked_for_good(tmp_path: Path) -> None:
    made = enrolment()
    added(made)
    copy = tmp_path / "ada.reenactd-identity"
    made.export("ada-l", copy)
    data = copy.read_bytes()
    path = IdentityStore(Identities()).folder("ada-l") / "consent.json"
    before = path.read_bytes()
    made.revoke("ada-l")
    with pytest.raises(IdentityError, match="was revoked on"):
        IdentityStore(Identities()).consent("ada-l")
    path.write_bytes(before)
    with pytest.raises(IdentityError, match="was revoked here"):
        IdentityStore(Identities()).consent("ada-l")
    with pytest.raises(IdentityError, match="was revoked here"):
        made.take_in(data, "x", "again", lambda key: True)
    assert not usable("ada-l") and not usable("again")
    assert added(made, identity_id="anew") == "anew", "who agrees anew may be added anew"


def test_a_revocation_says_why() -> None:
    made = enrolment()
    added(made)
    for reason in ("a\nb", "x" * 201):
        with pytest.raises(IdentityError, match="at most 200 characters on one line"):
            made.revoke("ada-l", reason)
    assert usable("ada-l"), "a reason that breaks a rule revokes nothing"
    made.revoke("ada-l", " she asked me to ")
    path = IdentityStore(Identities()).folder("ada-l") / "consent.json"
    record = ConsentRecord.read(path)
    assert record.revoked_because == "she asked me to" and record.revoked_at is not None


def test_all_own_ones_are_told_with_what_is_wrong() -> None:
    made = enrolment()
    assert made.own() == []
    for identity_id, seed in (("one", 1), ("two", 2), ("three", 3)):
        picture = made.look_at(picture_bytes(seed=seed), "x")
        made.add(picture, wish(identity_id=identity_id))
    made.revoke("two")
    (IdentityStore(Identities()).folder("three") / "consent.json").write_bytes(b"{")
    one, three, two = made.own()
    assert (one.id, one.name, one.kind, one.proof, one.problem) == (
        *("one", "Ada L.", "fictional"),
        *("attested", ""),
    )
    assert (two.kind, three.kind) == ("fictional", "")
    assert two.problem.startswith("the consent was revoked on")
    assert three.problem.startswith("cannot be read as a record")


def test_a_live_check_stands_in_the_signed_record() -> None:
    made, now = enrolment(), datetime.now(timezone.utc).replace(microsecond=0)
    check = LiveCheck(("left", "blink", "up", "right"), "0.0123", "0.0400", now)
    with pytest.raises(IdentityError, match="belongs to self, not to fictional"):
        made.check(wish(live_check=check))
    added(made, kind="self", method="live-check", live_check=check)
    record = IdentityStore(Identities()).consent("ada-l")
    assert record.live_check == check and record.proof == "checked at the camera"
    assert made.own()[0].proof == "checked at the camera"
    path = IdentityStore(Identities()).folder("ada-l") / "consent.json"
    fields = signing.parse(path.read_bytes())
    assert set(fields["live_check"]) == {"steps", "score", "threshold", "checked_at"}
    path.write_bytes(path.read_bytes().replace(b"0.0123", b"0.0023"))
    with pytest.raises(IdentityError, match="changed after"):
        IdentityStore(Identities()).consent("ada-l")


def test_delete_removes_every_derived_byte_and_nobody_elses() -> None:
    made = enrolment()
    added(made)
    added(made, identity_id="other")
    root, others = encoded().parents[1], encoded("other")
    assert made.delete("ada-l") == 5
    assert [path.name for path in root.iterdir()] == ["other"] and list(others.iterdir())
    with pytest.raises(IdentityError, match="does not exist"):
        made.delete("ada-l")


def test_an_identity_without_a_record_can_be_deleted() -> None:
    made = enrolment()
    added(made)
    (IdentityStore(Identities()).folder("ada-l") / "consent.json").unlink()
    made.delete("ada-l")


@pytest.mark.parametrize("command", ["revoke", "delete"])
def test_the_shipped_ones_stay(command: str) -> None:
    with pytest.raises(IdentityError, match="ships with reenactd"):
        getattr(enrolment(), command)("coral")


def test_an_exported_identity_is_believed_where_its_key_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = enrolment()
    added(made)
    encoded()
    key = made.export("ada-l", tmp_path / "ada.reenactd-identity")
    data = (tmp_path / "ada.reenactd-identity").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert set(file.namelist()) == set(identity_archive.FILES), "nothing that was encoded"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    there = enrolment()
    asked: list[str] = []

    def decline(public_key: str) -> bool:
        asked.append(public_key)
        return False

    with pytest.raises(IdentityError, match="not believed here; nothing was imported"):
        there.take_in(data, "ada", None, decline)
    assert asked == [key] and not usable("ada-l")
    assert there.take_in(data, "ada", None, lambda key: True) == "ada-l"
    assert usable("ada-l")
    assert IdentityStore(Identities()).consent("ada-l").signed_by == key


@pytest.mark.parametrize("failing", ["_write", "trust"])
def test_a_failed_import_leaves_nobody_believed_and_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object) -> None:
        raise StartupError("/x: cannot be written: No space left on device")

    made = enrolment()
    added(made)
    data, key = made.packed("ada-l")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(Keyring if failing == "trust" else Enrolment, failing, full)
    with pytest.raises(StartupError, match="No space left"):
        enrolment().take_in(data, "ada", None, lambda key: True)
    assert Keyring().origin_of(key) is None
    root = tmp_path / "elsewhere" / "reenactd" / "identities"
    assert not root.exists() or list(root.iterdir()) == []


def test_what_a_forgotten_key_signed_is_not_worn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = enrolment()
    added(made)
    data, key = made.packed("ada-l")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    there = enrolment()
    there.take_in(data, "ada", None, lambda key: True)
    added(there, identity_id="mine")
    assert usable("ada-l") and there.signed_by(key) == ["ada-l"]
    Keyring().forget(signing.fingerprint(key))
    assert not usable("ada-l") and usable("mine")
    with pytest.raises(IdentityError, match="which is not believed here"):
        IdentityStore(Identities()).consent("ada-l")
    with pytest.raises(IdentityError, match="not believed here"):  # it is asked about again
        there.take_in(data, "ada", "again", lambda key: False)


def test_a_portrait_that_did_not_ship_is_decoded_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imported one holds the bytes that somebody else wrote."""
    added(enrolment())
    decoded: list[str] = []

    def elsewhere(data: bytes, name: str) -> Any:
        decoded.append(name)
        return portrait.decode(data, Path(name))

    monkeypatch.setattr(picture_process, "decode", elsewhere)
    matte: Callable[..., Any] = lambda rgb: np.ones(rgb.shape[:2], np.float32)  # noqa: E731
    store = IdentityStore(Identities(), find_faces=one_face, person_matte=matte)
    for identity_id in ("coral", "ada-l"):
        store.load(identity_id, fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)
    assert decoded == [str(store.folder("ada-l") / "portrait.png")]


def archive(by: Any = zipfile.ZIP_DEFLATED, **changes: Any) -> bytes:
    """An exported identity with other contents; None leaves a file out."""
    portrait = picture_bytes()
    record = {
        "kind": "fictional",
        "statement": "nobody",
        "portrait_sha256": __import__("hashlib").sha256(portrait).hexdigest(),
        "method": "test",
        "issued_at": "2026-01-01T00:00:00Z",
    }
    files: dict[str, Any] = {
        "portrait.png": portrait,
        "consent.json": json.dumps(Keyring().sign(record)).encode(),
        "identity.json": b'{"name": "Ada"}',
    }
    files.update({name.replace("_", "."): content for name, content in changes.items()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", by) as file:
        for name, content in files.items():
            if content is not None:
                file.writestr(name, content)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: b"", "is no exported identity"),
        (lambda: b"PK\x03\x04" + b"\0" * 50, "is no exported identity"),
        (lambda: archive()[:-30], "is no exported identity"),
        (lambda: archive(consent_json=None), "must hold portrait.png, consent.json"),
        (lambda: archive(**{"../../x": b"x"}), "and nothing else"),
        (lambda: archive(**{f"{ENCODED}/lite.640x480.encoded": b"x"}), "and nothing else"),
        (lambda: archive(identity_json=b" " * 100_000), "more than 65536 bytes"),
        (lambda: archive(identity_json=b'{"name": 3}'), "identity.json: name"),
        (lambda: archive(identity_json=b"{"), "identity.json: not JSON"),
        (lambda: archive(consent_json=b"{}"), "'kind' is missing"),
        (lambda: archive(consent_json=nested(2000)), "consent.json: .* nested deeper than 16"),
        (lambda: archive(consent_json=nested(500)), "consent.json: .* nested deeper than 16"),
        (lambda: archive(identity_json=nested(2000)), "identity.json: .*nested deeper than 16"),
        (lambda: archive(portrait_png=picture_bytes(seed=3)), "not the one that its consent names"),
        (lambda: archive(portrait_png=b"\0" * (33 << 20)), "portrait.png has more than"),
        (lambda: archive() + b"PK\x01\x02" * 100_000, "and nothing else"),
        (lambda: archive(by=zipfile.ZIP_BZIP2), "another method than deflate"),
        (lambda: archive(by=zipfile.ZIP_LZMA), "another method than deflate"),
    ],
)
def test_a_hostile_import_leaves_nothing(
    tmp_path: Path, made: Callable[[], bytes], said: str
) -> None:
    with pytest.raises(IdentityError, match=said) as caught:
        enrolment().take_in(made(), "x.reenactd-identity", None, lambda key: True)
    assert "\n" not in str(caught.value)
    root = tmp_path / "state" / "reenactd" / "identities"
    assert not root.exists() or list(root.iterdir()) == []


def test_the_archive_of_these_tests_is_good() -> None:
    assert enrolment().take_in(archive(), "x", None, lambda key: False) == "ada"
