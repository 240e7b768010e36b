"""A viewer beside the daemon, against a WHEP resource of the test's own."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime import whep_client
from realtime.client import Address, Unanswered
from tests.helpers import TOKEN, Camera, until


class Whep:
    """Answers one offer with a camera's pictures."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.calls: list[tuple[str, str, str | None]] = []
        self.status = 201
        self.answer_with: str | None = None

    async def answer(self, offer: str) -> str:
        if self.answer_with is not None:
            return self.answer_with
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self.peer.addTrack(Camera())
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return str(self.peer.localDescription.sdp)

    @contextmanager
    def listening(self) -> Iterator[Address]:
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
                double.calls.append(("POST", self.path, self.headers["Content-Type"]))
                self.send_response(double.status)
                answer = '{"error": "there is no session"}'
                if double.status == 201:
                    done = asyncio.run_coroutine_threadsafe(double.answer(offer), double._loop)
                    answer = done.result(10)
                    self.send_header("Location", "/whep/one/two")
                self.end_headers()
                self.wfile.write(answer.encode())

            def do_DELETE(self) -> None:
                double.calls.append(("DELETE", self.path, None))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Address(f"http://127.0.0.1:{server.server_address[1]}", TOKEN)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


async def test_pictures_come_until_the_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whep_client, "SILENT_S", 1.0)
    double, seen = Whep(asyncio.get_running_loop()), list[av.VideoFrame]()
    with double.listening() as address:
        visit = asyncio.create_task(whep_client.watch(address, "one", seen.append))
        await until(lambda: len(seen) > 5)
        await double.peer.close()
        why = await asyncio.wait_for(visit, 20)
    assert why in ("the session ended", "no picture came for 1 s")
    assert (seen[-1].width, seen[-1].height) == (320, 240)
    assert double.calls == [
        ("POST", "/whep/one", "application/sdp"),
        ("DELETE", "/whep/one/two", None),
    ]


async def test_a_refusal_is_told_as_the_daemon_says_it() -> None:
    double = Whep(asyncio.get_running_loop())
    double.status = 409
    with double.listening() as address, pytest.raises(Unanswered, match="there is no session"):
        await whep_client.watch(address, "", lambda frame: None)
    assert double.calls == [("POST", "/whep", "application/sdp")]


async def test_an_answer_that_is_no_sdp_is_told() -> None:
    double = Whep(asyncio.get_running_loop())
    double.answer_with = "hello"
    with double.listening() as address, pytest.raises(Unanswered, match="no usable SDP"):
        await whep_client.watch(address, "", lambda frame: None)
