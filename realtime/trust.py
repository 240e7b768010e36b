"""This installation's keys: what it signs with, and whose signatures it believes.

    trust/records.key    Ed25519, signs consents and session records      mode 0600
    trust/keys.json      public keys: its own, those it had before, and those it was told to trust
    trust/revoked.json   digests of consents that were withdrawn: no copy of one holds any more;
                         and SHA-256 of their portraits, which no file render takes any more
    trust/c2pa.key       ES256, signs files (C2PA)                        mode 0600
    trust/c2pa.pem       its certificate, and the root that signed it
    trust/c2pa-roots.pem that root, and the ones before it

In the state directory; made when first needed. `rotate` makes new keys and keeps the old public
ones, so that old signatures can still be checked; `forget` takes one of them out. The keys lie
unencrypted, for a daemon starts without a person: who can read the owner's files can sign in their
name. Files are replaced as a whole, so they are read without a lock; who changes one holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, cast, get_args

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from realtime import certificates, signing
from realtime.config import state_directory
from realtime.errors import StartupError, TrustError
from realtime.private_files import PRIVATE_FOLDER, read_private, write_private

logger = logging.getLogger(__name__)

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"

Origin = Literal["own", "retired", "imported"]
"""this installation's key, one that it had before, one that somebody else signs with"""


@dataclass(frozen=True, slots=True)
class KnownKey:
    public_key: str
    origin: Origin
    since: str
    """ISO 8601: made, or told to trust"""

    @property
    def fingerprint(self) -> str:
        return signing.fingerprint(self.public_key)


@dataclass(frozen=True, slots=True)
class MediaKeys:
    """What C2PA signs with."""

    chain: bytes
    """PEM: certificate, root"""
    key: bytes = b""
    """PEM, PKCS #8"""


class Keyring:
    """The keys in one folder; every question reads it anew, so a change holds at once."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or state_directory() / "trust"

    @property
    def exists(self) -> bool:
        """Whether keys were made already."""
        return (self.directory / "records.key").exists()

    def init(self) -> list[str]:
        """Make what is missing. Returns a line for each thing that was made."""
        made = []
        if not self.exists:
            made.append(f"signing key {self._fingerprint(self._signing_key())}")
        if not (self.directory / "c2pa.key").exists():
            self.media_keys()
            made.append("certificate for files (C2PA), by a local CA of its own")
        return made

    def rotate(self) -> str:
        """New keys for all that is signed from now on. Returns the new fingerprint."""
        with self._alone():
            old = self._own()
            keys = [
                replace(key, origin="retired" if key.origin == "own" else key.origin)
                for key in self.known()
            ]
            if old is not None and all(key.public_key != old for key in keys):
                keys.append(KnownKey(old, "retired", _now()))  # keys.json was lost
            new = Ed25519PrivateKey.generate()
            # Public keys first: were this to stop in between, all signatures could be checked.
            self._write_keys([*keys, KnownKey(_public(new), "own", _now())])
            write_private(self.directory / "records.key", _pem(new))
            self._make_media_keys()
        return self._fingerprint(new)

    def sign(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields with this installation's signature."""
        return signing.sign(fields, self._signing_key())

    def signer(self) -> Ed25519PrivateKey:
        """The key itself, for who signs often: read once."""
        return self._signing_key()

    def known(self) -> list[KnownKey]:
        """Every key whose signatures are believed.

        Raises:
            TrustError: the list is damaged.
        """
        path = self.directory / "keys.json"
        content = read_private(path)
        if content is None:
            return []
        try:
            return [_known_key(entry) for entry in signing.parse(content)["keys"]]
        except (signing.Malformed, KeyError, TypeError, ValueError) as error:
            raise TrustError(
                f"{path}: is damaged ({error}); restore it, or delete it: then only "
                "signatures of the present key are believed"
            ) from error

    def origin_of(self, public_key: str) -> Origin | None:
        """Whose key it is; None where it is nobody's who is believed."""
        for key in self.known():
            if key.public_key == public_key:
                return key.origin
        return "own" if public_key == self._own() else None

    def trust(self, public_key: str) -> None:
        """Believe signatures of a key of another installation from now on."""
        with self._alone():
            if self.origin_of(public_key) is None:
                self._write_keys([*self.known(), KnownKey(public_key, "imported", _now())])

    def forget(self, fingerprint: str) -> KnownKey:
        """Believe signatures of a key no longer, until somebody says to trust it again.

        With one that was used here before a rotation, all earlier certificates of files go: which
        of them was made beside which key is not kept.

        Args:
            fingerprint: as `signing.fingerprint` writes it; spaces and case do not count.

        Raises:
            TrustError: no such key is believed here, or it is the one that signs.
        """
        with self._alone():
            found = self.find(fingerprint)
            if found.origin == "own" or found.public_key == self._own():
                raise TrustError(
                    f"{found.fingerprint}: is the key that signs here; `reenactd trust rotate` "
                    "first, then forget this one"
                )
            self._write_keys([key for key in self.known() if key != found])
            if found.origin == "retired":  # whoever has that key has those of its files, too
                chain = read_private(self.directory / "c2pa.pem") or b""
                _, begin, root = chain.rpartition(_CERTIFICATE)
                write_private(self.directory / "c2pa-roots.pem", begin + root if begin else b"")
        return found

    def find(self, fingerprint: str) -> KnownKey:
        """The key of that fingerprint, among those that are believed.

        Raises:
            TrustError: there is none.
        """
        for key in self.known():
            if _bare(key.fingerprint) == _bare(fingerprint):
                return key
        raise TrustError(
            f"fingerprint {fingerprint[:80]!r}: no such key is believed here; "
            "`reenactd trust show` names those that are"
        )

    def revoke(self, digest: str, portrait_sha256: str) -> None:
        """Never again believe the consent with this digest, whoever signed it.

        Args:
            portrait_sha256: of the portrait that it names.
        """
        with self._alone():
            revoked = self._revoked()
            added = {"revoked": digest, "portraits": portrait_sha256}
            fields = {name: sorted({*revoked[name], value}) for name, value in added.items()}
            write_private(self.directory / "revoked.json", signing.canonical(fields))

    def is_revoked(self, digest: str) -> bool:
        return digest in self._revoked()["revoked"]

    def is_portrait_revoked(self, sha256: str) -> bool:
        """Whether a consent for this very picture was taken back here."""
        return sha256 in self._revoked()["portraits"]

    def media_keys(self) -> MediaKeys:
        """What files are signed with, made at the first need and once it has ended."""
        key = read_private(self.directory / "c2pa.key")
        chain = read_private(self.directory / "c2pa.pem")
        if key is None or chain is None or _has_ended(chain):
            with self._alone():
                chain = read_private(self.directory / "c2pa.pem")  # another may have been faster
                if chain is None or _has_ended(chain) or not (self.directory / "c2pa.key").exists():
                    self._make_media_keys()
                key = read_private(self.directory / "c2pa.key")
                chain = read_private(self.directory / "c2pa.pem")
        assert key is not None and chain is not None
        return MediaKeys(chain, key)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes what lies here: no other process, no other thread. Not to be
        entered twice: the second would wait for the first.

        Raises:
            TrustError: the folder cannot be used.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise TrustError(
                f"{self.directory}: cannot be used: {error.strerror or error}"
            ) from error
        try:
            with contextlib.suppress(OSError):  # some network file systems know no locks
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def media_roots(self) -> bytes:
        """PEM of the roots whose files are this installation's; empty before the first need."""
        return read_private(self.directory / "c2pa-roots.pem") or b""

    def _make_media_keys(self) -> None:
        made = certificates.for_signing_media(datetime.now(timezone.utc))
        roots = self.media_roots()
        write_private(self.directory / "c2pa-roots.pem", made.root + roots)
        write_private(self.directory / "c2pa.pem", made.leaf + made.root)
        write_private(self.directory / "c2pa.key", made.leaf_key)
        logger.warning("made a certificate for signed files in %s", self.directory)

    def _signing_key(self) -> Ed25519PrivateKey:
        key = self._read_signing_key()
        if key is None:
            with self._alone():
                key = self._read_signing_key()  # another process may have been faster
                if key is None:
                    key = Ed25519PrivateKey.generate()
                    write_private(self.directory / "records.key", _pem(key))
                    self._write_keys([*self.known(), KnownKey(_public(key), "own", _now())])
                    name, place = self._fingerprint(key), self.directory
                    logger.warning("made this installation's signing key %s in %s", name, place)
        return key

    def _own(self) -> str | None:
        """The public key of what signs now; makes none."""
        key = self._read_signing_key()
        return None if key is None else _public(key)

    def _read_signing_key(self) -> Ed25519PrivateKey | None:
        path = self.directory / "records.key"
        content = read_private(path)
        if content is None:
            return None
        try:
            key = serialization.load_pem_private_key(content, None)
        except (ValueError, TypeError) as error:
            raise TrustError(f"{path}: holds no key ({error}); restore it from a copy") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise TrustError(f"{path}: holds no Ed25519 key; restore it from a copy")
        return key

    def _write_keys(self, keys: list[KnownKey]) -> None:
        entries = [
            {"key": key.public_key, "origin": key.origin, "since": key.since} for key in keys
        ]
        write_private(self.directory / "keys.json", signing.canonical({"keys": entries}))

    def _revoked(self) -> dict[str, list[str]]:
        path = self.directory / "revoked.json"
        content = read_private(path)
        if content is None:
            return {"revoked": [], "portraits": []}
        try:
            fields = signing.parse(content)
            revoked, portraits = list(fields["revoked"]), list(fields.get("portraits", []))
            if not all(isinstance(entry, str) for entry in (*revoked, *portraits)):
                raise ValueError("entries must be texts")
        except (signing.Malformed, KeyError, TypeError, ValueError) as error:
            raise TrustError(f"{path}: is damaged ({error}); restore it from a copy") from error
        return {"revoked": revoked, "portraits": portraits}

    @staticmethod
    def _fingerprint(key: Ed25519PrivateKey) -> str:
        return signing.fingerprint(_public(key))


def _known_key(entry: dict[str, Any]) -> KnownKey:
    key, origin, since = str(entry["key"]), entry["origin"], str(entry["since"])
    if len(bytes.fromhex(key)) != 32 or origin not in get_args(Origin):
        raise ValueError(f"{key[:16]}: no key of a known origin")
    return KnownKey(key, cast(Origin, origin), since)


def _bare(fingerprint: str) -> str:
    return "".join(fingerprint.split()).lower()


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _has_ended(chain: bytes) -> bool:
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError) as error:
        raise StartupError(
            f"the C2PA certificate is damaged ({error}): `reenactd trust rotate`"
        ) from error
    return leaf.not_valid_after_utc <= datetime.now(timezone.utc)
