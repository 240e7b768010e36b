"""What a bench says: a table for people, then one JSON object as the very last line of stdout.

Knows nothing of what is measured. Metric names carry their unit (`frame_p50_ms`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from realtime.bench.machine import machine_record

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Report:
    scenario: str
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    machine: Mapping[str, Any] = field(default_factory=machine_record)

    def as_json(self) -> str:
        """One line. NaN is no JSON and raises ValueError: leave out what was not measured."""
        rounded = {name: round(float(value), 4) for name, value in self.metrics.items()}
        return json.dumps(
            {
                "scenario": self.scenario,
                "machine": dict(self.machine),
                "config": dict(self.config),
                "metrics": rounded,
            },
            allow_nan=False,
        )


def percentiles(name: str, samples: Sequence[float], unit: str = "ms") -> dict[str, float]:
    """`{name}_p50_ms` and so on (linear interpolation), of at least one sample."""
    values = np.percentile(np.asarray(samples, dtype=np.float64), PERCENTILES)
    return {
        f"{name}_p{percent}_{unit}": float(value)
        for percent, value in zip(PERCENTILES, values, strict=True)
    }


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Numbers are right-aligned; floats get two decimals."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)


def finish(report: Report) -> None:
    """The last line. Printed without rich, which would wrap it."""
    print(report.as_json(), flush=True)
