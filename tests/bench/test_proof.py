"""What proves the gate: a sleep is where it should be, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime import pipeline
from realtime.bench.proof import STAGES
from realtime.bench.slowed import slow_down
from realtime.clock import MonotonicClock
from realtime.frames import Timings


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "Stopwatch", pipeline.Stopwatch)


def test_one_stage_is_slower_and_its_stopwatch_sees_it() -> None:
    slow_down("mark", 0.02)
    watch = pipeline.Stopwatch(MonotonicClock(), Timings(0))
    assert watch.run("mark", lambda: "marked") == "marked"
    assert watch.run("emit", lambda: "emitted") == "emitted"
    assert watch.timings.stage_ns["mark"] >= 20_000_000 > watch.timings.stage_ns["emit"]


def test_every_stage_that_can_be_slowed_is_one_of_the_pipelines() -> None:
    source = Path(pipeline.__file__).read_text()
    assert all(f'"{stage}"' in source for stage in STAGES)
