"""The HTTP surface: WHIP by RFC 9725, the API, and everything that is refused and how."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from realtime import __version__
from realtime.errors import StartupError
from realtime.loops import choose_loop
from realtime.server import run
from tests.helpers import FakeStudio, Stand, config_with, standing, until
from tests.running import Running

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
CHROMIUM_OFFER = (Path(__file__).parent / "data" / "chromium_offer.sdp").read_text()

PORTRAIT = Path(__file__).parent / "helpers.py"


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


async def test_a_chromium_offer_is_answered_as_whip_asks(stand: Stand) -> None:
    response = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers=SDP)
    assert response.status_code == 201
    assert response.headers["Content-Type"].startswith("application/sdp")
    assert response.headers["Location"].startswith("/whip/")
    assert response.headers["ETag"]
    assert response.text.startswith("v=0")
    assert "playout-delay" in response.text
    assert len(response.headers["Location"]) > 30, "not to be guessed"


async def test_options_say_what_can_be_posted_without_a_token_and_without_cors(
    stand: Stand,
) -> None:
    response = await stand.http.options("/whip", headers={"Authorization": ""})
    assert response.status_code == 204
    assert response.headers["Accept-Post"] == "application/sdp"
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_trickle_by_patch(stand: Stand) -> None:
    created = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers=SDP)
    session, etag = created.headers["Location"], created.headers["ETag"]
    body = (
        "a=mid:0\r\na=candidate:1 1 udp 2122260223 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n"
    )
    good = {**FRAGMENT, "If-Match": etag}
    assert (await stand.http.patch(session, content=body, headers=good)).status_code == 204
    stale = {**FRAGMENT, "If-Match": '"stale"'}
    assert (await stand.http.patch(session, content=body, headers=stale)).status_code == 412
    assert (await stand.http.patch(session, content=body, headers=SDP)).status_code == 415
    bad = await stand.http.patch(session, content="a=candidate:x", headers=good)
    assert bad.status_code == 400 and "'x'" in bad.json()["error"]
    large = await stand.http.patch(session, content="a" * 20_000, headers=good)
    assert large.status_code == 413
    restart = f"a=ice-ufrag:8hhY\r\na=ice-pwd:{'p' * 22}\r\n{body}"
    for condition in ({"If-Match": "*"}, {"If-Match": etag}, {}):
        refused = await stand.http.patch(session, content=restart, headers=FRAGMENT | condition)
        assert refused.status_code == 422, "RFC 9725 section 4.3.1: candidates, but no restarts"
        assert "ice-ufrag '8hhY' is not the offer's" in refused.json()["error"]
    own = f"a=ice-ufrag:PAeF\r\n{body}"
    same = await stand.http.patch(session, content=own, headers={**FRAGMENT, "If-Match": "*"})
    assert same.status_code == 204
    lost = await stand.http.patch("/whip/none", content=body, headers=good)
    assert lost.status_code == 404


@pytest.mark.parametrize(
    ("content", "headers", "status", "text"),
    [
        ("", SDP, 400, "does not begin with v=0"),
        ("v=0\r\n", SDP, 400, "0 video m-lines"),
        (b"\xff\xfe", SDP, 400, "not UTF-8"),
        ("v=0" + " " * 70_000, SDP, 413, "larger than 65536"),
        ("v=0", {"Content-Type": "application/json"}, 415, "must be application/sdp"),
        ("v=0", {}, 415, "must be application/sdp"),
    ],
)
async def test_bad_bodies(
    stand: Stand, content: Any, headers: dict[str, str], status: int, text: str
) -> None:
    response = await stand.http.post("/whip", content=content, headers=headers)
    assert response.status_code == status
    assert text in response.json()["error"]


async def test_an_unknown_identity_is_refused(stand: Stand) -> None:
    response = await stand.http.post(
        "/whip", params={"identity": "../../etc"}, content=CHROMIUM_OFFER, headers=SDP
    )
    assert response.status_code == 400 and "no identity" in response.json()["error"]
    assert len(stand.daemon.sessions) == 0


async def test_one_session_too_many_is_told_to_come_again(stand: Stand) -> None:
    posts = [stand.http.post("/whip", content=CHROMIUM_OFFER, headers=SDP) for _ in range(5)]
    responses = await asyncio.gather(*posts)
    assert sorted(response.status_code for response in responses) == [201, 201, 503, 503, 503]
    refused = next(response for response in responses if response.status_code == 503)
    assert "2 of 2 sessions" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) > 0


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic x", "Bearer \xe9"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/whip"),
        ("PATCH", "/whip/x"),
        ("DELETE", "/whip/x"),
        ("GET", "/api/status"),
        ("GET", "/api/identities"),
        ("GET", "/api/identities/juniper/portrait"),
        ("GET", "/api/openapi.json"),
        ("GET", "/api/whatever/comes"),
        ("GET", "/%61pi/status"),
    ],
)
async def test_no_call_without_the_token(stand: Stand, method: str, path: str, header: str) -> None:
    headers = [(b"Authorization", header.encode("latin-1"))]
    response = await stand.http.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "token" in response.json()["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8700", 200),
        ("127.0.0.1", 200),
        ("[::1]:8700", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8700", 421),
        ("192.168.0.7:8700", 421),
        ("", 421),
    ],
)
async def test_only_known_hosts_are_answered(stand: Stand, host: str, status: int) -> None:
    for path in ("/api/status", "/healthz", "/"):
        response = await stand.http.get(path, headers={"Host": host})
        assert response.status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8700", 404),
        ("http://127.0.0.1:1234", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_other_origins_change_nothing(stand: Stand, origin: str, status: int) -> None:
    response = await stand.http.delete("/whip/none", headers={"Origin": origin})
    assert response.status_code == status
    assert (await stand.http.get("/api/status", headers={"Origin": origin})).status_code == 200


async def test_every_answer_carries_the_page_rules(stand: Stand) -> None:
    answers = [
        await stand.http.get("/"),
        await stand.http.get("/api/status"),
        await stand.http.get("/nowhere"),
        await stand.http.get("/", headers={"Host": "evil.example"}),
        await stand.http.post("/whip", content="x", headers=SDP),
    ]
    for response in answers:
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in response.headers
    assert [response.headers["Cache-Control"] for response in answers[:2]] == [
        "no-cache",
        "no-store",
    ]


async def test_the_page_is_served_and_nothing_beside_it(stand: Stand) -> None:
    page = await stand.http.get("/", headers={"Authorization": ""})
    assert page.status_code == 200 and "reenactd" in page.text
    for path in ("/../pyproject.toml", "/%2e%2e/pyproject.toml", "/..%2fpyproject.toml"):
        assert (await stand.http.get(path)).status_code == 404


async def test_the_api_tells_what_the_page_needs(stand: Stand) -> None:
    await until(lambda: stand.daemon.ready)
    status = (await stand.http.get("/api/status")).json()
    assert status.pop("next_session_fps") is None, "nothing is known of the cost yet"
    assert status == {
        "version": __version__,
        "engine": "fake network: for tests",
        "loop": "test loop",
        "canvas": {"width": 640, "height": 480},
        "sessions": 0,
        "max_sessions": 2,
        "default_identity": "juniper",
        "driver": "camera",
        "ice_servers": [],
    }
    identities = (await stand.http.get("/api/identities")).json()
    assert identities[0] == {
        "id": "juniper",
        "name": "Juniper",
        "kind": "fictional",
        "statement": "shows no real person",
        "proof": "attested",
        "portrait": "/api/identities/juniper/portrait",
        "ready": True,
    }
    portrait = await stand.http.get(identities[0]["portrait"])
    assert portrait.headers["Content-Type"] == "image/png"
    assert portrait.content == PORTRAIT.read_bytes()
    assert (await stand.http.get("/api/identities/nobody/portrait")).status_code == 404
    assert (await stand.http.get("/healthz", headers={"Authorization": ""})).json() == {
        "status": "ok"
    }


async def test_an_ice_server_is_named_to_the_client() -> None:
    url = "stun:stun.example.org:3478"
    async with standing(config_with(rtc={"ice_servers": (url,)})) as stand:
        assert (await stand.http.get("/api/status")).json()["ice_servers"] == [{"urls": url}]


async def test_errors_are_json_everywhere(stand: Stand) -> None:
    for response in (
        await stand.http.get("/nowhere"),
        await stand.http.put("/whip"),
        await stand.http.get("/whip/none"),
    ):
        assert response.status_code in (404, 405)
        assert set(response.json()) == {"error"}


async def test_a_bug_is_a_short_500(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(stand.studio, "list_identities", broken)
    response = await stand.http.get("/api/identities")
    assert response.status_code == 500
    assert response.json() == {"error": "internal error; the log has the rest"}


async def test_a_render_thread_that_cannot_go_on_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand.daemon.services.render, "ensure", lambda: "the cpu-0 thread died")
    await until(lambda: stand.daemon.sessions.sick is not None)
    health = await stand.http.get("/healthz")
    assert (health.status_code, health.json()) == (503, {"status": "sick"}), "no more is told"
    assert (await stand.http.get("/readyz")).json() == {"status": "sick"}
    refused = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers=SDP)
    assert refused.status_code == 503 and "restart the daemon" in refused.json()["error"]


def test_the_loop_is_chosen_with_a_reason() -> None:
    assert str(choose_loop("auto")) == "uvloop (auto: uvloop is installed)"
    assert str(choose_loop("asyncio")) == "asyncio (server.loop = asyncio)"
    assert str(choose_loop("uvloop")) == "uvloop (server.loop = uvloop)"


def test_a_loop_that_is_missing_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    assert str(choose_loop("auto")) == "asyncio (auto: uvloop is not installed)"
    with pytest.raises(StartupError, match="pip install uvloop"):
        choose_loop("uvloop")


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("0.0.0.0", "without TLS only loopback"),
        ("192.0.2.55", "without TLS only loopback"),
        ("nowhere.example", "without TLS only loopback"),
        ("127.0.0.1", "stop the reenactd that runs already"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(host: str, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = config_with(server={"host": host, "port": taken.getsockname()[1]})
        with pytest.raises(StartupError, match=text) as caught:
            run(config, lambda line: None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_started_daemon_listens_says_where_and_stops(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    running = Running(monkeypatch, FakeStudio(), config_with(server={"port": 0, "loop": loop}))
    try:
        await running.listening()
        assert running.lines[0] == f"event loop: {loop} (server.loop = {loop})"
        url, _, token = running.url.partition("/#token=")
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as http:
            status = (await http.get("/api/status")).json()
            assert status["loop"] == f"{loop} (server.loop = {loop})"
            response = await http.post("/whip", content=CHROMIUM_OFFER, headers=SDP)
            assert response.status_code == 201
            assert "server" not in response.headers
    finally:
        running.stop()
    assert running.error is None


async def test_networks_that_do_not_load_end_the_process_with_their_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    studio = FakeStudio()

    def broken() -> str:
        raise StartupError("no weights; reinstall")

    monkeypatch.setattr(studio, "load", broken)
    running = Running(monkeypatch, studio, config_with(server={"port": 0}))
    await until(lambda: not running.thread.is_alive())
    running.stop()
    assert str(running.error) == "no weights; reinstall"
