"""One worker process as the daemon has it: started, asked, told, watched, ended.

`crew.py` has several and decides; this one knows its own process only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from realtime.admission import Burden
from realtime.clock import NS_PER_S, Clock
from realtime.pending import Moments, Pending
from realtime.placing import Place
from realtime.tokens import Grant
from realtime.worker_talk import (
    GRANT_HEADER,
    LOOK,
    SECRET_HEADER,
    Look,
    Order,
    Report,
    Start,
    grant_as_text,
)

logger = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 70.0
"""of all else; an offer waits until its identity is loaded"""
END_S = 45.0
"""how long an end may take: sessions say goodbye, films and records are written to their ends"""
SECRET_BYTES = 32
OUR_OWN = Grant("admin")
NO_LIMITS = httpx.Limits(max_connections=None)
"""requests must not keep the looks at a worker waiting, which would be taken for its hanging"""


@dataclass(frozen=True, slots=True)
class Call:
    """What a worker is asked by HTTP."""

    method: str
    path: str
    """of plain segments, for it is sent as it is"""
    query: bytes = b""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    grant: Grant | None = OUR_OWN
    """in whose name"""


class Unreachable(Exception):
    """The worker has ended, or does not answer."""


class Worker:
    """Lives on the event loop; one process at a time."""

    def __init__(
        self, index: int, directory: Path, studio: str, config: Mapping[str, Any], clock: Clock
    ) -> None:
        self.index = index
        self.look: Look | None = None
        """at the last moment at which it answered; None while it does not listen"""
        self.failure: str | None = None
        """what it said why it cannot serve"""
        self.loaded = asyncio.Event()
        """it was ready once, or has ended before that"""
        self._moments = Moments()
        self.opening = Pending(self._moments)
        """sessions that it is asked to open, and that no look has yet"""
        self.joining = Pending(self._moments)
        """viewers, likewise"""
        self._judged: dict[str, bool] = {}
        """sessions that connected late, and whether there is room: until a look shows it"""
        self._looked_at = 0
        """the moment at which `look` was asked for"""
        self._sick_since_ns: int | None = None
        self._directory, self._studio, self._config = directory, studio, config
        self._clock = clock
        self._answered_ns = 0
        self._starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def silent_s(self) -> float:
        """How long it has not answered; 0 while it need not."""
        if self.look is None:
            return 0.0
        return (self._clock.now_ns() - self._answered_ns) / NS_PER_S

    @property
    def sick_s(self) -> float:
        """Between the first and the last of the newest looks, where all found it sick; else 0."""
        since_ns = self._sick_since_ns
        return 0.0 if since_ns is None else (self._answered_ns - since_ns) / NS_PER_S

    @property
    def is_dismissed(self) -> bool:
        stdin = None if self._process is None else self._process.stdin
        return stdin is None or stdin.is_closing()

    def place(self, look: Look) -> Place:
        """As who decides about a new session sees it."""
        opened = sum(session.counts for session in look.sessions)
        coming = len(self.opening) + sum(self._judged.values())
        return Place(self.index, Burden(look.ledger, opened + coming), look.awaited)

    @property
    def late(self) -> list[str]:
        """Sessions that connected after they had given their places away, to be judged."""
        sessions = () if self.look is None else self.look.sessions
        return [each.id for each in sessions if each.late and each.id not in self._judged]

    def judge(self, session_id: str, *, room: bool) -> None:
        """One of `late` has a place, or must end."""
        self._judged[session_id] = room
        self.order(Order(seated=(session_id,)) if room else Order(turned_away=(session_id,)))

    async def live(self) -> int:
        """Start the process, and wait for its end. Returns its exit code."""
        self._starts += 1
        self.failure = None
        start = Start(
            self.index,
            self._directory / f"{self.index}-{self._starts}.sock",
            secrets.token_urlsafe(SECRET_BYTES),
            self._studio,
            self._config,
        )
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "realtime.worker_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the daemon alone
        )
        try:
            self._tell(start.line())
            assert process.stdout is not None
            async for line in process.stdout:
                await self._hear(Report.read(line), start)
            return await process.wait()
        finally:
            start.socket.unlink(missing_ok=True)  # it does that itself, but where it was killed
            self._forget()
            if self._http is not None:
                await self._http.aclose()
                self._http = None

    def _forget(self) -> None:
        """What was known of a process that has ended."""
        self.look = self._sick_since_ns = None
        self.opening.forget()
        self.joining.forget()
        self._judged.clear()

    async def _hear(self, report: Report, start: Start) -> None:
        if report.failure is not None:
            self.failure = report.failure
        if report.listening:
            self._http = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(start.socket), limits=NO_LIMITS),
                base_url="http://worker",
                headers={SECRET_HEADER: start.secret, "Accept-Encoding": "identity"},
                timeout=ANSWER_TIMEOUT_S,
            )
            await self.look_again()

    async def ask(self, call: Call, timeout_s: float = ANSWER_TIMEOUT_S) -> httpx.Response:
        """
        Raises:
            Unreachable: there is no answer.
        """
        if self._http is None:
            raise Unreachable(f"worker {self.index} does not run")
        named = {} if call.grant is None else {GRANT_HEADER: grant_as_text(call.grant)}
        headers = {**call.headers, **named}
        url = httpx.URL(call.path, query=call.query) if call.query else call.path
        try:
            return await self._http.request(
                call.method, url, content=call.body, headers=headers, timeout=timeout_s
            )
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: closed meanwhile
            raise Unreachable(f"worker {self.index} does not answer: {error!r}") from error

    async def look_again(self) -> None:
        """See how it does; what was seen last stays where it does not answer in time."""
        asked_at, process = self._moments.next(), self._process
        try:
            answer = await self.ask(Call("GET", LOOK), LOOK_TIMEOUT_S)
        except Unreachable:
            return
        if answer.status_code != 200 or self._http is None or self._process is not process:
            return
        try:
            look = Look.read(answer.content)
        except ValueError as exc:  # as if it had not answered: it is killed in the end
            logger.error("worker %d says what is no look: %s", self.index, exc)
            if self.look is None:  # nobody asks how long one has been silent that never spoke
                self.kill()
            return
        self._answered_ns = self._clock.now_ns()
        if asked_at > self._looked_at:  # else one that was asked for later was here before
            self._looked_at = asked_at
            self._see(look)

    def _see(self, look: Look) -> None:
        self.look = look
        self.opening.seen(self._looked_at)
        self.joining.seen(self._looked_at)
        late = {session.id for session in look.sessions if session.late}
        self._judged = {each: room for each, room in self._judged.items() if each in late}
        if look.state != "sick":
            self._sick_since_ns = None
        elif self._sick_since_ns is None:
            self._sick_since_ns = self._answered_ns

    def order(self, order: Order) -> None:
        self._tell(order.line())

    def _tell(self, line: bytes) -> None:
        stdin = None if self._process is None else self._process.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(line)

    def dismiss(self) -> None:
        """Let it end in peace; `live` returns then."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


def _environment() -> dict[str, str]:
    """Ours, without the service manager's: we speak to it. With where our modules are found."""
    managers = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    kept = {name: value for name, value in os.environ.items() if name not in managers}
    return {**kept, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
