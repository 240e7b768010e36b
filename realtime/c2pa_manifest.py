"""C2PA manifests (https://spec.c2pa.org): what a file says of its origin; signed, checked.

A file that reenactd writes says that it was created by it, what of it is synthetic, and in an
assertion of our own whose consent and which weights it was made with: by hashes, for a manifest is
public. It is signed by this installation's own CA: here the file is *trusted*, elsewhere *valid*,
which says that nobody changed it, not who made it. Whoever copies the pictures without the manifest
leaves nothing of it: that is what the watermark is for.

Nothing is fetched from a network, whatever a file asks for. Needs the `c2pa` extra.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from realtime import __version__
from realtime.errors import TrustError
from realtime.manifest_bytes import MIME_TYPES, has_remains, loose_end, mime_of
from realtime.trust import Keyring

ASSERTION = "org.reenactd.reenactment"
GET_IT = "pip install 'reenactd[c2pa]'"
SOURCE_TYPES = {
    "generated": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    "composite": "http://cv.iptc.org/newscodes/digitalsourcetype/"
    "compositeWithTrainedAlgorithmicMedia",
}
"""IPTC's terms: every pixel was made by a model, or the performer's room is in the picture"""
State = Literal["trusted", "valid", "invalid", "absent", "unsupported", "unavailable"]
"""signed here · intact, but signed elsewhere or by others · changed · no manifest · a kind of
file that carries none · the `c2pa` extra is not installed"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a manifest says."""

    picture: Literal["generated", "composite"]
    identity_sha256: str
    """of the portrait"""
    consent_sha256: str
    network: str
    weights_sha256: str
    session: str
    """8 hexadecimal digits: the session's record"""
    watermark: str | None = None
    """what the watermark in the pictures carries; None where there is none"""
    further: tuple[tuple[str, str], ...] = ()
    """SHA-256 of portrait and consent of each who is seen later in the same film"""

    @property
    def people(self) -> tuple[tuple[str, str], ...]:
        """SHA-256 of portrait and consent of everybody who is seen."""
        return (self.identity_sha256, self.consent_sha256), *self.further


@dataclass(frozen=True, slots=True)
class C2paCheck:
    state: State
    reason: str = ""
    """what is wrong, in the validator's words"""
    claim: Claim | None = None
    """as the manifest has it; believe it where the state is trusted"""


def is_installed() -> bool:
    return importlib.util.find_spec("c2pa") is not None


def seal(path: Path, claim: Claim, title: str, keyring: Keyring | None = None) -> None:
    """Give a finished file its manifest; a second for each 30 MB or so.

    A signed copy takes the file's place once it is whole and on the disk. Until then, and whatever
    happens, the file is as it was.

    Args:
        title: the file's name, as it will be called.

    Raises:
        TrustError: the extra is missing, or the file cannot be signed; it stays as it was.
        StartupError: the keys cannot be used; likewise.
    """
    mime = MIME_TYPES.get(path.suffix.lower())
    if mime is None:
        raise TrustError(f"{path}: a file of this kind carries no manifest")
    c2pa = _library()
    signed = unfinished(path)
    try:
        with path.open("rb") as source, open(signed, "w+b", opener=_private) as target:
            _sign(mime, source, target, claim, title, keyring)
            state = os.fstat(source.fileno())
            os.fchmod(target.fileno(), stat.S_IMODE(state.st_mode))
            target.flush()
            os.fsync(target.fileno())
            if not os.path.samestat(state, path.stat()):
                raise TrustError(f"{path}: was replaced while it was being signed")
        signed.replace(path)
    except (c2pa.C2paError, OSError) as error:
        raise TrustError(f"{path}: the manifest cannot be written: {error}") from error
    finally:
        signed.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """What lies beside a file while it is being signed; a crash leaves it there."""
    return path.with_name(f".{path.name}.signed")


def sealed(data: bytes, mime: str, claim: Claim, title: str) -> bytes:
    """A picture with its manifest; some 20 ms.

    Raises:
        TrustError, StartupError: as `seal`.
    """
    c2pa = _library()
    target = io.BytesIO()
    try:
        _sign(mime, io.BytesIO(data), target, claim, title, None)
    except (c2pa.C2paError, OSError) as error:
        raise TrustError(f"{title}: the manifest cannot be written: {error}") from error
    return target.getvalue()


def _library() -> Any:
    """
    Raises:
        TrustError: the extra is missing.
    """
    if not is_installed():
        raise TrustError(f"no C2PA manifest can be written: {GET_IT}")
    import c2pa

    return c2pa


def _sign(  # noqa: PLR0913 - what is signed, by whom, from where to where
    mime: str,
    source: BinaryIO,
    target: BinaryIO,
    claim: Claim,
    title: str,
    keyring: Keyring | None,
) -> None:
    import c2pa

    keys = (keyring or Keyring()).media_keys()
    with (
        c2pa.Signer.from_callback(
            _es256(keys.key), c2pa.C2paSigningAlg.ES256, keys.chain.decode(), None
        ) as signer,
        c2pa.Builder(_manifest(claim, title), _context(b"")) as builder,
    ):
        builder.sign(signer, mime, source, target)


def _private(name: str, flags: int) -> int:
    """An opener: a file that is not finished is its owner's only."""
    return os.open(name, flags, 0o600)


def check_c2pa(path: Path, keyring: Keyring | None = None) -> C2paCheck:
    """What a file's manifest is worth.

    Raises:
        TrustError: the file cannot be read.
    """
    if not path.is_file():
        raise TrustError(f"{path}: there is no such file")
    try:
        mime = mime_of(path)
        if mime is None:
            return C2paCheck("unsupported", "files of this kind carry none that can be checked")
        if not is_installed():
            return C2paCheck("unavailable", f"manifests cannot be read: {GET_IT}")
        return _validated(path, mime, (keyring or Keyring()).media_roots())
    except OSError as error:
        raise TrustError(f"{path}: cannot be read: {error.strerror or error}") from error


def _validated(path: Path, mime: str, roots: bytes) -> C2paCheck:
    import c2pa

    try:
        with (
            path.open("rb") as file,
            c2pa.Reader(mime, file, context=_context(roots)) as reader,
        ):
            said = json.loads(reader.json())
            state = reader.get_validation_state()
    except (c2pa.C2paError, ValueError) as error:
        if has_remains(path, mime):  # else it is damaged, and perhaps not even a picture
            return C2paCheck("invalid", f"it is there and cannot be read: {error}")
        if isinstance(error, c2pa.C2paError.ManifestNotFound):
            return C2paCheck("absent")
        return C2paCheck("absent", f"the file cannot be read as {mime}: {error}")
    if state not in ("Valid", "Trusted"):
        return C2paCheck("invalid", _failures(said))
    claim = _claim_in(said)
    if claim is None:
        return C2paCheck("valid", "the manifest is not reenactd's")
    if state != "Trusted":
        return C2paCheck("valid", "signed by another installation, or by anybody", claim)
    loose = loose_end(path, mime, said["active_manifest"])
    if loose is not None:
        return C2paCheck("invalid", f"what surrounds its signed parts was changed: {loose}")
    return C2paCheck("trusted", "", claim)


def _manifest(claim: Claim, title: str) -> str:
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES[claim.picture]}
    actions: list[dict[str, Any]] = [created]
    if claim.watermark is not None:
        # "Unbound": the algorithm is not on C2PA's list of soft bindings (spec 2.2, 9.3.2).
        actions.append({"action": "c2pa.watermarked.unbound"})
    own = {
        "version": 1,
        "identity_sha256": claim.identity_sha256,
        "consent_sha256": claim.consent_sha256,
        "network": claim.network,
        "weights_sha256": claim.weights_sha256,
        "session": claim.session,
        "watermark": claim.watermark or "",
        "further": [
            {"identity_sha256": identity, "consent_sha256": consent}
            for identity, consent in claim.further
        ],
    }
    return json.dumps(
        {
            "claim_generator_info": [{"name": "reenactd", "version": __version__}],
            "title": title,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": actions}},
                {"label": ASSERTION, "data": own},
            ],
        }
    )


def _context(roots: bytes) -> Any:
    """Settings that keep signing and checking on this machine."""
    import c2pa

    settings: dict[str, Any] = {
        # A crafted file could otherwise have any address fetched.
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if roots:
        settings["trust"] = {"user_anchors": roots.decode()}
    return c2pa.Context.from_dict(settings)


def _es256(key_pem: bytes) -> Callable[[bytes], bytes]:
    """A function that signs as COSE wants it: r and s, 32 bytes each (RFC 9053, 2.1)."""
    key = serialization.load_pem_private_key(key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TrustError("trust/c2pa.key holds no ECDSA key: `reenactd trust rotate`")

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def _claim_in(said: dict[str, Any]) -> Claim | None:
    """Our assertion, where the manifest has it and its first action says that it is synthetic."""
    try:
        manifest = said["manifests"][said["active_manifest"]]
        found = {entry["label"]: entry["data"] for entry in manifest["assertions"]}
        own = found[ASSERTION]
        first = found["c2pa.actions.v2"]["actions"][0]
        picture = next(
            name for name, uri in SOURCE_TYPES.items() if first.get("digitalSourceType") == uri
        )
        if first["action"] != "c2pa.created":
            return None
        if re.fullmatch("[0-9a-f]{8}", str(own["session"])) is None:
            return None
        return Claim(
            picture,  # type: ignore[arg-type]
            str(own["identity_sha256"]),
            str(own["consent_sha256"]),
            str(own["network"]),
            str(own["weights_sha256"]),
            str(own["session"]),
            str(own["watermark"]) or None,
            tuple(
                (str(one["identity_sha256"]), str(one["consent_sha256"]))
                for one in own.get("further", [])
            ),
        )
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration):
        return None


def _failures(said: dict[str, Any]) -> str:
    """The codes of what failed, as the specification names them."""
    try:
        failed = said["validation_results"]["activeManifest"]["failure"]
        return ", ".join(dict.fromkeys(str(entry["code"]) for entry in failed))
    except (KeyError, TypeError):
        return "the manifest does not fit the file"
