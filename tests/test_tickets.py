"""Scoped tokens over HTTP: what each opens, what it does not, and the page that they are for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.helpers import Camera, Performer, Stand, config_with, standing, until

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CHROMIUM_OFFER = (Path(__file__).parent / "data" / "chromium_offer.sdp").read_text()
STUDIO = "https://studio.example"


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


async def holder(stand: Stand, **wish: Any) -> dict[str, str]:
    """Headers of somebody who was given such a token."""
    response = await stand.http.post("/api/tokens", json=wish)
    assert response.status_code == 201, response.text
    return {"Authorization": f"Bearer {response.json()['token']}"}


async def test_a_token_says_what_it_grants(stand: Stand) -> None:
    made = (await stand.http.post("/api/tokens", json={"scope": "view", "session": "me"})).json()
    assert (made["scope"], made["session"]) == ("view", "me")
    assert made["expires"].endswith("Z") and "." in made["token"]


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("view", "POST", "/whip", 403),
        ("view", "PATCH", "/whip/x", 403),
        ("view", "DELETE", "/whip/x", 403),
        ("view", "GET", "/api/status", 403),
        ("view", "GET", "/api/sessions", 403),
        ("view", "POST", "/api/tokens", 403),
        ("view", "GET", "/metrics", 403),
        ("view", "POST", "/whep", 415),
        ("view", "DELETE", "/whep/x/y", 404),
        ("publish", "POST", "/whep", 403),
        ("publish", "POST", "/api/tokens", 403),
        ("publish", "POST", "/api/trace", 403),
        ("publish", "GET", "/api/openapi.json", 403),
        ("publish", "GET", "/api/statusx", 403),
        ("publish", "POST", "/whip", 415),
        ("publish", "GET", "/api/status", 200),
        ("publish", "GET", "/api/identities", 200),
        ("publish", "GET", "/api/identities/juniper/portrait", 200),
        ("publish", "POST", "/api/identities", 403),
        ("publish", "POST", "/api/identities/look", 403),
        ("publish", "POST", "/api/identities/check", 403),
        ("publish", "GET", "/api/identities/check/x", 403),
        ("admin", "POST", "/whip", 415),
        ("admin", "POST", "/whep", 415),
        ("admin", "GET", "/api/sessions", 200),
    ],
)
async def test_a_scope_opens_its_own_part_only(
    stand: Stand, scope: str, method: str, path: str, status: int
) -> None:
    response = await stand.http.request(method, path, headers=await holder(stand, scope=scope))
    assert response.status_code == status
    if status == 403:
        said = response.json()["error"]
        assert f"this token has scope {scope}; {path} needs" in said and "\n" not in said


async def test_a_token_of_one_session_is_for_that_session(stand: Stand) -> None:
    publisher = await holder(stand, scope="publish", session="left")
    other = await stand.http.post(
        "/whip?name=right", content=CHROMIUM_OFFER, headers={**SDP, **publisher}
    )
    assert other.status_code == 403 and "is for session 'left'" in other.json()["error"]
    dressed = await stand.http.post(
        "/whip?identity=coral", content=CHROMIUM_OFFER, headers={**SDP, **publisher}
    )
    assert dressed.status_code == 403 and "chooses no identity" in dressed.json()["error"]
    own = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers={**SDP, **publisher})
    assert own.status_code == 201
    session = stand.daemon.sessions.find("left")
    assert session is not None and session.identity_id == "juniper"
    viewer = await holder(stand, scope="view", session="left")
    for path, status in (("/whep/right", 403), ("/whep/latest", 403), ("/whep/left", 201)):
        response = await stand.http.post(path, content=CHROMIUM_OFFER, headers={**SDP, **viewer})
        assert response.status_code == status, path
    latest = await stand.http.post("/whep", content=CHROMIUM_OFFER, headers={**SDP, **viewer})
    assert latest.headers["Location"].startswith("/whep/left/")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/status", 200),
        ("PATCH", "/whip/x", 404),
        ("DELETE", "/whip/x", 404),
        ("GET", "/api/identities", 403),
        ("GET", "/api/identities/juniper/portrait", 403),
        ("POST", "/api/identities", 403),
        ("POST", "/api/verify", 403),
        ("GET", "/api/verify/x", 403),
        ("DELETE", "/api/verify/x", 403),
        ("GET", "/api/sessions", 403),
        ("POST", "/api/sessions/left/commands", 403),
        ("POST", "/api/phone/exchange", 403),
        ("POST", "/whep/left", 403),
        ("GET", "/whipper", 403),
    ],
)
async def test_a_publisher_of_one_session_does_nothing_else(
    stand: Stand, method: str, path: str, status: int
) -> None:
    publisher = await holder(stand, scope="publish", session="left")
    answer = await stand.http.request(method, path, headers=publisher)
    assert answer.status_code == status
    assert all("\n" not in text for text in answer.json().values() if isinstance(text, str))


async def test_a_publisher_of_one_session_directs_nothing(stand: Stand) -> None:
    publisher = await holder(stand, scope="publish", session="left")
    async with httpx.AsyncClient(
        transport=stand.http._transport, base_url=stand.http.base_url, headers=publisher
    ) as phone:
        performer = Performer(phone, Camera())
        await performer.connect()
        for message in (
            {"type": "identity", "id": "coral"},
            {"type": "controls", "values": {"background": "camera"}},
            {"type": "calibrate"},
        ):
            performer.say(**message)
        await until(lambda: len(performer.heard("error")) == 3)
        assert "the owner's page directs it" in performer.heard("error")[0]["message"]
        performer.say(type="ping", t=1)
        await until(lambda: bool(performer.heard("pong")))
        session = stand.daemon.sessions.find("left")
        assert session is not None and session.identity_id == "juniper"
        assert session._live.controls.background == "identity"
        told = {"type": "identity", "id": "coral"}
        await stand.http.post("/api/sessions/left/commands", json=told)
        await until(lambda: session.identity_id == "coral")
        await phone.delete(performer.location)
        await performer.close()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"scope": "king"}, "'publish', 'view' or 'admin'"),
        ({"session": "a b"}, "a b"),
        ({"lifetime_s": 1}, "greater than or equal to 60"),
        ({"lifetime": 1}, "lifetime"),
        ({"lifetime_s": "soon"}, "soon"),
    ],
)
async def test_a_wrong_wish_is_refused_in_one_line(
    stand: Stand, wish: dict[str, Any], said: str
) -> None:
    response = await stand.http.post("/api/tokens", json=wish)
    assert response.status_code == 400
    assert said in response.json()["error"] and "\n" not in response.json()["error"]


async def test_a_session_name_is_checked(stand: Stand) -> None:
    for name in ("a/b", "latest", "", "x" * 41, "é"):
        response = await stand.http.post(
            "/whip", params={"name": name}, content=CHROMIUM_OFFER, headers=SDP
        )
        assert response.status_code == 400 and "1 to 40 letters" in response.json()["error"]


async def test_openapi_says_which_scope_opens_what(stand: Stand) -> None:
    schema = (await stand.http.get("/api/openapi.json")).json()
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    paths = schema["paths"]
    assert paths["/whip"]["post"]["security"] == [{"token": ["publish", "admin"]}]
    assert paths["/whep/{session}"]["post"]["security"] == [{"token": ["view", "admin"]}]
    assert paths["/api/tokens"]["post"]["security"] == [{"token": ["admin"]}]
    assert "security" not in paths["/healthz"]["get"]
    assert "application/sdp" in paths["/whep"]["post"]["requestBody"]["content"]


async def test_the_view_page_is_served_for_any_session_without_a_token(stand: Stand) -> None:
    for path in ("/view/", "/view/left"):
        page = await stand.http.get(path, headers={"Authorization": ""})
        assert page.status_code == 200 and "view.js" in page.text
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert (await stand.http.get("/view")).headers["Location"] == "/view/"


async def test_configured_origins_may_publish_and_watch_and_nothing_else() -> None:
    servers = ("stun:stun.example.org:3478",)
    config = config_with(server={"cors_origins": (STUDIO,)}, rtc={"ice_servers": servers})
    async with standing(config) as stand:
        origin = {"Origin": STUDIO}
        for path in ("/whip", "/whip/x", "/whep", "/whep/left", "/whep/left/x"):
            asked = {**origin, "Authorization": "", "Access-Control-Request-Method": "PATCH"}
            preflight = await stand.http.options(path, headers=asked)
            assert preflight.status_code == 204, path
            assert preflight.headers["Access-Control-Allow-Origin"] == STUDIO
            assert "If-Match" in preflight.headers["Access-Control-Allow-Headers"]
            assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
            assert "Link" not in preflight.headers, "TURN servers are for those with a token"
        posted = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers={**SDP, **origin})
        assert posted.status_code == 201
        assert posted.headers["Access-Control-Allow-Origin"] == STUDIO
        assert "Location" in posted.headers["Access-Control-Expose-Headers"]
        assert posted.headers["Link"] == f'<{servers[0]}>; rel="ice-server"'
        assert (await stand.http.options("/whip")).headers["Link"] == posted.headers["Link"]
        refused = await stand.http.post("/api/tokens", json={}, headers=origin)
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
        for foreign in (
            "https://evil.example",
            f"{STUDIO}.evil.example",
            "null",
            "http://studio.example",
        ):
            asked = {"Origin": foreign, "Authorization": ""}
            preflight = await stand.http.options("/whip", headers=asked)
            assert "Access-Control-Allow-Origin" not in preflight.headers
            posted = await stand.http.post("/whip", headers={**SDP, "Origin": foreign})
            assert posted.status_code == 403


@pytest.mark.parametrize(
    "origin", ["*", "studio.example", "https://studio.example/", "null", "ftp://x"]
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    from realtime.config import load
    from realtime.errors import ConfigError

    with pytest.raises(ConfigError, match="is no origin: write https://HOST"):
        load(None, {"server": {"cors_origins": [origin]}})
