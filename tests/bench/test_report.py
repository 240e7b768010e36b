"""What a bench says can be read by a script, and names its machine."""

from __future__ import annotations

import json
import os

import pytest

from realtime.bench.machine import Ticks, machine_record, resident_mib, version_of
from realtime.bench.report import Report, finish, percentiles


def test_the_last_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    finish(Report("pipeline", {"clip": "a b.mp4"}, {"frame_p50_ms": 12.345678}))
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["scenario"] == "pipeline"
    assert last["config"] == {"clip": "a b.mp4"}
    assert last["metrics"] == {"frame_p50_ms": 12.3457}
    assert last["machine"]["cores"] >= 1


def test_a_metric_that_was_not_measured_cannot_be_reported() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Report("x", {}, {"frame_p50_ms": float("nan")}, machine={}).as_json()


def test_percentiles_are_named_with_their_unit() -> None:
    assert percentiles("frame", [float(n) for n in range(101)]) == {
        "frame_p50_ms": 50.0,
        "frame_p95_ms": 95.0,
        "frame_p99_ms": 99.0,
    }


def test_the_machine_record_names_what_a_figure_depends_on() -> None:
    record = machine_record()
    assert set(record) == {
        "cpu",
        "cores",
        "memory_gib",
        "gpu",
        "load_1min",
        "python",
        "os",
        "versions",
        "commit",
    }
    assert record["memory_gib"] > 0
    assert record["versions"]["numpy"].startswith("1.")


def test_resident_memory_of_this_process_is_plausible() -> None:
    assert 10 < resident_mib(os.getpid()) < 100_000
    with pytest.raises(ProcessLookupError):
        resident_mib(2**22 + 1)


def test_a_missing_package_has_no_version() -> None:
    assert version_of("no-such-distribution") == ""


def test_stolen_time_is_a_share_of_the_time_between() -> None:
    before = Ticks(stolen=10, idle=100, total=300)
    assert Ticks(30, 150, 400).stolen_since(before) == pytest.approx(0.2)
    assert Ticks(30, 150, 400).busy_since(before) == pytest.approx(0.3)
    assert before.stolen_since(before) == 0
    now = Ticks.now()
    assert 0 <= now.stolen <= now.total
