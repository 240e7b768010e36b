"""Two revisions of this checkout, measured in turns with one interpreter.

Knows git and processes, nothing of metrics. The order is ABBA, so that what drifts slowly is the
same on both sides. Where both revisions can (`bench pipeline --on-request`), two processes stand
ready and take turns of half a second; otherwise every run is a process of its own, which takes
longer and is farther apart in time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from realtime.bench.records import Record
from realtime.errors import StartupError

ROOT = Path(__file__).parents[2]
WORKING_TREE = "."
PROGRAM = ("realtime.cli",)
"""the module that is run, and what it takes before the command"""
TURN_PAIRS = 30
RUN_PAIRS = 10
DEFAULT_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("--backend", "onnx", "--frames", "10")
}
STOP_TIMEOUT_S = 10.0
UNKNOWN_OPTION = "No such option"


@dataclass(frozen=True, slots=True)
class Version:
    """A revision in a folder of its own, or the working tree where it is."""

    name: str
    """as it was given, with the commit"""
    folder: Path
    commit: str


class Runner(Protocol):
    def run(self) -> Record:
        """Measure once more."""


class NoTurnsError(Exception):
    """The revision does not know `--on-request`."""


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
        raise StartupError(f"{revision}: cannot be checked out: {_last_line(done.stderr)}")
    name = revision if commit.startswith(revision) else f"{revision} ({commit[:12]})"
    return Version(name, folder, commit)


class Runs:
    """A process for every run."""

    def __init__(self, version: Version, scenario: str, arguments: Sequence[str]) -> None:
        self._version = version
        self._command = _command(scenario, arguments)

    def run(self) -> Record:
        """
        Raises:
            StartupError: the bench failed; what it said.
        """
        done = subprocess.run(
            self._command,
            cwd=self._version.folder,
            env=_environment(self._version),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise _failure(self._version, done.returncode, done.stderr)
        return _record(self._version, (done.stdout.splitlines() or [""])[-1])


class Turns:
    """One process that is loaded once and measures on request."""

    def __init__(
        self,
        version: Version,
        scenario: str,
        arguments: Sequence[str],
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._version = version
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*_command(scenario, arguments, program), "--on-request"],
            cwd=version.folder,
            env=_environment(version),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._errors.close()

    def run(self) -> Record:
        """
        Raises:
            NoTurnsError: the revision is older than this way of measuring.
            StartupError: the bench failed; what it said.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                return _record(self._version, line)
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        if UNKNOWN_OPTION in said and "--on-request" in said:
            raise NoTurnsError
        raise _failure(self._version, code, said)


@contextlib.contextmanager
def runners(
    versions: Sequence[Version], scenario: str, arguments: Sequence[str]
) -> Iterator[tuple[list[Runner], bool]]:
    """A runner for each version, warm: one run of each is already thrown away. And whether they
    stand ready for short turns."""
    if scenario == "pipeline":
        with contextlib.ExitStack() as stack:
            turns = [stack.enter_context(Turns(each, scenario, arguments)) for each in versions]
            try:
                for runner in turns:
                    runner.run()
            except NoTurnsError:
                pass
            else:
                yield list(turns), True
                return
    runs = [Runs(version, scenario, arguments) for version in versions]
    for whole in runs:
        whole.run()
    yield list(runs), False


def measure_in_turns(
    sides: Sequence[Runner], pairs: int, progress: Callable[[int], None]
) -> tuple[list[Record], list[Record]]:
    """As many runs of base and of head, in the order ABBA ABBA."""
    taken: tuple[list[Record], list[Record]] = ([], [])
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            taken[side].append(sides[side].run())
        progress(pair + 1)
    return taken


def _command(
    scenario: str, arguments: Sequence[str], program: Sequence[str] = PROGRAM
) -> list[str]:
    return [sys.executable, "-m", *program, "bench", scenario, *arguments]


def _environment(version: Version) -> dict[str, str]:
    """The revision's own packages before those that are installed."""
    others = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(version.folder), others]))
    return {**os.environ, "PYTHONPATH": path}


def _record(version: Version, line: str) -> Record:
    record = Record.parse(line, version.name)
    measured = str(record.machine.get("commit", "")).removesuffix("+")
    if not measured or not version.commit.startswith(measured):
        raise StartupError(
            f"{version.name}: the bench measured commit {measured or 'unknown'}; another "
            "installation stands before it on the path of this interpreter"
        )
    return record


def _failure(version: Version, code: int, said: str) -> StartupError:
    reason = _last_line(said).removeprefix("reenactd: ")
    return StartupError(f"{version.name}: its bench ended with code {code}: {reason}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip(" │╭╮╰╯─")]
    return lines[-1].strip(" │") if lines else "it said nothing"


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise StartupError("git is not installed; give two files of runs instead") from None
