"""Connections that ask nothing do not stay, and those that ask do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import uvicorn
from uvicorn.server import ServerState

from realtime import connections
from realtime.connections import BoundedProtocol
from tests.helpers import FakeStudio, config_with
from tests.running import Running

DEADLINE_S = 0.3
HEADERS = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest_asyncio.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(connections, "HEADERS_WITHIN_S", DEADLINE_S)
    running = Running(monkeypatch, FakeStudio(), config_with(server={"port": 0}))
    await running.listening()
    yield running.url
    running.stop()


async def opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


@pytest.mark.parametrize("sent", [b"", b"G", HEADERS])
async def test_a_connection_without_a_request_is_ended(url: str, sent: bytes) -> None:
    reader, writer = await opened(url)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_one_that_trickles_its_headers_is_ended(url: str) -> None:
    reader, writer = await opened(url)
    ended = asyncio.create_task(reader.read())
    for at in range(200):
        if ended.done():
            break
        writer.write(HEADERS[at : at + 1])
        await asyncio.sleep(DEADLINE_S / 10)
    assert await asyncio.wait_for(ended, 10) == b""
    writer.close()


async def test_the_second_request_has_the_same_deadline(url: str) -> None:
    reader, writer = await opened(url)
    writer.write(HEADERS + b"\r\n")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert answer.startswith(b"HTTP/1.1 200")
    writer.write(b"GET / HT")
    rest = await asyncio.wait_for(reader.read(), 10)
    assert b"HTTP/1.1" not in rest
    writer.close()


async def test_who_asks_is_answered_however_long_the_body_takes(url: str) -> None:
    async def trickled() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x"
            await asyncio.sleep(DEADLINE_S / 2)

    base, _, token = url.partition("/#token=")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    async with httpx.AsyncClient(base_url=base, headers=headers) as client:
        answer = await client.post("/whip", content=trickled())
        assert answer.status_code == 400 and "does not begin with v=0" in answer.json()["error"]
        for _ in range(2):
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.sleep(DEADLINE_S * 1.5)


class Wire(asyncio.Transport):
    """A connection from another machine."""

    def __init__(self, address: str, port: int) -> None:
        peer = (address, port) if address else ""  # a Unix socket's is empty
        super().__init__({"peername": peer, "sockname": ("10.0.0.1", 8700)})
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def protocol() -> BoundedProtocol:
    config = uvicorn.Config(_nothing, log_config=None)
    config.load()
    return BoundedProtocol(config, ServerState(), {})


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never asked."""


@pytest.mark.parametrize(
    ("address", "limited"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("127.0.0.1", False), ("", False)],
)
async def test_one_other_machine_takes_so_many_places(
    monkeypatch: pytest.MonkeyPatch, address: str, limited: bool
) -> None:
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 2)
    monkeypatch.setattr(connections, "MAX_TOLD", 0)
    made = [(protocol(), Wire(address, port)) for port in range(3)]
    for one, wire in made:
        one.connection_made(wire)
    assert [wire.closed for _, wire in made] == [False, False, limited]
    other, elsewhere = protocol(), Wire("192.0.2.9", 1)
    other.connection_made(elsewhere)
    assert not elsewhere.closed
    made[0][0].connection_lost(None)
    made[2][0].connection_lost(None)
    again, wire = protocol(), Wire(address, 9)
    again.connection_made(wire)
    assert not wire.closed, "there is room again"
    for one in (made[1][0], other, again):
        one.connection_lost(None)
    assert not BoundedProtocol._open, "nothing is remembered of who has gone"


async def test_who_has_too_many_is_told_and_what_to_do_about_it(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "is_loopback", lambda address: False)
    monkeypatch.setattr(connections, "MAX_PER_ADDRESS", 1)
    monkeypatch.setattr(connections, "MAX_TOLD", 1)
    monkeypatch.setattr(connections, "HEADERS_WITHIN_S", 30.0)
    monkeypatch.setattr(BoundedProtocol, "_silent_until_s", 0.0)
    (_, first), (told, second) = await opened(url), await opened(url)
    second.write(HEADERS + b"\r\n")
    answer = await asyncio.wait_for(told.read(), 10)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer.lower() and b"connection: close" in answer.lower()
    rule = "127.0.0.1 has 1 connections open, and one address may have no more: close pages"
    assert rule.encode() in answer and b"run a proxy on the daemon's own machine" in answer
    _, third = await opened(url)
    shut, fourth = await opened(url)
    assert await asyncio.wait_for(shut.read(), 10) == b"", "beyond those that are told"
    said = [record for record in caplog.records if "connections refused" in record.message]
    assert len(said) == 1 and rule in said[0].message, "and not once for each"
    for writer in (first, second, third, fourth):
        writer.close()
