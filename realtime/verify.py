"""What can be told of a file, by checks that need no network and no account.

    file -> check, check, ... -> findings -> one verdict

A check looks at the file and at what was found before it (so that one may ask who recorded the
session that a mark names), and gives a finding. Of several findings the gravest decides: a broken
seal, then a whole one, then a mark. Nothing found is no proof that a picture is genuine. Knows no
command line (`verify_command.py`) and no limits (`verify_process.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from realtime.errors import StartupError
from realtime.findings import Check, Confidence, Coverage, Progressing, Report, State
from realtime.stretches import Extent, extent_of, read
from realtime.verify_signed import is_record, look_at_manifest, look_for_record, read_record
from realtime.watermark_search import FALSE_ALARM, Finding, Search

EARLY_S = 3.0
"""of a stretch: a mark is looked for after that much, and again at its end"""
TRACE = 7.0
"""score from which a mark is possible, but too faint to say so"""
_UNSEEN_S = 1.0
"""a film of which no more than that was not looked at was looked at whole"""

_GRAVEST = (State.TAMPERED, State.SIGNED, State.MARKED, State.NOTHING)
"""of the findings about one file: which decides"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about one file."""

    path: Path
    state: State
    confidence: Confidence
    reports: tuple[Report, ...]

    def as_json(self) -> str:
        reports = [
            {
                "check": report.check,
                "state": report.state.name.lower(),
                "confidence": report.confidence,
                "text": report.text,
                "session": report.session,
                **({} if report.coverage is None else report.coverage.as_json()),
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


def look_for_mark(
    path: Path, before: Sequence[Report], progress: Progressing, whole: bool = False
) -> Report:
    """The invisible mark, in the picture itself: it stays when all around it is stripped.

    Args:
        whole: look at all of a long film, not at stretches of it.
    """
    best: Finding | None = None
    searched, seen_s = 0, 0.0
    extent = extent_of(path, whole)
    for finding, so_far_s in _searches(path, extent, progress):
        searched, seen_s = searched + 1, so_far_s
        if best is None or finding.sureness > best.sureness:
            best = finding
        if finding.marked and finding.payload is not None:
            break
    assert best is not None  # `read` gives a picture or raises
    coverage = None
    if not extent.is_still:
        coverage = Coverage(round(seen_s, 1), extent.duration_s, extent.is_sampled)
    return _told(best, searched, coverage)


CHECKS: tuple[Check, ...] = (look_for_mark, look_at_manifest, look_for_record)
"""of a picture or a film, in this order"""
CHECKS_OF_ALL: tuple[Check, ...] = (partial(look_for_mark, whole=True), *CHECKS[1:])
"""the same, of every second of it"""


def verify(path: Path, checks: Sequence[Check], progress: Progressing) -> Verdict:
    """
    Raises:
        StartupError: the file cannot be read, and nothing in it says that it was once whole.
    """
    if is_record(path):
        checks = (read_record,)
    reports: list[Report] = []
    unreadable: StartupError | None = None
    for check in checks:
        try:
            report = check(path, reports, progress)
        except StartupError as error:
            unreadable = unreadable or error
            continue
        except MemoryError:
            raise  # a matter of this machine
        except Exception as error:  # noqa: BLE001 - what one parser trips over, another may tell of
            said = f"{path}: is damaged so that it cannot be looked at: {_in_words(error)}"
            unreadable = unreadable or StartupError(said)
            continue
        if report is not None:
            reports.append(report)
    if unreadable is not None:
        if all(report.state is not State.TAMPERED for report in reports):
            raise unreadable
        text = f"Its pictures cannot be looked at: {str(unreadable).removeprefix(f'{path}: ')}."
        reports.append(Report("invisible mark", State.NOTHING, "low", text))
    gravest = min(reports, key=lambda report: _GRAVEST.index(report.state))
    return Verdict(path, gravest.state, gravest.confidence, tuple(reports))


def _in_words(error: Exception) -> str:
    """On one line, with its kind: some say nothing else."""
    return " ".join(f"{type(error).__name__} {error}".split())


def _searches(path: Path, extent: Extent, progress: Progressing) -> Iterator[tuple[Finding, float]]:
    """A search early in each stretch of the file, and one at its end.

    Yields what was found, and how many seconds of the file were looked at until then.
    """
    search, stretch, tried, seen_s = Search(), 0, 0, 0.0
    for seen in read(path, extent):
        if seen.stretch != stretch:
            if search.pictures > tried:
                yield search.find(), seen_s
            search, stretch, tried = Search(), seen.stretch, 0
            progress(stretch, extent.stretches)
        search.add(seen.luma)
        seen_s = seen.covered_s
        if not tried and seen.at_s >= EARLY_S:
            tried = search.pictures
            yield search.find(), seen_s
    if search.pictures > tried:
        yield search.find(), seen_s


def _told(finding: Finding, searched: int, coverage: Coverage | None) -> Report:
    name = "invisible mark"
    if finding.marked:
        chance = f"by chance: less than {FALSE_ALARM * searched:.0e}"
        how, limits = _handling(finding), _limits(coverage, "It was found after")
        if finding.payload is None:
            text = (
                f"It carries reenactd's invisible mark{how}, too damaged to tell the session "
                f"(score {finding.score:.1f}; {chance}).{limits}"
            )
            return Report(name, State.MARKED, "high", text, coverage=coverage)
        session = str(finding.payload)
        text = (
            f"It carries reenactd's invisible mark{how} and so says that it is synthetic: "
            f"session {session} (score {finding.score:.1f}; {chance}).{limits}"
        )
        return Report(name, State.MARKED, "certain", text, session, coverage=coverage)
    trace = " There is a trace of one, too faint to say so." if finding.score >= TRACE else ""
    text = (
        f"No invisible mark of reenactd (score {finding.score:.1f}).{trace}"
        f"{_limits(coverage, 'It was looked for in')} That is no proof that "
        "the picture is genuine: it may come from elsewhere, or its mark may be destroyed."
    )
    return Report(name, State.NOTHING, "low", text, coverage=coverage)


def _limits(coverage: Coverage | None, words: str) -> str:
    """What part of a film this is about, where that is not all of it."""
    if coverage is None:
        return ""
    looked_at = _minutes(coverage.looked_at_s)
    if coverage.length_s is None:
        return f" {words} {looked_at} minutes of a film that does not tell its length."
    if coverage.length_s - coverage.looked_at_s <= _UNSEEN_S:
        return ""
    way = "; `reenactd verify --all` looks at all of it" if coverage.sampled else ""
    return f" {words} {looked_at} of {_minutes(coverage.length_s)} minutes{way}."


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _handling(finding: Finding) -> str:
    """What became of the picture, as far as the mark's place tells it."""
    size = finding.alignment.size
    done = ["mirrored"] if finding.alignment.mirrored else []
    if size > 1.03:
        done.append("cropped")
    elif size < 0.97:
        done.append("within a larger picture")
    return f" ({' and '.join(done)})" if done else ""
