"""An identity as one file, to be carried to another installation: a ZIP of three files, no more.

Read without trusting it: no other name, no more bytes than each file may have. Knows no consents.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from realtime import picture_file, signing
from realtime.errors import IdentityError

SUFFIX = ".reenactd-identity"
MAX_NAME = 64
"""characters of what a gallery shows"""
FILES: Mapping[str, int] = {
    "portrait.png": picture_file.MAX_BYTES,
    "consent.json": 64 * 1024,
    "identity.json": 64 * 1024,
}
"""what it holds, and how many bytes of each are read"""
MAX_BYTES = sum(FILES.values()) + 4096
_ENTRY = b"PK\x01\x02"
"""begins each line of a ZIP's table of contents"""
_MOST_ENTRIES = 16
"""a portrait may hold those four bytes by chance"""


def pack(folder: Path) -> bytes:
    """The files of an identity's folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in FILES:
            if (folder / name).is_file():
                archive.writestr(name, (folder / name).read_bytes())
    return buffer.getvalue()


def read(path: Path) -> bytes:
    """
    Raises:
        IdentityError: there is no such file, or it is too large for one.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise IdentityError(f"{path}: is no exported identity: more than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise IdentityError(f"{path}: cannot be read ({error.strerror or error})") from error


_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""what zipfile reads no further than it is asked to; the others it would unpack whole"""


def unpack(data: bytes, name: str) -> dict[str, bytes]:
    """The files that it holds.

    Args:
        name: of the file, for messages.

    Raises:
        IdentityError: it is none.
    """
    rule = f"{name}: is no exported identity"
    if data.count(_ENTRY) > _MOST_ENTRIES:  # before a table of a million entries is read
        raise IdentityError(f"{rule}: it must hold {', '.join(FILES)} and nothing else")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if not {"portrait.png", "consent.json"} <= set(names) <= set(FILES):
                raise IdentityError(f"{rule}: it must hold {', '.join(FILES)} and nothing else")
            if len(set(names)) < len(names):
                raise IdentityError(f"{rule}: it holds a name twice")
            if any(entry.compress_type not in _BOUNDED for entry in archive.infolist()):
                raise IdentityError(f"{rule}: it is compressed by another method than deflate")
            files = {}
            for entry in names:
                with archive.open(entry) as member:
                    files[entry] = member.read(FILES[entry] + 1)
                if len(files[entry]) > FILES[entry]:
                    raise IdentityError(f"{rule}: {entry} has more than {FILES[entry]} bytes")
            return files
    except OSError as error:
        raise IdentityError(f"{name}: cannot be read ({error.strerror or error})") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
    ) as error:
        raise IdentityError(f"{rule} ({error})") from error


def name_in(content: bytes | None, name: str) -> str:
    """What the gallery is to show: the identity's own name, or else the file's.

    Raises:
        IdentityError: `identity.json` breaks a rule.
    """
    try:
        shown = "" if content is None else signing.parse(content).get("name", "")
    except signing.Malformed as error:
        raise IdentityError(f"{name}: identity.json: {error}") from error
    if not isinstance(shown, str) or len(shown) > MAX_NAME:
        raise IdentityError(f"{name}: identity.json: name must be at most {MAX_NAME} characters")
    return shown or Path(name).name.removesuffix(SUFFIX)
