"""Revisions of this checkout, each in a folder of its own. Knows git, nothing of measuring."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from realtime.errors import StartupError

ROOT = Path(__file__).parents[2]
WORKING_TREE = "."


@dataclass(frozen=True, slots=True)
class Version:
    """A revision in a folder of its own, or the working tree where it is."""

    name: str
    """as it was given, with the commit"""
    folder: Path
    commit: str


def commit_of(revision: str) -> str:
    """The full commit of a revision.

    Raises:
        StartupError: this is no checkout, or there is no such revision.
    """
    if not (ROOT / ".git").exists():
        raise StartupError(
            f"{revision}: neither a file nor a revision, as this is no checkout; "
            "give two files of runs"
        )
    asked = f"{'HEAD' if revision == WORKING_TREE else revision}^{{commit}}"
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", asked)
    if done.returncode != 0:
        raise StartupError(
            f"{revision}: neither a file nor a revision of this checkout; see `git log`, and "
            "`git fetch` what is not here yet"
        )
    return done.stdout.split()[-1]


def is_changed() -> bool:
    """Whether the working tree differs from its commit."""
    return bool(_git("status", "--porcelain", "--untracked-files=no").stdout.strip())


@contextlib.contextmanager
def checked_out(*revisions: str) -> Iterator[list[Version]]:
    """Every revision in a folder; what was made for it is removed again, also after SIGTERM."""
    commits = [commit_of(revision) for revision in revisions]
    with _ended_in_order(), tempfile.TemporaryDirectory(prefix="reenactd-compare-") as temporary:
        folders = [Path(temporary) / str(index) for index in range(len(revisions))]
        try:
            yield [_version(*each) for each in zip(revisions, commits, folders, strict=True)]
        finally:
            for folder in folders:
                if folder.exists():
                    _git("worktree", "remove", "--force", str(folder))
            _git("worktree", "prune")


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP as an exception, as Ctrl-C is one: what is open is then closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _version(revision: str, commit: str, folder: Path) -> Version:
    if revision == WORKING_TREE:
        name = f"{revision} ({commit[:12]}{'+' if is_changed() else ''})"
        return Version(name, ROOT, commit)
    done = _git("worktree", "add", "--detach", str(folder), commit)
    if done.returncode != 0:
        raise StartupError(f"{revision}: cannot be checked out: {last_line(done.stderr)}")
    name = revision if commit.startswith(revision) else f"{revision} ({commit[:12]})"
    return Version(name, folder, commit)


def last_line(text: str) -> str:
    """The last one that says something, without the box that errors are drawn in."""
    lines = [line for line in text.splitlines() if line.strip(" │╭╮╰╯─")]
    return lines[-1].strip(" │") if lines else "it said nothing"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise StartupError("git is not installed; give two files of runs instead") from None
