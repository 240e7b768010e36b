"""Two revisions of this checkout, measured in turns with one interpreter.

Knows processes, nothing of git (`checkouts.py`) and of metrics. The order is ABBA, so that what
drifts slowly is the same on both sides. Where both revisions can (`bench pipeline --on-request`),
two processes stand ready and take turns of half a second; otherwise every run is a process of its
own, which takes longer and is farther apart in time.
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
from typing import IO, Protocol

from realtime.bench.checkouts import Version, last_line
from realtime.bench.machine import family
from realtime.bench.records import Record
from realtime.errors import StartupError

PROGRAM = ("realtime.cli",)
"""the module that is run, and what it takes before the command"""
TURN_PAIRS = 30
RUN_PAIRS = 10
DEFAULT_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("--backend", "onnx", "--frames", "10"),
    "echo": ("--pictures", "15"),
}
ON_REQUEST = ("pipeline", "echo")
"""scenarios that can stand ready for short turns"""
RUN_TIMEOUT_S = 900.0
"""for one run, or one turn with the loading before the first; one that hangs must not hang all"""
STOP_TIMEOUT_S = 20.0
"""after Ctrl-C: a bench stops the daemons that it has started"""
UNKNOWN_OPTION, UNKNOWN_COMMAND = "No such option", "No such command"


class Runner(Protocol):
    def run(self) -> Record:
        """Measure once more."""


class NoTurnsError(Exception):
    """The revision does not know `--on-request`."""


class NoBench(StartupError):
    """The revision is older than the bench that is asked for, or the bench is misspelt."""

    def __init__(self, version: Version, scenario: str) -> None:
        super().__init__(
            f"{version.name}: has no `reenactd bench {scenario}`; see `reenactd bench --help`, and "
            "name another --scenario, or a revision that has it"
        )
        self.version = version


class Runs:
    """A process for every run."""

    def __init__(
        self,
        version: Version,
        scenario: str,
        arguments: Sequence[str],
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> None:
        self._version, self._scenario = version, scenario
        self._timeout_s = timeout_s
        self._command = _command(scenario, arguments)

    def run(self) -> Record:
        """
        Raises:
            StartupError: the bench failed, or did not end; what it said.
        """
        process = subprocess.Popen(
            self._command,
            cwd=self._version.folder,
            env=_environment(self._version),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                said, complained = process.communicate(timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                raise _hung(self._version, self._timeout_s) from None
            finally:
                stop(process)
        if process.returncode != 0:
            raise _failure(self._version, self._scenario, process.returncode, complained)
        return _record(self._version, (said.splitlines() or [""])[-1])


class Turns:
    """One process that is loaded once and measures on request."""

    def __init__(
        self,
        version: Version,
        scenario: str,
        arguments: Sequence[str],
        program: Sequence[str] = PROGRAM,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> None:
        self._version, self._scenario = version, scenario
        self._timeout_s = timeout_s
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
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        stop(process)
        process.stdout.close()
        self._errors.close()

    def run(self) -> Record:
        """
        Raises:
            NoTurnsError: the revision is older than this way of measuring.
            StartupError: the bench failed, or did not answer; what it said.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            stop(self._process)  # ends the loop below: a pipe has no deadline of its own

        watchdog = threading.Timer(self._timeout_s, give_up)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line.startswith("{"):
                    return _record(self._version, line)
        finally:
            watchdog.cancel()
        if hung.is_set():
            raise _hung(self._version, self._timeout_s)
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        if UNKNOWN_OPTION in said and "--on-request" in said:
            raise NoTurnsError
        raise _failure(self._version, self._scenario, code, said)


def stop(process: subprocess.Popen[str]) -> None:
    """Ctrl-C first, so that a bench stops its daemons; then it and all that it has started."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        for pid in reversed(family(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def runners(
    versions: Sequence[Version],
    scenario: str,
    arguments: Sequence[str],
    timeout_s: float = RUN_TIMEOUT_S,
) -> Iterator[tuple[list[Runner], bool]]:
    """A runner for each version, warm: one run of each is already thrown away. And whether they
    stand ready for short turns.

    The last one is asked first: what head does not know either is a mistake of who asks.

    Raises:
        NoBench: one of them has no such bench.
        StartupError: a bench failed, or did not end; what it said.
    """
    if scenario in ON_REQUEST:
        with contextlib.ExitStack() as stack:
            turns = [
                stack.enter_context(Turns(each, scenario, arguments, timeout_s=timeout_s))
                for each in versions
            ]
            try:
                for runner in reversed(turns):
                    runner.run()
            except NoTurnsError:
                pass
            else:
                yield list(turns), True
                return
    runs = [Runs(version, scenario, arguments, timeout_s) for version in versions]
    for whole in reversed(runs):
        whole.run()
    yield list(runs), False


Taken = tuple[list[Record], list[Record]]
"""runs of base and of head, as many of either"""


def measure_in_turns(
    sides: Sequence[Runner],
    pairs: int,
    progress: Callable[[int], None],
    taken: Taken | None = None,
) -> Taken:
    """So many pairs of runs of base and of head, in the order ABBA ABBA.

    Args:
        taken: those that there are already; the others are added to them.
    """
    taken = ([], []) if taken is None else taken
    for pair in range(len(taken[0]), pairs):
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


def _hung(version: Version, timeout_s: float) -> StartupError:
    return StartupError(
        f"{version.name}: its bench did not end within {timeout_s:g} s and was stopped; "
        "if it needs longer, raise --timeout-s"
    )


def _failure(version: Version, scenario: str, code: int, said: str) -> StartupError:
    if UNKNOWN_COMMAND in said:
        return NoBench(version, scenario)
    reason = last_line(said).removeprefix("reenactd: ")
    return StartupError(f"{version.name}: its bench ended with code {code}: {reason}")
