"""The life of a user's own identity: added, revoked, deleted, carried to another installation.

An identity is written as a whole folder or not at all; its portrait is the picture's pixels only,
nothing else that the file held. What is signed is the consent record, which names the portrait by
its hash. Reading identities and making avatars of them is `identity.py`'s.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from engines import shelf
from realtime import identity_archive, identity_files, picture_file, picture_process, signing
from realtime.config import Identities
from realtime.consent import SCOPE, STATEMENTS, ConsentKind, ConsentRecord, LiveCheck
from realtime.errors import IdentityError, StartupError
from realtime.frames import U8, FaceTrack
from realtime.identity import ENCODED, IdentityStore, check_id, user_directory
from realtime.identity_archive import MAX_NAME
from realtime.portrait_advice import Examined, examine
from realtime.private_files import write_private
from realtime.trust import Keyring

MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Wish:
    """Who is to be added, and why that is allowed."""

    name: str
    kind: ConsentKind
    method: str
    """how the statement was obtained"""
    identity_id: str | None = None
    """None: made of the name"""
    release_sha256: str | None = None
    expires_at: datetime | None = None
    live_check: LiveCheck | None = None
    """passed by the person in this very picture, as the caller has seen to"""
    scope: str = SCOPE
    """what it is for"""


@dataclass(frozen=True, slots=True)
class Own:
    """An identity that did not ship, whether or not it may be used."""

    id: str
    name: str
    kind: str
    """empty where its record cannot be read"""
    proof: str
    problem: str
    """why it may not be used; empty where it may"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture from outside that could be a portrait."""

    rgba: U8
    examined: Examined


class Enrolment:
    """Changes the user's identities.

    Args:
        find_faces: at most two faces of a still picture; the default loads MediaPipe.
    """

    def __init__(
        self,
        config: Identities,
        keyring: Keyring | None = None,
        find_faces: Callable[[U8], list[FaceTrack]] | None = None,
    ) -> None:
        self._root = user_directory(config)
        self._keyring = keyring or Keyring()
        self._store = IdentityStore(config, keyring=self._keyring)
        self._find_faces = find_faces

    def look_at(self, data: bytes, name: str) -> Picture:
        """Decode a picture, in a process of its own, and find its face; takes about a second.

        Raises:
            IdentityError: it is no picture of one face, or too large.
        """
        rgba = picture_process.decode(data, name)
        return Picture(rgba, examine(rgba, self._find_faces or _camera_find_faces, name))

    def count_faces(self, rgb: U8) -> int:
        """In a picture of the camera, two at most; takes some tens of milliseconds."""
        return len((self._find_faces or _camera_find_faces)(rgb))

    def check(self, wish: Wish) -> str:
        """The id that it would get.

        Raises:
            IdentityError: something in the wish breaks a rule.
        """
        name = wish.name.strip()
        if not 0 < len(name) <= MAX_NAME or any(unicodedata.category(c) == "Cc" for c in name):
            raise IdentityError(
                f"name {wish.name[:80]!r}: must be 1 to {MAX_NAME} characters on one line"
            )
        check_terms(wish)
        identity_id = wish.identity_id or identity_files.slug(name)
        self._check_free(identity_id)
        return identity_id

    def add(self, picture: Picture, wish: Wish) -> str:
        """Write the identity; the caller has had the statement read and confirmed. Returns its id.

        Raises:
            IdentityError: something in the wish breaks a rule.
            StartupError: it cannot be written; nothing is left behind.
        """
        identity_id = self.check(wish)
        portrait_png = identity_files.as_png(picture.rgba)
        files = {
            "portrait.png": portrait_png,
            "crop.png": identity_files.as_png(picture.examined.crop_rgb),
            "identity.json": identity_files.as_json({"name": wish.name.strip()}),
            "consent.json": self.sign(wish, picture_file.sha256(portrait_png)),
        }
        self._write(identity_id, files)
        return identity_id

    def sign(self, wish: Wish, portrait_sha256: str) -> bytes:
        """A `consent.json` of now, signed; the wish must have been checked."""
        record = ConsentRecord(
            wish.kind,
            STATEMENTS[wish.kind],
            portrait_sha256,
            wish.method,
            datetime.now(timezone.utc).replace(microsecond=0),
            wish.expires_at,
            scope=wish.scope,
            release_sha256=wish.release_sha256,
            live_check=wish.live_check,
        )
        return identity_files.as_json(self._keyring.sign(record.fields()))

    def is_revoked(self, picture: Picture, file_sha256: str) -> bool:
        """Whether a consent for this file, or for the portrait that would be made of it, was taken
        back here."""
        hashes = {file_sha256, picture_file.sha256(identity_files.as_png(picture.rgba))}
        if any(map(self._keyring.is_portrait_revoked, hashes)):
            return True
        # The list has the portraits of newer revocations only; the records have all of them.
        revoked = map(_revoked_in, self._store.own_folders())
        return any(record is not None and record.portrait_sha256 in hashes for record in revoked)

    def own(self) -> list[Own]:
        """All that did not ship, by id; those that may not be used as well."""
        return [self._described(folder) for folder in self._store.own_folders()]

    def _described(self, folder: Path) -> Own:
        kind = proof = problem = ""
        try:
            record = ConsentRecord.read(folder / "consent.json")
            kind, proof = record.kind, record.proof
            self._store.consent(folder.name)
        except IdentityError as error:
            problem = str(error).replace(f"{folder / 'consent.json'}: ", "", 1)
        return Own(folder.name, self._store.name_of(folder), kind, proof, problem)

    def revoke(self, identity_id: str, because: str = "") -> None:
        """The consent no longer holds: not here, nor as a copy that comes back. What networks made
        of the portrait goes.

        Args:
            because: what the record is to say of it.

        Raises:
            IdentityError: there is none of that id, it shipped with the package, or what was made
                of it cannot be deleted.
        """
        folder = self._own(identity_id, "revoked")
        path = folder / "consent.json"
        record = ConsentRecord.read(path)
        if record.revoked_at is not None:
            raise IdentityError(f"{identity_id}: was revoked on {record.revoked_at.isoformat()}")
        because = because.strip()
        if len(because) > MAX_REASON or any(unicodedata.category(c) == "Cc" for c in because):
            raise IdentityError(f"reason: must be at most {MAX_REASON} characters on one line")
        # First: from here on it does not hold.
        self._keyring.revoke(record.digest, record.portrait_sha256)
        try:
            shelf.clear(folder / ENCODED)
        except OSError as error:
            raise IdentityError(
                f"{identity_id}: the consent holds no longer, but not all that was encoded could "
                f"be deleted: {error.filename}: {error.strerror}; mend that, and revoke it again"
            ) from error
        now = datetime.now(timezone.utc).replace(microsecond=0)
        revoked = replace(record, revoked_at=now, revoked_because=because or None)
        write_private(path, identity_files.as_json(self._keyring.sign(revoked.fields())))

    def delete(self, identity_id: str) -> int:
        """Remove the folder, and so every byte that was made of the portrait. Returns how many
        files that were.

        Raises:
            IdentityError: there is none of that id, or it shipped with the package.
        """
        folder = self._own(identity_id, "deleted")
        revoked = _revoked_in(folder)
        if revoked is not None:  # of an older revocation the folder alone names the portrait
            self._keyring.revoke(revoked.digest, revoked.portrait_sha256)
        for left in folder.parent.glob(".deleted-*"):  # by one that was stopped half way
            shutil.rmtree(left, ignore_errors=True)
        removed = sum(path.is_file() for path in folder.rglob("*"))
        try:
            # Renamed first, so that it is gone at once and as a whole.
            doomed = folder.rename(folder.with_name(f".deleted-{folder.name}-{os.getpid()}"))
            shutil.rmtree(doomed)
        except OSError as error:
            raise IdentityError(
                f"{folder}: not all of it could be deleted: {error.filename}: {error.strerror}"
            ) from error
        return removed

    def export(self, identity_id: str, target: Path) -> str:
        """Write an identity as one file, its consent as it was signed. Returns the signer's key.

        Raises:
            IdentityError: as of `packed`.
            StartupError: the file cannot be written.
        """
        content, signer = self.packed(identity_id)
        write_private(target, content)
        return signer

    def packed(self, identity_id: str) -> tuple[bytes, str]:
        """What `export` writes, and the signer's key.

        Raises:
            IdentityError: there is none of that id, its consent does not hold, or it shipped.
        """
        folder = self._own(identity_id, "exported")
        record = self._store.consent(identity_id)
        assert record.signed_by is not None  # else it would not hold
        return identity_archive.pack(folder), record.signed_by

    def take_in(
        self, data: bytes, name: str, identity_id: str | None, believe: Callable[[str], bool]
    ) -> str:
        """Import what `export` wrote. Returns its id.

        Args:
            name: of the file, for messages.
            believe: asked with a public key that is not known here: is it to be trusted?

        Raises:
            IdentityError: the file is none, was changed, or its consent does not hold.
        """
        files = identity_archive.unpack(data, name)
        path = Path(name) / "consent.json"  # for messages
        record = ConsentRecord.parse(files["consent.json"], path)
        if record.signed_by is None:
            raise IdentityError(f"{path}: is not signed; only signed consents can be imported")
        if picture_file.sha256(files["portrait.png"]) != record.portrait_sha256:
            raise IdentityError(f"{name}: the portrait is not the one that its consent names")
        record.check_valid(path, datetime.now(timezone.utc))
        if self._keyring.is_revoked(record.digest):
            raise IdentityError(f"{name}: its consent was revoked here")
        rgba = picture_process.decode(files["portrait.png"], name)
        crop = examine(rgba, self._find_faces or _camera_find_faces, name).crop_rgb
        shown = identity_archive.name_in(files.get("identity.json"), name)
        identity_id = identity_id or identity_files.slug(shown)
        self._check_free(identity_id)
        is_new = self._keyring.origin_of(record.signed_by) is None
        if is_new and not believe(record.signed_by):
            raise IdentityError(
                f"{name}: signed by the key {signing.fingerprint(record.signed_by)}, which "
                "is not believed here; nothing was imported"
            )
        look = {
            "identity.json": identity_files.as_json({"name": shown}),
            "crop.png": identity_files.as_png(crop),
        }
        self._write(identity_id, {**files, **look})
        try:  # only now: an import that failed must not leave its signer believed
            if is_new:
                self._keyring.trust(record.signed_by)
        except StartupError:
            shutil.rmtree(self._root / identity_id, ignore_errors=True)
            raise
        return identity_id

    def signed_by(self, public_key: str) -> list[str]:
        """The ids of the identities whose consent carries this key's signature."""
        return [
            folder.name for folder in self._store.own_folders() if _signer(folder) == public_key
        ]

    def _own(self, identity_id: str, done: str) -> Path:
        folder = self._store.folder(identity_id)
        if self._store.is_shipped(folder):
            raise IdentityError(
                f"{identity_id}: ships with reenactd and shows no real person; it cannot be {done}"
            )
        return folder

    def _check_free(self, identity_id: str) -> None:
        check_id(identity_id)
        try:
            taken = self._store.folder(identity_id)
        except IdentityError:
            if not (self._root / identity_id).exists():
                return
            taken = self._root / identity_id
        raise IdentityError(
            f"identity {identity_id!r} is there already ({taken}); choose another with --id, or "
            "delete that one"
        )

    def _write(self, identity_id: str, files: Mapping[str, bytes]) -> None:
        identity_files.write(self._root / identity_id, files)


def check_terms(wish: Wish) -> None:
    """
    Raises:
        IdentityError: what it says of the consent breaks a rule.
    """
    if wish.kind == "third-party" and wish.release_sha256 is None:
        raise IdentityError(
            "third-party: give the document in which the person agreed (--release FILE); its "
            "SHA-256 is kept in the record, the document stays with you"
        )
    if wish.kind != "third-party" and wish.release_sha256 is not None:
        raise IdentityError(f"a release document belongs to third-party, not to {wish.kind}")
    if wish.live_check is not None and wish.kind != "self":
        raise IdentityError(f"a live check belongs to self, not to {wish.kind}")
    if wish.release_sha256 is not None:
        if re.fullmatch("[0-9a-f]{64}", wish.release_sha256) is None:
            raise IdentityError("the release's SHA-256: must be 64 lower-case hex digits")
    if wish.expires_at is not None and wish.expires_at <= datetime.now(timezone.utc):
        raise IdentityError(
            f"expires {wish.expires_at.isoformat()}: lies in the past; give a later date"
        )


def _revoked_in(folder: Path) -> ConsentRecord | None:
    """The consent that was taken back in this folder, if one was."""
    try:
        record = ConsentRecord.read(folder / "consent.json")
    except IdentityError:  # it does not tell whose it is
        return None
    return None if record.revoked_at is None else record


def _signer(folder: Path) -> str | None:
    try:
        return ConsentRecord.read(folder / "consent.json").signed_by
    except IdentityError:  # a record that cannot be read holds by nobody's word
        return None


def _camera_find_faces(rgb: U8) -> list[FaceTrack]:
    from realtime.drivers.camera import find_faces

    return find_faces(rgb)
