"""`reenactd verify`: files in, a line for each out, and an exit code that a script can believe.

Each file is looked at in a process of its own (`verify_process.py`): what is wrong with one harms
no other. Exit codes 0 to 3 are verdicts (`findings.State`) and nothing else; whatever ends without
one, for whatever reason, is 4.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from realtime import verify_process
from realtime.findings import EXIT_NO_VERDICT, State
from realtime.verify_process import Asked, Heard

_BY_GRAVITY = (State.TAMPERED, EXIT_NO_VERDICT, State.NOTHING, State.MARKED, State.SIGNED)
"""of several files: whoever asks about many wants to hear of the worst one"""
_WORDS = {
    "signed": "signed and intact",
    "marked": "marked as synthetic",
    "tampered": "tampered with",
    "nothing": "nothing found",
}


def run(
    paths: Iterable[Path], as_json: bool, out: TextIO, errors: TextIO, whole: bool = False
) -> int:
    """Say a verdict per file, and return the exit code: of several files the gravest one's.

    Args:
        as_json: one line of JSON per file, those without a verdict included.
        errors: where progress is shown, if that is a terminal, and what has no verdict.
        whole: look at every second of long films.
    """
    codes = []
    for path in paths:
        heard = _heard(path, whole, errors)
        codes.append(_code(heard))
        if as_json:
            print(json.dumps({"file": str(path), **_fields(path, heard)}), file=out, flush=True)
        elif heard.verdict is not None:
            print(_printable(f"{path}: {_in_words(heard.verdict)}"), file=out, flush=True)
        else:
            print(_printable(f"reenactd: {path}: {heard.error}"), file=errors, flush=True)
    return min(codes, key=_BY_GRAVITY.index)


def _heard(path: Path, whole: bool, errors: TextIO) -> Heard:
    """What the process says in the end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe, say, would be waited for
            return Heard("failed", error="cannot be read: it is no regular file")
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        return Heard("failed", error=f"cannot be read: {reason}")
    heard = Heard("failed", error="was not looked at")
    with _bar(path, errors) as show:

        def tell(said: Heard) -> None:
            nonlocal heard
            heard = said
            if said.state == "running":
                show(said)

        verify_process.look(path, tell, lambda: False, Asked(whole, patient=True))
    return heard


def _code(heard: Heard) -> int:
    return EXIT_NO_VERDICT if heard.verdict is None else int(heard.verdict["exit_code"])


def _fields(path: Path, heard: Heard) -> dict[str, Any]:
    if heard.verdict is not None:
        return heard.verdict
    return {
        "verdict": "unreadable",
        "error": f"{path}: {heard.error}",
        "exit_code": EXIT_NO_VERDICT,
    }


def _printable(line: str) -> str:
    """One line, whatever is in it: names may be of bytes that are no text, and a stranger's record
    may hold what a terminal obeys."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _in_words(verdict: dict[str, Any]) -> str:
    reasons = " ".join(check["text"] for check in verdict["checks"])
    return f"{_WORDS[verdict['verdict']]} (confidence: {verdict['confidence']}). {reasons}"


@contextlib.contextmanager
def _bar(path: Path, errors: TextIO) -> Iterator[Callable[[Heard], None]]:
    """A progress bar where somebody can see it."""
    console = Console(file=errors)
    columns = TextColumn("{task.description}"), BarColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(f"looking at {path.name}", total=None)
        yield lambda heard: bar.update(task, completed=heard.stretch, total=heard.of)
