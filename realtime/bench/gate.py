"""`reenactd bench compare` from end to end: get the runs, judge them, write what was asked for."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from realtime.bench.compare import (
    Comparison,
    as_history,
    as_markdown,
    compare,
    print_comparison,
)
from realtime.bench.records import Record, read_records, require_comparable
from realtime.bench.report import finish
from realtime.bench.revisions import (
    DEFAULT_ARGUMENTS,
    RUN_PAIRS,
    TURN_PAIRS,
    WORKING_TREE,
    checked_out,
    is_changed,
    measure_in_turns,
    runners,
)
from realtime.errors import StartupError


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    base: str
    head: str
    scenario: str = "pipeline"
    arguments: tuple[str, ...] = ()
    pairs: int | None = None
    margin: float = 0.05
    gates: tuple[str, ...] = ()


def run(
    job: Job, save: Path | None = None, markdown: Path | None = None, history: Path | None = None
) -> Comparison:
    """
    Args:
        save: folder for the runs themselves, as files that can be compared again.
        markdown, history: files for the table and for github-action-benchmark.

    Raises:
        StartupError: the runs cannot be had, or cannot be compared.
    """
    base, head = Path(job.base), Path(job.head)
    if base.is_file() != head.is_file() and WORKING_TREE not in (job.base, job.head):
        missing = head if base.is_file() else base
        if missing.suffix in (".json", ".jsonl"):
            raise StartupError(f"{missing}: there is no such file")
        raise StartupError(f"{base} and {head}: give two files or two revisions, not one of each")
    if base.is_file() or base.suffix in (".json", ".jsonl"):
        ours, theirs = read_records(base), read_records(head)
        require_comparable(ours, theirs)
        names = (job.base, job.head)
        how: Mapping[str, str | bool] = {}
    else:
        ours, theirs, names, how = _measure(job)
    if save is not None:
        _save(save, ours, theirs)
    comparison = compare(ours, theirs, names, job.margin, job.gates)
    print_comparison(comparison)
    if markdown is not None:
        _write(markdown, as_markdown(comparison))
    if history is not None:
        _write(history, as_history(theirs))
    finish(comparison.as_report(how))
    return comparison


def _measure(
    job: Job,
) -> tuple[list[Record], list[Record], tuple[str, str], Mapping[str, str | bool]]:
    """Runs of both revisions, in turns."""
    arguments = job.arguments or DEFAULT_ARGUMENTS.get(job.scenario, ())
    if WORKING_TREE not in (job.base, job.head) and is_changed():
        _say("uncommitted changes are in neither revision; give . to measure them")
    with checked_out(job.base, job.head) as versions:
        _say(f"bench {job.scenario} {shlex.join(arguments)}: warming up")
        with runners(versions, job.scenario, arguments) as (ready, turns):
            pairs = job.pairs or (TURN_PAIRS if turns else RUN_PAIRS)
            if job.scenario == "pipeline" and not turns:
                _say("a revision is older than --on-request: every run is a process of its own")
            step = max(pairs // 4, 1)

            def progress(done: int) -> None:
                if done % step == 0 or not turns:
                    _say(f"{done} of {pairs} pairs")

            ours, theirs = measure_in_turns(ready, pairs, progress)
    names = (versions[0].name, versions[1].name)
    return ours, theirs, names, {"arguments": shlex.join(arguments), "turns": turns}


def _save(folder: Path, base: Sequence[Record], head: Sequence[Record]) -> None:
    for name, runs in (("base.jsonl", base), ("head.jsonl", head)):
        _write(folder / name, "".join(json.dumps(asdict(each)) + "\n" for each in runs))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartupError(f"{path}: cannot be written: {error.strerror}") from None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
