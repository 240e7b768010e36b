"""From a session's id to the signs of the invisible mark, and back from what is left of them.

    id (32 bits) -> id + check (48 bits) -> convolutional code -> CODED_BITS signs
    softly heard signs -> the likeliest message -> id, if the check fits

The check is the CRC-16 of ITU-T V.41 (polynomial 0x1021). The code has rate 1/3 and constraint
length 9 (generators 557, 663, 711, free distance 18: Lin and Costello, "Error Control Coding",
table 12.1), is ended by zeros, and is decoded with soft decisions (Viterbi, IEEE Trans. Inf. Theory
13(2), 1967): what matters is how clearly each sign was heard, not only which it was. Knows no
pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.frames import F32

I8 = NDArray[np.int8]

ID_BITS = 32
CHECK_BITS = 16
_MESSAGE_BITS = ID_BITS + CHECK_BITS
_GENERATORS = (0o557, 0o663, 0o711)
_MEMORY = 8
_STATES = 1 << _MEMORY
CODED_BITS = (_MESSAGE_BITS + _MEMORY) * len(_GENERATORS)
_CHECK_POLYNOMIAL = 0x1021
_CHECK_START = 0xFFFF


def encode(session_id: int) -> I8:
    """(CODED_BITS,) -1 and 1.

    Raises:
        ValueError: the id has more than 32 bits.
    """
    if not 0 <= session_id < 1 << ID_BITS:
        raise ValueError(f"id {session_id}: must be of 0 to 2**{ID_BITS} - 1; take its low bits")
    message = (session_id << CHECK_BITS) | _check(session_id)
    state, signs = 0, list[int]()
    for place in reversed(range(-_MEMORY, _MESSAGE_BITS)):
        bit = (message >> place) & 1 if place >= 0 else 0
        register = (bit << _MEMORY) | state
        signs.extend(1 - 2 * _parity(register & generator) for generator in _GENERATORS)
        state = register >> 1
    return np.array(signs, np.int8)


def decode(heard: F32) -> int | None:
    """The id of the message that fits best; None if its check says that it is another.

    Args:
        heard: (CODED_BITS,) any scale; the sign says which, the size how clearly.
    """
    steps = heard.reshape(-1, len(_GENERATORS)).astype(np.float64) @ _BRANCHES.T  # [T, register]
    # the score of the best way to each state; all begin and end in state 0
    scores = np.full(_STATES, -np.inf)
    scores[0] = 0.0
    choices = np.empty((len(steps), _STATES), np.uint8)
    for time, step in enumerate(steps):
        candidates = (scores[_BEFORE] + step[_REGISTERS]).astype(np.float64)  # [2, state]
        if time >= _MESSAGE_BITS:
            candidates[:, _STATES // 2 :] = -np.inf  # the bits that end it are zeros
        choices[time] = np.argmax(candidates, axis=0)
        scores = candidates.max(axis=0)
    state, message = 0, 0
    for time in reversed(range(len(steps))):
        if time < _MESSAGE_BITS:
            message |= (state >> (_MEMORY - 1)) << (_MESSAGE_BITS - 1 - time)
        state = int(_BEFORE[choices[time, state], state])
    session_id = message >> CHECK_BITS
    return session_id if _check(session_id) == message & 0xFFFF else None


def _check(session_id: int) -> int:
    check = _CHECK_START
    for place in reversed(range(ID_BITS)):
        top = (check >> 15) ^ ((session_id >> place) & 1)
        check = ((check << 1) & 0xFFFF) ^ (_CHECK_POLYNOMIAL if top else 0)
    return check


def _parity(bits: int) -> int:
    return bits.bit_count() & 1


_BRANCHES = np.array(
    [
        [1 - 2 * _parity(register & generator) for generator in _GENERATORS]
        for register in range(2 * _STATES)
    ],
    np.float64,
)
"""register (the new bit on top, then the state) -> the signs that it sends"""
_BEFORE = np.array(
    [[((state << 1) | last) & (_STATES - 1) for state in range(_STATES)] for last in (0, 1)]
)
"""[2, state] the two states from which a state is reached: the bit that falls out was 0 or 1"""
_REGISTERS = np.array([[(state << 1) | last for state in range(_STATES)] for last in (0, 1)])
"""[2, state] the register of that step"""
