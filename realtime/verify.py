"""`reenactd verify`: what can be told of a file, by checks that need no network and no account.

    file -> check, check, ... -> findings -> one verdict

A check looks at the file and at what was found before it (so that one may ask who recorded the
session that a mark names), and gives a finding. Of several findings the gravest decides: a broken
seal, then a whole one, then a mark. Nothing found is no proof that a picture is genuine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from realtime.errors import StartupError
from realtime.findings import Check, Confidence, Progressing, Report, State
from realtime.stretches import read, stretches_of
from realtime.verify_signed import RECORD_SUFFIX, look_at_manifest, look_for_record, read_record
from realtime.watermark_search import FALSE_ALARM, Finding, Search

EARLY_S = 3.0
"""of a stretch: a mark is looked for after that much, and again at its end"""
TRACE = 7.0
"""score from which a mark is possible, but too faint to say so"""


EXIT_UNREADABLE = 4
_GRAVEST = (State.TAMPERED, State.SIGNED, State.MARKED, State.NOTHING)
"""of the findings about one file: which decides"""
_BY_GRAVITY = (State.TAMPERED, EXIT_UNREADABLE, State.NOTHING, State.MARKED, State.SIGNED)
"""of several files: whoever asks about many wants to hear of the worst one"""
_WORDS = {
    State.SIGNED: "signed and intact",
    State.MARKED: "marked as synthetic",
    State.TAMPERED: "tampered with",
    State.NOTHING: "nothing found",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about one file."""

    path: Path
    state: State
    confidence: Confidence
    reports: tuple[Report, ...]

    def __str__(self) -> str:
        reasons = " ".join(report.text for report in self.reports)
        words = f"{_WORDS[self.state]} (confidence: {self.confidence})"
        return f"{self.path}: {words}. {reasons}"

    def as_json(self) -> str:
        reports = [
            {
                "check": report.check,
                "state": report.state.name.lower(),
                "confidence": report.confidence,
                "text": report.text,
                "session": report.session,
            }
            for report in self.reports
        ]
        return json.dumps(
            {
                "file": str(self.path),
                "verdict": self.state.name.lower(),
                "confidence": self.confidence,
                "exit_code": int(self.state),
                "checks": reports,
            }
        )


def look_for_mark(path: Path, before: Sequence[Report], progress: Progressing) -> Report:
    """The invisible mark, in the picture itself: it stays when all around it is stripped."""
    best: Finding | None = None
    searched = 0
    for finding in _searches(path, progress):
        searched += 1
        if best is None or finding.sureness > best.sureness:
            best = finding
        if finding.marked and finding.payload is not None:
            break
    assert best is not None  # `read` gives a picture or raises
    return _told(best, searched)


CHECKS: tuple[Check, ...] = (look_for_mark, look_at_manifest, look_for_record)
"""of a picture or a film, in this order"""


def verify(path: Path, checks: Sequence[Check], progress: Progressing) -> Verdict:
    """
    Raises:
        StartupError: the file cannot be read, and nothing in it says that it was once whole.
    """
    if path.suffix == RECORD_SUFFIX:
        checks = (read_record,)
    reports: list[Report] = []
    unreadable: StartupError | None = None
    for check in checks:
        try:
            report = check(path, reports, progress)
        except StartupError as error:
            unreadable = unreadable or error
            continue
        if report is not None:
            reports.append(report)
    if unreadable is not None:
        if all(report.state is not State.TAMPERED for report in reports):
            raise unreadable
        text = f"Its pictures cannot be looked at: {unreadable}."
        reports.append(Report("invisible mark", State.NOTHING, "low", text))
    gravest = min(reports, key=lambda report: _GRAVEST.index(report.state))
    return Verdict(path, gravest.state, gravest.confidence, tuple(reports))


def run(paths: Iterable[Path], as_json: bool, out: TextIO, errors: TextIO) -> int:
    """Say a verdict per file, and return the exit code: of several files the gravest one's.

    Args:
        as_json: one line of JSON per file, unreadable ones included.
        errors: where progress is shown, if that is a terminal, and what cannot be read.
    """
    codes = []
    for path in paths:
        try:
            verdict = verify(path, CHECKS, _ignore) if as_json else _with_bar(path, errors)
        except StartupError as error:
            codes.append(EXIT_UNREADABLE)
            if as_json:
                record = {"file": str(path), "verdict": "unreadable", "error": str(error)}
                print(json.dumps(record | {"exit_code": EXIT_UNREADABLE}), file=out, flush=True)
            else:
                print(f"reenactd: {error}", file=errors)
        else:
            codes.append(int(verdict.state))
            print(verdict.as_json() if as_json else verdict, file=out, flush=True)
    return min(codes, key=_BY_GRAVITY.index)


def _searches(path: Path, progress: Progressing) -> Iterator[Finding]:
    """A search early in each stretch of the file, and one at its end."""
    search, stretch, tried = Search(), 0, 0
    of = stretches_of(path)
    for seen in read(path):
        if seen.stretch != stretch:
            if search.pictures > tried:
                yield search.find()
            search, stretch, tried = Search(), seen.stretch, 0
            progress(stretch, of)
        search.add(seen.luma)
        if not tried and seen.at_s >= EARLY_S:
            tried = search.pictures
            yield search.find()
    if search.pictures > tried:
        yield search.find()


def _told(finding: Finding, searched: int) -> Report:
    name = "invisible mark"
    if finding.marked:
        chance = f"by chance: less than {FALSE_ALARM * searched:.0e}"
        how = _handling(finding)
        if finding.payload is None:
            text = (
                f"It carries reenactd's invisible mark{how}, too damaged to tell the session "
                f"(score {finding.score:.1f}; {chance})."
            )
            return Report(name, State.MARKED, "high", text)
        text = (
            f"It carries reenactd's invisible mark{how} and so says that it is synthetic: "
            f"session {finding.payload} (score {finding.score:.1f}; {chance})."
        )
        return Report(name, State.MARKED, "certain", text, str(finding.payload))
    trace = " There is a trace of one, too faint to say so." if finding.score >= TRACE else ""
    text = (
        f"No invisible mark of reenactd (score {finding.score:.1f}).{trace} That is no proof that "
        "the picture is genuine: it may come from elsewhere, or its mark may be destroyed."
    )
    return Report(name, State.NOTHING, "low", text)


def _handling(finding: Finding) -> str:
    """What became of the picture, as far as the mark's place tells it."""
    size = finding.alignment.size
    done = ["mirrored"] if finding.alignment.mirrored else []
    if size > 1.03:
        done.append("cropped")
    elif size < 0.97:
        done.append("within a larger picture")
    return f" ({' and '.join(done)})" if done else ""


def _with_bar(path: Path, errors: TextIO) -> Verdict:
    console = Console(file=errors)
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(f"looking at {path.name}", total=None)
        return verify(path, CHECKS, lambda done, of: bar.update(task, completed=done, total=of))


def _ignore(done: int, of: int) -> None:
    """Nobody watches."""
