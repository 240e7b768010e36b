from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines import shelf
from engines.errors import PortraitError
from engines.shelf import Maker, Shelf, encoded_once
from realtime import picture_file, picture_process, portrait
from realtime.config import Identities
from realtime.consent import ConsentRecord
from realtime.errors import IdentityError
from realtime.frames import F32, U8, FaceTrack
from realtime.identity import ENCODED, IdentityStore, Lent
from realtime.trust import Keyring
from tests import fakes

SHIPPED = ["cobalt", "coral", "juniper", "slate"]
FACE = FaceTrack(np.ones((478, 3), np.float32), 1.0)


class Keeping(fakes.FakeReenactor):
    """Keeps what it makes as a network would, and counts."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.runs = 0
        self.shelves: list[Shelf | None] = []
        self._meanwhile = meanwhile

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> Any:
        self.shelves.append(shelf)
        self._meanwhile()
        shown = {"seen": portrait_rgba[::8, ::8].astype(np.float32)}
        return encoded_once(shelf, Maker("fake", "", ""), canvas_hw, shown, self._encode)

    def _encode(self) -> dict[str, F32]:
        self.runs += 1
        return {"features": np.full(3, self.runs, np.float32)}


@pytest.fixture(autouse=True)
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a process of its own, which takes its time and has its own tests."""
    monkeypatch.setattr(
        picture_process, "decode", lambda data, name: portrait.decode(data, Path(name))
    )


def one_face(rgb: U8) -> list[FaceTrack]:
    return [FACE]


def left_half(rgb: U8) -> F32:
    matte = np.zeros(rgb.shape[:2], np.float32)
    matte[:, : rgb.shape[1] // 2] = 1
    return matte


def store(directory: Path, **finders: Any) -> IdentityStore:
    finders = {"find_faces": one_face, "person_matte": left_half, **finders}
    return IdentityStore(Identities(directory=directory), **finders)


def enrol(directory: Path, identity_id: str = "me", **changes: Any) -> Path:
    """A valid identity, with changes to its consent record."""
    folder = directory / identity_id
    folder.mkdir(parents=True)
    Image.new("RGB", (200, 200), (90, 60, 40)).save(folder / "portrait.png")
    record = {
        "kind": "self",
        "statement": "It is me.",
        "portrait_sha256": picture_file.sha256((folder / "portrait.png").read_bytes()),
        "method": "test",
        "issued_at": "2026-01-01T00:00:00Z",
        **changes,
    }
    (folder / "consent.json").write_text(json.dumps(Keyring().sign(record)), "utf-8")
    return folder


def lent_of(path: Path, picture: Image.Image) -> Lent:
    """A portrait file, with the consent that `enrol` writes."""
    signed = (enrol(path.parent / "lent") / "consent.json").read_bytes()
    rgba = np.asarray(picture.convert("RGBA"), np.uint8)
    return Lent(path, rgba, ConsentRecord.parse(signed, path), signed)


def test_the_shipped_identities_are_listed_and_show_no_real_person(tmp_path: Path) -> None:
    cards = store(tmp_path).list()
    assert [card.id for card in cards] == SHIPPED
    for card in cards:
        assert card.kind == "fictional"
        assert "no real person" in card.statement
        assert "MakeHuman" in card.statement
        assert card.portrait_path.is_file()
        assert card.name == card.id.title()


@pytest.mark.parametrize("identity_id", SHIPPED)
def test_the_shipped_identities_load_through_the_real_tracker(
    tmp_path: Path, identity_id: str
) -> None:
    reenactor = fakes.FakeReenactor()
    real = IdentityStore(Identities(directory=tmp_path))
    loaded = real.load(identity_id, reenactor.as_reenactor(), fakes.CANVAS)
    rgba, landmarks, canvas_hw = reenactor.portraits[0]
    assert rgba.shape == (768, 768, 4)
    assert landmarks.shape == (478, 3)
    x, y = landmarks[1, :2]
    assert rgba[round(float(y)), round(float(x)), 3] == 255  # the nose is on the person
    assert canvas_hw == fakes.CANVAS
    assert loaded.background_rgb.shape == (*fakes.CANVAS, 3)
    assert loaded.consent.kind == "fictional"


def test_a_users_identity_is_found_beside_the_shipped_ones(tmp_path: Path) -> None:
    folder = enrol(tmp_path, "my-face")
    (folder / "identity.json").write_text('{"name": "My Face"}', "utf-8")
    cards = store(tmp_path).list()
    assert [card.id for card in cards] == [*SHIPPED, "my-face"]
    assert cards[-1].name == "My Face"
    reenactor = fakes.FakeReenactor()
    loaded = store(tmp_path).load("my-face", reenactor.as_reenactor(), fakes.CANVAS)
    assert (loaded.id, loaded.name, loaded.consent.kind) == ("my-face", "My Face", "self")
    assert reenactor.portraits[0][1] is FACE.landmarks_px


def test_a_changed_portrait_is_refused(tmp_path: Path) -> None:
    folder = enrol(tmp_path)
    Image.new("RGB", (200, 200), (91, 60, 40)).save(folder / "portrait.png")
    with pytest.raises(IdentityError, match=r"portrait\.png: its SHA-256.*consent\.json"):
        store(tmp_path).load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_without_consent_there_is_no_identity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (enrol(tmp_path) / "consent.json").unlink()
    with pytest.raises(IdentityError, match=r"consent\.json: missing"):
        store(tmp_path).load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)
    with caplog.at_level(logging.WARNING):
        assert [card.id for card in store(tmp_path).list()] == SHIPPED
    assert "me is left out" in caplog.text


def test_an_expired_consent_ends_an_identity(tmp_path: Path) -> None:
    enrol(tmp_path, expires_at="2026-01-02T00:00:00Z")
    with pytest.raises(IdentityError, match="expired"):
        store(tmp_path).load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)
    assert [card.id for card in store(tmp_path).list()] == SHIPPED


@pytest.mark.parametrize(
    "name", ["../coral", "..", ".", "", "Coral", "a/b", "a" * 65, "-a", "é", "coral\n", "a\x00"]
)
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(IdentityError, match="must be 1 to 64"):
        store(tmp_path).load(name, fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    enrol(tmp_path / "elsewhere")
    inside = tmp_path / "identities"
    inside.mkdir()
    (inside / "me").symlink_to(tmp_path / "elsewhere" / "me")
    with pytest.raises(IdentityError, match="does not exist"):
        store(inside).load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_an_unknown_identity_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="'nobody' does not exist; there are: cobalt, coral"):
        store(tmp_path).load("nobody", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_a_shipped_identity_cannot_be_replaced(tmp_path: Path) -> None:
    enrol(tmp_path, "coral")
    cards = {card.id: card for card in store(tmp_path).list()}
    assert cards["coral"].kind == "fictional"


@pytest.mark.parametrize(("faces", "message"), [(0, "no face"), (2, "more than one face")])
def test_a_portrait_shows_exactly_one_face(tmp_path: Path, faces: int, message: str) -> None:
    enrol(tmp_path)
    found = store(tmp_path, find_faces=lambda rgb: [FACE] * faces)
    with pytest.raises(IdentityError, match=f"{message} was found; use a picture of one person"):
        found.load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)


def test_a_portrait_that_the_engine_refuses_is_an_identity_error(tmp_path: Path) -> None:
    class Refuses(fakes.FakeReenactor):
        def encode_identity(self, *_: Any) -> Any:
            raise PortraitError("landmarks that are no face")

    enrol(tmp_path)
    with pytest.raises(IdentityError, match="landmarks that are no face"):
        store(tmp_path).load("me", Refuses().as_reenactor(), fakes.CANVAS)


def test_a_photograph_is_cut_out_and_keeps_its_own_background(tmp_path: Path) -> None:
    picture = Image.new("RGB", (400, 300), (20, 120, 200))
    picture.paste((200, 150, 120), (0, 0, 200, 300))
    reenactor = fakes.FakeReenactor()
    lent = lent_of(tmp_path / "Straße 1.jpg", picture)
    made = store(tmp_path).from_portrait(lent, reenactor.as_reenactor(), fakes.CANVAS)
    alpha = reenactor.portraits[0][0][..., 3]
    assert (alpha[:, :190] == 255).all() and (alpha[:, 210:] == 0).all()
    assert np.abs(made.background_rgb.mean(axis=(0, 1)) - (20, 120, 200)).max() < 30
    assert made.consent == lent.consent
    assert made.name == "Straße 1"


def test_a_cutout_gets_a_studio(tmp_path: Path) -> None:
    def no_matte(rgb: U8) -> F32:
        raise AssertionError("a portrait with alpha needs no matte")

    picture = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    picture.paste((200, 150, 120, 255), (100, 100, 200, 300))
    reenactor = fakes.FakeReenactor()
    made = store(tmp_path, person_matte=no_matte).from_portrait(
        lent_of(tmp_path / "cut.png", picture), reenactor.as_reenactor(), fakes.CANVAS
    )
    np.testing.assert_array_equal(reenactor.portraits[0][0], np.asarray(picture))
    assert made.background_rgb.std() > 5


def test_what_was_made_of_a_portrait_is_kept_in_its_folder_and_used(tmp_path: Path) -> None:
    folder, reenactor = enrol(tmp_path), Keeping()
    for _ in range(2):  # as after a restart
        store(tmp_path).load("me", reenactor.as_reenactor(), fakes.CANVAS)
    assert reenactor.runs == 1
    sha256 = picture_file.sha256((folder / "portrait.png").read_bytes())
    assert reenactor.shelves == [Shelf(folder / ENCODED, sha256)] * 2
    assert shelf.names(folder / ENCODED) == ["fake.320x240"]


def test_what_was_made_of_one_portrait_is_not_used_for_another(tmp_path: Path) -> None:
    """Not even where what the encoder sees of both is the same."""
    one, other = enrol(tmp_path, "one"), enrol(tmp_path, "other")
    picture = Image.new("RGB", (200, 200), (90, 60, 40))
    picture.putpixel((1, 1), (91, 60, 40))
    picture.save(other / "portrait.png")
    record = json.loads((other / "consent.json").read_text())
    record["portrait_sha256"] = picture_file.sha256((other / "portrait.png").read_bytes())
    del record["signature"]
    (other / "consent.json").write_text(json.dumps(Keyring().sign(record)), "utf-8")
    reenactor = Keeping()
    store(tmp_path).load("one", reenactor.as_reenactor(), fakes.CANVAS)
    shutil.copytree(one / ENCODED, other / ENCODED)
    store(tmp_path).load("other", reenactor.as_reenactor(), fakes.CANVAS)
    assert reenactor.runs == 2


def test_of_shipped_and_lent_portraits_nothing_is_kept_but_in_a_cache(tmp_path: Path) -> None:
    reenactor, mine = Keeping(), tmp_path / "mine"
    lent = lent_of(tmp_path / "a.png", Image.new("RGB", (200, 200), (90, 60, 40)))
    for cache in (None, tmp_path / "home" / "cache"):
        identities = store(mine, shipped_cache=cache)
        identities.from_portrait(lent, reenactor.as_reenactor(), fakes.CANVAS)
        identities.load("coral", reenactor.as_reenactor(), fakes.CANVAS)
    assert reenactor.shelves[:3] == [None] * 3
    kept = tmp_path / "home" / "cache" / "coral"
    assert reenactor.shelves[3] is not None and reenactor.shelves[3].folder == kept
    assert shelf.names(kept) == ["fake.320x240"]
    assert not (IdentityStore(Identities()).folder("coral") / ENCODED).exists()


@pytest.mark.parametrize("gone", [False, True])
def test_a_consent_that_ends_while_it_is_encoded_leaves_nothing(
    tmp_path: Path, gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = enrol(tmp_path)

    def end() -> None:
        if gone:
            shutil.rmtree(folder)
        else:
            (folder / "consent.json").unlink()

    reenactor = Keeping(meanwhile=end)
    with pytest.raises(IdentityError, match=r"consent\.json: missing"):
        store(tmp_path).load("me", reenactor.as_reenactor(), fakes.CANVAS)
    assert reenactor.runs == 1 and not (folder / ENCODED).exists()
    assert folder.exists() != gone, "a deleted one does not come back"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"name": 3}', '{"name": ""}', '{"name": "A", "background": {"tint": "x"}}']
)
def test_a_broken_look_is_refused_with_an_example(tmp_path: Path, text: str) -> None:
    (enrol(tmp_path) / "identity.json").write_text(text, "utf-8")
    with pytest.raises(IdentityError, match=r"identity\.json: must look like"):
        store(tmp_path).load("me", fakes.FakeReenactor().as_reenactor(), fakes.CANVAS)
