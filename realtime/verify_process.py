"""A file from outside is looked at in a process of its own, with bounds of memory and time.

Decoders of films are where hostile files strike. Here one meets a process that has no secrets in
its environment, can write no file, and is gone afterwards. It runs as the same user: what that user
may read, it may read, too. It has the lowest priority and one thread, so that no session waits:

    look(path, tell, stopped)                             asks
    python -m realtime.verify_process PATH [--all]        answers: JSON lines of progress, then the
                                                          verdict
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from realtime.errors import ReenactdError

MEMORY_BYTES = 4 * 2**30
"""address space, of which the libraries alone take one"""
CPU_S = 150
PATIENCE_S = 600.0
"""on a machine whose sessions leave it little time: whatever loops is ended by CPU_S before"""
HASHED_BYTES_PER_S = 20_000_000
"""of a file with a manifest: half of what was measured; it gets that much more time"""
TICK_S = 0.1
"""how soon a wish to stop is heard"""
NICE = 19
ALL = "--all"
PATIENT = "--patient"
_KEPT_ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME"),
    *("XDG_STATE_HOME", "XDG_DATA_HOME"),
)
"""the last ones lead to the keys that are believed here, and to the records"""
_ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"),
    "RAYON_NUM_THREADS",
)
_COMMAND = [sys.executable, "-m", "realtime.verify_process"]
_MOST_HEARD_BYTES = 256 * 1024
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)"""

Tell = Callable[["Heard"], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What the process has said so far."""

    state: Literal["running", "done", "failed"]
    stretch: int = 0
    of: int = 0
    """stretches of the file; 0 while that is not known"""
    verdict: dict[str, Any] | None = None
    """as `reenactd verify --json` writes it, without the file's name"""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "stretch": self.stretch,
            "of": self.of,
            "verdict": self.verdict,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of the process."""

    whole: bool = False
    """every second of a long film"""
    patient: bool = False
    """whoever asks waits before a terminal: the time is for each stretch of the file, not for it"""


def look(path: Path, tell: Tell, stopped: Callable[[], bool], asked: Asked = Asked()) -> None:
    """Look at a file; returns when that is done, failed, stopped or took too long.

    Args:
        tell: gets what is known so far; the last one is not "running" unless it was stopped.
    """
    environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    environment |= dict.fromkeys(_ONE_THREAD, "1")
    environment["PYTHONPATH"] = os.pathsep.join(part or os.getcwd() for part in sys.path)
    flags = [*([ALL] if asked.whole else []), *([PATIENT] if asked.patient else [])]
    try:
        process = subprocess.Popen(
            [*_COMMAND, str(path.absolute()), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        )
    except OSError as error:
        said = f"no process can be started to look at it: {error.strerror or error}"
        tell(Heard("failed", error=said))
        return
    try:
        _listen(process, tell, stopped, PATIENCE_S + _hashing_s(path), asked.patient)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def look_here(path: Path, tell: Tell, whole: bool = False) -> None:
    """Look at a file in this very process; returns when that is done or failed, and raises nothing.

    Args:
        tell: as of `look`.
    """
    try:
        from realtime.verify import CHECKS, CHECKS_OF_ALL, verify

        def progress(stretch: int, of: int) -> None:
            tell(Heard("running", stretch, of))

        verdict = verify(path, CHECKS_OF_ALL if whole else CHECKS, progress)
    except ReenactdError as error:
        tell(Heard("failed", error=str(error).replace(f"{path}: ", "", 1)))
    except MemoryError:
        tell(Heard("failed", error=_beyond_limits()))
    except Exception as error:  # noqa: BLE001 - the process's root
        said = " ".join(f"{type(error).__name__}: {error}".split())
        tell(Heard("failed", error=f"cannot be looked at: {said}"))
    else:
        fields = json.loads(verdict.as_json())
        del fields["file"]
        tell(Heard("done", verdict=fields))


def _listen(
    process: subprocess.Popen[bytes],
    tell: Tell,
    stopped: Callable[[], bool],
    patience_s: float,
    patient: bool,
) -> None:
    """
    Args:
        patient: the time begins anew with each stretch.
    """
    assert process.stdout is not None
    pipe, heard = process.stdout.fileno(), b""
    until_s = time.monotonic() + patience_s
    while not stopped():
        if time.monotonic() > until_s:
            tell(Heard("failed", error=f"takes longer than {patience_s:.3g} s; cut it shorter"))
            return
        if not select.select([pipe], [], [], TICK_S)[0]:
            continue
        said = os.read(pipe, 65536)
        heard += said
        *lines, heard = heard.split(b"\n")
        for line in lines:
            answer = _understood(line)
            tell(answer)
            if answer.state != "running":
                return
            if patient:
                until_s = time.monotonic() + patience_s
        if not said or len(heard) > _MOST_HEARD_BYTES:
            tell(Heard("failed", error=_beyond_limits()))
            return


def _beyond_limits() -> str:
    return (
        f"cannot be looked at with {MEMORY_BYTES // 2**30} GiB of memory in the time that it is "
        "given: it is damaged, or too large"
    )


def _hashing_s(path: Path) -> float:
    """What a large file may take longer."""
    try:
        return path.stat().st_size / HASHED_BYTES_PER_S
    except OSError:  # for the process to say
        return 0.0


def _understood(line: bytes) -> Heard:
    try:
        said = json.loads(line)
        if "verdict" in said:
            return Heard("done", verdict=said["verdict"])
        if "error" in said:
            return Heard("failed", error=str(said["error"]))
        return Heard("running", int(said["stretch"]), int(said["of"]))
    except (ValueError, KeyError, TypeError):
        return Heard("failed", error=_beyond_limits())


def _bound(cpu_s: int | None = CPU_S) -> None:
    """
    Args:
        cpu_s: None for as much as there is.
    """
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        if limit is not None:
            _, most = resource.getrlimit(what)
            limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
            resource.setrlimit(what, (limit, limit))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


def _answer(path: Path, flags: list[str]) -> None:
    os.nice(NICE)
    _bound(None if PATIENT in flags else round(CPU_S + _hashing_s(path)))

    def tell(heard: Heard) -> None:
        fields: dict[str, Any]
        if heard.state == "running":
            fields = {"stretch": heard.stretch, "of": heard.of}
        else:
            done = heard.state == "done"
            fields = {"verdict": heard.verdict} if done else {"error": heard.error}
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    look_here(path, tell, ALL in flags)


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), sys.argv[2:])
