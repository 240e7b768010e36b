"""The files of a user's own identity: how they are written, and called. Knows no consents."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import cv2

from realtime.errors import IdentityError, StartupError
from realtime.frames import U8
from realtime.identity_archive import MAX_NAME
from realtime.private_files import write_private


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """A new folder with these files, for its owner only; as a whole or not at all.

    Raises:
        StartupError: it cannot be written; nothing is left behind.
    """
    unfinished: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unfinished-"))
        for name, content in files.items():
            write_private(unfinished / name, content)
        unfinished.rename(folder)
    except OSError as error:
        raise StartupError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        if unfinished is not None and unfinished.exists():
            shutil.rmtree(unfinished, ignore_errors=True)


def slug(name: str) -> str:
    """An id of a name, as far as its letters have a form in ASCII.

    Raises:
        IdentityError: none of them has.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME]
    if not made:
        raise IdentityError(f"name {name!r}: no id can be made of it; give one with --id")
    return made


def as_png(picture: U8) -> bytes:
    """(H, W, 3 or 4) as a PNG that holds pixels and nothing else."""
    if picture.shape[2] == 4 and (picture[:, :, 3] == 255).all():
        picture = picture[:, :, :3]
    code = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    written, content = cv2.imencode(".png", cv2.cvtColor(picture, code))
    if not written:
        raise StartupError("the portrait cannot be written as PNG")
    return bytes(content.tobytes())


def as_json(fields: Mapping[str, object]) -> bytes:
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()
