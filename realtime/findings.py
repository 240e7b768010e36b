"""What a check of a file found: the values of `verify.py` and of its checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

Confidence = Literal["certain", "high", "low"]
Progressing = Callable[[int, int], None]
"""told how many stretches of the file are done, of how many"""


class State(IntEnum):
    """What a finding says; also the exit code, which no other outcome shares."""

    SIGNED = 0
    MARKED = 1
    TAMPERED = 2
    NOTHING = 3


EXIT_NO_VERDICT = 4
"""exit code where there is none: not readable, not asked for rightly, nothing to look with"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a film a check has looked at."""

    looked_at_s: float
    length_s: float | None
    """None where the film does not tell"""
    sampled: bool = False
    """it is long, and was to be looked at in stretches only"""

    def as_json(self) -> dict[str, Any]:
        return {"looked_at_s": self.looked_at_s, "length_s": self.length_s}


@dataclass(frozen=True, slots=True)
class Report:
    """What one check found."""

    check: str
    state: State
    confidence: Confidence
    text: str
    session: str | None = None
    """that the file names, in hexadecimal"""
    people: tuple[tuple[str, str], ...] = ()
    """who is seen, as the file says: SHA-256 of portrait and consent of each"""
    coverage: Coverage | None = None
    """None where all was looked at, in what way ever"""


Check = Callable[[Path, Sequence[Report], Progressing], Report | None]
"""looks at the file; it is given what other checks found before it. Raises StartupError for a file
that cannot be read; None where there was nothing to look at"""
