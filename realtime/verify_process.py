"""A file from outside is looked at in a process of its own, with bounds of memory and time.

Decoders of films are where hostile files strike. Here one meets a process that has no secrets in
its environment, can write no file, and is gone afterwards:

    look(path, tell, stopped)                     asks
    python -m realtime.verify_process PATH        answers: JSON lines of progress, then the verdict
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
PATIENCE_S = 180.0
"""on a machine that has no time for it"""
TICK_S = 0.1
"""how soon a wish to stop is heard"""
_KEPT_ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME"),
    *("XDG_STATE_HOME", "XDG_DATA_HOME"),
)
"""the last ones lead to the keys that are believed here, and to the records"""
_COMMAND = [sys.executable, "-m", "realtime.verify_process"]
_MOST_HEARD_BYTES = 256 * 1024
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)"""


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


def look(path: Path, tell: Callable[[Heard], None], stopped: Callable[[], bool]) -> None:
    """Look at a file; returns when that is done, failed, stopped or took too long.

    Args:
        tell: gets what is known so far; the last one is not "running" unless it was stopped.
    """
    environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(part or os.getcwd() for part in sys.path)
    process = subprocess.Popen(
        [*_COMMAND, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )
    try:
        _listen(process, tell, stopped)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _listen(
    process: subprocess.Popen[bytes], tell: Callable[[Heard], None], stopped: Callable[[], bool]
) -> None:
    assert process.stdout is not None
    pipe, heard = process.stdout.fileno(), b""
    until_s = time.monotonic() + PATIENCE_S
    while not stopped():
        if time.monotonic() > until_s:
            tell(Heard("failed", error=f"takes longer than {PATIENCE_S:g} s; cut it shorter"))
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
        if not said or len(heard) > _MOST_HEARD_BYTES:
            tell(Heard("failed", error=_beyond_limits()))
            return


def _beyond_limits() -> str:
    return (
        f"cannot be looked at with {MEMORY_BYTES // 2**30} GiB of memory in {CPU_S} s: it is "
        "damaged, or too large"
    )


def _understood(line: bytes) -> Heard:
    try:
        said = json.loads(line)
    except ValueError:
        return Heard("failed", error=_beyond_limits())
    if "verdict" in said:
        return Heard("done", verdict=said["verdict"])
    if "error" in said:
        return Heard("failed", error=said["error"])
    return Heard("running", said["stretch"], said["of"])


def _bound() -> None:
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


def _answer(path: Path) -> None:
    _bound()
    from realtime.verify import CHECKS, verify

    def say(**fields: Any) -> None:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    try:
        verdict = verify(path, CHECKS, lambda stretch, of: say(stretch=stretch, of=of))
    except ReenactdError as error:
        say(error=str(error).replace(f"{path}: ", "", 1))
    except MemoryError:
        say(error=_beyond_limits())
    else:
        fields = json.loads(verdict.as_json())
        del fields["file"]
        say(verdict=fields)


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
