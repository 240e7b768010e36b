"""How a comparison is shown: a table, Markdown for a pull request, and the list that
github-action-benchmark keeps as history. Judges nothing; that is done in `compare.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median, quantiles

from realtime.bench.compare import PARTS, Comparison, Row
from realtime.bench.ratios import better_of, unit_of
from realtime.bench.records import Record
from realtime.bench.report import print_table


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
    end = "no regression"
    if comparison.regressions:
        end = f"worse beyond the margin: {', '.join(row.name for row in comparison.regressions)}"
    elif comparison.inconclusive:
        unsure = ", ".join(row.name for row in comparison.inconclusive)
        end = f"not found out: {unsure}; take more pairs, or a machine with less else to do"
    whole, _ = PARTS.get(comparison.scenario, ("", ""))
    shares = any(row.share is not None for row in comparison.rows)
    stages = f", stages as shares of {whole} gained" if shares else ""
    return (
        f"{comparison.scenario}, {comparison.pairs} pairs, margin {comparison.margin:.1%}, "
        f"intervals of {comparison.confidence:.2%}{stages}: {end}"
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
