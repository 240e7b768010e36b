"""What a network's encoder made of a portrait, kept on disk: plain arrays, never pickled objects.

    FOLDER/warp-refine-lite.640x480.encoded

One file for each network and size of canvas. It names all that it was made of: the portrait's file,
what the encoder was shown of it, the weights, what ran them. Where any of that has changed, the
portrait is encoded anew and takes the file's place. So nothing out of date is used, and nothing
without the very portrait whose consent was looked at. Readable by its owner only.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]

MOST = 6
"""files of one portrait: two networks on the three canvases of the quality ladder"""
SUFFIX = ".encoded"
_UNFINISHED, _CLEARED = ".unfinished-", ".cleared-"
_FORMAT = 1
"""another one for other arrays: what was kept before is then not found"""
_DIGEST_BYTES = 32
"""SHA-256 of what a file was made of, and another one of all the rest: numpy raises all kinds of
things by where the damage lies"""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where what was made of one portrait is kept."""

    folder: Path
    """made at the first need"""
    portrait_sha256: str
    """of the file whose consent was looked at"""
    parents: bool = False
    """make the folders around it, too; never those of an identity, which may just be deleted"""


@dataclass(frozen=True, slots=True)
class Maker:
    """What tells the answers of one encoder from those of another."""

    network: str
    """begins the file's name"""
    weights_sha256: str
    ran_on: str
    """backend, its version, device, precision"""


def default_root() -> Path:
    """For portraits whose own folder is no place for it; XDG Base Directory Specification."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "reenactd" / "identities"


def encoded_once(
    shelf: Shelf | None,
    maker: Maker | None,
    canvas_hw: tuple[int, int],
    shown: Mapping[str, F32],
    encode: Callable[[], dict[str, F32]],
) -> dict[str, F32]:
    """What `encode` gives, or gave before for the same.

    A file that is damaged, or cannot be read or written, is logged and costs the time only.

    Args:
        shelf, maker: None: nothing is kept.
        shown: all that `encode` depends on but the weights.
    """
    if shelf is None or maker is None:
        return encode()
    height, width = canvas_hw
    path = shelf.folder / f"{maker.network}.{width}x{height}{SUFFIX}"
    key = _key(shelf, maker, shown)
    found = _read(path, key)
    if found is None:
        found = encode()
        _write(path, key, found, parents=shelf.parents)
    return found


def names(folder: Path) -> list[str]:
    """Network and canvas of each file in a shelf's folder."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def clear(folder: Path) -> None:
    """Remove a shelf with all that is on it, if it is there.

    Raises:
        OSError: not all of it could be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        # Renamed first, so that who is just writing there finds nowhere to put it.
        gone = tempfile.mkdtemp(prefix=_CLEARED, dir=folder.parent)
        folder.rename(Path(gone) / folder.name)
    for left in folder.parent.glob(f"{_CLEARED}*"):  # also by one that was stopped half way
        with contextlib.suppress(FileNotFoundError):  # another is at it as well
            shutil.rmtree(left)


def _key(shelf: Shelf, maker: Maker, shown: Mapping[str, F32]) -> bytes:
    made_of = (_FORMAT, shelf.portrait_sha256, maker.network, maker.weights_sha256, maker.ran_on)
    digest = hashlib.sha256(repr(made_of).encode())
    for name, array in shown.items():
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _read(path: Path, key: bytes) -> dict[str, F32] | None:
    """What was kept, if it was made of what this key says."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        logger.warning("%s: %s; the portrait is encoded anew", path, error.strerror or error)
        return None
    digest, rest = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(rest).digest() != digest:
        logger.warning("%s: is damaged; the portrait is encoded anew", path)
        return None
    made_of, held = rest[:_DIGEST_BYTES], rest[_DIGEST_BYTES:]
    if made_of != key:
        logger.info("%s: was made of something else; the portrait is encoded anew", path)
        return None
    try:
        with np.load(io.BytesIO(held), allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except ValueError as error:  # somebody's own writing: not one of ours holds an object
        logger.warning("%s: %s; the portrait is encoded anew", path, str(error).partition("\n")[0])
        return None


def _write(path: Path, key: bytes, arrays: Mapping[str, F32], parents: bool) -> None:
    """Whole or not at all."""
    if not all(np.isfinite(array).all() for array in arrays.values()):
        logger.warning("%s: not kept: the network gave NaN or infinity", path)
        return
    held = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(held, **named)
    rest = key + held.getvalue()
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True, parents=parents)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=_UNFINISHED)  # 0600
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(rest).digest() + rest)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        _bound(folder)
    except OSError as error:
        logger.warning("%s: the encoded portrait is not kept: %s", path, error.strerror or error)


def _bound(folder: Path) -> None:
    """Remove the oldest, those that a crash left unfinished among them."""
    files = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"{_UNFINISHED}*")]
    for path in sorted(files, key=_written_ns)[:-MOST]:
        path.unlink(missing_ok=True)


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another process has just finished or removed it
        return 0
