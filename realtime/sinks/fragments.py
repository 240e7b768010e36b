"""Fragmented MP4 on a disk that may fill up: what is written is whole, or can be made so.

A film is a header and then fragments, each of which can be played without the next (ISO/IEC
14496-12, sections 8.8 and 4.2). A process that is killed leaves at worst one begun fragment behind,
which players skip. Knows no codecs.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_HEADER = struct.Struct(">I4s")
_LONG = struct.Struct(">Q")


class FilmFile:
    """A new file for a muxer, unbuffered, so that what was written outlives the process.

    Raises:
        FileExistsError: there is one of that name; it is left alone.
        OSError: the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.error: OSError | None = None
        """why nothing is written any more"""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> int:
        """All of it; after an error everything is thrown away, so that a muxer can end."""
        view = memoryview(data)
        while self.error is None and view:
            try:
                written = os.write(self._file, view)
            except OSError as error:
                self.error = error
                break
            self.bytes += written
            view = view[written:]
        return len(data)

    def close(self) -> None:
        """Cut off what an error left half-written. A file without any picture is removed."""
        if self.error is not None:
            self.bytes = whole_bytes(self._file)
            os.ftruncate(self._file, self.bytes)
        os.close(self._file)
        if self.bytes == 0:
            self.path.unlink(missing_ok=True)


def whole_bytes(file: int) -> int:
    """Up to where a film can be played: the end of its last whole fragment; 0 if it has none."""
    size = os.fstat(file).st_size
    at = whole = 0
    while (header := os.pread(file, 16, at)) and len(header) >= _HEADER.size:
        length, kind = _HEADER.unpack_from(header)
        if length == 1 and len(header) == 16:
            (length,) = _LONG.unpack_from(header, 8)
        if length < _HEADER.size or at + length > size:
            break
        at += length
        if kind == b"mdat":
            whole = at
    return whole
