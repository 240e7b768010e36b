"""What the daemon added to each single picture, from its own process to the bench's.

`stats` messages tell of the last two seconds, which overlap from one to the next: their medians
have no tail. So the bench's own daemon (`coded_daemon.py`) writes one line for every answer that
went out, and the bench reads what is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from realtime.clock import NS_PER_MS
from realtime.frames import OutputFrame
from realtime.metrics import SessionMetrics

MOST_ENCODED = 64
"""pictures whose encoding is kept until they are out; what is never sent must not pile up"""


@dataclass(frozen=True, slots=True)
class Served:
    """One camera picture's answer, from its first packet to its answer's last."""

    server_ms: float
    stages_ms: Mapping[str, float]


def write_every_answer(path: Path) -> IO[str]:
    """From now on every session of this process adds a line to the file for every answer; it stays
    open."""
    file = path.open("a", encoding="utf-8", buffering=1)
    encoded_ns: dict[int, int] = {}
    encoded, left = SessionMetrics.encoded, SessionMetrics.left

    def note_encoded(
        self: SessionMetrics, output: OutputFrame, began_ns: int, ended_ns: int
    ) -> None:
        encoded(self, output, began_ns, ended_ns)
        encoded_ns.setdefault(output.source_seq, ended_ns - began_ns)  # later ones are repeats
        if len(encoded_ns) > MOST_ENCODED:
            encoded_ns.pop(next(iter(encoded_ns)), None)

    def note_left(self: SessionMetrics, output: OutputFrame, send_ns: int) -> None:
        left(self, output, send_ns)
        timings = output.timings
        stages = dict(timings.stage_ns)
        stages |= {"encode": encoded_ns.pop(output.source_seq, 0), "send": send_ns}
        first_ns = timings.arrived_ns - stages.get("receive", 0)
        spent = {name: spent_ns / NS_PER_MS for name, spent_ns in stages.items()}
        server_ms = (self.clock.now_ns() - first_ns) / NS_PER_MS
        file.write(json.dumps({"server_ms": server_ms, "stages_ms": spent}) + "\n")

    SessionMetrics.encoded = note_encoded  # type: ignore[method-assign]
    SessionMetrics.left = note_left  # type: ignore[method-assign]
    return file


class FrameLog:
    """The bench's end of the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def take(self) -> list[Served]:
        """Every answer since the last call, in order."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        lines = (json.loads(line) for line in whole.splitlines())
        return [Served(line["server_ms"], line["stages_ms"]) for line in lines]


def stage_medians(served: Sequence[Served]) -> dict[str, float]:
    """Milliseconds of each stage that the last answer went through, in their order."""
    names = list(served[-1].stages_ms) if served else []
    return {name: median(each.stages_ms.get(name, 0.0) for each in served) for name in names}
