"""TURN: credentials from the settings to aiortc, to pages and into Link, and to nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aioice import stun, turn
from aiortc.rtcicetransport import connection_kwargs
from pydantic import SecretStr
from typer.testing import CliRunner

from realtime.cli import app
from realtime.config import REVEALED, Config, load
from realtime.config_file import as_toml
from realtime.errors import ConfigError
from realtime.ice_servers import GOOD_FOR_S, IceServer, ice_servers
from realtime.rtc import peer_configuration
from realtime.worker_talk import Start
from tests.helpers import config_with, standing

URL = "turn:turn.example.org:3478?transport=udp"
PASSWORD = 'p"w\\9,;'
NAMED = {"ice_servers": ["stun:stun.example.org", URL], "turn_username": "me"}
SDP = {"Content-Type": "application/sdp"}
CHROMIUM_OFFER = (Path(__file__).parent / "data" / "chromium_offer.sdp").read_text()
REALM = "tests"


class TurnServer(asyncio.DatagramProtocol):
    """RFC 8656 as far as an allocation goes: who does not know the password gets none."""

    def __init__(self, username: str, password: str) -> None:
        self.username, self.allocated = username, 0
        self._key = turn.make_integrity_key(username, REALM, password)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport  # uvloop's is no asyncio.DatagramTransport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = stun.parse_message(data)
        known = asked.attributes.get("USERNAME") == self.username
        if not (known and asked.check_message_integrity(self._key)):
            refusal = stun.Message(asked.message_method, stun.Class.ERROR, asked.transaction_id)
            refusal.attributes["ERROR-CODE"] = (401, "Unauthorized")
            refusal.attributes["REALM"], refusal.attributes["NONCE"] = REALM, b"nonce"
            self._transport.sendto(bytes(refusal), addr)
            return
        reply = stun.Message(asked.message_method, stun.Class.RESPONSE, asked.transaction_id)
        reply.attributes["LIFETIME"] = 600
        if asked.message_method == stun.Method.ALLOCATE:
            self.allocated += 1
            reply.attributes["XOR-RELAYED-ADDRESS"] = ("192.0.2.15", 50_000)
            reply.attributes["XOR-MAPPED-ADDRESS"] = addr
        reply.add_message_integrity(self._key)
        self._transport.sendto(bytes(reply), addr)


@pytest_asyncio.fixture
async def turn_server() -> AsyncIterator[TurnServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: TurnServer("me", PASSWORD), local_addr=("127.0.0.1", 0)
    )
    yield server
    transport.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ice_servers": [URL]}, "turn: needs rtc.turn_username and rtc.turn_credential"),
        (NAMED, "turn: needs rtc.turn_username and rtc.turn_credential"),
        ({"ice_servers": ["TURNS:x"], "turn_credential": PASSWORD}, "or rtc.turn_secret"),
        ({"turn_credential": PASSWORD, "turn_secret": "s"}, "keep one of the two"),
        ({"turn_secret": f"{PASSWORD} x"}, "must be printable ASCII without spaces"),
        ({"turn_username": "a:b"}, "turn_username = 'a:b'"),
    ],
)
def test_turn_without_what_opens_it_does_not_start(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, {"rtc": settings})
    text = str(refused.value)
    assert said in text and "\n" not in text and PASSWORD not in text


def test_a_static_user_goes_to_aiortc_pages_and_link() -> None:
    config = load(None, {"rtc": {**NAMED, "turn_credential": PASSWORD}})
    found = connection_kwargs(peer_configuration(config.rtc).iceServers or [])
    assert (found["turn_username"], found["turn_password"]) == ("me", PASSWORD)
    assert found["stun_server"] == ("stun.example.org", 3478)
    stun_server, relay = ice_servers(config.rtc)
    assert stun_server.as_json() == {"urls": "stun:stun.example.org"}
    assert relay.as_json() == {"urls": URL, "username": "me", "credential": PASSWORD}
    assert relay.as_link() == (
        f'<{URL}>; rel="ice-server"; username="me"; credential="p\\"w\\\\9,;"; '
        'credential-type="password"'
    )
    assert PASSWORD not in repr(relay)


def test_of_a_shared_secret_names_are_made_that_are_good_for_a_day() -> None:
    config = load(None, {"rtc": {**NAMED, "turn_secret": "north"}})
    _, relay = ice_servers(config.rtc, now_s=1000.5)
    assert relay.username == f"{1000 + GOOD_FOR_S}:me"
    digest = hmac.new(b"north", relay.username.encode(), hashlib.sha1).digest()
    assert relay.credential == base64.b64encode(digest).decode()
    unnamed = load(None, {"rtc": {"ice_servers": [URL], "turn_secret": "north"}})
    assert (ice_servers(unnamed.rtc, 0)[0].username or "").endswith(":reenactd")


def test_no_secret_is_shown_and_workers_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "r.toml"
    file.write_text(f"[rtc]\nice_servers = ['{URL}']\nturn_secret = 'north-wind'\n")
    config = load(file, {})
    shown = CliRunner().invoke(app, ["config", "show", "--config", str(file)]).output
    assert "rtc.turn_secret" in shown and "********" in shown
    as_file = as_toml(config, lambda *name: True)
    assert "#turn_secret =\n" in as_file and "it is set, and not shown" in as_file
    for text in (shown, as_file, repr(config), str(config.model_dump(mode="json"))):
        assert "north" not in text
    settings = config.model_dump(mode="json", context=REVEALED)
    start = Start(1, tmp_path / "s", "x", "y", settings)
    assert Start.read(start.line()).settings.rtc == config.rtc


async def test_who_has_a_token_is_told_and_nobody_else() -> None:
    relay = {"ice_servers": (URL,), "turn_username": "me", "turn_credential": SecretStr("pw")}
    async with standing(config_with(rtc=relay)) as stand:
        told = IceServer(URL, "me", "pw")
        status = (await stand.http.get("/api/status")).json()
        assert status["ice_servers"] == [told.as_json()]
        link = (await stand.http.options("/whep")).headers["Link"]
        assert link == told.as_link()
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
            assert "Link" not in (await stand.http.options("/whip", headers=headers)).headers


async def test_a_relay_is_had_with_the_right_password(turn_server: TurnServer) -> None:
    answer = await answered(turn_server.port, PASSWORD)
    assert "192.0.2.15 50000 typ relay" in answer and turn_server.allocated == 1


async def test_a_wrong_password_is_logged_and_the_session_goes_without(
    turn_server: TurnServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await answered(turn_server.port, "wrong-one")
    assert "typ relay" not in answer and turn_server.allocated == 0
    assert f"no relay is had from turn:127.0.0.1:{turn_server.port}" in caplog.text
    assert "wrong-one" not in caplog.text


async def answered(port: int, password: str) -> str:
    relay = {
        "ice_servers": (f"turn:127.0.0.1:{port}",),
        "turn_username": "me",
        "turn_credential": SecretStr(password),
    }
    async with standing(config_with(rtc=relay)) as stand:
        answer = await stand.http.post("/whip", content=CHROMIUM_OFFER, headers=SDP)
        assert answer.status_code == 201
        return answer.text


def test_the_defaults_name_nobody() -> None:
    assert ice_servers(Config().rtc) == []
