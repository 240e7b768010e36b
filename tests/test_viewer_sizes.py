"""Viewers of different sizes: an encode for each, while somebody watches it, and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime.clock import NS_PER_S
from realtime.link import bitrate_for
from realtime.sinks import fitting, sizes
from tests.helpers import Camera, Performer, Stand, Watcher, standing, until
from tests.pictures import HEIGHT, WIDTH
from tests.test_viewing import SDP, live, offer


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        yield running


async def test_a_size_is_an_encode_of_its_own_that_lasts_while_it_is_watched(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MIN_HEIGHT_PX", 2)  # the fake pictures are small already
    performer = Performer(stand.http, Camera())
    await performer.connect()
    session = next(iter(stand.daemon.sessions))
    full, half, other = (Watcher(stand.http, "H264") for _ in range(3))
    vp8, cut = Watcher(stand.http, "VP8"), Watcher(stand.http, "H264")
    await full.connect()
    await half.connect(size="half")
    await other.connect(size="half")
    await until(lambda: min(live(full), live(half), live(other)) >= 5)
    assert session.audience.encodes == 2
    await vp8.connect(size="half")
    await cut.connect(size="half", background="transparent")
    await until(lambda: min(live(vp8), len(cut.seen)) >= 5)
    assert session.audience.encodes == 4
    assert full.seen[-1].luma.shape == (HEIGHT, WIDTH)
    assert {seen.luma.shape for seen in half.seen} == {(HEIGHT // 2, WIDTH // 2)}
    assert vp8.seen[-1].luma.shape == (HEIGHT // 2, WIDTH // 2)
    assert cut.seen[-1].luma.shape == (HEIGHT, WIDTH // 2), "both halves, each half as high"
    assert abs(float(half.seen[-1].luma.mean()) - float(full.seen[-1].luma.mean())) < 4
    for watcher, left in ((half, 4), (other, 3), (vp8, 2), (cut, 1), (full, 0)):
        await stand.http.delete(watcher.headers["Location"])
        assert session.audience.encodes == left
        await watcher.close()
    assert session.audience._scalers == {}, "and no picture is kept"
    await performer.close()


async def test_a_size_that_is_none_is_refused_with_the_rule(stand: Stand) -> None:
    performer = Performer(stand.http, Camera())
    await performer.connect()
    for path in ("/whep", "/whep/latest"):
        body = await offer()
        wrong = await stand.http.post(f"{path}?size=tiny", content=body, headers=SDP)
        assert wrong.status_code == 400
        said = wrong.json()["error"]
        assert said == "query size: 'tiny': must be 'full', 'half' or 'quarter'"
    await performer.close()


async def test_a_link_that_is_too_narrow_gets_smaller_pictures_and_the_others_do_not(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "MIN_HEIGHT_PX", 2)  # the fake pictures are small already
    monkeypatch.setattr(fitting, "NARROW_NS", NS_PER_S // 4)
    monkeypatch.setattr(fitting, "ROOMY_NS", NS_PER_S // 2)
    performer = Performer(stand.http, Camera())
    await performer.connect()
    strong, weak = (Watcher(stand.http, "H264") for _ in range(2))
    await strong.connect()
    await weak.connect()
    await until(lambda: min(live(strong), live(weak)) >= 5)
    session = next(iter(stand.daemon.sessions))
    assert session.audience.encodes == 1
    (viewer,) = (v for v in stand.daemon.viewers if v.id in weak.headers["Location"])
    link = viewer._peer._video.sender.link  # type: ignore[attr-defined]

    async def carrying(bound_bps: float, height_px: int) -> None:
        deadline_s = time.monotonic() + 20
        while weak.seen[-1].luma.shape[0] != height_px:
            link._bound_bps = bound_bps  # as reports of losses would, or of none
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)

    await carrying(bitrate_for(WIDTH // 2, HEIGHT // 2) + 1, HEIGHT // 2)
    assert session.audience.encodes == 2
    await carrying(2_000_000, HEIGHT)
    await until(lambda: session.audience.encodes == 1)
    assert {seen.luma.shape for seen in strong.seen} == {(HEIGHT, WIDTH)}
    for watcher in (strong, weak):
        await watcher.close()
    await performer.close()
