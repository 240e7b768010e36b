"""`reenactd bench compare`: whether a change made anything slower, beyond a stated margin.

Judges pairs of runs and shows the judgement: a table, JSON, Markdown for a pull request, and the
list that github-action-benchmark keeps as history. Knows nothing of processes (`revisions.py`)
and of statistics (`ratios.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from statistics import median, quantiles
from typing import Any, Literal

from realtime.bench.ratios import (
    CONFIDENCE,
    Interval,
    better_of,
    difference,
    least_pairs,
    ratio,
    unit_of,
)
from realtime.bench.records import Record
from realtime.bench.report import Report, print_table
from realtime.errors import StartupError

GATES: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("frame_p50_ms",),
    "models": ("*_call_p50_ms",),
    "session": ("latency_last_minute_p50_ms",),
    "glass": ("glass_p50_ms", "server_p50_ms"),
    "tracking": ("step_delay_ms",),
}
"""scenario -> the metrics that a change may not make worse. Tails (p95) and rates are shown beside
them: on a shared machine they tell of the machine, and each further gate is one more to fail by
chance."""

PARTS: Mapping[str, tuple[str, str]] = {"pipeline": ("frame_p50_ms", "stage_*_p50_ms")}
"""scenario -> a whole and its parts. What a part gained is judged as a share of the whole: a stage
of 0.2 ms may double unseen, but 10 ms in it are found where the whole swings by more than that."""

Verdict = Literal["regression", "improvement", "passed", "shown"]


@dataclass(frozen=True, slots=True)
class Row:
    """One metric on both sides."""

    name: str
    base: float
    """median over the runs"""
    head: float
    ratio: Interval | None
    """head to base; None where the name has no direction, or a figure is not above zero"""
    verdict: Verdict
    share: Interval | None = None
    """of a part: what head has more, as a share of the whole at base"""


@dataclass(frozen=True, slots=True)
class Comparison:
    scenario: str
    base: str
    head: str
    pairs: int
    margin: float
    confidence: float
    rows: tuple[Row, ...]
    """gates first, in the order in which the bench says them"""

    @property
    def regressions(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == "regression")

    def as_report(self, config: Mapping[str, Any]) -> Report:
        metrics: dict[str, float] = {"regressions": float(len(self.regressions))}
        for row in self.rows:
            if row.ratio is not None:
                metrics |= {
                    f"{row.name}_ratio": row.ratio.estimate,
                    f"{row.name}_ratio_low": row.ratio.low,
                    f"{row.name}_ratio_high": row.ratio.high,
                }
            if row.share is not None:
                metrics |= {
                    f"{row.name}_share": row.share.estimate,
                    f"{row.name}_share_low": row.share.low,
                    f"{row.name}_share_high": row.share.high,
                }
        stated = {
            "of": self.scenario,
            "base": self.base,
            "head": self.head,
            "pairs": self.pairs,
            "margin": self.margin,
            "confidence": self.confidence,
            "gates": [row.name for row in self.rows if row.verdict != "shown"],
        }
        return Report("compare", {**stated, **config}, metrics)


def compare(
    base: Sequence[Record],
    head: Sequence[Record],
    names: tuple[str, str],
    margin: float,
    gates: Sequence[str] = (),
) -> Comparison:
    """Judge pairs of runs: run `i` of base and run `i` of head are a pair.

    Args:
        names: what base and head are called.
        margin: share by which a gate may be worse; it must be worse by more at the interval's
            nearer bound to be called a regression.
        gates: metrics or patterns (`*_p50_ms`) instead of those in `GATES`.

    Raises:
        StartupError: there is nothing to judge by, or too few pairs to be sure of anything.
    """
    scenario = base[0].scenario
    common = [
        name for name in base[0].metrics if all(name in run.metrics for run in (*base, *head))
    ]
    wanted = tuple(gates) or GATES.get(scenario, ())
    gated = [name for name in common if any(fnmatchcase(name, each) for each in wanted)]
    _require_gates(scenario, common, wanted, gated)
    whole, pattern = PARTS.get(scenario, ("", "")) if not gates else ("", "")
    parts = [name for name in common if whole in gated and fnmatchcase(name, pattern)]
    confidence = 1 - (1 - CONFIDENCE) / (len(gated) + len(parts))  # Bonferroni: all together
    if len(base) < least_pairs(confidence):
        raise StartupError(
            f"{len(base)} pairs of runs: {least_pairs(confidence)} at least are needed to be "
            f"{confidence:.1%} sure of anything; append more runs to both files, or raise --pairs"
        )
    sides = (base, head)
    others = [name for name in common if name not in gated and name not in parts]
    rows = [
        *(_row(name, sides, confidence, margin) for name in gated),
        *(_part(name, whole, sides, confidence, margin) for name in parts),
        *(_row(name, sides, confidence, None) for name in others),
    ]
    for row in rows[: len(gated)]:
        if row.ratio is None:
            raise StartupError(
                f"{row.name} is not above zero in every run: it has no ratio to be judged by; "
                "name another --gate"
            )
    return Comparison(scenario, *names, len(base), margin, confidence, tuple(rows))


def _require_gates(
    scenario: str, common: Sequence[str], wanted: Sequence[str], gated: Sequence[str]
) -> None:
    if not common:
        raise StartupError(
            "base and head have no metric in common; compare runs of the same scenario"
        )
    if not wanted:
        known = ", ".join(GATES)
        raise StartupError(
            f"scenario {scenario}: there are gates for {known}; name its own with --gate METRIC"
        )
    directed = [name for name in common if better_of(name) is not None]
    if not gated or any(name not in directed for name in gated):
        wrong = ", ".join(name for name in gated if name not in directed) or ", ".join(wanted)
        raise StartupError(
            f"gate {wrong}: must be among the metrics that both sides have and whose name says "
            f"what is better: {', '.join(directed) or 'here there is none'}"
        )


_Sides = tuple[Sequence[Record], Sequence[Record]]


def _row(name: str, sides: _Sides, confidence: float, margin: float | None) -> Row:
    """`margin` is None for what is only shown."""
    base, head = ([run.metrics[name] for run in side] for side in sides)
    better = better_of(name)
    found = ratio(base, head, confidence) if better is not None else None
    verdict: Verdict = "shown"
    if found is not None and margin is not None:
        worse = found if better == "smaller" else found.inverted()
        verdict = _verdict(worse, 1 + margin, 1 / (1 + margin))
    return Row(name, median(base), median(head), found, verdict)


def _part(name: str, whole: str, sides: _Sides, confidence: float, margin: float) -> Row:
    """A part, judged by what it gained as a share of the whole."""
    base, head = ([run.metrics[name] for run in side] for side in sides)
    gained = difference(base, head, confidence)
    row = _row(name, sides, confidence, None)
    if gained is None:
        return row
    unit = median(run.metrics[whole] for run in sides[0])
    share = Interval(*(value / unit for value in gained))
    return replace(row, verdict=_verdict(share, margin, -margin), share=share)


def _verdict(worse: Interval, most: float, least: float) -> Verdict:
    if worse.low > most:
        return "regression"
    return "improvement" if worse.high < least else "passed"


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    between, factor = "", ""
    if row.ratio is not None:
        factor = f"{row.ratio.estimate:.3f}"
        between = f"{row.ratio.low:.3f} to {row.ratio.high:.3f}"
    if row.share is not None:
        between = f"{row.share.low:+.1%} to {row.share.high:+.1%}"
    verdict = "" if row.verdict == "shown" else row.verdict
    return row.name, f"{row.base:.2f}", f"{row.head:.2f}", factor, between, verdict


COLUMNS = ("", "base", "head", "ratio", "interval", "")


def summary(comparison: Comparison) -> str:
    """One line: what was judged, how, and with what end."""
    worse = ", ".join(row.name for row in comparison.regressions)
    end = f"worse beyond the margin: {worse}" if worse else "no regression"
    whole, _ = PARTS.get(comparison.scenario, ("", ""))
    shares = any(row.share is not None for row in comparison.rows)
    stages = f", stages as shares of {whole} gained" if shares else ""
    return (
        f"{comparison.scenario}, {comparison.pairs} pairs, margin {comparison.margin:.1%}, "
        f"intervals of {comparison.confidence:.1%}{stages}: {end}"
    )


def print_comparison(comparison: Comparison) -> None:
    title = f"{comparison.base} (base) and {comparison.head} (head), medians"
    print_table(title, COLUMNS, [_cells(row) for row in comparison.rows])
    print(summary(comparison))


def as_markdown(comparison: Comparison) -> str:
    """The gates as a table, the rest folded; for a pull request or a job's summary."""

    def table(rows: Sequence[Row]) -> str:
        head = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 2), "---")]
        return "\n".join("| " + " | ".join(row) + " |" for row in (*head, *map(_cells, rows)))

    gates = [row for row in comparison.rows if row.verdict != "shown"]
    shown = [row for row in comparison.rows if row.verdict == "shown"]
    return (
        f"### Latency: {summary(comparison)}\n\n"
        f"`{comparison.base}` (base) and `{comparison.head}` (head), medians over the runs.\n\n"
        f"{table(gates)}\n\n<details><summary>all figures</summary>\n\n{table(shown)}\n\n"
        "</details>\n"
    )


def as_history(runs: Sequence[Record]) -> str:
    """What github-action-benchmark reads as `customSmallerIsBetter`: a list of name, unit, value,
    range and extra. Only metrics of which less is better; medians over the runs."""
    entries = []
    for name in runs[0].metrics:
        if better_of(name) != "smaller" or not all(name in run.metrics for run in runs):
            continue
        values = [run.metrics[name] for run in runs]
        entry: dict[str, str | float] = {
            "name": f"{runs[0].scenario}: {name}",
            "unit": unit_of(name) or "count",
            "value": round(median(values), 4),
            "extra": _origin(runs),
        }
        if len(values) > 1:
            lower, _, upper = quantiles(values, n=4, method="inclusive")
            entry["range"] = f"{lower:.2f} to {upper:.2f}"
        entries.append(entry)
    return json.dumps(entries, indent=1, allow_nan=False)


def _origin(runs: Sequence[Record]) -> str:
    machine, config = runs[0].machine, runs[0].config
    said = [f"{len(runs)} runs", str(machine.get("gpu") or machine.get("cpu", ""))]
    said += [f"{key} {config[key]}" for key in ("network", "backend", "canvas") if key in config]
    return "\n".join([*said, f"commit {machine.get('commit', '')}"])
