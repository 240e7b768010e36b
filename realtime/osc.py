"""Open Sound Control 1.0, as much as motion capture speaks: messages and bundles in datagrams.

https://opensoundcontrol.stanford.edu/spec-1_0.html. Types read are i f s b h d T F N I; what is
written is i, f and s. Pure: bytes in, values out; knows no sockets and no faces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

Value = int | float | str | bytes | bool | None
Message = tuple[str, tuple[Value, ...]]

MAX_DEPTH = 4
"""bundles within bundles; nobody sends more than two"""
_BUNDLE = b"#bundle\0"
_IMMEDIATELY = struct.pack(">Q", 1)
_NUMBERS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}
_CONSTANTS: dict[str, Value] = {"T": True, "F": False, "N": None, "I": True}


class OscError(ValueError):
    """A datagram is no OSC packet; its text says where it ends to be one."""


def message(address: str, *values: int | float | str) -> bytes:
    """One message, encoded."""
    tags, body = ",", b""
    for value in values:
        if isinstance(value, str):
            tags, body = tags + "s", body + _text(value)
        elif isinstance(value, float):
            tags, body = tags + "f", body + struct.pack(">f", value)
        else:
            tags, body = tags + "i", body + struct.pack(">i", value)
    return _text(address) + _text(tags) + body


def bundles(messages: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
    """The messages in as few bundles as their size allows, in their order."""
    packed = _BUNDLE + _IMMEDIATELY
    empty = len(packed)
    for each in messages:
        if len(packed) > empty and len(packed) + 4 + len(each) > most_bytes:
            yield packed
            packed = packed[:empty]
        packed += struct.pack(">i", len(each)) + each
    if len(packed) > empty:
        yield packed


def read(datagram: bytes, depth: int = 0) -> Iterator[Message]:
    """Every message of a datagram, bundles opened, time tags ignored: it is live.

    Raises:
        OscError: it is malformed; what came before the mistake was given out.
    """
    if not datagram.startswith(_BUNDLE):
        yield _message(datagram)
        return
    if depth == MAX_DEPTH:
        raise OscError(f"bundles are nested more than {MAX_DEPTH} deep")
    at = len(_BUNDLE) + len(_IMMEDIATELY)
    if len(datagram) < at:
        raise OscError(f"a bundle of {len(datagram)} bytes ends within its time tag")
    while at < len(datagram):
        size = _size(datagram, at)
        at += 4
        if size < 4 or size % 4 or at + size > len(datagram):
            raise OscError(f"a bundle's element claims {size} bytes of {len(datagram) - at}")
        yield from read(datagram[at : at + size], depth + 1)
        at += size


def _message(data: bytes) -> Message:
    address, at = _read_text(data, 0)
    if not address.startswith("/"):
        raise OscError(f"an address must begin with /, not {address[:20]!r}")
    if at == len(data):
        return address, ()  # old senders leave out the tags of a message without values
    tags, at = _read_text(data, at)
    if not tags.startswith(","):
        raise OscError(f"{address[:60]}: type tags must begin with a comma, not {tags[:20]!r}")
    values: list[Value] = []
    for tag in tags[1:]:
        value: Value
        if tag in _NUMBERS:
            (value,) = _unpack(_NUMBERS[tag], data, at)
            at += struct.calcsize(_NUMBERS[tag])
        elif tag == "s":
            value, at = _read_text(data, at)
        elif tag == "b":
            value, at = _read_blob(data, at)
        elif tag in _CONSTANTS:
            value = _CONSTANTS[tag]
        else:
            raise OscError(f"{address[:60]}: a value of type {tag!r} cannot be read")
        values.append(value)
    return address, tuple(values)


def _text(text: str) -> bytes:
    data = text.encode("ascii", errors="replace")
    return data + bytes(4 - len(data) % 4)


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise OscError("a text has no end")
    after = at + (end - at) // 4 * 4 + 4
    if after > len(data):
        raise OscError("a text is not padded to four bytes")
    return data[at:end].decode("utf-8", errors="replace"), after


def _read_blob(data: bytes, at: int) -> tuple[bytes, int]:
    size = _size(data, at)
    after = at + 4 + size + -size % 4
    if size < 0 or after > len(data):
        raise OscError(f"a blob claims {size} bytes of {len(data) - at - 4}")
    return data[at + 4 : at + 4 + size], after


def _size(data: bytes, at: int) -> int:
    return int(_unpack(">i", data, at)[0])


def _unpack(kind: str, data: bytes, at: int) -> tuple[int | float, ...]:
    try:
        return struct.unpack_from(kind, data, at)
    except struct.error:
        raise OscError("a number lies beyond the end") from None
