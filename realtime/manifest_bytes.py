"""C2PA manifests as bytes: in which kind of file, whether remains of one are left, and what of one
no signature covers.

The library says whether what is signed is intact. Around that lie bytes of which it says nothing:
names and lengths of boxes, a PNG's checksum, and ten thousand zeros, which are room that the
signature did not need. In what reenactd signs they stand in one way only, so that a change of them
can be told, too.

A manifest is a store of boxes (JUMBF, ISO/IEC 19566-5), in a `uuid` box of an MP4 or a chunk of a
PNG (C2PA 2.2, annex A). Knows no keys, and what a manifest says only by its names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MIME_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
"""what can carry a manifest; WebM and Matroska cannot"""
_PNG = b"\x89PNG\r\n\x1a\n"
_FIRST_BOXES = frozenset(
    (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"free", b"skip", b"wide", b"uuid")
)
"""that MP4 and its relatives begin with"""
_HOLD_OTHERS = frozenset((b"mdat", b"moov", b"moof"))
"""boxes whose content may be a file of its own, with its own manifest: a cover, say"""
_REMAINS = re.compile(rb"jumdc2(?:pa|ma|as|cl|cs)\x00\x11\x00\x10")
"""how each box of a manifest begins: several, so that one that is damaged leaves others"""
_BLOCK = 1 << 20
_MOST_BOXES = 1_000_000
"""of a file, one after the other; a film of reenactd has eight for each second"""
_MP4_PREFIX = (
    bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(4) + b"manifest\0" + bytes(8)
)
"""of a `uuid` box: C2PA's UUID, version and flags, purpose, and where a Merkle tree is (nowhere)"""
_BASE_UUID = bytes.fromhex("00110010800000aa00389b71")
"""ends the UUID of every type of box; the type is its beginning"""


def mime_of(path: Path) -> str | None:
    """What kind of file it is: by its first bytes, and by its name where those are of no kind.

    None where it is of no kind that carries a manifest.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(_PNG):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "image/webp"
    if head[4:8] in _FIRST_BOXES:
        return "video/quicktime" if head[8:] == b"qt  " else "video/mp4"
    return MIME_TYPES.get(path.suffix.lower())


def has_remains(path: Path, mime: str) -> bool:
    """Whether boxes of a manifest stand in a file in which none can be found any more.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if mime.startswith("video/"):
            try:
                spans = [span for kind, *span in _top_boxes(file) if kind not in _HOLD_OTHERS]
                return any(_remains_in(file, at, size) for at, size in spans)
            except ValueError:  # it is damaged: they may lie anywhere
                pass
        return _remains_in(file, 0, file.seek(0, 2))


def loose_end(path: Path, mime: str, label: str) -> str | None:
    """What of a manifest that was signed here is not as it was written, signed or not.

    None where all of it is, and of kinds of files that reenactd does not write.

    Args:
        label: of the manifest, as the library read it.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            if mime == "image/png":
                store = _png_store(file)
            elif mime.startswith("video/"):
                store = _mp4_store(file)
            else:
                return None
        _check_store(store, label)
    except ValueError as error:
        return str(error)
    return None


def _remains_in(file: BinaryIO, at: int, size: int) -> bool:
    file.seek(at)
    kept = b""
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        size -= len(block)
        if _REMAINS.search(kept + block):
            return True
        kept = block[-16:]
    return False


def _top_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Of an MP4: type, where its content begins, and how long that is.

    Raises:
        ValueError: they do not fill the file.
    """
    end, at = file.seek(0, 2), 0
    for _ in range(_MOST_BOXES):
        if at == end:
            return
        file.seek(at)
        head = file.read(16)
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(head[8:], "big"), 16
        elif size == 0:
            size = end - at
        if size < header or at + size > end or not head[4:8].isalnum():
            raise ValueError("its boxes do not fill it")
        yield head[4:8], at + header, size - header
        at += size
    raise ValueError("its boxes are too many")


def _mp4_store(file: BinaryIO) -> bytes:
    for kind, at, size in _top_boxes(file):
        if kind == b"uuid":
            file.seek(at)
            content = file.read(size)
            if content.startswith(_MP4_PREFIX[:16]):
                return _after(content, _MP4_PREFIX)
    raise ValueError("its box is gone")


def _png_store(file: BinaryIO) -> bytes:
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[:4], "big")
        if head[4:] != b"caBX":
            file.seek(size + 4, 1)
            continue
        data, checksum = file.read(size), file.read(4)
        if zlib.crc32(head[4:] + data).to_bytes(4, "big") != checksum:
            raise ValueError("its checksum is wrong")
        return data
    raise ValueError("its chunk is gone")


def _check_store(store: bytes, label: str) -> None:
    """
    Raises:
        ValueError: something is not as the library writes it for us: one manifest, no ingredients.
    """
    (content,) = _contents(store, 1)
    (manifest,) = _contents(_described(content, b"c2pa", "c2pa"), 1)
    assertions, claim, signature = _contents(_described(manifest, b"c2ma", label), 3)
    _contents(_described(assertions, b"c2as", "c2pa.assertions"))
    _contents(_described(claim, b"c2cl", "c2pa.claim.v2"), 1, b"cbor")
    (cose,) = _contents(_described(signature, b"c2cs", "c2pa.signature"), 1, b"cbor")
    _check_signature(cose)


def _check_signature(cose: bytes) -> None:
    """COSE_Sign1 (RFC 9052, 4.2): what is protected by the signature, what is not, and itself.

    Raises:
        ValueError: what is not protected is more than zeros, which make room.
    """
    room_at = 5 + int.from_bytes(cose[3:5], "big")
    head = b"\xa1\x63pad\x59"  # a map of one entry: text "pad", bytes with a length of 16 bits
    nothing = b"\xf6\x58\x40"  # no payload of its own; a signature of 64 bytes
    room = len(cose) - room_at - len(head) - 2 - len(nothing) - 64
    if room < 0 or cose != b"".join(
        (b"\xd2\x84\x59", cose[3:room_at])
        + (head, room.to_bytes(2, "big"), bytes(room), nothing, cose[-64:])
    ):
        raise ValueError("the room beside its signature is not empty")


def _described(content: bytes, kind: bytes, label: str) -> bytes:
    """What follows a box's description, which must be the one that is expected.

    Raises:
        ValueError: it is another.
    """
    about = kind + _BASE_UUID + b"\x03" + label.encode() + b"\0"
    return _after(content, (len(about) + 8).to_bytes(4, "big") + b"jumd" + about)


def _contents(data: bytes, count: int | None = None, kind: bytes = b"jumb") -> list[bytes]:
    """Of boxes that fill it, all of that type; any number of them where `count` is None.

    Raises:
        ValueError: they do not, or are more or fewer.
    """
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8 or at + size > len(data) or data[at + 4 : at + 8] != kind:
            raise ValueError("its boxes do not fit into each other")
        found.append(data[at + 8 : at + size])
        at += size
    if count not in (None, len(found)):
        raise ValueError("there are boxes too many or too few")
    return found


def _after(content: bytes, prefix: bytes) -> bytes:
    if not content.startswith(prefix):
        raise ValueError("a name in it was changed")
    return content[len(prefix) :]
