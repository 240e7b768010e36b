"""The glass bench: how notes become figures, and one short run of the whole."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from realtime.bench.glass import Plan, Turn, around_outage, clients_of, compare, evaluate, summarise
from realtime.bench.glass_clients import Record
from realtime.bench.link import Profile
from realtime.errors import ReenactdError, StartupError

MS = 1_000_000


def stats(server_p50_ms: float, fps_out: float = 30) -> dict[str, Any]:
    return {
        "type": "stats",
        "fps_out": fps_out,
        "server_ms": {"p50": server_p50_ms, "p95": 2 * server_p50_ms},
        "stages_ms": {"track": 8.0, "send": 3.0},
    }


def test_a_picture_is_timed_by_its_first_sight() -> None:
    window = Record(
        sent=[(1, 0), (2, 33 * MS), (3, 66 * MS)],
        seen=[(0, 5 * MS), (1, 40 * MS), (1, 60 * MS), (None, 61 * MS), (2, 300 * MS)],
        stats=[stats(30), stats(0, fps_out=0), {"type": "hello"}],
    )
    after = Record(sent=[(4, 99 * MS)], seen=[(2, 310 * MS), (4, 320 * MS)])
    turn = evaluate(window, after, processor_s=0.5, seconds=2, first_ms=900)
    assert turn.way_ms == [40, 267]
    assert turn.made_s == [0, 0.033]
    assert turn.captured == 3 and turn.unreadable == 1
    assert turn.gaps_ns == [260 * MS]
    assert turn.server_ms == [(30, 60)]
    assert turn.stages_ms == {"track": 8, "send": 3}


def turn(way_ms: list[float], captured: int, gaps_ns: list[int] | None = None) -> Turn:
    made_s = [float(index) for index in range(len(way_ms))]
    stages = {"track": 8.0}
    return Turn(way_ms, made_s, captured, gaps_ns or [], 0, [(30, 60)], stages, 0.2, 2.0, 800)


def test_drops_freezes_and_cost_are_counted_over_all_turns() -> None:
    turns = [turn([50, 60], 3, [199 * MS, 250 * MS]), turn([70, 80], 5, [350 * MS])]
    metrics = summarise(turns, "glass")
    assert metrics["glass_p50_ms"] == 65 and metrics["glass_max_ms"] == 80
    assert metrics["delivered_fps"] == 1 and metrics["camera_fps"] == 2
    assert metrics["dropped_pct"] == 50 and metrics["first_picture_ms"] == 800
    assert metrics["freezes"] == 2 and metrics["frozen_s"] == pytest.approx(0.6)
    assert metrics["processor_ms_per_frame"] == pytest.approx(100)
    assert metrics["server_p50_ms"] == 30 and metrics["server_p95_ms"] == 60


def test_the_echo_is_the_floor_that_is_subtracted() -> None:
    metrics = compare({"reenact": [turn([60] * 4, 4)], "echo": [turn([20] * 4, 4)]})
    assert metrics["echo_p50_ms"] == 20 and metrics["glass_p50_ms"] == 60
    assert metrics["glass_minus_echo_p50_ms"] == 40
    assert metrics["glass_to_echo_p95_ratio"] == 3
    assert metrics["echo_delivered_fps"] == 2 and metrics["stage_track_p50_ms"] == 8


def test_no_answer_is_an_error_and_no_zero() -> None:
    with pytest.raises(ReenactdError, match="glass: no numbered picture"):
        summarise([turn([], 30)], "glass")


def outage_plan(seconds: float, outage_s: float) -> Plan:
    fields = {field.name: None for field in dataclasses.fields(Plan)}
    return Plan(**{**fields, "seconds": seconds, "outage_s": outage_s, "profile": Profile()})  # type: ignore[arg-type]


def test_what_an_outage_leaves_behind_is_shown() -> None:
    # One a second; from the fifth on it is dark for two, and two more are not counted.
    ways = [20.0] * 4 + [2000.0] * 5 + [90.0] * 6
    found = around_outage([turn(ways, 15)], outage_plan(15, 2), "glass")
    assert found == {"glass_before_outage_p50_ms": 20, "glass_after_outage_p50_ms": 90}
    with pytest.raises(ReenactdError, match="outage of 2 s"):
        around_outage([turn(ways[:8], 15)], outage_plan(15, 2), "glass")


def test_clients_are_named() -> None:
    assert clients_of("both") == ("aiortc", "chromium")
    with pytest.raises(StartupError, match="aiortc, chromium, both"):
        clients_of("firefox")


def test_a_short_run_over_a_slow_link_says_what_is_promised() -> None:
    command = [sys.executable, "-m", "realtime.cli", "bench", "glass"]
    options = ["--seconds", "3", "--rounds", "1", "--delay-ms", "30", "--fps", "10"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    metrics = said["metrics"]
    assert said["scenario"] == "glass" and said["config"]["link"].startswith("30 ms")
    for name in ("glass", "echo"):
        assert metrics[f"{name}_p95_ms"] >= metrics[f"{name}_p50_ms"] > 60  # the link, twice
    assert metrics["glass_p50_ms"] > metrics["echo_p50_ms"] > metrics["echo_server_p50_ms"] > 0
    assert metrics["server_p50_ms"] > metrics["stage_track_p50_ms"] > 0
    assert metrics["echo_dropped_pct"] < 50 and metrics["unreadable"] < 15
