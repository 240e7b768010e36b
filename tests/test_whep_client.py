"""A viewer beside the daemon, against a WHEP resource of the test's own."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime import whep_client
from realtime.client import Absent, Address, Unanswered
from realtime.config import Rtc
from tests.helpers import TOKEN, Camera, until
from tests.pictures import luma_of, read_number


class Whep:
    """Answers one offer with a camera's pictures."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.calls: list[tuple[str, str, str | None]] = []
        self.camera = Camera()
        self.status = 201
        self.answer_with: str | None = None
        self.sessions = '[{"session": "abc123", "name": "stage"}]'

    async def answer(self, offer: str) -> str:
        if self.answer_with is not None:
            return self.answer_with
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        self.peer.addTrack(self.camera)
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

            def do_GET(self) -> None:
                double.calls.append(("GET", self.path, None))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(double.sessions.encode())

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


def visiting(address: Address, session: str, show: whep_client.Show) -> Awaitable[str]:
    return whep_client.visitor(Rtc(), address, session)(show)


async def test_pictures_come_until_the_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whep_client, "SILENT_S", 1.0)
    double, seen = Whep(asyncio.get_running_loop()), list[av.VideoFrame]()
    with double.listening() as address:
        visit = asyncio.ensure_future(visiting(address, "one", seen.append))
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
        await visiting(address, "", lambda frame: None)
    assert double.calls == [("POST", "/whep", "application/sdp")]


async def test_the_last_picture_does_not_wait_for_another() -> None:
    """Upstream would keep it until the next one begins: one picture late, always."""
    double, numbers = Whep(asyncio.get_running_loop()), list[int]()

    def show(frame: av.VideoFrame) -> None:
        numbers.append(read_number(luma_of(frame)))

    with double.listening() as address:
        visit = asyncio.ensure_future(visiting(address, "one", show))
        await until(lambda: len(numbers) > 5)
        double.camera.running.clear()
        await asyncio.sleep(0.1)  # what it was about to send
        await until(lambda: numbers[-1] == len(double.camera.sent_s) - 1, timeout_s=2)
        visit.cancel()
        await asyncio.wait([visit])
        await double.peer.close()


async def test_a_session_that_is_not_there_is_told_with_those_that_are() -> None:
    double = Whep(asyncio.get_running_loop())
    double.status = 404
    said = r"^no session 'other' runs now; there are: abc123 \(stage\)$"
    with double.listening() as address:
        with pytest.raises(Absent, match=said):
            await visiting(address, "other", lambda frame: None)
        with pytest.raises(Absent, match="^there is no session$"):
            await visiting(address, "", lambda frame: None)


async def test_an_answer_that_is_no_sdp_is_told() -> None:
    double = Whep(asyncio.get_running_loop())
    double.answer_with = "hello"
    with double.listening() as address, pytest.raises(Unanswered, match="no usable SDP"):
        await visiting(address, "", lambda frame: None)
