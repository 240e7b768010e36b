"""The check at the camera over HTTP: on a running session, for one picture, good once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from realtime import checking, live_check, server
from realtime.challenge import Step
from realtime.consent import STATEMENTS
from realtime.enrolment import Enrolment
from realtime.frames import F32, U8, FaceTrack
from realtime.identity import IdentityStore
from tests import live_faces
from tests.helpers import Camera, Performer, Stand, config_with, standing, until
from tests.live_faces import Shown, performance
from tests.portraits import picture_bytes

PNG = {"Content-Type": "image/png"}
ASKED: tuple[Step, ...] = ("left", "blink", "up", "right")
SELF = {"name": "Ada", "kind": "self", "statement": STATEMENTS["self"]}
PATH = "/api/identities/check"


class Person:
    """Before the camera of the fake studio: looks ahead, and does what it was told once it is told.

    A moment for each picture that is tracked, so that a busy machine makes it slower, not jumpy.
    """

    def __init__(self, number: int = 1) -> None:
        self.shape = live_faces.shape(number)
        self._left = iter([Shown()])

    def perform(self, shown: list[Shown]) -> None:
        self._left = iter(shown)

    def __call__(self) -> F32 | None:
        return live_faces.landmarks(next(self._left, Shown()), self.shape)


def found(rgb: U8) -> list[FaceTrack]:
    """In the picture that is added: person 1."""
    landmarks = live_faces.landmarks(Shown(), live_faces.shape(1))
    assert landmarks is not None
    return [FaceTrack(landmarks, 1.0)]


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=found))
    monkeypatch.setattr(checking, "draw", lambda: ASKED)
    async with standing() as stand:
        yield stand


@asynccontextmanager
async def performing(stand: Stand, person: Person) -> AsyncIterator[str]:
    """A session of somebody; its id."""
    stand.script.landmarks = person
    performer = Performer(stand.http, Camera())
    await performer.connect()
    await until(lambda: performer.stat("fps_out") > 5)
    try:
        yield performer.location.rpartition("/")[2]
    finally:
        await performer.close()


async def begin(stand: Stand, session: str, picture: bytes | None = None) -> httpx.Response:
    content = picture or picture_bytes()
    return await stand.http.post(PATH, params={"session": session}, content=content, headers=PNG)


async def ended(stand: Stand, check: str) -> dict[str, Any]:
    """Ask until it is over."""
    for _ in range(600):
        said: dict[str, Any] = (await stand.http.get(f"{PATH}/{check}")).json()
        if said["phase"] in ("passed", "failed"):
            return said
        await asyncio.sleep(0.05)
    raise TimeoutError(said)


async def add(stand: Stand, check: str, picture: bytes | None = None) -> httpx.Response:
    content = picture or picture_bytes()
    params = {**SELF, "check": check}
    return await stand.http.post("/api/identities", params=params, content=content, headers=PNG)


async def test_who_passes_is_added_once_with_what_was_found(stand: Stand) -> None:
    person = Person()
    async with performing(stand, person) as session:
        started = await begin(stand, session)
        assert started.status_code == 201, started.text
        said = started.json()
        assert (said["phase"], said["done"], said["of"], said["ask"]) == ("rest", 0, 4, None)
        assert (await add(stand, said["check"])).status_code == 409, "not passed yet"
        person.perform(performance(ASKED, 0.8))
        over = await ended(stand, said["check"])
        assert (over["phase"], over["problem"], over["done"]) == ("passed", "", 4)
        assert 0 < over["score"] < over["threshold"]
        other = await add(stand, said["check"], picture_bytes(seed=9))
        assert other.status_code == 409 and "another picture" in other.json()["error"]
        added = await add(stand, said["check"])
        assert (added.status_code, added.json()) == (201, {"id": "ada"})
        again = await add(stand, said["check"])
        assert again.status_code in (400, 404), "a check is good once"
    record = IdentityStore(config_with().identities).consent("ada")
    assert (record.kind, record.method, record.proof) == (
        *("self", "live-check"),
        "checked at the camera",
    )
    check = record.live_check
    assert check is not None and check.steps == ASKED
    assert check.score == f"{over['score']:.4f}" and check.threshold == f"{over['threshold']:.4f}"


async def test_the_page_is_told_how_much_stands_behind_it(stand: Stand) -> None:
    identities = (await stand.http.get("/api/identities")).json()
    assert {identity["proof"] for identity in identities} == {"attested"}


async def test_somebody_else_is_not_added(stand: Stand) -> None:
    person = Person(3)
    async with performing(stand, person) as session:
        check = (await begin(stand, session)).json()["check"]
        person.perform(performance(ASKED, 0.8))
        over = await ended(stand, check)
        assert over["phase"] == "failed" and "is not like the picture's" in over["problem"]
        refused = await add(stand, check)
        assert refused.status_code == 409 and "was not passed" in refused.json()["error"]
    assert len(IdentityStore(config_with().identities).list()) == 4


async def test_another_order_fails_at_once(stand: Stand) -> None:
    person = Person()
    async with performing(stand, person) as session:
        check = (await begin(stand, session)).json()["check"]
        person.perform(performance(("right", "blink", "up", "left")))
        assert (await ended(stand, check))["problem"] == live_check.OTHER_STEP


async def test_a_session_that_ends_ends_it(stand: Stand) -> None:
    async with performing(stand, Person()) as session:
        check = (await begin(stand, session)).json()["check"]
        assert (await stand.http.delete(f"/whip/{session}")).status_code == 200
        assert (await ended(stand, check))["problem"] in (checking.ENDED, live_check.NO_PICTURE)


async def test_given_up_is_forgotten(stand: Stand) -> None:
    async with performing(stand, Person()) as session:
        check = (await begin(stand, session)).json()["check"]
        assert (await stand.http.delete(f"{PATH}/{check}")).status_code == 204
        assert (await stand.http.get(f"{PATH}/{check}")).status_code == 404
        assert (await add(stand, check)).status_code == 404
        (performed,) = stand.daemon.sessions
        assert performed._onlooker is None


async def test_a_second_check_takes_the_sessions_eyes(stand: Stand) -> None:
    person = Person()
    async with performing(stand, person) as session:
        first = (await begin(stand, session)).json()["check"]
        second = (await begin(stand, session)).json()["check"]
        person.perform(performance(ASKED, 0.8))
        over = await ended(stand, second)
        assert (over["phase"], over["problem"]) == ("passed", "")
        assert (await ended(stand, first))["problem"] == live_check.NO_PICTURE


async def test_what_cannot_be_checked(stand: Stand) -> None:
    missing = await begin(stand, "nobody")
    assert missing.status_code == 404 and "start the camera first" in missing.json()["error"]
    assert (await stand.http.post(PATH, content=b"x", headers=PNG)).status_code == 400
    assert (await stand.http.get(f"{PATH}/made-up")).status_code == 404
    async with performing(stand, Person()) as session:
        assert (await begin(stand, session, b"no picture")).status_code == 400


async def test_a_picture_that_looks_away_cannot_be_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turned = live_faces.landmarks(Shown(yaw_deg=40), live_faces.shape(1))
    assert turned is not None
    faces = [FaceTrack(turned, 1.0)]
    monkeypatch.setattr(
        server, "Enrolment", lambda config: Enrolment(config, find_faces=lambda rgb: faces)
    )
    async with standing() as stand, performing(stand, Person()) as session:
        answer = await begin(stand, session)
        assert answer.status_code == 400 and "turned away" in answer.json()["error"]


async def test_a_token_for_another_session_checks_nobody(stand: Stand) -> None:
    made = await stand.http.post("/api/tokens", json={"scope": "publish", "session": "other"})
    foreign = {**PNG, "Authorization": f"Bearer {made.json()['token']}"}
    async with performing(stand, Person()) as session:
        answer = await stand.http.post(
            PATH, params={"session": session}, content=picture_bytes(), headers=foreign
        )
        assert answer.status_code == 403


async def test_what_another_program_tracks_cannot_be_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=found))
    vmc = config_with(tracking={"driver": "vmc"}, vmc={"port": 0})
    async with standing(vmc) as stand:
        performer = Performer(stand.http, Camera())
        await performer.connect()
        answer = await begin(stand, performer.location.rpartition("/")[2])
        assert answer.status_code == 409 and "nobody can be seen" in answer.json()["error"]
        await performer.close()
