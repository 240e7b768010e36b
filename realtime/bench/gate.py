"""`reenactd bench compare` from end to end: get the runs, judge them, write what was asked for."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from realtime.bench.checkouts import WORKING_TREE, Version, checked_out, is_changed
from realtime.bench.compare import Comparison, Rule, compare
from realtime.bench.records import Record, read_records, require_comparable, require_same_engine
from realtime.bench.report import finish
from realtime.bench.revisions import (
    DEFAULT_ARGUMENTS,
    ON_REQUEST,
    RUN_PAIRS,
    RUN_TIMEOUT_S,
    TURN_PAIRS,
    NoBench,
    Runner,
    Taken,
    measure_in_turns,
    runners,
)
from realtime.bench.verdicts import as_history, as_markdown, print_comparison, summary
from realtime.errors import StartupError

MOST_TURNS, MOST_RUNS = 8, 2
"""so many times as many pairs are taken at most where the first did not decide: turns are short,
runs are not"""


_TOLD_EVERY = 10
"""pairs"""


class NothingToCompare(StartupError):
    """Base has no such bench yet, so that head cannot be slower than it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    base: str
    head: str
    scenario: str = "pipeline"
    arguments: tuple[str, ...] = ()
    pairs: int | None = None
    """that are taken first"""
    margin: float | None = None
    """None for the scenario's own"""
    gates: tuple[str, ...] = ()
    most_pairs: int | None = None
    """that are taken until it is decided"""
    timeout_s: float = RUN_TIMEOUT_S
    """for each run"""


def run(
    job: Job, save: Path | None = None, markdown: Path | None = None, history: Path | None = None
) -> Comparison:
    """
    Args:
        save: folder for the runs themselves, as files that can be compared again.
        markdown, history: files for the table and for github-action-benchmark.

    Raises:
        NothingToCompare: base has no such bench, and head has.
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
        comparison = compare(ours, theirs, (job.base, job.head), Rule(job.margin, job.gates))
        how: Mapping[str, str | bool] = {}
    else:
        with checked_out(job.base, job.head) as versions:
            try:
                (ours, theirs), comparison, how = _measure(job, versions)
            except NoBench as lacking:
                if lacking.version is not versions[0]:
                    raise
                raise NothingToCompare(
                    f"{versions[0].name}: has no `reenactd bench {job.scenario}`, which "
                    f"{versions[1].name} has; there is nothing yet that it could be slower than: "
                    "compare with a later BASE, or go on without"
                ) from None
    if save is not None:
        _save(save, ours, theirs)
    print_comparison(comparison)
    if markdown is not None:
        _write(markdown, as_markdown(comparison))
    if history is not None:
        _write(history, as_history(theirs))
    finish(comparison.as_report(how))
    return comparison


def looks_at(first: int, most: int) -> list[int]:
    """After how many pairs it is judged: each time after twice as many."""
    found = [first]
    while found[-1] < most:
        found.append(min(2 * found[-1], most))
    return found


def decide(
    sides: Sequence[Runner],
    names: tuple[str, str],
    looks: Sequence[int],
    rule: Rule,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Taken, Comparison]:
    """Take pairs and judge them, and take more until it is no longer open, or there are enough.

    Args:
        looks: after how many pairs it is judged.

    Raises:
        StartupError: a run failed, or its figures cannot be judged.
    """
    rule = replace(rule, looks=len(looks))
    taken: Taken = ([], [])
    for pairs in looks:
        measure_in_turns(sides, pairs, progress, taken)
        require_same_engine(*taken)
        found = compare(*taken, names, rule)
        if found.outcome != "inconclusive":
            break
        if pairs != looks[-1]:
            _say(f"{summary(found)}; up to {looks[-1]} pairs are taken")
    return taken, found


Opened = Callable[[], AbstractContextManager[tuple[Sequence[Runner], bool]]]
"""runners of base and of head, new and warm, and whether they stand ready for all of their turns"""


def decide_surely(
    opened: Opened,
    names: tuple[str, str],
    looks_of: Callable[[bool], Sequence[int]],
    rule: Rule,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Taken, Comparison, bool]:
    """`decide`, and once more with new processes where the first say that head got worse.

    Two processes that stand ready for minutes can differ for all of their lives, by where their
    memory and their threads came to lie, and no number of pairs of them tells that from a change of
    the code. What the code does, the next two do as well.

    Args:
        looks_of: as of `decide`, for runners that stand ready, or do not.

    Returns:
        What was taken, what it says, and whether the runners stood ready.
    """
    with opened() as (sides, ready):
        taken, found = decide(sides, names, looks_of(ready), rule, progress)
    if not ready or found.outcome != "regression":
        return taken, found, ready
    _say(f"{summary(found)}; measured once more by new processes")
    with opened() as (sides, ready):
        return *decide(sides, names, looks_of(ready), rule, progress), ready


def _measure(
    job: Job, versions: Sequence[Version]
) -> tuple[Taken, Comparison, Mapping[str, str | bool]]:
    """Runs of both revisions, in turns, and what they say."""
    arguments = job.arguments or DEFAULT_ARGUMENTS.get(job.scenario, ())
    if WORKING_TREE not in (job.base, job.head) and is_changed():
        _say("uncommitted changes are in neither revision; give . to measure them")
    _say(f"bench {job.scenario} {shlex.join(arguments)}: warming up")

    def looks_of(turns: bool) -> list[int]:
        if job.scenario in ON_REQUEST and not turns:
            _say("a revision is older than --on-request: every run is a process of its own")
        first = job.pairs or (TURN_PAIRS if turns else RUN_PAIRS)
        looks = looks_at(first, job.most_pairs or first * (MOST_TURNS if turns else MOST_RUNS))
        _say(f"{first} pairs, at most {looks[-1]}")
        return looks

    names = (versions[0].name, versions[1].name)
    taken, found, turns = decide_surely(
        lambda: runners(versions, job.scenario, arguments, job.timeout_s),
        names,
        looks_of,
        Rule(job.margin, job.gates),
        lambda done: _say(f"{done} pairs") if done % _TOLD_EVERY == 0 else None,
    )
    return taken, found, {"arguments": shlex.join(arguments), "turns": turns}


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
