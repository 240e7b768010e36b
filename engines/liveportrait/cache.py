"""What the networks made of a portrait, kept on disk: `$XDG_CACHE_HOME/reenactd/identities/*.code`.

A file's name says what it was made of: the portrait as it is placed, its landmarks, the weights and
what ran them. So nothing is ever out of date, and nothing in it can be shown without the portrait,
whose consent is looked at before. Plain arrays, never pickled objects; readable by its owner only.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from pathlib import Path

import numpy as np

from engines.liveportrait.portrait import Code
from engines.nets.liveportrait.keypoints import Pose
from engines.placing import PlacedPortrait

logger = logging.getLogger(__name__)

_FORMAT = 1
"""another one for other arrays: what was kept before is then not found"""
_NAMES = (
    *("volume", "lip_shift"),
    *("canonical", "rotation", "expression", "scale", "translation"),
)
"""arrays of a file; those of the pose last"""
_DIGEST_BYTES = 32
"""SHA-256 of the rest, before it: numpy raises all kinds of things by where the damage lies"""


def default_root() -> Path:
    """XDG Base Directory Specification."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "reenactd" / "identities"


def key_of(portrait: PlacedPortrait, networks: str) -> str:
    """
    Args:
        networks: what tells one set of weights, on one backend, from another.
    """
    digest = hashlib.sha256(f"{_FORMAT} {networks}".encode())
    for array in (portrait.rgba, portrait.landmarks):
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def find(key: str, root: Path) -> Code | None:
    """What was kept under this key; None if nothing was, or it is damaged, which is logged."""
    path = _path(key, root)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s: %s; the portrait is encoded anew", path, error.strerror or error)
        return None
    digest, held = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(held).digest() != digest:
        logger.warning("%s: is damaged; the portrait is encoded anew", path)
        return None
    kept = np.load(io.BytesIO(held), allow_pickle=False)
    arrays = {name: kept[name] for name in _NAMES}
    volume, lip_shift = arrays.pop("volume"), arrays.pop("lip_shift")
    return Code(volume, Pose(**arrays), lip_shift)


def keep(key: str, code: Code, root: Path) -> None:
    """Write it whole or not at all; a disk that takes no more is logged, the avatar runs on."""
    held = io.BytesIO()
    poses = {name: getattr(code.pose, name) for name in _NAMES[2:]}
    np.savez(held, volume=code.volume, lip_shift=code.lip_shift, **poses)
    content = held.getvalue()
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=root, suffix=".unfinished", delete=False) as file:
            unfinished = Path(file.name)
            try:
                file.write(hashlib.sha256(content).digest() + content)
                file.close()
                unfinished.replace(_path(key, root))
            finally:
                unfinished.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s: the encoded portrait is not kept: %s", root, error.strerror or error)


def _path(key: str, root: Path) -> Path:
    return root / f"{key}.code"
