"""What viewers hear, with real peers in this process: who gets sound, whose, and who loses some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from aiortc.sdp import SessionDescription

from realtime.rtc_sound import MAX_QUEUED
from tests.helpers import Camera, Performer, Stand, standing, until
from tests.test_lip_sync import clapping, connected, watching
from tests.test_viewing import SDP, offer


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


def sounds_of(sdp: str) -> list[tuple[str | None, list[str]]]:
    """Direction and codecs of each m-line for sound."""
    media = SessionDescription.parse(sdp).media
    return [
        (one.direction, [codec.name for codec in one.rtp.codecs])
        for one in media
        if one.kind == "audio"
    ]


async def test_who_offers_to_take_sound_is_answered_with_opus(stand: Stand) -> None:
    async with clapping(stand):
        for audio, answered in (
            ([], []),
            (["recvonly"], [("sendonly", ["opus"])]),
            (["sendrecv"], [("sendonly", ["opus"])]),
            (["sendonly"], [("inactive", ["opus"])]),
        ):
            body = await offer(audio=audio)
            response = await stand.http.post("/whep", content=body, headers=SDP)
            assert response.status_code == 201
            assert sounds_of(response.text) == answered
        deaf = (await offer(audio=["recvonly"])).replace("opus/48000", "unheard/48000")
        response = await stand.http.post("/whep", content=deaf, headers=SDP)
        assert [direction for direction, _ in sounds_of(response.text)] == ["inactive"]


async def test_viewers_hear_the_performers_packets_as_they_are(stand: Stand) -> None:
    async with clapping(stand) as performer, watching(stand) as one, watching(stand) as two:
        await until(lambda: min(len(heard.packets) for heard in (performer, one, two)) > 100)
    for heard in (one, two):
        known = set(performer.packets)
        assert len([opus for opus in heard.packets if opus in known]) > 60
    clicks = {opus for opus in performer.packets if len(opus) > 30}
    assert clicks & set(one.packets) and clicks & set(two.packets)


async def test_the_voice_begins_with_whoever_brings_a_microphone(stand: Stand) -> None:
    """A viewer of whoever performs keeps its connection from one without to one with."""
    silent = Performer(stand.http, Camera())
    await silent.connect()
    async with watching(stand) as viewer:
        await until(lambda: viewer.pictures > 20)
        assert viewer.packets == []
        await stand.http.delete(silent.location)
        async with clapping(stand):
            await until(lambda: len(viewer.packets) > 50)
        before = len(viewer.packets)
        async with clapping(stand):
            await until(lambda: len(viewer.packets) > before + 50)
        assert viewer.peer.connectionState == "connected"
    await silent.close()


async def test_a_viewer_without_sound_costs_no_listener(stand: Stand) -> None:
    async with clapping(stand) as performer, watching(stand, ("video",)) as viewer:
        await until(lambda: viewer.pictures > 5 and len(performer.packets) > 5)
        session = next(iter(stand.daemon.sessions))
        before = len(session.audience.sound._listeners)
        async with watching(stand) as other:
            await until(lambda: len(other.packets) > 5)
            assert len(session.audience.sound._listeners) == before + 1
        await until(lambda: len(session.audience.sound._listeners) == before)


async def test_a_viewer_that_stalls_loses_voice_and_nobody_else_does(stand: Stand) -> None:
    async with clapping(stand) as performer, watching(stand) as slow:
        await until(lambda: len(slow.packets) > 5)
        stalled: Any = next(iter(stand.daemon.viewers._viewers.values()))
        async with watching(stand) as quick:
            await until(lambda: len(quick.packets) > 5)
            transport = stalled._peer._sound.sender.transport
            released, send = asyncio.Event(), transport._send_rtp

            async def stuck(data: bytes) -> None:
                await released.wait()
                await send(data)

            transport._send_rtp = stuck
            heard, own = len(quick.packets), len(performer.packets)
            await until(lambda: stalled._hearing.dropped > 20)
            assert len(stalled._hearing._queue) <= MAX_QUEUED
            lost = MAX_QUEUED + 20
            assert len(quick.packets) > heard + lost - 10
            assert len(performer.packets) > own + lost - 10
            before = len(slow.packets)
            released.set()
            await until(lambda: len(slow.packets) > before + MAX_QUEUED)


async def test_a_publishers_sound_without_pictures_back_is_heard(stand: Stand) -> None:
    async with clapping(stand, "sendonly") as publisher, watching(stand) as viewer:
        await until(lambda: len(viewer.packets) > 50)
        assert publisher.packets == []


async def test_a_viewer_may_put_sound_first(stand: Stand) -> None:
    async with clapping(stand), connected(stand, "/whep", ("audio", "video"), "recvonly") as viewer:
        await until(lambda: len(viewer.packets) > 20 and viewer.pictures > 10)
