"""Lost packets: a scripted loss in both directions, and the picture goes on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.helpers import Camera, Performer, config_with, run_on, standing, until

LOSS = 0.03
SECONDS = 6


def make_lossy(ice_transport: Any, rng: random.Random) -> None:
    """Drop a share of what is sent from here."""
    send = ice_transport._send

    async def lossy_send(data: bytes) -> None:
        if rng.random() >= LOSS:
            await send(data)

    ice_transport._send = lossy_send


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_three_percent_loss_both_ways_neither_freezes_nor_shows_the_card(codec: str) -> None:
    async def main() -> None:
        async with standing(config_with(rtc={"codec": codec})) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: bool(performer.seen) and not performer.seen[-1].is_card)
            session = next(iter(stand.daemon.sessions._sessions.values()))
            rng = random.Random(codec)
            for peer in (performer.peer, session._peer._pc):
                make_lossy(peer.getTransceivers()[0].sender.transport.transport, rng)

            begin = len(performer.seen)
            await asyncio.sleep(SECONDS)
            fresh = {s.number: s.at_s for s in performer.seen[begin:] if not s.is_card}
            times = sorted(fresh.values())
            frozen_s = sum(b - a for a, b in zip(times, times[1:], strict=False) if b - a > 0.5)
            assert len(fresh) >= 10 * SECONDS, "a third of the camera's rate at least"
            assert frozen_s <= 0.2 * SECONDS
            assert times[-1] >= performer.seen[-1].at_s - 0.5, "still going on at the end"
            await performer.close()

    run_on("uvloop", main)
