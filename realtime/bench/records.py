"""What a bench said, read back: files of runs, and whether two runs may be compared at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.errors import StartupError

OF_A_MOMENT = ("load_1min", "commit")
"""fields of a machine record that differ between two runs on one machine"""
OF_THE_ENGINE = ("engine", "backend")
"""fields of a configuration that say on what the networks ran"""


@dataclass(frozen=True, slots=True)
class Record:
    """One run: the last line of a bench."""

    scenario: str
    machine: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: Mapping[str, float]

    @classmethod
    def parse(cls, line: str, where: str) -> Record:
        """
        Raises:
            StartupError: it is no line that a bench ends with.
        """
        try:
            found = json.loads(line)
            record = cls(*(found[name] for name in cls.__slots__))
            numbers = {name: float(value) for name, value in record.metrics.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise StartupError(
                f"{where}: is not what a bench ends with (one JSON object with scenario, machine, "
                "config and metrics); take the last line of `reenactd bench ...`"
            ) from None
        return cls(record.scenario, record.machine, record.config, numbers)


def read_records(path: Path) -> list[Record]:
    """Every run in a file: lines of JSON; tables between them are passed over.

    Raises:
        StartupError: it cannot be read, or holds no run.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise StartupError(
            f"{path}: {reason}; write it with `reenactd bench ... >> FILE`"
        ) from None
    records = [
        Record.parse(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.startswith("{")
    ]
    if not records:
        raise StartupError(
            f"{path}: holds no run; write one or more with `reenactd bench ... >> FILE`"
        )
    return records


def require_comparable(base: Sequence[Record], head: Sequence[Record]) -> None:
    """All runs are of one scenario, machine and configuration, and as many on either side.

    Raises:
        StartupError: names the first field that differs.
    """
    for record in (*base, *head):
        first = base[0]
        _require_same("scenario", {"": first.scenario}, {"": record.scenario})
        _require_same("machine", _lasting(first.machine), _lasting(record.machine))
        _require_same("config", first.config, record.config)
    if len(base) != len(head):
        raise StartupError(
            f"{len(base)} runs against {len(head)}: runs are compared in pairs, in their order; "
            "give both files as many"
        )


def require_same_engine(base: Sequence[Record], head: Sequence[Record]) -> None:
    """Two revisions may be configured differently, but what computes must be the same.

    Raises:
        StartupError: a daemon of theirs ran on something else.
    """
    for record in (*base, *head):
        for name in OF_THE_ENGINE:
            one, other = (each.config.get(name) for each in (base[0], record))
            if None not in (one, other):
                _require_same("config", {name: one}, {name: other})


def _lasting(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in machine.items() if name not in OF_A_MOMENT}


def _require_same(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name in _in_order(one, other):
        if one.get(name) != other.get(name):
            raise StartupError(
                f"{f'{what}.{name}'.rstrip('.')} differs: {one.get(name)} and {other.get(name)}; "
                "figures compare only if all but the code is the same"
            )


def _in_order(one: Iterable[str], other: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*one, *other)))
