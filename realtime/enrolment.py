"""The life of a user's own identity: added, revoked, deleted, carried to another installation.

An identity is written as a whole folder or not at all; its portrait is the picture's pixels only,
nothing else that the file held. What is signed is the consent record, which names the portrait by
its hash. Reading identities and making avatars of them is `identity.py`'s.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import cv2

from realtime import picture_file, picture_process, signing
from realtime.config import Identities
from realtime.consent import SCOPE, STATEMENTS, ConsentKind, ConsentRecord
from realtime.errors import IdentityError, StartupError
from realtime.frames import U8, FaceTrack
from realtime.identity import IdentityStore, check_id, user_directory
from realtime.portrait_advice import Examined, examine
from realtime.private_files import write_private
from realtime.trust import Keyring

EXPORT_SUFFIX = ".reenactd-identity"
FILES: Mapping[str, int] = {
    "portrait.png": picture_file.MAX_BYTES,
    "consent.json": 64 * 1024,
    "identity.json": 64 * 1024,
}
"""what an exported identity holds, and how many bytes of each are read"""
MAX_NAME = 64


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
        if wish.kind == "third-party" and wish.release_sha256 is None:
            raise IdentityError(
                "third-party: give the document in which the person agreed (--release FILE); its "
                "SHA-256 is kept in the record, the document stays with you"
            )
        if wish.kind != "third-party" and wish.release_sha256 is not None:
            raise IdentityError(f"a release document belongs to third-party, not to {wish.kind}")
        if wish.release_sha256 is not None:
            if re.fullmatch("[0-9a-f]{64}", wish.release_sha256) is None:
                raise IdentityError("the release's SHA-256: must be 64 lower-case hex digits")
        if wish.expires_at is not None and wish.expires_at <= datetime.now(timezone.utc):
            raise IdentityError(
                f"expires {wish.expires_at.isoformat()}: lies in the past; give a later date"
            )
        identity_id = wish.identity_id or _slug(name)
        self._check_free(identity_id)
        return identity_id

    def add(self, picture: Picture, wish: Wish) -> str:
        """Write the identity; the caller has had the statement read and confirmed. Returns its id.

        Raises:
            IdentityError: something in the wish breaks a rule.
            StartupError: it cannot be written; nothing is left behind.
        """
        identity_id = self.check(wish)
        portrait_png = _png(picture.rgba)
        record = ConsentRecord(
            wish.kind,
            STATEMENTS[wish.kind],
            picture_file.sha256(portrait_png),
            wish.method,
            datetime.now(timezone.utc).replace(microsecond=0),
            wish.expires_at,
            scope=SCOPE,
            release_sha256=wish.release_sha256,
        )
        files = {
            "portrait.png": portrait_png,
            "crop.png": _png(picture.examined.crop_rgb),
            "identity.json": _json({"name": wish.name.strip()}),
            "consent.json": _json(self._keyring.sign(record.fields())),
        }
        self._write(identity_id, files)
        return identity_id

    def revoke(self, identity_id: str) -> None:
        """The consent no longer holds: not here, nor as a copy that comes back.

        Raises:
            IdentityError: there is none of that id, or it shipped with the package.
        """
        path = self._own(identity_id, "revoked") / "consent.json"
        record = ConsentRecord.read(path)
        if record.revoked_at is not None:
            raise IdentityError(f"{identity_id}: was revoked on {record.revoked_at.isoformat()}")
        self._keyring.revoke(record.digest)  # first: from here on it does not hold
        revoked = replace(record, revoked_at=datetime.now(timezone.utc).replace(microsecond=0))
        write_private(path, _json(self._keyring.sign(revoked.fields())))

    def delete(self, identity_id: str) -> int:
        """Remove every byte that was made of the portrait: the folder, and what networks kept.

        A kept code's name does not tell whose portrait it was made of, so all of them go; the
        others are made again when they are next loaded. Returns how many files were removed.

        Raises:
            IdentityError: there is none of that id, or it shipped with the package.
        """
        folder = self._own(identity_id, "deleted")
        from engines.liveportrait.cache import default_root

        codes = [path for path in default_root().glob("*") if path.is_file()]
        removed = sum(path.is_file() for path in folder.rglob("*")) + len(codes)
        try:
            # Renamed first, so that it is gone at once and as a whole.
            doomed = folder.rename(folder.with_name(f".deleted-{folder.name}-{os.getpid()}"))
            shutil.rmtree(doomed)
            for path in codes:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise IdentityError(
                f"{folder}: not all of it could be deleted: {error.filename}: {error.strerror}"
            ) from error
        return removed

    def export(self, identity_id: str, target: Path) -> str:
        """Write an identity as one file, its consent as it was signed. Returns the signer's key.

        Raises:
            IdentityError: there is none of that id, its consent does not hold, or it shipped.
            StartupError: the file cannot be written.
        """
        folder = self._own(identity_id, "exported")
        record = self._store.consent(identity_id)
        assert record.signed_by is not None  # else it would not hold
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in FILES:
                if (folder / name).is_file():
                    archive.writestr(name, (folder / name).read_bytes())
        write_private(target, buffer.getvalue())
        return record.signed_by

    def take_in(self, source: Path, identity_id: str | None, believe: Callable[[str], bool]) -> str:
        """Import what `export` wrote. Returns its id.

        Args:
            believe: asked with a public key that is not known here: is it to be trusted?

        Raises:
            IdentityError: the file is none, was changed, or its consent does not hold.
        """
        files = _unpacked(source)
        path = source / "consent.json"  # for messages
        record = ConsentRecord.parse(files["consent.json"], path)
        if record.signed_by is None:
            raise IdentityError(f"{path}: is not signed; only signed consents can be imported")
        if picture_file.sha256(files["portrait.png"]) != record.portrait_sha256:
            raise IdentityError(f"{source}: the portrait is not the one that its consent names")
        record.check_valid(path, datetime.now(timezone.utc))
        if self._keyring.is_revoked(record.digest):
            raise IdentityError(f"{source}: its consent was revoked here")
        rgba = picture_process.decode(files["portrait.png"], str(source))
        crop = examine(rgba, self._find_faces or _camera_find_faces, str(source)).crop_rgb
        name = _name_in(files.get("identity.json"), source)
        identity_id = identity_id or _slug(name)
        self._check_free(identity_id)
        if self._keyring.origin_of(record.signed_by) is None:
            if not believe(record.signed_by):
                raise IdentityError(
                    f"{source}: signed by the key {signing.fingerprint(record.signed_by)}, which "
                    "is not believed here; nothing was imported"
                )
            self._keyring.trust(record.signed_by)
        look = {"identity.json": _json({"name": name}), "crop.png": _png(crop)}
        self._write(identity_id, {**files, **look})
        return identity_id

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
        unfinished: Path | None = None
        try:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = Path(tempfile.mkdtemp(dir=self._root, prefix=".unfinished-"))
            for name, content in files.items():
                write_private(unfinished / name, content)
            unfinished.rename(self._root / identity_id)
        except OSError as error:
            raise StartupError(
                f"{self._root / identity_id}: cannot be written: {error.strerror}"
            ) from error
        finally:
            if unfinished is not None and unfinished.exists():
                shutil.rmtree(unfinished, ignore_errors=True)


def _camera_find_faces(rgb: U8) -> list[FaceTrack]:
    from realtime.drivers.camera import find_faces

    return find_faces(rgb)


def _slug(name: str) -> str:
    """An id of a name, as far as its letters have a form in ASCII."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME]
    if not slug:
        raise IdentityError(f"name {name!r}: no id can be made of it; give one with --id")
    return slug


def _png(picture: U8) -> bytes:
    """(H, W, 3 or 4) as a PNG that holds pixels and nothing else."""
    if picture.shape[2] == 4 and (picture[:, :, 3] == 255).all():
        picture = picture[:, :, :3]
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    written, content = cv2.imencode(".png", cv2.cvtColor(picture, code))
    if not written:
        raise StartupError("the portrait cannot be written as PNG")
    return bytes(content.tobytes())


def _json(fields: Mapping[str, object]) -> bytes:
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()


def _unpacked(source: Path) -> dict[str, bytes]:
    """The files of an exported identity; no other name, no more bytes than each may have."""
    rule = f"{source}: is no exported identity"
    try:
        with zipfile.ZipFile(source) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if not {"portrait.png", "consent.json"} <= set(names) <= set(FILES):
                raise IdentityError(f"{rule}: it must hold {', '.join(FILES)} and nothing else")
            if len(set(names)) < len(names):
                raise IdentityError(f"{rule}: it holds a name twice")
            files = {}
            for name in names:
                with archive.open(name) as member:
                    files[name] = member.read(FILES[name] + 1)
                if len(files[name]) > FILES[name]:
                    raise IdentityError(f"{rule}: {name} has more than {FILES[name]} bytes")
            return files
    except OSError as error:
        raise IdentityError(f"{source}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise IdentityError(f"{rule} ({error})") from error


def _name_in(content: bytes | None, source: Path) -> str:
    try:
        name = "" if content is None else signing.parse(content).get("name", "")
    except signing.Malformed as error:
        raise IdentityError(f"{source}: identity.json: {error}") from error
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise IdentityError(f"{source}: identity.json: name must be at most {MAX_NAME} characters")
    return name or source.name.removesuffix(EXPORT_SUFFIX)
