"""Lost packets: a scripted loss in both directions, and the picture goes on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from realtime.bench.machine import Ticks
from tests.helpers import Camera, Lag, Performer, config_with, run_on, standing, until

LOSS = 0.03
SECONDS = 6
FROZEN_S = 0.5
MOST_STOLEN = 0.05
"""of the processor: beyond it the host's share in a gap is left out"""


def make_lossy(ice_transport: Any, rng: random.Random) -> None:
    """Drop a share of what is sent from here."""
    send = ice_transport._send

    async def lossy_send(data: bytes) -> None:
        if rng.random() >= LOSS:
            await send(data)

    ice_transport._send = lossy_send


def lose_once(ice_transport: Any, ssrc: int, every: int) -> set[int]:
    """Lose every so manieth packet of that stream; what is sent again comes through.

    Returns:
        The sequence numbers of the lost ones, as it goes on.
    """
    send = ice_transport._send
    known: set[int] = set()
    lost: set[int] = set()

    async def lossy_send(data: bytes) -> None:
        is_media = data[0] >> 6 == 2 and not 192 <= data[1] <= 223  # RFC 7983, RFC 5761
        if is_media and int.from_bytes(data[8:12], "big") == ssrc:
            sequence = int.from_bytes(data[2:4], "big")
            is_new = sequence not in known
            known.add(sequence)
            if is_new and len(known) % every == 0:
                lost.add(sequence)
                return
        await send(data)

    ice_transport._send = lossy_send
    return lost


class Repairs:
    """What a receiver did about holes: asked for packets, or gave pictures up."""

    def __init__(self, receiver: Any) -> None:
        self.asked: set[int] = set()
        self.given_up = 0
        ask, give_up = receiver._send_rtcp_nack, receiver._buffer.give_up

        async def asking(ssrc: int, lost: list[int]) -> None:
            self.asked.update(lost)
            await ask(ssrc, lost)

        def giving_up() -> None:
            self.given_up += 1
            give_up()

        receiver._send_rtcp_nack = asking
        receiver._buffer.give_up = giving_up


def test_a_lost_packet_is_asked_for_and_no_picture_is_given_up(
    figure: Callable[[str], None],
) -> None:
    """One in twenty each way, and none twice. By what is done, which no busy machine changes; how
    long it takes is a figure of `bench glass --profile lossy`."""

    async def main() -> None:
        async with standing(config_with(rtc={"codec": "h264"})) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: bool(performer.seen) and not performer.seen[-1].is_card)
            session = next(iter(stand.daemon.sessions._sessions.values()))
            ours, theirs = (
                peer.getTransceivers()[0] for peer in (performer.peer, session._peer._pc)
            )
            repairs = [Repairs(each.receiver) for each in (theirs, ours)]
            losses = [
                lose_once(each.sender.transport.transport, each.sender._ssrc, every=20)
                for each in (ours, theirs)
            ]
            await until(lambda: min(len(lost) for lost in losses) >= 8)
            wanted = [set(lost) for lost in losses]
            await until(
                lambda: all(lost <= each.asked for lost, each in zip(wanted, repairs, strict=True))
            )
            given_up = sum(each.given_up for each in repairs)
            count = sum(len(lost) for lost in wanted)
            figure(f"{count} packets lost once, {given_up} holes given up")
            assert given_up <= count // 5, "a loop that stood still for a quarter of a second"
            await performer.close()

    run_on("uvloop", main)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_three_percent_loss_both_ways_neither_freezes_nor_shows_the_card(
    codec: str, figure: Callable[[str], None]
) -> None:
    async def main() -> None:
        async with standing(config_with(rtc={"codec": codec})) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: bool(performer.seen) and not performer.seen[-1].is_card)
            session = next(iter(stand.daemon.sessions._sessions.values()))
            rng = random.Random(codec)
            for peer in (performer.peer, session._peer._pc):
                make_lossy(peer.getTransceivers()[0].sender.transport.transport, rng)

            begin, lag, ticks = len(performer.seen), Lag(), Ticks.now()
            begin_s = time.monotonic()
            await asyncio.sleep(SECONDS)
            end_s, stolen = time.monotonic(), Ticks.now().stolen_since(ticks)
            lag.stop()
            # the first sight of each camera picture: a held one is no sign of life
            seen = [s for s in reversed(performer.seen[begin:]) if not s.is_card]
            fresh = {s.number: s.at_s for s in seen}
            times = [begin_s, *sorted(fresh.values()), end_s]
            gaps_s = [b - a for a, b in pairwise(times)]
            if stolen > MOST_STOLEN:  # else a late loop is the daemon's own fault
                gaps_s = [b - a - lag.between_s(a, b) for a, b in pairwise(times)]
            frozen_s = sum(gap_s for gap_s in gaps_s if gap_s > FROZEN_S)
            figure(
                f"3 % loss both ways, {codec}: {len(fresh) / SECONDS:.1f} fps, longest gap "
                f"{max(gaps_s) * 1000:.0f} ms, frozen {frozen_s:.2f} of {SECONDS} s; the loop was "
                f"late by {lag.between_s(begin_s, end_s):.2f} s, {stolen:.0%} stolen by the host"
            )
            assert len(fresh) >= 10 * SECONDS, "a third of the camera's rate at least"
            assert frozen_s <= 0.2 * SECONDS
            await performer.close()

    run_on("uvloop", main)
