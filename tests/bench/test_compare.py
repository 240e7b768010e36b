"""Judging pairs of runs: what is a regression, what is refused, what is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from realtime.bench.compare import Comparison, Rule, compare
from realtime.bench.records import Record, read_records, require_comparable, require_same_engine
from realtime.bench.verdicts import as_history, as_markdown, summary
from realtime.errors import StartupError

MACHINE = {"cpu": "A", "cores": 2, "load_1min": 0.5, "commit": "abc"}
CONFIG = {"network": "warp-refine", "backend": "onnx", "frames": 10}


def run(scenario: str = "pipeline", **metrics: float) -> Record:
    return Record(scenario, MACHINE, CONFIG, metrics)


def runs(values: Sequence[float], name: str = "frame_p50_ms") -> list[Record]:
    return [Record("pipeline", MACHINE, CONFIG, {name: value}) for value in values]


def judged(
    base: Sequence[Record], head: Sequence[Record], margin: float = 0.05, gates: Sequence[str] = ()
) -> Comparison:
    return compare(base, head, ("main", "topic"), Rule(margin, gates))


BASE = [25.0, 26.0, 24.0, 25.5, 60.0, 25.2, 24.8, 25.1]


@pytest.mark.parametrize(
    ("factor", "margin", "verdict"),
    [
        (1.0, 0.05, "passed"),
        (1.04, 0.05, "passed"),
        (1.06, 0.05, "regression"),
        (1.06, 0.10, "passed"),
        (0.5, 0.05, "improvement"),
        (0.97, 0.05, "passed"),
    ],
)
def test_a_gate_regresses_when_it_is_surely_worse_than_the_margin(
    factor: float, margin: float, verdict: str
) -> None:
    found = judged(runs(BASE), runs([factor * value for value in BASE]), margin)
    assert [row.verdict for row in found.rows] == [verdict]
    assert len(found.regressions) == (verdict == "regression")
    assert found.outcome == ("regression" if verdict == "regression" else "passed")


@pytest.mark.parametrize("factors", [(2.0, 0.6), (1.9, 1.02), (1.0, 0.6, 1.0, 1.2)])
def test_what_may_be_either_is_neither_passed_nor_a_regression(factors: tuple[float, ...]) -> None:
    """An interval from 0.6 to 1.9 found nothing out, whatever its lower end is."""
    swing = list(factors) * (len(BASE) // len(factors))
    head = [value * factor for value, factor in zip(BASE, swing, strict=True)]
    found = judged(runs(BASE), runs(head))
    (row,) = found.rows
    assert row.ratio is not None and row.ratio.low <= 1.05 < row.ratio.high
    assert row.verdict == "inconclusive" and found.outcome == "inconclusive"
    assert "not found out: frame_p50_ms; take more pairs" in summary(found)
    metrics = found.as_report({}).metrics
    assert metrics["inconclusive"] == 1 and metrics["regressions"] == 0


def test_one_sure_regression_decides_whatever_else_is_open() -> None:
    base = [run(frame_p50_ms=25.0, other_ms=value) for value in BASE]
    head = [run(frame_p50_ms=50.0, other_ms=value) for value in reversed(BASE)]
    found = judged(base, head, gates=["*_ms"])
    assert [row.verdict for row in found.rows] == ["regression", "inconclusive"]
    assert found.outcome == "regression"


def test_each_of_several_looks_is_that_much_surer() -> None:
    once = compare(runs([1.0] * 12), runs([1.0] * 12), ("a", "b"), Rule(0.05))
    often = compare(runs([1.0] * 12), runs([1.0] * 12), ("a", "b"), Rule(0.05, looks=4))
    assert once.confidence == pytest.approx(0.95) and often.confidence == pytest.approx(0.9875)
    with pytest.raises(StartupError, match="6 pairs of runs: 8 at least"):
        compare(runs([1.0] * 6), runs([1.0] * 6), ("a", "b"), Rule(0.05, looks=4))


@pytest.mark.parametrize(
    ("scenario", "gate", "margin"),
    [("pipeline", "frame_p50_ms", 0.05), ("echo", "echo_p50_ms", 0.10)],
)
def test_a_scenario_has_its_own_margin_until_one_is_named(
    scenario: str, gate: str, margin: float
) -> None:
    def both(head: float, rule: Rule) -> Comparison:
        base, changed = ([run(scenario, **{gate: value})] * 8 for value in (20.0, head))
        return compare(base, changed, ("main", "topic"), rule)

    below, above = 20 * (1 + margin - 0.01), 20 * (1 + margin + 0.01)
    assert both(below, Rule(gates=[gate])).outcome == "passed"
    assert both(above, Rule(gates=[gate])).outcome == "regression"
    assert both(above, Rule(gates=[gate])).margin == margin
    assert both(above, Rule(0.2, [gate])).outcome == "passed"


def test_of_a_rate_less_is_worse() -> None:
    base = runs([30.0] * 8, "fps")
    assert judged(base, runs([20.0] * 8, "fps"), gates=["fps"]).rows[0].verdict == "regression"
    assert judged(base, runs([40.0] * 8, "fps"), gates=["fps"]).rows[0].verdict == "improvement"


def test_only_gates_decide_and_they_come_first() -> None:
    base = [run(frame_p99_ms=1.0, frame_p50_ms=25.0, frames=10) for _ in range(8)]
    head = [run(frame_p99_ms=9.0, frame_p50_ms=25.0, frames=10) for _ in range(8)]
    found = judged(base, head)
    assert [(row.name, row.verdict) for row in found.rows] == [
        ("frame_p50_ms", "passed"),
        ("frame_p99_ms", "shown"),
        ("frames", "shown"),
    ]
    assert found.rows[1].ratio is not None and found.rows[1].ratio.estimate == pytest.approx(9)
    assert found.rows[2].ratio is None


@pytest.mark.parametrize(
    ("mark_ms", "verdict"), [(0.2, "passed"), (0.6, "passed"), (10.2, "regression")]
)
def test_what_a_stage_gained_is_judged_as_a_share_of_the_frame(
    mark_ms: float, verdict: str
) -> None:
    """Where the frame itself swings so much that 10 ms are lost in it."""
    swing = [60.0, 200.0, 80.0, 150.0, 70.0, 90.0, 180.0, 65.0, 75.0, 190.0]
    base = [run(frame_p50_ms=value, stage_mark_p50_ms=0.2) for value in swing]
    head = [run(frame_p50_ms=value, stage_mark_p50_ms=mark_ms) for value in reversed(swing)]
    frame, stage = judged(base, head).rows
    assert frame.verdict == "inconclusive"
    assert stage.verdict == verdict
    assert stage.share is not None
    assert stage.share.estimate == pytest.approx((mark_ms - 0.2) / 85.0)
    assert judged(base, head, gates=["frame_p50_ms"]).rows[1].share is None


def test_several_gates_share_the_chance_of_a_false_alarm() -> None:
    names = [f"net_g{index}_onnx_call_p50_ms" for index in range(4)]
    each = Record("models", MACHINE, CONFIG, dict.fromkeys(names, 1.0))
    assert judged([each] * 8, [each] * 8).confidence == pytest.approx(0.9875)
    with pytest.raises(StartupError, match="6 pairs of runs: 8 at least"):
        judged([each] * 6, [each] * 6)


def test_what_cannot_be_judged_is_said_with_the_way_out() -> None:
    with pytest.raises(StartupError, match="1 pairs of runs: 6 at least .* append more runs"):
        judged(runs([1.0]), runs([1.0]))
    with pytest.raises(StartupError, match="no metric in common"):
        judged(runs([1.0] * 8), runs([1.0] * 8, "glass_p50_ms"))
    with pytest.raises(StartupError, match="scenario soak: .* --gate METRIC"):
        judged([run("soak", x_ms=1.0)] * 8, [run("soak", x_ms=1.0)] * 8)
    with pytest.raises(StartupError, match="gate fpz: .* frame_p50_ms"):
        judged(runs([1.0] * 8), runs([1.0] * 8), gates=["fpz"])
    with pytest.raises(StartupError, match="frame_p50_ms is not above zero"):
        judged(runs([0.0] * 8), runs([1.0] * 8))


def test_runs_of_other_machines_settings_or_scenarios_are_not_compared() -> None:
    def with_machine(**changed: object) -> list[Record]:
        return [Record("pipeline", {**MACHINE, **changed}, CONFIG, {"frame_p50_ms": 1.0})]

    base = runs([1.0])
    require_comparable(base, with_machine(load_1min=7.0, commit="def"))
    with pytest.raises(StartupError, match=r"machine\.cpu differs: A and B"):
        require_comparable(base, with_machine(cpu="B"))
    with pytest.raises(StartupError, match=r"config\.backend differs: onnx and torch"):
        other = Record("pipeline", MACHINE, {**CONFIG, "backend": "torch"}, {"frame_p50_ms": 1.0})
        require_comparable(base, [other])
    with pytest.raises(StartupError, match="scenario differs: pipeline and glass"):
        require_comparable(base, [run("glass", frame_p50_ms=1.0)])
    with pytest.raises(StartupError, match="1 runs against 2"):
        require_comparable(base, runs([1.0, 1.0]))


def test_what_ran_on_something_else_is_not_compared_even_of_two_revisions() -> None:
    def of(**config: str) -> list[Record]:
        return [Record("glass", MACHINE, config, {"glass_p50_ms": 1.0})]

    require_same_engine(of(engine="onnx: no GPU", new="x"), of(engine="onnx: no GPU"))
    require_same_engine(of(), of(engine="onnx: no GPU"))  # older than the field
    with pytest.raises(StartupError, match=r"config\.engine differs: onnx: no GPU and TensorRT"):
        require_same_engine(of(engine="onnx: no GPU"), of(engine="TensorRT"))
    with pytest.raises(StartupError, match=r"config\.engine differs"):
        require_comparable(of(), of(engine="TensorRT"))


def test_runs_are_found_between_the_tables_that_benches_print(tmp_path: Path) -> None:
    path = tmp_path / "runs.txt"
    line = json.dumps({"scenario": "pipeline", "machine": {}, "config": {}, "metrics": {"fps": 30}})
    path.write_text(f"performer1.mp4: milliseconds\n frame 1.0\n{line}\nagain\n{line}\n")
    assert [each.metrics for each in read_records(path)] == [{"fps": 30.0}] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a table\n", "holds no run"),
        (b'{"scenario": "x"}\n', "line 1: is not what a bench ends with"),
        (b'{"scenario": \n', "line 1: is not what a bench ends with"),
        (
            b'{"scenario": "x", "machine": {}, "config": {}, "metrics": {"fps": "fast"}}\n',
            "line 1: is not what a bench ends with",
        ),
        (b"\xff\xfe", "not UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_file_without_runs_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "runs.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=said):
        read_records(path)


def test_history_is_what_github_action_benchmark_reads() -> None:
    """Its `customSmallerIsBetter`: a list of name, unit, value and, as text, range and extra."""
    taken = [run(frame_p50_ms=value, fps=30.0, frames=10) for value in (20.0, 22.0, 30.0)]
    (entry,) = json.loads(as_history(taken))
    assert entry == {
        "name": "pipeline: frame_p50_ms",
        "unit": "ms",
        "value": 22.0,
        "range": "21.00 to 26.00",
        "extra": "3 runs\nA\nnetwork warp-refine\nbackend onnx\ncommit abc",
    }


def test_the_markdown_shows_gates_and_folds_the_rest() -> None:
    base = [run(frame_p50_ms=20.0, fps=30.0)] * 8
    head = [run(frame_p50_ms=30.0, fps=30.0)] * 8
    text = as_markdown(judged(base, head))
    gates, _, rest = text.partition("<details>")
    assert "| frame_p50_ms | 20.00 | 30.00 | 1.500 | 1.500 to 1.500 | regression |" in gates
    assert "fps" not in gates and "| fps | 30.00" in rest
    assert "worse beyond the margin: frame_p50_ms" in gates


def test_the_last_line_has_every_ratio_with_its_bounds() -> None:
    found = judged(runs([20.0] * 8), runs([30.0] * 8)).as_report({"turns": True})
    document: Mapping[str, Any] = json.loads(found.as_json())
    assert document["scenario"] == "compare"
    assert document["config"]["gates"] == ["frame_p50_ms"]
    assert document["config"]["of"] == "pipeline" and document["config"]["turns"] is True
    assert document["config"]["outcome"] == "regression" and document["config"]["looks"] == 1
    assert document["metrics"] == {
        "regressions": 1.0,
        "inconclusive": 0.0,
        "frame_p50_ms_ratio": 1.5,
        "frame_p50_ms_ratio_low": 1.5,
        "frame_p50_ms_ratio_high": 1.5,
    }
