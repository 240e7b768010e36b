"""`reenactd record`: have the running daemon film one of its sessions until Ctrl-C, or for a time.

The daemon writes the films where its settings say; they are moved elsewhere only once they are
whole and signed. Knows no pictures.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.text import Text

from realtime import drafts
from realtime.client import TIMEOUT_S, Absent, Address, Unanswered, call, who_performs
from realtime.errors import StartupError
from realtime.naming import check_called

INTERVAL_S = 0.5
END_TIMEOUT_S = 30.0
"""a film's last second may wait behind others"""
PATIENCE_S = 60.0
"""with a daemon that gives no answer; it may be busy, and films on meanwhile"""

Said = dict[str, Any]
"""how a recording goes: `Progress`, as JSON"""


def run(
    address: Address,
    session: str,
    out: Path | None,
    seconds: float | None,
    wait: Callable[[float], None],
) -> str:
    """Record; returns a line on what became of it.

    Args:
        session: what it is called.
        out: a folder for the films, made if need be; None leaves them where the daemon put them.
        wait: sleeps for some seconds; KeyboardInterrupt in it ends the recording.

    Raises:
        Unanswered: the daemon is not there, refuses, or has given no answer for PATIENCE_S: the
            films are left where they are then.
        StartupError: there is no such session, `out` cannot be used, or the recording failed.
    """
    if out is not None:
        _make(out)
    path, said = _begun(address, check_called(session))
    with Live(Text(), console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        talk = _Talk(address, path, said, lambda line: live.update(Text(line), refresh=True), wait)
        try:
            talk.watch(seconds)
        except KeyboardInterrupt:
            pass  # the way to end it
        said = talk.end()
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


class _Talk:
    """With the daemon, about one recording, until it has ended.

    Only a 404 says that it has: the session ended, and the film with it. Any other failure is one
    of asking; the daemon films on, and is asked again.

    Args:
        said: what it said first.
        tell: shows one line.
    """

    def __init__(
        self,
        address: Address,
        path: str,
        said: Said,
        tell: Callable[[str], None],
        wait: Callable[[float], None],
    ) -> None:
        self._address, self._path = address, path
        self._said = said
        self._tell, self._wait = tell, wait

    def watch(self, seconds: float | None) -> None:
        """Show how it goes until it ends by itself, or is that long."""
        while self._is_on and (seconds is None or self._said["seconds"] < seconds):
            self._tell(_line(self._said))
            self._wait(INTERVAL_S)
            self._learn(lambda: _ask(self._address, "GET", self._path))

    def end(self) -> Said:
        """Have the film ended, if it is still made. What was said last."""
        while self._is_on:
            self._learn(self._ended)
        return self._said

    @property
    def _is_on(self) -> bool:
        return bool(self._said["state"] == "on")

    def _ended(self) -> Said:
        try:
            return _ask(self._address, "DELETE", self._path, END_TIMEOUT_S)
        except Absent:
            raise
        except Unanswered:
            said = _ask(self._address, "GET", self._path)
            if said["state"] == "on":
                raise
            return said  # it ended, though the answer did not come

    def _learn(self, ask: Callable[[], Said]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._said = ask()
                return
            except Absent:
                self._said = {**self._said, "state": "stopped"}
                return
            except Unanswered as error:
                if time.monotonic() > deadline_s:
                    where = ", ".join(self._said["files"])
                    raise Unanswered(f"{error}; {where} is left as it is") from None
                self._tell(f"{error}; asking again  (Ctrl-C ends it)")
            self._wait(INTERVAL_S)


def _signed(
    address: Address,
    path: str,
    said: Said,
    files: list[Path],
    wait: Callable[[float], None],
) -> Said:
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


def _line(said: Said) -> str:
    name = Path(said["files"][-1]).name
    size = f"{said['bytes'] / 2**20:.1f} MiB"
    return f"recording {as_clock(said['seconds'])}  {size}  {name}  (Ctrl-C ends it)"


def _begun(address: Address, session: str) -> tuple[str, Said]:
    """The path of what has begun, of that session whoever takes its name; and how it goes."""
    path = f"/api/sessions/{session}/recording"
    try:
        with call(address, "POST", path, END_TIMEOUT_S) as response:
            return urlsplit(response.headers.get("Location", path)).path, json.load(response)
    except Absent:
        raise StartupError(f"no session {session!r}; {who_performs(address)}") from None


def _ask(address: Address, method: str, path: str, timeout_s: float = TIMEOUT_S) -> Said:
    with call(address, method, path, timeout_s) as response:
        said: Said = json.load(response)
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
