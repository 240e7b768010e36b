"""The field of signs that the invisible mark consists of: what draws and what finds it share it.

One sign per cell; a third of them are the same for every session, so that the field can be found,
the rest carry the session's id (`watermark_code.py`). Compiles nothing and draws nothing, so that
whoever only looks for marks starts at once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.watermark_code import CODED_BITS, ID_BITS, encode

I8 = NDArray[np.int8]

ROWS, COLUMNS = 120, 216
"""cells of the field: 16:9 fits, a wider picture begins anew"""
_KEY = b"reenactd invisible mark, field 1"


@dataclass(frozen=True, slots=True)
class Payload:
    """What the mark of one session says: a random number, known to the session's record alone."""

    id: int

    @classmethod
    def random(cls) -> Payload:
        return cls(secrets.randbits(ID_BITS))

    def __str__(self) -> str:
        return f"{self.id:08x}"


@dataclass(frozen=True, slots=True)
class Field:
    """The signs of all cells, the same for ever."""

    signs: I8
    """(ROWS, COLUMNS) -1 and 1"""
    places: NDArray[np.int16]
    """(ROWS, COLUMNS) which coded bit a cell carries; -1 for those by which the field is found"""

    @classmethod
    def make(cls) -> Field:
        """From a hash of a public key: no random number generator has to stay as it is."""
        count = ROWS * COLUMNS
        noise = hashlib.shake_256(_KEY).digest(count * 9)
        signs = np.where(np.frombuffer(noise[:count], np.uint8) & 1, 1, -1)
        order = np.argsort(np.frombuffer(noise[count:], "<u8"), kind="stable")
        places = np.full(count, -1, np.int16)
        carrying = order[count // 3 :]
        places[carrying] = np.arange(len(carrying)) % CODED_BITS
        shape = (ROWS, COLUMNS)
        return cls(signs.astype(np.int8).reshape(shape), places.reshape(shape))

    def carrying(self, payload: Payload) -> I8:
        """(ROWS, COLUMNS) the signs of one session."""
        coded = np.append(encode(payload.id), np.int8(1))  # the last for place -1
        return np.asarray(self.signs * coded[self.places], np.int8)


FIELD = Field.make()
