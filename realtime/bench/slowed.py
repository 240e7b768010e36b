"""`reenactd` with a deliberate sleep in one stage of its pipeline, to prove a gate by.

    python -m realtime.bench.slowed STAGE MILLISECONDS bench pipeline ...

Only `proof.py` runs it.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from realtime import pipeline

T = TypeVar("T")


def slow_down(stage: str, sleep_s: float) -> None:
    """Every run of that stage in this process takes so much longer, and its stopwatch sees it."""

    class Slowed(pipeline.Stopwatch):
        def run(self, stage_name: str, work: Callable[[], T]) -> T:
            if stage_name != stage:
                return super().run(stage_name, work)

            def late() -> T:
                time.sleep(sleep_s)
                return work()

            return super().run(stage_name, late)

    pipeline.Stopwatch = Slowed  # type: ignore[misc]


if __name__ == "__main__":
    _, stage, milliseconds, *arguments = sys.argv
    slow_down(stage, float(milliseconds) / 1e3)
    sys.argv = ["reenactd", *arguments]
    runpy.run_module("realtime.cli", run_name="__main__", alter_sys=True)
