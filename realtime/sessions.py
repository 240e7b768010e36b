"""All performers: who is let in, who watches over them, how they all end. No HTTP, no threads."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator

from realtime.admission import Cost, Ledger
from realtime.cast import Services, make_cast
from realtime.errors import AdmissionRefused
from realtime.load import Load
from realtime.memory import Trimmer
from realtime.session import Session

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.1
OVERDUE = 4
"""offers that were answered, to which nobody connected in time: so many beside the places. Each
has a tracker of its own"""
LATEST = "latest"
"""instead of a session's name: the one that began last"""


class Sessions:
    """The registry. Lives on one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: dict[str, Session] = {}
        self._opening = 0
        self._overdue: set[str] = set()
        """sessions that hold no place any more, since nobody has connected"""
        self._telemetry = services.telemetry
        self._load = Load(services.render, services.clock)
        self._trimmer = Trimmer(services.maker.run)
        self._watchdog: asyncio.Task[None] | None = None
        self.sick: str | None = None
        """why nobody can be served, if so"""

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def start(self) -> None:
        self._watchdog = asyncio.create_task(self._watch())

    async def open(
        self, offer_sdp: str, identity_id: str, name: str | None = None
    ) -> tuple[Session, str]:
        """A new session and its SDP answer.

        Args:
            name: under which viewers find it; made up if None.

        Raises:
            AdmissionRefused: all places are taken, the machine could not serve one more, or the
                render thread is gone.
            OfferRejected, IdentityError: the offer or the identity cannot be used.
        """
        if self.sick is not None:
            raise AdmissionRefused(f"{self.sick}; restart the daemon")
        taken = self._taken
        if taken >= self._limit:
            self._telemetry.refused("places")
            raise AdmissionRefused(
                f"{taken} of {self._limit} sessions are running; "
                "end one, or raise server.max_sessions"
            )
        if len(self._overdue) >= OVERDUE:
            self._telemetry.refused("places")
            raise AdmissionRefused(
                f"{len(self._overdue)} offers were answered and nobody has connected; "
                "connect, or end them"
            )
        too_dear = self._load.refusal(taken, self._services.config.server.min_fps)
        if too_dear is not None:
            self._telemetry.refused("cost")
            raise AdmissionRefused(too_dear)
        self._opening += 1
        try:
            cast = await make_cast(self._services, identity_id)
            session_id = secrets.token_urlsafe(24)
            session = Session(session_id, self._services, cast, self._forget, name)
            self._sessions[session.id] = session
        finally:
            self._opening -= 1
        try:
            return session, await session.answer(offer_sdp)
        except BaseException as exc:  # also when the request is cancelled: nothing may stay behind
            await session.close(f"the offer was not answered: {exc}")
            raise

    def rehearsed(self, cost: Cost) -> None:
        """What a frame has cost before anybody performed."""
        self._load.rehearsed(cost)

    @property
    def next_session_fps(self) -> float | None:
        """What one more session would get; None while nothing is known of the cost."""
        return self._load.next_session_fps(self._taken)

    @property
    def _limit(self) -> int:
        return self._services.config.server.max_sessions

    @property
    def _taken(self) -> int:
        """Places."""
        return len(self._sessions) + self._opening - len(self._overdue)

    @property
    def ledger(self) -> Ledger:
        """What the last seconds have cost."""
        return self._load.ledger

    def get(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def find(self, name: str) -> Session | None:
        """The session of that name or id, the one that began last if there are several."""
        for session in reversed(self._sessions.values()):
            named = name in (LATEST, session.name, session.id)
            if named and session.phase in ("connecting", "live"):
                return session
        return None

    async def close_all(self, reason: str) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        await asyncio.gather(*(session.close(reason) for session in self._sessions.values()))
        self._trimmer.stop()

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        self._overdue.discard(session.id)
        self._trimmer.soon()

    async def _watch(self) -> None:
        """Independent of every worker thread."""
        while True:
            self.sick = self._services.render.ensure()
            self._load.look({session.id: session.exertion for session in self})
            for session in list(self._sessions.values()):
                if self.sick is not None:
                    session.close_soon(self.sick)
                session.watch(self._load.busy)
                self._place(session)
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _place(self, session: Session) -> None:
        """A session to which nobody connects gives its place away; who comes late may find none."""
        if session.is_overdue:
            self._overdue.add(session.id)
        elif session.phase == "live" and session.id in self._overdue:
            self._overdue.discard(session.id)
            if self._taken > self._limit:
                self._telemetry.refused("places")
                session.end(
                    f"the browser connected late, and all {self._limit} places are taken; "
                    "connect again"
                )
