"""Files that only their owner may read, whole or not at all. Knows no keys and no identities."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from realtime.errors import StartupError

PRIVATE = 0o600
PRIVATE_FOLDER = 0o700


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 under its name only once it is complete and on the disk.

    Raises:
        StartupError: it cannot be written; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")  # 0600
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StartupError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_private(path: Path) -> bytes | None:
    """What a file holds that nobody else may read; None where there is none.

    Raises:
        StartupError: it cannot be read, is a link, or others can read it.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror or error}") from error
    if mode & 0o077:
        raise StartupError(
            f"{path}: has mode {mode:04o}, so others can read it; if nobody did, `chmod 600 {path}`"
        )
    return content
