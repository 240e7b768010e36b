"""Identities: find, check, encode. The only maker of `Identity`, and none without consent.

An identity is a folder: `portrait.png`, `consent.json` beside it, and optionally `identity.json`
with a display name and the background's tint. Some ship with the package, and their records are
pinned here; a user's own lie in the state directory, and their records must be signed by a key that
this installation believes. A portrait whose bytes are not those that its record names is refused.
A portrait file that is lent for one run (`lending.py`) has such a record, too. What networks made
of a user's own portrait lies in `encoded` of its folder (`engines/shelf.py`).
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines import shelf
from engines.errors import PortraitError
from engines.shelf import Shelf
from realtime import picture_file, picture_process, portrait
from realtime.config import Identities, state_directory
from realtime.consent import ATTESTED, ConsentRecord
from realtime.drivers import camera
from realtime.errors import IdentityError, StartupError
from realtime.frames import F32, U8, FaceTrack
from realtime.signing import fingerprint
from realtime.trust import Keyring

if TYPE_CHECKING:
    from engines.avatar import AnyReenactor

logger = logging.getLogger(__name__)

SHIPPED = {
    "cobalt": "8fc195c77d026e3add5e4d6b9f8b597ea4a9c61099a60f91238f2db3a60583d8",
    "coral": "9989d33a2cbfa8be6576cb0271d500d38482695232ee7d243f5e966a960b625f",
    "juniper": "390834369c20c1b056e86d2072356541e7ceaba14be6ddbdc6a4eff8d176f802",
    "slate": "62ecf8b6ca1df38a2d60a59e8a6ae6877aee30a99942326cfa36dc62637a4d53",
}
"""id -> `ConsentRecord.digest`; the record pins the portrait"""

ENCODED = "encoded"
"""folder of what networks made of a portrait, within its identity's"""
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_GREY = "#787c84"

FindFaces = Callable[[U8], list[FaceTrack]]
PersonMatte = Callable[[U8], F32]


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody to be, encoded for one canvas."""

    id: str
    name: str
    encoded: Any
    """what the reenactor made of the portrait; only its own `render` takes it"""
    background_rgb: U8
    """(H, W, 3) of the canvas"""
    consent: ConsentRecord


@dataclass(frozen=True, slots=True)
class IdentityCard:
    """What a gallery shows of an identity."""

    id: str
    name: str
    kind: str
    statement: str
    portrait_path: Path
    proof: str = ATTESTED
    """how much stands behind the consent: `consent.CHECKED` or `consent.ATTESTED`"""
    own: bool = False
    """it did not ship: it can be revoked, exported and deleted"""


@dataclass(frozen=True, slots=True)
class Lent:
    """A portrait file that may be worn in one run, made by `lending.lend` only."""

    path: Path
    rgba: U8
    """(H, W, 4) its pixels"""
    consent: ConsentRecord
    signed: bytes
    """the record as it is to be kept"""


@dataclass(frozen=True, slots=True)
class _Look:
    """What `identity.json` may say."""

    name: str
    tint_rgb: tuple[int, int, int]
    seed: int


MOST_DECODED = 4
"""portraits that did not ship and are kept decoded; one of 2 megapixels takes 8 MB"""


class IdentityStore:
    """The shipped identities and the user's own.

    Args:
        find_faces: at most two faces of a still picture.
        person_matte: (H, W) 0..1 of a still picture; for portraits without an alpha channel.
        shipped_cache: keeps what networks make of the shipped ones, whose own folders may be
            read-only; None: nothing is kept of them.
    """

    def __init__(
        self,
        config: Identities,
        find_faces: FindFaces = camera.find_faces,
        person_matte: PersonMatte = camera.person_matte,
        keyring: Keyring | None = None,
        shipped_cache: Path | None = None,
    ) -> None:
        self._shipped_cache = shipped_cache
        self._shipped = Path(str(resources.files("realtime") / "identities")).resolve()
        self._roots = (self._shipped, user_directory(config))
        self._keyring = keyring or Keyring()
        self._find_faces = find_faces
        self._person_matte = person_matte
        self._pictures: dict[str, U8] = {}
        """decoded elsewhere, by their SHA-256; the last ones"""

    def list(self) -> list[IdentityCard]:
        """All usable identities, the shipped ones first; others are logged with their flaw.

        Reads the records, of the portraits only whether they are there: `load` checks those.
        """
        cards = []
        for folder in self._folders():
            try:
                consent = self._consent(folder)
                look = _look(folder)
            except IdentityError as error:
                logger.warning("identity %s is left out: %s", folder.name, error)
                continue
            path = folder / "portrait.png"
            if not path.is_file():
                logger.warning("identity %s is left out: %s is missing", folder.name, path)
                continue
            said = consent.kind, consent.statement
            own = not self.is_shipped(folder)
            cards.append(IdentityCard(folder.name, look.name, *said, path, consent.proof, own))
        return cards

    def consent(self, identity_id: str) -> ConsentRecord:
        """The record by which an identity may be used now.

        Raises:
            IdentityError: unknown, or without valid consent.
        """
        return self._consent(self.folder(identity_id))

    def load(
        self, identity_id: str, reenactor: AnyReenactor, canvas_hw: tuple[int, int]
    ) -> Identity:
        """Check and encode an identity for a canvas of this height and width; takes about a second.
        What the networks make of it is kept, and taken from there the next time.

        A portrait that did not ship may have come from elsewhere, byte for byte, as it was signed
        there. So it is decoded in a process of its own, as when it was taken in.

        Raises:
            IdentityError: unknown, damaged, without valid consent, or not one face.
        """
        folder = self.folder(identity_id)
        consent = self._consent(folder)
        path = folder / "portrait.png"
        data = picture_file.read_bytes(path)
        found = picture_file.sha256(data)
        if found != consent.portrait_sha256:
            raise IdentityError(
                f"{path}: its SHA-256 is {found}, but {folder / 'consent.json'} names another; "
                "restore the portrait, or have the consent given anew for this one"
            )
        if self.is_shipped(folder):
            rgba = portrait.decode(data, path)
        else:
            rgba = self._decoded(data, found, path)
        kept = self.encoded_folder(folder)
        place = None if kept is None else Shelf(kept, found, parents=self.is_shipped(folder))
        try:
            return self._encode(rgba, path, _look(folder), consent, reenactor, canvas_hw, place)
        finally:
            self._check_again(folder)

    def _check_again(self, folder: Path) -> None:
        """Whether the consent outlived the encoding: whoever ended it has cleared too early.

        Raises:
            IdentityError: it did not; what was kept of it is gone.
        """
        try:
            self._consent(folder)
        except IdentityError:
            kept = self.encoded_folder(folder)
            try:
                if kept is not None:
                    shelf.clear(kept)
            except OSError as error:
                logger.warning("%s: cannot be deleted: %s", kept, error.strerror or error)
            raise

    def encoded_folder(self, folder: Path) -> Path | None:
        """Where what networks made of an identity's portrait is kept; None: nowhere."""
        if not self.is_shipped(folder):
            return folder / ENCODED
        return None if self._shipped_cache is None else self._shipped_cache / folder.name

    def _decoded(self, data: bytes, sha256: str, path: Path) -> U8:
        """(H, W, 4); for every size of the canvas the same."""
        rgba = self._pictures.pop(sha256, None)
        if rgba is None:
            rgba = picture_process.decode(data, str(path))
        self._pictures[sha256] = rgba
        while len(self._pictures) > MOST_DECODED:
            self._pictures.pop(next(iter(self._pictures)))
        return rgba

    def from_portrait(
        self, lent: Lent, reenactor: AnyReenactor, canvas_hw: tuple[int, int]
    ) -> Identity:
        """An identity for this run only.

        Raises:
            IdentityError: its consent does not hold, or it shows not one face.
        """
        path, consent = lent.path, lent.consent
        self._check_signer(path, consent)
        consent.check_valid(path, datetime.now(timezone.utc))
        look = _Look(path.stem, _rgb(_GREY), int(consent.portrait_sha256[:8], 16))
        return self._encode(lent.rgba, path, look, consent, reenactor, canvas_hw)

    def _encode(  # noqa: PLR0913 - everything that an identity is made of
        self,
        rgba: U8,
        path: Path,
        look: _Look,
        consent: ConsentRecord,
        reenactor: AnyReenactor,
        canvas_hw: tuple[int, int],
        place: Shelf | None = None,
    ) -> Identity:
        face = self._one_face(rgba, path)
        if portrait.has_cutout(rgba):
            background = portrait.studio(look.tint_rgb, look.seed, canvas_hw)
        else:
            rgba = portrait.cut_out(rgba, self._person_matte)
            background = portrait.own_background(rgba, rgba[:, :, 3], canvas_hw)
        try:
            encoded = reenactor.encode_identity(rgba, face.landmarks_px, canvas_hw, place)
        except PortraitError as error:
            raise IdentityError(f"{path}: {error}") from error
        identity_id = path.parent.name if path.name == "portrait.png" else path.stem
        return Identity(identity_id, look.name, encoded, background, consent)

    def _one_face(self, rgba: U8, path: Path) -> FaceTrack:
        faces = self._find_faces(portrait.over(rgba))
        if len(faces) != 1:
            found = "no face" if not faces else "more than one face"
            raise IdentityError(
                f"{path}: {found} was found; use a picture of one person, facing the camera, "
                "the whole head visible"
            )
        return faces[0]

    def is_shipped(self, folder: Path) -> bool:
        return folder.resolve().parent == self._shipped

    def own_folders(self) -> tuple[Path, ...]:
        """Of the identities that did not ship, usable or not."""
        return tuple(folder for folder in self._folders() if not self.is_shipped(folder))

    def name_of(self, folder: Path) -> str:
        """What a gallery shows; made of the folder's name where that cannot be read."""
        try:
            return _look(folder).name
        except IdentityError:
            return folder.name

    def folder(self, identity_id: str) -> Path:
        """The folder of an identity; nothing outside the roots can be named."""
        check_id(identity_id)
        for root in self._roots:  # asked for often, so the one folder is looked at first
            base = root.resolve()
            folder = base / identity_id
            if folder.is_dir() and not folder.is_symlink():
                return folder
        known = {folder.name: folder for folder in self._folders()}
        if identity_id not in known:
            raise IdentityError(
                f"identity {identity_id!r} does not exist; there are: {', '.join(known) or 'none'}"
            )
        return known[identity_id]

    def _consent(self, folder: Path) -> ConsentRecord:
        """The record, if it holds now and whoever signed it is believed."""
        path = folder / "consent.json"
        record = ConsentRecord.read(path)
        if self.is_shipped(folder):
            if SHIPPED.get(folder.name) != record.digest:
                raise IdentityError(f"{path}: is not the record that shipped: reinstall reenactd")
        else:
            self._check_signer(path, record)
        record.check_valid(path, datetime.now(timezone.utc))
        return record

    def _check_signer(self, path: Path, record: ConsentRecord) -> None:
        if record.signed_by is None:
            raise IdentityError(
                f"{path}: is not signed; add the portrait with `reenactd identity add`, which "
                "asks for the consent and signs it"
            )
        try:
            origin = self._keyring.origin_of(record.signed_by)
            revoked = self._keyring.is_revoked(record.digest)
        except StartupError as error:
            raise IdentityError(f"{path}: cannot be checked: {error}") from error
        if origin is None:
            raise IdentityError(
                f"{path}: signed by the key {fingerprint(record.signed_by)}, which is not "
                "believed here; have the identity exported there, then `reenactd identity import`"
            )
        if revoked:
            raise IdentityError(
                f"{path}: this consent was revoked here; the identity may no longer be used: add "
                "it anew if the person agrees again"
            )

    def _folders(self) -> Iterator[Path]:
        """Identity folders by name; a shipped one is never replaced by a user's of its name."""
        taken: set[str] = set()
        for root in self._roots:
            base = root.resolve()
            try:
                folders = sorted(base.iterdir()) if base.is_dir() else []
            except OSError as error:
                logger.warning("identities in %s cannot be read: %s", base, error.strerror)
                continue
            for folder in folders:
                inside = folder.resolve().is_relative_to(base) and folder.is_dir()
                if _ID.fullmatch(folder.name) is None or not inside:
                    continue
                if folder.name in taken:
                    logger.warning("%s: the name is taken by a shipped identity; rename it", folder)
                    continue
                taken.add(folder.name)
                yield folder


def user_directory(config: Identities) -> Path:
    """Where the identities lie that do not ship."""
    return config.directory or state_directory() / "identities"


def check_id(identity_id: str) -> None:
    """
    Raises:
        IdentityError: it could not be a folder's name here.
    """
    if _ID.fullmatch(identity_id) is None:
        raise IdentityError(
            f"identity {identity_id[:80]!r}: must be 1 to 64 of a-z, 0-9, _ and -, "
            "beginning with a letter or digit"
        )


def _look(folder: Path) -> _Look:
    """Name and background of an identity; both have defaults.

    Raises:
        IdentityError: `identity.json` exists and breaks a rule.
    """
    path = folder / "identity.json"
    seed = zlib.crc32(folder.name.encode())
    if not path.exists():
        return _Look(folder.name.replace("-", " ").replace("_", " ").title(), _rgb(_GREY), seed)
    try:
        fields: Any = json.loads(path.read_text("utf-8"))
        name = fields["name"]
        background = fields.get("background", {})
        tint = _rgb(background.get("tint", _GREY))
        seed = int(background.get("seed", seed))
        if not isinstance(name, str) or not 0 < len(name) <= 64 or seed < 0:
            raise ValueError("out of range")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IdentityError(
            f'{path}: must look like {{"name": "Juniper", "background": {{"tint": "#5a7c70", '
            f'"seed": 1}}}} ({error})'
        ) from error
    return _Look(name, tint, seed)


def _rgb(tint: str) -> tuple[int, int, int]:
    """Raises ValueError when `tint` is not #rrggbb."""
    red, green, blue = bytes.fromhex(tint.removeprefix("#"))
    return red, green, blue
