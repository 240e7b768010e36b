"""Viewers by WHEP, with real peers in this process: what they get, share, survive, are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime import viewing
from realtime.sinks import feed
from tests.helpers import Camera, Performer, Stand, Watcher, config_with, standing, until
from tests.pictures import HEIGHT, WIDTH

SDP = {"Content-Type": "application/sdp"}


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


async def performing(stand: Stand, **options: Any) -> Performer:
    performer = Performer(stand.http, Camera(), **options)
    await performer.connect()
    await until(lambda: any(not seen.is_card for seen in performer.seen))
    return performer


def live(watcher: Watcher) -> int:
    """How many pictures of the avatar were seen."""
    return sum(not seen.is_card for seen in watcher.seen)


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_viewers_of_one_codec_see_the_same_pictures_of_one_encode(
    stand: Stand, codec: str
) -> None:
    performer = await performing(stand)
    watchers = [Watcher(stand.http, codec) for _ in range(3)]
    for watcher in watchers:
        await watcher.connect()
    await until(lambda: all(live(watcher) >= 20 for watcher in watchers))
    session = next(iter(stand.daemon.sessions))
    assert (len(session.audience), session.audience.encodes) == (3, 1)
    assert session.describe()["viewers"] == 3
    numbers = [{seen.number for seen in watcher.seen if not seen.is_card} for watcher in watchers]
    assert numbers[0] & numbers[1] & numbers[2], "the same pictures reach all"
    assert all(seen.luma.shape == (HEIGHT, WIDTH) for seen in watchers[0].seen)
    sources = {ssrc(watcher) for watcher in watchers}
    assert len(sources) == 3, "each viewer has an RTP stream of its own"
    for watcher in watchers:
        await watcher.close()
    await until(lambda: len(stand.daemon.viewers) == 0)
    assert session.audience.encodes == 0, "an encode that nobody needs ends"
    await performer.close()


def ssrc(watcher: Watcher) -> int:
    receiver: Any = watcher.peer.getTransceivers()[0].receiver
    (source,) = receiver.getSynchronizationSources()
    return int(source.source)


async def test_each_codec_and_each_background_is_an_encode_of_its_own(stand: Stand) -> None:
    performer = await performing(stand)
    plain, other, cut = (Watcher(stand.http, codec) for codec in ("H264", "VP8", "H264"))
    await plain.connect()
    await other.connect()
    await cut.connect(background="transparent")
    await until(lambda: min(live(plain), live(other), len(cut.seen)) >= 5)
    session = next(iter(stand.daemon.sessions))
    assert session.audience.encodes == 3
    assert {seen.luma.shape for seen in cut.seen} == {(2 * HEIGHT, WIDTH)}
    await until(lambda: bool(cut.seen[-1].luma[HEIGHT:].min() > 200))
    for watcher in (plain, other, cut):
        await watcher.close()
    await performer.close()


async def test_the_avatar_is_cut_out_only_while_somebody_watches_that(stand: Stand) -> None:
    performer = await performing(stand)
    session = next(iter(stand.daemon.sessions))
    pipeline: Any = session._pipeline
    watchers = [Watcher(stand.http) for _ in range(2)]
    assert not pipeline.cuts_out
    for watcher in watchers:
        await watcher.connect(background="transparent")
    await until(lambda: pipeline.cuts_out and all(watcher.seen for watcher in watchers))
    await watchers[0].close()
    await until(lambda: len(stand.daemon.viewers) == 1)
    assert pipeline.cuts_out
    await watchers[1].close()
    await until(lambda: not pipeline.cuts_out)
    await performer.close()


async def test_viewers_get_the_card_like_everybody(stand: Stand) -> None:
    performer, watcher = await performing(stand), Watcher(stand.http)
    await watcher.connect()
    await until(lambda: live(watcher) >= 3)
    stand.script.fault = "no_face"
    await until(lambda: watcher.seen[-1].is_card)
    stand.script.fault = ""
    await until(lambda: not watcher.seen[-1].is_card)
    await watcher.close()
    await performer.close()


async def test_a_publisher_that_takes_nothing_back_is_watched(stand: Stand) -> None:
    """As OBS and GStreamer publish: no data channel, sound beside the picture, no video back."""
    publisher = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    publisher.addTransceiver(Camera(), direction="sendonly")
    publisher.addTransceiver("audio", direction="sendonly")
    await publisher.setLocalDescription(await publisher.createOffer())
    response = await stand.http.post("/whip", content=publisher.localDescription.sdp, headers=SDP)
    assert response.status_code == 201 and "a=sendrecv" not in response.text
    await publisher.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
    watcher = Watcher(stand.http)
    await watcher.connect()
    await until(lambda: live(watcher) >= 10)
    session = next(iter(stand.daemon.sessions))
    assert session.describe()["fps_out"] > 0
    await stand.http.delete(response.headers["Location"])
    await publisher.close()
    await watcher.close()


async def test_a_viewer_of_whoever_performs_survives_the_reconnection(stand: Stand) -> None:
    watcher, first = Watcher(stand.http), await performing(stand)
    await watcher.connect()
    await until(lambda: live(watcher) >= 3)
    await stand.http.delete(first.location)
    await first.close()
    second = await performing(stand)
    before = live(watcher)
    await until(lambda: live(watcher) >= before + 10)
    assert watcher.peer.connectionState == "connected"
    await watcher.close()
    await second.close()


async def test_a_viewer_goes_when_its_performer_stays_away(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewing, "DESERTED_NS", 0)
    performer, watcher = await performing(stand), Watcher(stand.http)
    await watcher.connect()
    await until(lambda: live(watcher) >= 1)
    await stand.http.delete(performer.location)
    await until(lambda: len(stand.daemon.viewers) == 0)
    await until(lambda: watcher.peer.connectionState == "closed")
    await performer.close()
    await watcher.close()


async def test_sessions_are_found_by_name(stand: Stand) -> None:
    one, two = (Performer(stand.http, Camera()) for _ in range(2))
    await one.connect(identity="juniper", name="left")
    await two.connect(identity="coral", name="right")
    await until(lambda: bool(one.heard("hello") and two.heard("hello")))
    assert {told["name"] for told in (one.heard("hello")[0], two.heard("hello")[0])} == {
        "left",
        "right",
    }
    watchers = {name: Watcher(stand.http) for name in ("left", "right", "latest")}
    for name, watcher in watchers.items():
        await watcher.connect(f"/whep/{name}")
    await until(lambda: all(live(watcher) >= 3 for watcher in watchers.values()))
    brightness = {name: float(watcher.seen[-1].luma.mean()) for name, watcher in watchers.items()}
    assert brightness["left"] < 145 < brightness["right"]
    assert brightness["latest"] == pytest.approx(brightness["right"], abs=5)
    lost = await stand.http.post("/whep/middle", content=await offer(), headers=SDP)
    assert lost.status_code == 404 and "'middle'" in lost.json()["error"]
    for watcher in watchers.values():
        await watcher.close()
    for performer in (one, two):
        await performer.close()


async def offer(direction: str = "recvonly", audio: Sequence[str] = ()) -> str:
    watcher = Watcher(httpx.AsyncClient())
    watcher.peer.getTransceivers()[0].direction = direction
    for wanted in audio:
        watcher.peer.addTransceiver("audio", direction=wanted)
    await watcher.peer.setLocalDescription(await watcher.peer.createOffer())
    sdp = str(watcher.peer.localDescription.sdp)
    await watcher.close()
    return sdp


async def test_whoever_comes_too_early_is_told_when_to_ask_again(stand: Stand) -> None:
    response = await stand.http.post("/whep", content=await offer(), headers=SDP)
    assert response.status_code == 404 and "nobody performs" in response.json()["error"]
    assert int(response.headers["Retry-After"]) > 0


async def test_offers_that_are_no_viewers_are_refused(stand: Stand) -> None:
    performer = await performing(stand)
    for body, status, text in (
        (await offer("sendonly"), 400, "direction must be recvonly/sendrecv"),
        ("v=0\r\n", 400, "0 video m-lines"),
    ):
        response = await stand.http.post("/whep", content=body, headers=SDP)
        assert response.status_code == status and text in response.json()["error"]
    wrong = await stand.http.post("/whep?background=green", content=await offer(), headers=SDP)
    assert wrong.status_code == 400
    assert "green" in wrong.json()["error"] and "\n" not in wrong.json()["error"]
    assert len(stand.daemon.viewers) == 0
    await performer.close()


async def test_one_viewer_too_many_is_told_to_come_again() -> None:
    async with standing(config_with(server={"max_viewers": 2})) as stand:
        performer = await performing(stand)
        body = await offer()
        posts = [stand.http.post("/whep", content=body, headers=SDP) for _ in range(4)]
        responses = await asyncio.gather(*posts)
        assert sorted(response.status_code for response in responses) == [201, 201, 503, 503]
        refused = next(response for response in responses if response.status_code == 503)
        assert "2 of 2 viewers" in refused.json()["error"]
        assert int(refused.headers["Retry-After"]) > 0
        await performer.close()


async def test_trickle_and_hanging_up(stand: Stand) -> None:
    performer, watcher = await performing(stand), Watcher(stand.http)
    await watcher.connect()
    path, etag = watcher.headers["Location"], watcher.headers["ETag"]
    fragment = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag}
    body = "a=mid:0\r\na=candidate:1 1 udp 2122260223 192.0.2.1 9 typ host\r\n"
    assert watcher.headers["Accept-Patch"] == fragment["Content-Type"]
    assert (await stand.http.patch(path, content=body, headers=fragment)).status_code == 204
    stale = {**fragment, "If-Match": '"stale"'}
    assert (await stand.http.patch(path, content=body, headers=stale)).status_code == 412
    assert (await stand.http.delete(path)).status_code == 200
    assert len(stand.daemon.viewers) == 0
    assert (await stand.http.delete(path)).status_code == 404
    assert (await stand.http.patch(path, content=body, headers=fragment)).status_code == 404
    await performer.close()
    await watcher.close()


async def test_a_viewer_that_stalls_loses_pictures_and_nobody_else_does(stand: Stand) -> None:
    performer = await performing(stand)
    slow, quick = Watcher(stand.http), Watcher(stand.http)
    await slow.connect()
    await quick.connect()
    await until(lambda: min(live(slow), live(quick)) >= 3)
    stalled: Any = next(iter(stand.daemon.viewers._viewers.values()))
    transport = stalled._peer._video.sender.transport
    released, send = asyncio.Event(), transport._send_rtp

    async def stuck(data: bytes) -> None:
        await released.wait()
        await send(data)

    transport._send_rtp = stuck
    before, performed = len(quick.seen), len(performer.seen)
    await until(lambda: stalled._seat.dropped > feed.MAX_WAITING)
    assert len(stalled._seat._waiting) <= feed.MAX_WAITING
    await until(lambda: len(quick.seen) > before + 20 and len(performer.seen) > performed + 20)
    shown = len(slow.seen)
    released.set()
    await until(lambda: len(slow.seen) > shown + 10)
    for peer in (slow, quick, performer):
        await peer.close()
