"""A phone as the camera: codes that are good once, and what is said where no phone can come."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from realtime import cli, phone, tls
from realtime.config import Server, load
from realtime.tokens import CODE_LIFETIME_S, MAX_CODES, TokenRefused, Tokens
from tests.helpers import TOKEN, Stand, config_with, standing
from tests.test_tickets import CHROMIUM_OFFER, SDP

HERE = "192.168.1.20"


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's addresses, whatever they are."""
    monkeypatch.setattr(phone, "own_addresses", lambda: [HERE, "10.0.0.5", "fd00::2"])


def served_with_tls(folder: Path, *hosts: str, **changes: Any) -> Server:
    tls.init(hosts or (HERE, "studio.example"), folder)
    settings = {
        "host": "0.0.0.0",
        "tls_cert": folder / "cert.pem",
        "tls_key": folder / "key.pem",
        "allowed_hosts": ("127.0.0.1", "localhost", *(hosts or (HERE, "studio.example"))),
        "min_fps": 0,
    }
    return Server(**{**settings, **changes})


@pytest_asyncio.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    config = config_with(server=served_with_tls(tmp_path).model_dump())
    async with standing(config) as running:
        yield running


async def code(stand: Stand) -> dict[str, str]:
    """A fresh invitation, and the headers of who scanned it."""
    made = await stand.http.post("/api/phone", json={"host": HERE})
    assert made.status_code == 201, made.text
    invitation: dict[str, str] = made.json()
    bearer = invitation["url"].partition("#once=")[2]
    return {**invitation, "Authorization": f"Bearer {bearer}"}


def bearing(invitation: dict[str, str]) -> dict[str, str]:
    return {"Authorization": invitation["Authorization"]}


async def exchange(stand: Stand, invitation: dict[str, str]) -> Any:
    return await stand.http.post("/api/phone/exchange", headers=bearing(invitation))


async def test_a_code_is_exchanged_once_for_one_session(stand: Stand) -> None:
    invitation = await code(stand)
    assert invitation["url"].startswith(f"https://{HERE}:8700/phone#once=")
    assert invitation["qr"].startswith("<svg")
    first, second = await exchange(stand, invitation), await exchange(stand, invitation)
    assert (first.status_code, second.status_code) == (201, 401)
    assert "used already" in second.json()["error"]
    given = first.json()
    assert (given["scope"], given["session"]) == ("publish", invitation["session"])
    bearer = {"Authorization": f"Bearer {given['token']}"}
    assert (await stand.http.get("/api/status", headers=bearer)).status_code == 200
    other = await stand.http.post(
        "/whip?name=other", content=CHROMIUM_OFFER, headers={**SDP, **bearer}
    )
    assert other.status_code == 403
    own = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers={**SDP, **bearer})
    assert own.status_code == 201
    assert stand.daemon.sessions.find(invitation["session"]) is not None
    for path in ("/api/phone", "/api/tokens", f"/whep/{invitation['session']}", "/api/verify"):
        assert (await stand.http.post(path, headers=bearer)).status_code == 403, path
    for path in ("/api/identities", "/api/identities/juniper/portrait", "/api/verify/x"):
        refused = await stand.http.get(path, headers=bearer)
        assert refused.status_code == 403, path
        said = refused.json()["error"]
        assert f"publishes session {invitation['session']} and does nothing else" in said


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/whip"),
        ("POST", "/whep"),
        ("GET", "/api/status"),
        ("GET", "/api/identities"),
        ("POST", "/api/tokens"),
        ("POST", "/api/phone"),
        ("GET", "/metrics"),
    ],
)
async def test_a_code_opens_nothing_else_and_outlives_the_attempt(
    stand: Stand, method: str, path: str
) -> None:
    invitation = await code(stand)
    refused = await stand.http.request(method, path, headers=bearing(invitation))
    assert refused.status_code == 403 and "scope exchange" in refused.json()["error"]
    assert (await exchange(stand, invitation)).status_code == 201


async def test_only_a_code_is_exchanged(stand: Stand) -> None:
    assert (await stand.http.post("/api/phone/exchange")).status_code == 403, "the own token"
    view, _ = stand.tokens.make("view", None, 60)
    for bearer, status in ((view, 403), ("once.", 401), ("once.guess", 401), ("", 401)):
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await stand.http.post("/api/phone/exchange", headers=headers)
        assert answer.status_code == status, bearer
        assert "\n" not in answer.json()["error"]


async def test_guesses_are_answered_slowly(stand: Stand) -> None:
    began_s = time.monotonic()
    for guess in range(3):
        await stand.http.get("/api/status", headers={"Authorization": f"Bearer once.{guess}"})
    assert time.monotonic() - began_s > 0.25


def test_codes_end_by_time_by_number_and_with_the_token() -> None:
    now = [1000.0]
    made = Tokens(TOKEN, lambda: now[0])
    old = made.make_code()
    assert made.read(old.text).session == old.session
    now[0] += CODE_LIFETIME_S
    with pytest.raises(TokenRefused, match="its time is over"):
        made.read(old.text)
    with pytest.raises(TokenRefused):
        made.exchange(old.session)
    codes = [made.make_code() for _ in range(MAX_CODES + 1)]
    assert len({one.session for one in codes}) == len(codes)
    with pytest.raises(TokenRefused):
        made.read(codes[0].text)
    made.read(codes[1].text)
    assert not made.renew(TOKEN)
    made.read(codes[1].text)
    assert made.renew(TOKEN[::-1])
    with pytest.raises(TokenRefused):
        made.read(codes[1].text)
    assert made.own == TOKEN[::-1]


def test_every_code_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Tokens(TOKEN)
    codes = [made.make_code() for _ in range(3)]
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("realtime.tokens.hmac.compare_digest", compare)
    made.read(codes[0].text)
    assert compared[1:] == [code.text.encode() for code in codes], "the match ends nothing early"


async def test_the_address_must_be_one_that_works(stand: Stand) -> None:
    ways = (await stand.http.get("/api/phone")).json()
    assert ways["hosts"] == [HERE, "studio.example"] and ways["problem"] is None
    assert len(ways["fingerprint"].split(":")) == 32 and ways["commands"] == []
    wrong = await stand.http.post("/api/phone", json={"host": "evil.example"})
    assert wrong.status_code == 400
    assert wrong.json()["error"] == f"host 'evil.example': must be one of {HERE}, studio.example"
    named = await stand.http.post("/api/phone", json={"host": "studio.example"})
    assert named.json()["url"].startswith("https://studio.example:8700/phone#once=once.")


async def test_without_tls_no_code_is_made() -> None:
    async with standing() as stand:
        ways = (await stand.http.get("/api/phone")).json()
        assert (ways["problem"], ways["hosts"]) == ("no-tls", [])
        refused = await stand.http.post("/api/phone", json={"host": HERE})
        assert refused.status_code == 409 and "no-tls" in refused.json()["error"]


def test_the_commands_for_a_daemon_without_tls_work_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a state"))
    for name in [name for name in os.environ if name.startswith("REENACTD_")]:
        monkeypatch.delenv(name)
    make, start = phone.ways_here(Server()).commands
    words = shlex.split(make)
    assert words[0] == "reenactd"
    assert CliRunner().invoke(cli.app, words[1:]).exit_code == 0
    *variables, program, command = shlex.split(start)
    assert (program, command) == ("reenactd", "serve")
    for variable in variables:
        monkeypatch.setenv(*variable.split("=", 1))
    server = load(None, {}).server
    assert tls.check(server) and server.host == "0.0.0.0"
    ways = phone.ways_here(server)
    assert ways.problem is None and ways.hosts == [HERE, "10.0.0.5", "fd00::2"]


@pytest.mark.parametrize(
    ("hosts", "changes", "problem", "said"),
    [
        ((), {"host": "127.0.0.1"}, "loopback", "REENACTD_SERVER__HOST=0.0.0.0 reenactd serve"),
        (("192.168.7.7",), {}, "not-covered", f"reenactd tls init {HERE}"),
        (("*.studio.example",), {}, "not-covered", "reenactd tls init"),
        ((HERE,), {"allowed_hosts": ("localhost",)}, "not-covered", "REENACTD_SERVER__ALLOWED"),
        ((HERE,), {"host": "10.0.0.5"}, "not-covered", "reenactd tls init"),
    ],
)
def test_what_is_in_the_way_is_said_with_what_to_type(
    tmp_path: Path, hosts: tuple[str, ...], changes: dict[str, Any], problem: str, said: str
) -> None:
    ways = phone.ways_here(served_with_tls(tmp_path, *hosts, **changes))
    assert (ways.problem, ways.hosts) == (problem, [])
    assert any(said in command for command in ways.commands)


def test_a_machine_in_no_network_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "own_addresses", list)
    assert phone.ways_here(Server()).problem == "no-network"


async def test_the_phones_page_needs_no_token_and_keeps_the_policy(stand: Stand) -> None:
    page = await stand.http.get("/phone", headers={"Authorization": ""})
    assert page.status_code == 200 and "phone.js" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "camera=(self), microphone=(self)" in page.headers["Permissions-Policy"]
