"""What a crew makes of its looks at workers: who has a place, who is sick. Without processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from realtime import crew as crew_module
from realtime.access import Rules
from realtime.admission import Ledger
from realtime.clock import FakeClock
from realtime.crew import SICK_S, Crew
from realtime.crew_worker import Call, Unreachable, Worker
from realtime.daemon import Daemon, State, build_services
from realtime.pending import Moments, Pending
from realtime.server import create_crew_app
from realtime.session import Session
from realtime.tokens import Tokens
from realtime.worker_side import look_at
from realtime.worker_talk import LOOK, Look, Order, Running
from tests.crew_studio import studio
from tests.helpers import TOKEN, FakeStudio, config_with

SICK_MS = 1000 * SICK_S


def look(*sessions: Running, state: State = "ready") -> Look:
    return Look(state, "fake", sessions, (), frozenset(), frozenset(), Ledger())


def on_stage(name: str) -> Running:
    return Running(name, name, "live", 1.0, counts=True, late=False)


def late(name: str) -> Running:
    return Running(name, name, "live", 1.0, counts=False, late=True)


class Scripted:
    """A worker's process: answers what it is told to, and keeps what is ordered."""

    def __init__(self, worker: Worker, clock: FakeClock) -> None:
        self.worker = worker
        self.now: Look | None = look()
        """None: it does not answer in time"""
        self.asked: list[Call] = []
        self.orders: list[Order] = []
        self.dismissals = 0
        stdin = SimpleNamespace(write=self._hear, close=self._end, is_closing=self._is_ended)
        worker.look = self.now
        worker._clock = clock
        worker._process = cast(Any, SimpleNamespace(pid=worker.index, stdin=stdin, returncode=0))
        worker._http = cast(Any, object())
        worker.ask = self.ask  # type: ignore[method-assign]

    async def ask(self, call: Call, timeout_s: float = 0) -> httpx.Response:
        self.asked.append(call)
        if call.path != LOOK:
            return httpx.Response(201, headers={"Location": "/whip/x"})
        if self.now is None:
            raise Unreachable("it is busy")
        return httpx.Response(200, content=self.now.body())

    def _hear(self, line: bytes) -> None:
        self.orders.append(Order.read(line))

    def _end(self) -> None:
        self.dismissals += 1

    def _is_ended(self) -> bool:
        return self.dismissals > 0


class Stand:
    """A crew of two with two places."""

    def __init__(self) -> None:
        self.clock = FakeClock(10**12)
        self.crew = Crew(config_with(server={"workers": 2, "max_sessions": 2}), studio)
        self.one, self.two = (Scripted(self.crew[index], self.clock) for index in (1, 2))


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    yield made
    await made.crew.stop("the test is over")


async def test_who_connects_late_gets_what_is_left_over_all_workers(stand: Stand) -> None:
    """One place is left for two, each of whom its own process would let in."""
    stand.one.now, stand.two.now = look(late("a"), on_stage("b")), look(late("c"))
    await stand.crew.look()
    assert stand.one.orders == [Order(seated=("a",))]
    assert stand.two.orders == [Order(turned_away=("c",))]
    assert stand.crew.taken == 2, "of the one that is let in, although its process has not heard"
    await stand.crew.look()
    assert len(stand.one.orders) == len(stand.two.orders) == 1, "once is enough"
    stand.one.now, stand.two.now = look(on_stage("a"), on_stage("b")), look()
    await stand.crew.look()
    assert stand.crew.taken == 2


@pytest.mark.parametrize("room", [True, False])
async def test_a_worker_waits_for_what_its_parent_says_of_one_who_is_late(room: bool) -> None:
    daemon = Daemon(build_services(config_with(), FakeStudio()))
    daemon.sessions.judges_late = False
    ends: list[str] = []
    session = SimpleNamespace(
        **{"id": "a", "name": "a", "phase": "live", "age_s": 5.0, "is_overdue": False},
        **{"watch": lambda busy: None, "exertion": lambda: None, "end": ends.append},
    )
    daemon.sessions._sessions["a"] = cast(Session, session)
    daemon.sessions._overdue.add("a")
    await daemon.sessions._look()
    assert look_at(daemon).sessions == (Running("a", "a", "live", 5.0, counts=False, late=True),)
    daemon.sessions.judge("a", room=room)
    daemon.sessions.judge("nobody", room=room)
    assert look_at(daemon).sessions == (Running("a", "a", "live", 5.0, counts=True, late=False),)
    assert (ends == []) == room and all("all 8 places are taken" in reason for reason in ends)


async def test_sessions_that_no_look_has_yet_take_places_all_the_same(stand: Stand) -> None:
    """Both workers are too busy to say what they have opened."""
    config = stand.crew.config
    app = create_crew_app(stand.crew, Tokens(TOKEN), "test loop", Rules(config.server))
    stand.one.now = stand.two.now = None
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/sdp"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1:8700", headers=headers
    ) as http:
        answers = [await http.post("/whip", content="v=0") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 503]
        assert answers[2].json()["error"].startswith("2 of 2 sessions are running")
        assert int(answers[2].headers["Retry-After"]) > 0
        stand.one.now, stand.two.now = look(on_stage("a")), look()  # the other one has left
        assert (await http.post("/whip", content="v=0")).status_code == 201


async def test_a_look_that_is_older_than_an_answer_takes_nothing_back(stand: Stand) -> None:
    worker, answers = stand.crew[1], asyncio.Queue[Look]()

    async def ask(call: Call, timeout_s: float = 0) -> httpx.Response:
        return httpx.Response(200, content=(await answers.get()).body())

    worker.ask = ask  # type: ignore[method-assign]
    older = asyncio.create_task(worker.look_again())
    await asyncio.sleep(0)
    with worker.opening.one():
        assert stand.crew.taken == 1
    answers.put_nowait(look())
    await older
    assert stand.crew.taken == 1, "that look was asked for before"
    first, second = (asyncio.create_task(worker.look_again()) for _ in range(2))
    await asyncio.sleep(0)
    worker.ask = stand.one.ask  # type: ignore[method-assign]
    stand.one.now = look(on_stage("a"))
    await worker.look_again()
    for _ in (first, second):
        answers.put_nowait(look())
    await asyncio.gather(first, second)
    assert stand.crew.taken == 1, "what was asked for last counts"


def test_pending_are_those_that_were_answered_after_the_look() -> None:
    moments = Moments()
    pending = Pending(moments)
    with pytest.raises(KeyError), pending.one():
        assert len(pending) == 1
        raise KeyError("no answer: it may be there all the same")
    before = moments.next()
    with pending.one():
        pass
    assert len(pending) == 2
    pending.seen(before)
    assert len(pending) == 1
    pending.forget()
    assert len(pending) == 0


async def test_one_sick_look_ends_nobody(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    for state, passed_ms in (("sick", 0), ("sick", SICK_MS - 1), ("ready", 1), ("sick", SICK_MS)):
        stand.one.now = look(on_stage("a"), state=cast(State, state))
        stand.clock.advance_ms(passed_ms)
        await stand.crew._look_after()
    stand.one.now = None  # what nobody sees is not sick
    stand.clock.advance_ms(SICK_MS + 1)
    await stand.crew._look_after()
    assert stand.one.dismissals == 0 and "sick" not in caplog.text


async def test_who_stays_sick_is_ended_once(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.one.now = look(on_stage("a"), state="sick")
    for _ in range(4):
        await stand.crew._look_after()
        stand.clock.advance_ms(SICK_MS / 2)
    assert (stand.one.dismissals, stand.two.dismissals) == (1, 0)
    assert f"worker 1 is sick for {SICK_S:g} s" in caplog.text
    assert crew_module.HUNG_S > SICK_S
