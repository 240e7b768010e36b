"""What a check of a file found: the values of `verify.py` and of its checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

Confidence = Literal["certain", "high", "low"]
Progressing = Callable[[int, int], None]
"""told how many stretches of the file are done, of how many"""


class State(IntEnum):
    """What a finding says; also the exit code."""

    SIGNED = 0
    MARKED = 1
    TAMPERED = 2
    NOTHING = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What one check found."""

    check: str
    state: State
    confidence: Confidence
    text: str
    session: str | None = None
    """that the file names, in hexadecimal"""


Check = Callable[[Path, Sequence[Report], Progressing], Report | None]
"""looks at the file; it is given what other checks found before it. Raises StartupError for a file
that cannot be read; None where there was nothing to look at"""
