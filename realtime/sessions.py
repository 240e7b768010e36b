"""All performers: who is let in, who watches over them, how they all end. No HTTP, no threads."""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Iterator

from realtime.admission import Cost, Ledger
from realtime.cast import Services, make_cast
from realtime.errors import AdmissionRefused, NobodyPerforms
from realtime.load import Load
from realtime.memory import Trimmer
from realtime.naming import pick
from realtime.session import Session
from realtime.watches import Guard, Watch

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.1
OVERDUE = 4
"""offers that were answered, to which nobody connected in time: so many beside the places. Each
has a tracker of its own"""


class Sessions:
    """The registry. Lives on one event loop."""

    judges_late = True
    """who connects late is let in or not by what is known here; one of several processes has to
    wait for `judge`"""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sessions: dict[str, Session] = {}
        self._opening = 0
        self._overdue: set[str] = set()
        """sessions that hold no place any more, since nobody has connected"""
        self._telemetry = services.telemetry
        self._load = Load(services.render, services.clock)
        self._trimmer = Trimmer(services.maker.run)
        self._watch = Watch(self._look, "sessions", services.clock)
        self._guard = Guard("session", services.clock)
        self._cost_guard = Guard("cost", services.clock)
        self._render_fault: str | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def start(self) -> None:
        self._watch.start()

    @property
    def sick(self) -> str | None:
        """Why nobody can be served, if so."""
        return self._render_fault or self._watch.failure

    async def open(
        self, offer_sdp: str, identity_id: str, name: str | None = None, *, obeys: bool = True
    ) -> tuple[Session, str]:
        """A new session and its SDP answer.

        Args:
            name: under which viewers find it; made up if None.
            obeys: whether it does what its client's `controls` channel says.

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
            session.obeys = obeys
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

    def find(self, called: str) -> Session | None:
        """The session that runs and is called so, by `naming.pick`."""
        running = (one for one in self._sessions.values() if one.phase in ("connecting", "live"))
        return pick(reversed(list(running)), called)

    def named(self, called: str, *, ending: bool = False) -> Session:
        """As `find`.

        Args:
            ending: where none runs, one that ends is meant: its film is still asked for.

        Raises:
            NobodyPerforms: there is none.
        """
        session = self.find(called)
        if session is None and ending:
            session = pick(reversed(self._sessions.values()), called)
        if session is None:
            raise NobodyPerforms(f"there is no session {called[:64]!r}")
        return session

    def counts(self, session: Session) -> bool:
        """Whether it takes one of the places; not while it is being opened, which is counted as
        that."""
        return session.phase != "new" and session.id not in self._overdue

    def is_late(self, session: Session) -> bool:
        """Whether it has connected after it had given its place away, and is to be judged."""
        return session.phase == "live" and session.id in self._overdue

    def judge(self, session_id: str, *, room: bool) -> None:
        """One that connected late has a place, or ends; nothing where it has ended meanwhile."""
        session = self._sessions.get(session_id)
        if session is None or not self.is_late(session):
            return
        self._overdue.discard(session_id)
        if not room:
            self._telemetry.refused("places")
            session.end(
                f"the browser connected late, and all {self._limit} places are taken; connect again"
            )

    async def close_all(self, reason: str) -> None:
        self._watch.stop()
        await asyncio.gather(*(session.close(reason) for session in self._sessions.values()))
        self._trimmer.stop()

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        self._overdue.discard(session.id)
        self._guard.forget(session.id)
        self._trimmer.soon()

    async def _look(self) -> float:
        """Independent of every worker thread."""
        self._render_fault = self._services.render.ensure()
        exertions = {session.id: session.exertion for session in self}
        self._cost_guard.look("cost", functools.partial(self._load.look, exertions))
        for session in self:
            if self._render_fault is not None:
                session.close_soon(self._render_fault)
            given_up = self._guard.look(session.id, functools.partial(self._look_at, session))
            if given_up is not None:
                session.close_soon(given_up)
        return WATCH_INTERVAL_S

    def _look_at(self, session: Session) -> None:
        session.watch(self._load.busy)
        self._place(session)

    def _place(self, session: Session) -> None:
        """A session to which nobody connects gives its place away; who comes late may find none."""
        if session.is_overdue:
            self._overdue.add(session.id)
        elif self.is_late(session):
            room = self._taken < self._limit  # it is not among those
            if self.judges_late or not room:
                self.judge(session.id, room=room)
