"""`reenactd bench compare`: whether a change made anything slower, beyond a stated margin.

Judges pairs of runs. Knows nothing of processes (`revisions.py`), of statistics (`ratios.py`) and
of how the judgement is shown (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from statistics import median
from typing import Any, Literal

from realtime.bench.ratios import (
    CONFIDENCE,
    Interval,
    better_of,
    difference,
    least_pairs,
    ratio,
)
from realtime.bench.records import Record
from realtime.bench.report import Report
from realtime.errors import StartupError

GATES: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("frame_p50_ms",),
    "models": ("*_call_p50_ms",),
    "session": ("server_last_minute_p50_ms",),
    "glass": ("glass_p50_ms", "server_p50_ms"),
    "echo": ("echo_p50_ms", "echo_server_p50_ms"),
    "tracking": ("step_delay_ms",),
}
"""scenario -> the metrics that a change may not make worse. Tails (p95) and rates are shown beside
them: on a shared machine they tell of the machine, and each further gate is one more to fail by
chance."""

_MARGIN = 0.05
_MARGINS: Mapping[str, float] = {"echo": 0.10}
"""5 % of an echo of 12 ms are 0.6: on two shared cores 240 pairs may not be enough to be sure of
that (docs/LOG.md)"""

PARTS: Mapping[str, tuple[str, str]] = {
    "pipeline": ("frame_p50_ms", "stage_*_p50_ms"),
    "echo": ("echo_server_p50_ms", "stage_*_p50_ms"),
}
"""scenario -> a whole and its parts. What a part gained is judged as a share of the whole: a stage
of 0.2 ms may double unseen, but 10 ms in it are found where the whole swings by more than that."""

Verdict = Literal["regression", "improvement", "passed", "inconclusive", "shown"]
Outcome = Literal["regression", "inconclusive", "passed"]


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
    looks: int
    """how often it could be judged at most, with more pairs each time"""
    rows: tuple[Row, ...]
    """gates first, in the order in which the bench says them"""

    @property
    def regressions(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == "regression")

    @property
    def inconclusive(self) -> tuple[Row, ...]:
        """What may still be either."""
        return tuple(row for row in self.rows if row.verdict == "inconclusive")

    @property
    def outcome(self) -> Outcome:
        """One regression is enough; without one, nothing may be left open."""
        if self.regressions:
            return "regression"
        return "inconclusive" if self.inconclusive else "passed"

    def as_report(self, config: Mapping[str, Any]) -> Report:
        metrics: dict[str, float] = {
            "regressions": float(len(self.regressions)),
            "inconclusive": float(len(self.inconclusive)),
        }
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
            "looks": self.looks,
            "outcome": self.outcome,
            "gates": [row.name for row in self.rows if row.verdict != "shown"],
        }
        return Report("compare", {**stated, **config}, metrics)


@dataclass(frozen=True, slots=True)
class Rule:
    """By what pairs of runs are judged."""

    margin: float | None = None
    """Share by which a gate may be worse, None for the scenario's own. It is a regression where it
    is worse by more at the interval's nearer end, passed where it is not at the farther one, else
    inconclusive."""
    gates: Sequence[str] = ()
    """metrics or patterns (`*_p50_ms`) instead of those in `GATES`"""
    looks: int = 1
    """How often these pairs and more are judged at most, until the outcome is not inconclusive. Who
    looks again and again finds what he looks for, unless each look is that much surer."""


def margin_of(scenario: str) -> float:
    """The share by which its gates may be worse, unless another is asked for."""
    return _MARGINS.get(scenario, _MARGIN)


def compare(
    base: Sequence[Record], head: Sequence[Record], names: tuple[str, str], rule: Rule
) -> Comparison:
    """Judge pairs of runs: run `i` of base and run `i` of head are a pair.

    Args:
        names: what base and head are called.

    Raises:
        StartupError: there is nothing to judge by, or too few pairs to be sure of anything.
    """
    scenario, gates = base[0].scenario, rule.gates
    margin = margin_of(scenario) if rule.margin is None else rule.margin
    common = [
        name for name in base[0].metrics if all(name in run.metrics for run in (*base, *head))
    ]
    wanted = tuple(gates) or GATES.get(scenario, ())
    gated = [name for name in common if any(fnmatchcase(name, each) for each in wanted)]
    _require_gates(scenario, common, wanted, gated)
    whole, pattern = PARTS.get(scenario, ("", "")) if not gates else ("", "")
    parts = [name for name in common if whole in gated and fnmatchcase(name, pattern)]
    judged = len(gated) + len(parts)
    confidence = 1 - (1 - CONFIDENCE) / (judged * rule.looks)  # Bonferroni: all together
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
    return Comparison(scenario, *names, len(base), margin, confidence, rule.looks, tuple(rows))


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
    """An interval that reaches from one side of the margin to the other says neither."""
    if worse.low > most:
        return "regression"
    if worse.high > most:
        return "inconclusive"
    return "improvement" if worse.high < least else "passed"
