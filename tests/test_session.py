"""One performer's session over real WebRTC: controls, stats, events, and every way to end."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import threading
from typing import Any

import av
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime import session as session_module
from realtime.clock import NS_PER_S
from realtime.frames import Controls
from realtime.server import create_app
from realtime.sessions import OVERDUE
from realtime.worker_side import look_at
from tests.helpers import (
    FACE_LUMA,
    TOKEN,
    Camera,
    Performer,
    Stand,
    config_with,
    run_on,
    standing,
    until,
)
from tests.pictures import texture

LOOPS = ("asyncio", "uvloop")
STATS_FIELDS = {
    "type", "state", "reason", "identity", "calibrated", "face", "fps_in", "fps_out",
    "latency_ms", "server_ms", "stages_ms", "drops", "errors", "camera", "mark", "quality",
    "recording", "link", "received", "unrecorded",
}  # fmt: skip


def is_live(performer: Performer) -> bool:
    return bool(performer.seen) and not performer.seen[-1].is_card


def open_peers() -> int:
    gc.collect()
    peers = [item for item in gc.get_objects() if type(item) is RTCPeerConnection]
    return sum(peer.connectionState != "closed" for peer in peers)


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("track-")]


async def performing(stand: Stand, camera: Camera | None = None) -> Performer:
    performer = Performer(stand.http, camera or Camera())
    await performer.connect()
    await until(lambda: is_live(performer))
    return performer


@pytest.mark.parametrize("loop", LOOPS)
def test_a_round_trip_from_offer_to_delete(loop: str) -> None:
    async def main() -> None:
        async with standing() as stand:
            performer = await performing(stand)
            # "calibrated" may come before it, on the channel that opened first
            await until(lambda: bool(performer.heard("hello")))
            hello = performer.heard("hello")[0]
            assert hello["type"] == "hello" and hello["identity"] == "juniper"
            assert Controls(**hello["controls"]) == Controls()
            await until(lambda: "send" in (performer.stat("stages_ms") or {}))
            stats = performer.heard("stats")[-1]
            assert set(stats) == STATS_FIELDS
            assert stats["state"] == "LIVE" and stats["face"] == "ok"
            assert re.fullmatch("[0-9a-f]{8}", stats["mark"])
            assert set(stats["stages_ms"]) == {"ingest", "track", "emit", "send"}
            assert stats["server_ms"]["p50"] > stats["latency_ms"]["p50"]
            assert stats["camera"] == {"width": 320, "height": 240}
            assert stats["latency_ms"]["p95"] >= stats["latency_ms"]["p50"] > 0
            numbers = [seen.number for seen in performer.seen if not seen.is_card]
            assert numbers == sorted(numbers)

            response = await stand.http.delete(performer.location)
            assert response.status_code == 200
            assert len(stand.daemon.sessions) == 0 and worker_threads() == []
            await until(lambda: bool(performer.heard("closed")))
            assert performer.heard("closed")[0]["reason"] == "the client hung up"
            assert (await stand.http.delete(performer.location)).status_code == 404
            await performer.close()
        assert open_peers() == 0

    run_on(loop, main)


async def test_controls_are_validated_and_taken() -> None:
    async with standing() as stand:
        performer = await performing(stand)
        session = next(iter(stand.daemon.sessions._sessions.values()))
        performer.say(type="controls", values={"mouth": 1.5, "background": "blur"})
        await until(lambda: session._live.controls == Controls(mouth=1.5, background="blur"))
        performer.say(type="controls", values={"mouth": 9})
        performer.say(type="controls", values={"nose": 1})
        performer.controls.send(b"\x00")
        performer.controls.send("[" * 3000)
        await until(lambda: len(performer.heard("error")) == 4)
        errors = [message["message"] for message in performer.heard("error")]
        assert "mouth = 9: must be a number from 0 to 2" in errors[0]
        assert "control 'nose' is not known" in errors[1]
        assert session._live.controls == Controls(mouth=1.5, background="blur")
        performer.say(type="ping", t={"any": [1]})
        await until(lambda: performer.heard("pong") == [{"type": "pong", "t": {"any": [1]}}])
        performer.say(type="calibrate")
        await until(lambda: stand.script.calibrations == 1)
        await performer.close()


async def test_identities_switch_in_a_live_session() -> None:
    async with standing() as stand:
        performer = await performing(stand)
        await until(lambda: "coral" in stand.studio.loads)
        performer.say(type="identity", id="coral")
        await until(lambda: abs(performer.seen[-1].luma[60:].mean() - FACE_LUMA["coral"]) < 10)
        assert {"type": "identity", "id": "coral"} in performer.messages
        performer.say(type="identity", id="nobody")
        await until(lambda: bool(performer.heard("error")))
        assert "no identity 'nobody'" in performer.heard("error")[0]["message"]
        await until(lambda: performer.stat("identity") == "coral")
        assert all(not seen.is_card for seen in performer.seen[-10:])
        assert stand.studio.loads == ["juniper", "coral", "nobody"], "each is encoded once"
        await performer.close()


async def test_a_session_begins_with_the_identity_that_its_offer_names() -> None:
    async with standing() as stand:
        performer = Performer(stand.http, Camera())
        await performer.connect(identity="coral")
        await until(lambda: is_live(performer))
        assert abs(performer.seen[-1].luma[60:].mean() - FACE_LUMA["coral"]) < 10
        await performer.close()


async def test_calibration_is_announced() -> None:
    async with standing() as stand:
        performer = await performing(stand)
        await until(lambda: bool(performer.heard("calibrated")))
        assert performer.stat("calibrated") is True
        await performer.close()


@pytest.mark.parametrize("codec", ["h264", "vp8"])
async def test_both_codecs_carry_the_picture(codec: str) -> None:
    async with standing(config_with(rtc={"codec": codec})) as stand:
        performer = await performing(stand)
        assert performer.peer.getTransceivers()[0]._codecs[0].name.lower() == codec
        await performer.close()


async def test_a_browser_that_hangs_up_ends_its_session() -> None:
    async with standing() as stand:
        performer = await performing(stand)
        await performer.close()
        await until(lambda: len(stand.daemon.sessions) == 0)
    assert worker_threads() == []


async def test_a_browser_that_vanishes_ends_its_session() -> None:
    """Nothing arrives any more, as after a crash or a pulled cable; no goodbye either."""
    async with standing(config_with(rtc={"idle_timeout_s": 0.5})) as stand:
        performer = await performing(stand)
        session = next(iter(stand.daemon.sessions._sessions.values()))
        transport = performer.peer.getTransceivers()[0].sender.transport.transport

        async def lose(data: bytes) -> None:
            pass

        transport._send = lose
        await until(lambda: session.phase == "closed")
        await until(lambda: bool(performer.heard("closed")))
        assert "nothing came from the browser for 0.5 s" in performer.heard("closed")[0]["reason"]
        await performer.close()


async def test_a_paused_camera_is_no_reason_to_hang_up() -> None:
    async with standing(config_with(rtc={"idle_timeout_s": 3.0})) as stand:
        camera = Camera()
        performer = await performing(stand, camera)
        camera.running.clear()
        await asyncio.sleep(4)
        assert len(stand.daemon.sessions) == 1
        camera.running.set()
        await until(lambda: is_live(performer))
        await performer.close()


async def abandoned_offer() -> str:
    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    client.addTransceiver(Camera(), direction="sendrecv")
    await client.setLocalDescription(await client.createOffer())
    offer = client.localDescription.sdp
    await client.close()
    return offer


async def test_an_offer_whose_browser_never_connects_is_given_up() -> None:
    async with standing(config_with(rtc={"connect_timeout_s": 0.5})) as stand:
        offer = await abandoned_offer()
        response = await stand.http.post(
            "/whip", content=offer, headers={"Content-Type": "application/sdp"}
        )
        assert response.status_code == 201 and len(stand.daemon.sessions) == 1
        await until(lambda: len(stand.daemon.sessions) == 0)
    assert worker_threads() == [] and open_peers() == 0


async def test_an_abandoned_offer_gives_its_place_away_long_before_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "PLACE_HELD_NS", NS_PER_S)
    sdp = {"Content-Type": "application/sdp"}
    async with standing(config_with(server={"max_sessions": 1})) as stand:
        offer = await abandoned_offer()

        async def post() -> int:
            return (await stand.http.post("/whip", content=offer, headers=sdp)).status_code

        assert [await post(), await post()] == [201, 503], "for a moment it is kept"
        assert look_at(stand.daemon).sessions[0].counts
        await until(lambda: len(stand.daemon.sessions._overdue) == 1)
        assert not look_at(stand.daemon).sessions[0].counts, "nor in a crew of processes"
        performer = await performing(stand)
        assert len(stand.daemon.sessions) == 2 and await post() == 503, "this one uses its place"
        await performer.close()
        for count in range(2, OVERDUE + 1):
            await until(lambda: stand.daemon.sessions._taken == 0)
            assert await post() == 201
            await until(lambda n=count: len(stand.daemon.sessions._overdue) == n)  # type: ignore[misc]
        refused = await stand.http.post("/whip", content=offer, headers=sdp)
        assert refused.status_code == 503 and "nobody has connected" in refused.json()["error"]
    assert worker_threads() == [] and open_peers() == 0


async def test_an_offer_whose_client_went_while_the_networks_loaded_makes_no_session() -> None:
    async with standing() as stand:
        app = create_app(stand.daemon, stand.tokens, "test loop")
        await until(lambda: stand.daemon.ready)
        stand.daemon._ready.clear()  # as if still loading
        offer = (await abandoned_offer()).encode()
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/whip",
            "raw_path": b"/whip", "query_string": b"", "scheme": "http",
            "server": ("127.0.0.1", 8700), "client": ("127.0.0.1", 1),
            "headers": [
                (b"host", b"127.0.0.1:8700"), (b"content-type", b"application/sdp"),
                (b"authorization", f"Bearer {TOKEN}".encode()),
            ],
        }  # fmt: skip
        messages: list[Any] = [{"type": "http.request", "body": offer, "more_body": False}]
        statuses = []

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        asking = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.2)
        assert not asking.done()
        stand.daemon._ready.set()
        await asking
        assert statuses[0] == 499 and len(stand.daemon.sessions) == 0


async def test_who_connects_late_and_finds_all_places_taken_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "PLACE_HELD_NS", NS_PER_S // 2)
    async with standing(config_with(server={"max_sessions": 1})) as stand:
        late = Performer(stand.http, Camera())
        answer = await late.offer()
        await until(lambda: len(stand.daemon.sessions._overdue) == 1)
        first = await performing(stand)
        await late.accept(answer)
        await until(lambda: bool(late.heard("closed")))
        assert "all 1 places are taken" in late.heard("closed")[0]["reason"]
        assert not first.heard("closed")
        await first.close()
        await late.close()


async def test_a_stage_that_refuses_the_camera_ends_the_session_with_its_reason() -> None:
    async with standing() as stand:
        performer = await performing(stand)
        stand.script.fault = "track_refuses"
        await until(lambda: bool(performer.heard("closed")))
        reason = performer.heard("closed")[0]["reason"]
        assert reason == "the camera sends what is not served"
        await performer.close()


async def test_a_reason_that_comes_before_the_channels_is_told_all_the_same() -> None:
    async with standing() as stand:
        performer = Performer(stand.http, Camera())
        connecting = asyncio.create_task(performer.connect())
        await until(lambda: len(stand.daemon.sessions) == 1)
        session = next(iter(stand.daemon.sessions._sessions.values()))
        session._end_from_thread("the camera sends what is not served")
        await connecting
        await until(lambda: bool(performer.heard("closed")))
        assert performer.heard("closed")[0]["reason"] == "the camera sends what is not served"
        await performer.close()


async def test_shutting_down_tells_every_performer() -> None:
    async with standing() as stand:
        performers = [await performing(stand) for _ in range(2)]
        await stand.daemon.sessions.close_all("the daemon is shutting down")
        for performer in performers:
            await until(lambda p=performer: bool(p.heard("closed")))  # type: ignore[misc]
            assert performer.heard("closed")[0]["reason"] == "the daemon is shutting down"
            await performer.close()
    assert worker_threads() == [] and open_peers() == 0


async def test_a_browser_that_hides_its_addresses_is_reached() -> None:
    async with standing() as stand:
        client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        client.addTransceiver(Camera(), direction="sendrecv")
        await client.setLocalDescription(await client.createOffer())
        hidden = re.sub(
            r"(a=candidate:\S+ \d udp \d+) \S+", r"\1 0-0.local", client.localDescription.sdp
        )
        assert ".local " in hidden
        response = await stand.http.post(
            "/whip", content=hidden, headers={"Content-Type": "application/sdp"}
        )
        await client.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        session = next(iter(stand.daemon.sessions._sessions.values()))
        await until(lambda: session.phase == "live")
        await client.close()


async def test_a_publisher_without_channels_and_without_return_video_is_served() -> None:
    async with standing() as stand:
        client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        client.addTransceiver(Camera(), direction="sendonly")
        await client.setLocalDescription(await client.createOffer())
        response = await stand.http.post(
            "/whip",
            content=client.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert response.status_code == 201
        assert "a=recvonly" in response.text and "a=sendrecv" not in response.text

        await client.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        session = next(iter(stand.daemon.sessions._sessions.values()))
        await until(lambda: session._metrics.snapshot().fps_in > 0)
        assert session.phase == "live"
        await client.close()


class Changing(Camera):
    """A camera whose picture changes its size while it runs."""

    async def recv(self) -> av.VideoFrame:
        turn = len(self.sent_s) // 20 % 3
        self.picture = texture(*((320, 240), (640, 360), (202, 154))[turn])
        return await super().recv()


async def test_a_camera_that_changes_its_size_goes_on() -> None:
    async with standing() as stand:
        performer = await performing(stand, Changing())
        sizes: set[Any] = set()

        def seen_three() -> bool:
            stats = performer.heard("stats")
            if stats:
                sizes.add(tuple(stats[-1]["camera"].values()))
            return len(sizes) >= 3

        await until(seen_three)
        await until(lambda: is_live(performer))
        await performer.close()


async def test_coming_and_going_leaves_nothing_behind() -> None:
    async with standing() as stand:

        async def come_and_go(times: int) -> tuple[int, int, int]:
            for _ in range(times):
                performer = Performer(stand.http, Camera())
                await performer.connect()
                assert (await stand.http.delete(performer.location)).status_code == 200
                await performer.close()
            await asyncio.sleep(0.2)
            tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            return tasks, threading.active_count(), descriptors

        before = await come_and_go(2)
        after = await come_and_go(10)
        assert all(late <= early + 1 for early, late in zip(before, after, strict=True))
    assert open_peers() == 0
