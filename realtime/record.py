"""`reenactd record`: have the running daemon film one of its sessions until Ctrl-C, or for a time.

The daemon writes the films where its settings say; they are moved elsewhere only once they are
whole and signed. Knows no pictures.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from realtime import drafts
from realtime.client import Address, Unanswered, call, get
from realtime.errors import StartupError

INTERVAL_S = 0.5
END_TIMEOUT_S = 30.0
"""a film's last second may wait behind others"""


def run(
    address: Address,
    session: str,
    out: Path | None,
    seconds: float | None,
    wait: Callable[[float], None],
) -> str:
    """Record; returns a line on what became of it.

    Args:
        out: a folder for the films, made if need be; None leaves them where the daemon put them.
        wait: sleeps for some seconds; KeyboardInterrupt in it ends the recording.

    Raises:
        Unanswered: the daemon is not there, or refuses.
        StartupError: there is no such session, `out` cannot be used, or the recording failed.
    """
    if out is not None:
        _make(out)
    path = f"/api/sessions/{_known(address, session)}/recording"
    said = _ask(address, "POST", path)
    try:
        said = _watch(address, path, said, seconds, wait)
    except KeyboardInterrupt:
        pass  # the way to end it
    if said["state"] == "on":
        said = _ask(address, "DELETE", path, END_TIMEOUT_S)
    files = [Path(name) for name in said["files"]]
    said = _signed(address, path, said, files, wait)
    if out is not None:
        files = [_moved(file, out) for file in files]
    if said["state"] == "failed":
        raise StartupError(said["problem"])
    if not files:
        return "nothing was shown meanwhile; there is no film"
    missing = f", {said['dropped']} pictures left out" if said["dropped"] else ""
    names = ", ".join(str(file) for file in files)
    unsigned = f", not signed: {said['unsigned']}" if said["unsigned"] else ""
    size = f"{said['bytes'] / 2**20:.1f} MiB"
    return f"{names}: {as_clock(said['seconds'])}, {size}{missing}{unsigned}"


def as_clock(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _watch(
    address: Address,
    path: str,
    said: dict[str, Any],
    seconds: float | None,
    wait: Callable[[float], None],
) -> dict[str, Any]:
    """Show how it goes until it ends, by itself or by time. What was said last."""
    with Live(Text(), console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while said["state"] == "on" and (seconds is None or said["seconds"] < seconds):
            live.update(Text(_line(said)), refresh=True)
            wait(INTERVAL_S)
            try:
                said = _ask(address, "GET", path)
            except Unanswered:
                return {**said, "state": "stopped"}  # the session ended, and the film with it
    return said


def _signed(
    address: Address,
    path: str,
    said: dict[str, Any],
    files: list[Path],
    wait: Callable[[float], None],
) -> dict[str, Any]:
    """Wait until the films are signed, or cannot be, or for Ctrl-C. What was said last.

    The films' notes tell it even where the session has ended and cannot be asked any more.
    """
    with Live(Text(), console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        try:
            while any(drafts.is_held(file) for file in files):
                live.update(Text("signing the film  (Ctrl-C leaves it as it is)"), refresh=True)
                wait(INTERVAL_S)
        except KeyboardInterrupt:
            return {**said, "unsigned": "it was not waited for"}
    try:
        return _ask(address, "GET", path)
    except Unanswered:
        return said


def _line(said: dict[str, Any]) -> str:
    name = Path(said["files"][-1]).name
    size = f"{said['bytes'] / 2**20:.1f} MiB"
    return f"recording {as_clock(said['seconds'])}  {size}  {name}  (Ctrl-C ends it)"


def _known(address: Address, name: str) -> str:
    sessions = [session["session"] for session in json.loads(get(address, "/api/sessions"))]
    if name not in sessions:
        there = f"there are: {', '.join(sessions)}" if sessions else "none is running"
        raise StartupError(f"no session {name!r}; {there}")
    return name


def _ask(address: Address, method: str, path: str, timeout_s: float = 5.0) -> dict[str, Any]:
    with call(address, method, path, timeout_s) as response:
        said: dict[str, Any] = json.load(response)
        return said


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"--out {out}: {error.strerror or error}; name a folder that can be written"
        ) from None


def _moved(file: Path, out: Path) -> Path:
    """Into that folder, over nothing that is there; stays where it is if that cannot be."""
    target = out / file.name
    if not file.exists():
        raise StartupError(f"{file} is not on this machine: it lies where the daemon runs")
    if target.exists():
        raise StartupError(f"{target} is there already; the film stays at {file}")
    try:
        shutil.move(file, target)
    except OSError as error:
        raise StartupError(
            f"{target}: {error.strerror or error}; the film stays at {file}"
        ) from None
    return target
