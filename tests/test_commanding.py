"""What a performer's channel may say, said for them by the page on the computer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from realtime.tokens import Scope
from tests.helpers import Camera, Performer, Stand, standing, until

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


async def test_controls_calibration_and_identity_reach_the_session(stand: Stand) -> None:
    performer = Performer(stand.http, Camera())
    await performer.connect(name="phone-1")
    session = next(iter(stand.daemon.sessions))
    path = "/api/sessions/phone-1/commands"
    message: dict[str, object] = {"type": "controls", "values": {"mouth": 1.5, "mirror": True}}
    assert (await stand.http.post(path, json=message)).status_code == 204
    assert (session._live.controls.mouth, session._live.controls.mirror) == (1.5, True)
    before = stand.script.calibrations
    assert (await stand.http.post(path, json={"type": "calibrate"})).status_code == 204
    await until(lambda: stand.script.calibrations == before + 1)
    assert (await stand.http.post(path, json={"type": "identity", "id": "coral"})).is_success
    await until(lambda: session.describe()["identity"] == "coral")
    await until(lambda: {"type": "identity", "id": "coral"} in performer.messages)
    await performer.close()


async def test_who_asks_for_a_neutral_face_is_not_told_of_the_one_before(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    performer = Performer(stand.http, Camera())
    await performer.connect(name="phone-1")
    session = next(iter(stand.daemon.sessions))
    await until(lambda: session.describe()["calibrated"])
    asked: list[Callable[[], None]] = []
    monkeypatch.setattr(session._job, "request", asked.append)  # as if no frame came
    message = {"type": "calibrate"}
    await stand.http.post("/api/sessions/phone-1/commands", json=message)
    assert not session.describe()["calibrated"]
    asked[0]()
    assert session.describe()["calibrated"], "the scripted pipeline takes it at once"
    await performer.close()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"type": "dance"}', 400, "message type 'dance' is not known"),
        ('{"type": "controls", "values": {"mouth": 9}}', 400, "must be a number from 0 to 2"),
        ("[]", 400, "is not a JSON object"),
        ("", 400, "is not JSON"),
        ("x" * 20_000, 413, ""),
    ],
)
async def test_what_is_not_understood_changes_nothing(
    stand: Stand, body: str, status: int, said: str
) -> None:
    performer = Performer(stand.http, Camera())
    await performer.connect(name="me")
    session = next(iter(stand.daemon.sessions))
    controls = session._live.controls
    answer = await stand.http.post("/api/sessions/me/commands", content=body, headers=JSON)
    assert answer.status_code == status and said in answer.json()["error"]
    assert session._live.controls == controls
    await performer.close()


async def test_who_may_not_and_who_is_not_there(stand: Stand) -> None:
    path, body = "/api/sessions/me/commands", {"type": "calibrate"}
    assert (await stand.http.post(path, json=body)).status_code == 404
    scopes: tuple[Scope, ...] = ("view", "publish")
    for scope in scopes:
        token, _ = stand.tokens.make(scope, None, 60)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await stand.http.post(path, json=body, headers=headers)).status_code == 403
