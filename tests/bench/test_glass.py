"""The glass bench: how notes become figures, and one short run of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime.bench.frame_log import Served
from realtime.bench.glass import Plan, bench_glass, clients_of
from realtime.bench.glass_clients import Record
from realtime.bench.glass_figures import Notes, Turn, around_outage, compare, evaluate, summarise
from realtime.bench.link import Profile
from realtime.config import Config
from realtime.errors import ReenactdError, StartupError

MS = 1_000_000


def served(server_ms: float) -> Served:
    return Served(server_ms, {"track": 8.0, "send": 3.0})


def noted(window: Record, *, began_ms: int = 0, ended_ms: int = 2000, **more: Any) -> Notes:
    before = more.get("before", Record())
    before.taken_ns, window.taken_ns = began_ms * MS, ended_ms * MS
    return Notes(before, window, more.get("after", Record()), more.get("served", []))


def test_a_picture_is_timed_by_its_first_sight() -> None:
    window = Record(
        sent=[(1, 0), (2, 33 * MS), (3, 66 * MS)],
        seen=[(0, 5 * MS), (1, 40 * MS), (1, 60 * MS), (None, 61 * MS), (2, 300 * MS)],
    )
    after = Record(sent=[(4, 99 * MS)], seen=[(2, 310 * MS), (4, 320 * MS)])
    notes = noted(window, ended_ms=330, after=after, served=[served(30), served(60)])
    turn = evaluate(notes, processor_s=0.5, seconds=2, first_ms=900)
    assert turn.way_ms == [40, 267]
    assert turn.made_s == [0, 0.033]
    assert turn.captured == 3 and turn.unreadable == 1
    assert turn.gaps_ns == [5 * MS, 35 * MS, 260 * MS, 30 * MS]
    assert turn.server_ms == [30, 60]
    assert turn.stages_ms == {"track": 8, "send": 3}


def frozen_s(notes: Notes) -> float:
    notes.window.sent = [(number, 0) for number, _ in notes.window.seen if number is not None]
    turn = evaluate(notes, processor_s=0, seconds=2, first_ms=0)
    return summarise([turn], "glass")["frozen_s"]


def test_a_stream_that_dies_or_comes_late_is_frozen() -> None:
    """Between two pictures that were shown there is no gap then."""
    shown: list[tuple[int | None, int]] = [(number, number * 33 * MS) for number in range(60)]
    assert frozen_s(noted(Record(seen=shown))) == 0
    assert frozen_s(noted(Record(seen=shown[:20]))) == pytest.approx(2 - 0.627)
    assert frozen_s(noted(Record(seen=shown[40:]))) == pytest.approx(1.32)


def test_what_stood_on_the_screen_before_is_no_sign_of_life() -> None:
    before = Record(seen=[(7, 0)])
    held = [(7, at_ms * MS) for at_ms in range(100, 2000, 100)]
    window = Record(seen=[*held, (8, 1990 * MS)])
    assert frozen_s(noted(window, before=before)) == pytest.approx(1.99)


def turn(way_ms: list[float], captured: int, gaps_ns: list[int] | None = None) -> Turn:
    made_s = [float(index) for index in range(len(way_ms))]
    stages = {"track": 8.0}
    return Turn(way_ms, made_s, captured, gaps_ns or [], 0, [30, 40, 60], stages, 0.2, 2.0, 800)


def test_drops_freezes_and_cost_are_counted_over_all_turns() -> None:
    turns = [turn([50, 60], 3, [199 * MS, 250 * MS]), turn([70, 80], 5, [350 * MS])]
    metrics = summarise(turns, "glass")
    assert metrics["glass_p50_ms"] == 65 and metrics["glass_max_ms"] == 80
    assert metrics["delivered_fps"] == 1 and metrics["camera_fps"] == 2
    assert metrics["dropped_pct"] == 50 and metrics["first_picture_ms"] == 800
    assert metrics["freezes"] == 2 and metrics["frozen_s"] == pytest.approx(0.6)
    assert metrics["processor_ms_per_frame"] == pytest.approx(100)
    assert metrics["server_p50_ms"] == 40 and metrics["server_max_ms"] == 60
    assert metrics["server_p95_ms"] == 60, "over the pictures, not over windows of seconds"


def test_the_echo_is_the_floor_that_is_subtracted() -> None:
    metrics = compare({"reenact": [turn([60] * 4, 4)], "echo": [turn([20] * 4, 4)]})
    assert metrics["echo_p50_ms"] == 20 and metrics["glass_p50_ms"] == 60
    assert metrics["glass_minus_echo_p50_ms"] == 40
    assert metrics["glass_to_echo_p95_ratio"] == 3
    assert metrics["echo_delivered_fps"] == 2 and metrics["stage_track_p50_ms"] == 8


def test_no_answer_is_an_error_and_no_zero() -> None:
    with pytest.raises(ReenactdError, match="glass: no numbered picture"):
        summarise([turn([], 30)], "glass")


def test_what_an_outage_leaves_behind_is_shown() -> None:
    # One a second; from the fifth on it is dark for two, and two more are not counted.
    ways = [20.0] * 4 + [2000.0] * 5 + [90.0] * 6
    found = around_outage([turn(ways, 15)], 15, 2, "glass")
    assert found == {"glass_before_outage_p50_ms": 20, "glass_after_outage_p50_ms": 90}
    with pytest.raises(ReenactdError, match="2 s after an outage of 2 s"):
        around_outage([turn(ways[:8], 15)], 15, 2, "glass")


def plan(**changed: Any) -> Plan:
    stated = {"clip": Path("absent.mp4"), "identity": None, "width_px": 640, "height_px": 480}
    rest = {"fps": 30, "seconds": 15, "rounds": 1, "clients": ("aiortc",), "profile": Profile()}
    return Plan(**{**stated, **rest, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width_px": 0, "height_px": 0}, "has 0x0: must be even numbers, 160 to 3840 wide"),
        ({"width_px": 641, "height_px": 481}, "has 641x481: must be even numbers"),
        ({"width_px": 128, "height_px": 96}, r"the camera \(--size\) has 128x96"),
        ({"width_px": 9998}, "has 9998x480"),
        ({"seconds": 5.0, "outage_s": 3.0}, "--seconds 5: .* make it at least 9"),
    ],
)
async def test_what_cannot_be_measured_is_refused_before_anything_starts(
    changed: dict[str, Any], said: str
) -> None:
    """The clip is not there: whoever came so far would say so."""
    with pytest.raises(StartupError, match=said):
        await bench_glass(plan(**changed), Config())


async def test_an_output_too_small_for_its_number_is_refused() -> None:
    small = Config()
    video = small.video.model_copy(update={"width_px": 128, "height_px": 96})
    with pytest.raises(StartupError, match="the output .* has 128x96"):
        await bench_glass(plan(), small.model_copy(update={"video": video}))


def test_clients_are_named() -> None:
    assert clients_of("both") == ("aiortc", "chromium")
    with pytest.raises(StartupError, match="aiortc, chromium, both"):
        clients_of("firefox")


def test_a_short_run_over_a_slow_link_says_what_is_promised() -> None:
    command = [sys.executable, "-m", "realtime.cli", "bench", "glass"]
    options = ["--seconds", "3", "--rounds", "1", "--delay-ms", "30", "--fps", "10"]
    options += ["--backend", "onnx"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    metrics = said["metrics"]
    assert said["scenario"] == "glass" and said["config"]["link"].startswith("30 ms")
    for name in ("glass", "echo"):
        assert metrics[f"{name}_p95_ms"] >= metrics[f"{name}_p50_ms"] > 60  # the link, twice
    assert metrics["glass_p50_ms"] > metrics["echo_p50_ms"] > metrics["echo_server_p50_ms"] > 0
    assert metrics["server_p50_ms"] > metrics["stage_track_p50_ms"] > 0
    assert metrics["server_p50_ms"] > metrics["stage_encode_p50_ms"] > 0
    assert metrics["server_max_ms"] >= metrics["server_p95_ms"]
    assert metrics["listening_s"] > 0 and said["config"]["backend"] == "onnx"
    assert "ONNX Runtime" in said["config"]["engine"], "what ran, and not what was asked for"
    assert metrics["echo_dropped_pct"] < 50 and metrics["unreadable"] < 15
