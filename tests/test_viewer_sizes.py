"""Viewers of different sizes: an encode for each, while somebody watches it, and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime.sinks import sizes
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
