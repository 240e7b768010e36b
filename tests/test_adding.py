"""Adding an identity over HTTP: what is sent is judged before it is kept."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from realtime import adding, http_body, picture_process, portrait_advice, server
from realtime.consent import STATEMENTS
from realtime.enrolment import Enrolment
from realtime.errors import StartupError
from realtime.identity import IdentityStore
from tests.helpers import Stand, config_with, standing
from tests.portraits import one_face, picture_bytes

PNG = {"Content-Type": "image/png"}
GOOD = {"name": "Ada", "kind": "fictional", "statement": STATEMENTS["fictional"]}


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=one_face))
    async with standing() as stand:
        yield stand


def known() -> list[str]:
    return [card.id for card in IdentityStore(config_with().identities).list()]


async def test_a_picture_is_shown_judged_and_not_kept(stand: Stand) -> None:
    answer = await stand.http.post("/api/identities/look", content=picture_bytes(), headers=PNG)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    kind, _, data = said["crop"].partition(";base64,")
    assert kind == "data:image/png"
    with Image.open(io.BytesIO(base64.b64decode(data))) as crop:
        assert crop.size == (portrait_advice.CROP_PX,) * 2
    assert said["advice"] == []
    assert said["statements"] == STATEMENTS
    assert "ada" not in known()


async def test_what_was_confirmed_is_added(stand: Stand) -> None:
    answer = await stand.http.post(
        "/api/identities",
        params={**GOOD, "expires": "2999-01-31"},
        content=picture_bytes("JPEG"),
        headers={"Content-Type": "image/jpeg"},
    )
    assert (answer.status_code, answer.json()) == (201, {"id": "ada"})
    assert "ada" in known()
    assert "ada" in stand.studio.loads, "the network encodes it at once"
    consent = IdentityStore(config_with().identities).consent("ada")
    assert consent.method == "confirmed in the page, no live check"
    assert consent.expires_at is not None and consent.expires_at.isoformat() == (
        "2999-01-31T23:59:59+00:00"
    )


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"kind": "self", "statement": STATEMENTS["self"]}, 400, "needs a check at the camera"),
        ({"check": "made-up"}, 400, "no other kind has one"),
        ({"kind": "friend"}, 400, "must be one of self"),
        ({"statement": "whatever"}, 409, "read it again"),
        ({"name": ""}, 400, "must be 1 to 64 characters"),
        ({"name": "coral"}, 400, "is there already"),
        ({"name": "../../etc"}, 201, ""),
        ({"name": None}, 400, "name"),
        ({"kind": "third-party", "statement": STATEMENTS["third-party"]}, 400, "the document"),
        ({"release_sha256": "ab" * 32}, 400, "belongs to third-party"),
        ({"expires": "tomorrow"}, 400, "expires"),
        ({"expires": "2999-02-31"}, 400, "there is no such day"),
        ({"expires": "2001-01-01"}, 400, "lies in the past"),
    ],
)
async def test_a_wish_that_breaks_a_rule(
    stand: Stand, changes: dict[str, Any], status: int, said: str
) -> None:
    params = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    answer = await stand.http.post(
        "/api/identities", params=params, content=picture_bytes(), headers=PNG
    )
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.json() == {"id": "etc"}, "a name is no path"
    else:
        assert said in answer.json()["error"]
        assert len(known()) == 4


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"x", PNG, 400, "is no picture"),
        (b"<svg/>", {"Content-Type": "image/svg+xml"}, 415, "must be image/png or"),
        (b"x", {}, 415, "must be image/png"),
        (b"", PNG, 400, "is no picture"),
        (b"\0" * (adding.MAX_UPLOAD_BYTES + 1), PNG, 413, "larger than 16777216"),
    ],
)
async def test_a_body_that_is_no_picture(
    stand: Stand, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await stand.http.post("/api/identities/look", content=content, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"] and "\n" not in answer.json()["error"]


async def test_nobody_adds_without_the_token_or_from_another_page(stand: Stand) -> None:
    bare = {**PNG, "Authorization": ""}
    for path in ("/api/identities", "/api/identities/look"):
        answer = await stand.http.post(path, content=b"x", headers=bare)
        assert answer.status_code == 401
        foreign = {**PNG, "Origin": "https://evil.example"}
        assert (await stand.http.post(path, content=b"x", headers=foreign)).status_code == 403


async def test_one_picture_at_a_time(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    decode = picture_process.decode

    def slow(data: bytes, name: str) -> Any:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(20)
        return decode(data, name)

    monkeypatch.setattr(picture_process, "decode", slow)

    async def post() -> httpx.Response:
        return await stand.http.post("/api/identities/look", content=picture_bytes(), headers=PNG)

    first = asyncio.create_task(post())
    await begun.wait()
    second = await post()
    assert second.status_code == 503 and second.headers["Retry-After"]
    go_on.set()
    assert (await first).status_code == 200


async def test_a_body_that_trickles_is_given_up(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_body, "PATIENCE_S", 0.1)

    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await stand.http.post("/api/identities/look", content=never(), headers=PNG)
    assert answer.status_code == 408


async def test_a_full_disk_is_507(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StartupError("/x: cannot be written: No space left on device")

    monkeypatch.setattr(Enrolment, "_write", full)
    answer = await stand.http.post(
        "/api/identities", params=GOOD, content=picture_bytes(), headers=PNG
    )
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]


async def test_posts_are_counted() -> None:
    limited = config_with(server={"post_rate_per_s": 1.0})
    async with standing(limited) as stand:
        answers = [await stand.http.post("/whip", content="x") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [415, 415, 415, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert "post_rate_per_s" in answers[-1].json()["error"]
        assert (await stand.http.get("/api/status")).status_code == 200


async def test_each_token_has_its_own_count_of_posts() -> None:
    """Who was given a view link cannot keep the owner from taking a consent back."""
    async with standing(config_with(server={"post_rate_per_s": 1.0})) as stand:
        made = [stand.tokens.make("view", f"of-{number}", 60)[0] for number in range(2)]
        viewers = [{"Authorization": f"Bearer {token}"} for token in made]
        junk = [await stand.http.post("/whep", content="x", headers=viewers[0]) for _ in range(5)]
        assert [answer.status_code for answer in junk] == [415, 415, 415, 429, 429]
        for headers in (viewers[1], {}):
            assert (await stand.http.post("/whep", headers=headers)).status_code == 415
        revoked = await stand.http.post("/api/own-identities/ada/revocation", json={})
        assert revoked.status_code == 400, "there is no ada"
        outside = [await stand.http.post("/x", headers={"Authorization": "x"}) for _ in range(4)]
        assert outside[-1].status_code == 429, "who needs no token is counted, too"
        assert (await stand.http.post("/whep", content="x")).status_code == 415


async def test_wrong_tokens_are_answered_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.access.MAX_WAITING_FAILURES", 3)
    wrong = {"Authorization": "Bearer wrong"}
    async with standing() as stand:
        guesses = [stand.http.get("/api/status", headers=wrong) for _ in range(8)]
        answers = await asyncio.gather(*guesses, stand.http.get("/api/status"))
        assert answers[-1].status_code == 200, "who has the token waits for nobody"
        statuses = sorted(answer.status_code for answer in answers[:-1])
        assert statuses == [401] * 3 + [429] * 5
