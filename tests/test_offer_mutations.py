"""Hundreds of damaged offers: each is refused with a reason or answered, and leaves no trace.

MUTATIONS=5000 python -m pytest tests/test_offer_mutations.py    thousands, for who has the time
"""

from __future__ import annotations

import gc
import os
import random
import time
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from realtime.bench.machine import resident_mib
from tests.helpers import Camera, run_on, standing, until

SDP = {"Content-Type": "application/sdp"}
CHROMIUM_OFFER = (Path(__file__).parent / "data" / "chromium_offer.sdp").read_text()
MUTATIONS = int(os.environ.get("MUTATIONS", "300"))
SLOWEST_S = 2.0
GROWTH_MIB = 40
"""after the first third, in which caches and arenas fill; a peer that is kept weighs 0.5 MiB"""

COLLECTED_EVERY = 25
"""offers; what is kept is asked for here. Python looks for cycles the more rarely the more objects
the tests before have left in the process, and a peer is a cycle (aiortc's) until then."""


async def make_offer(audio: bool = False) -> str:
    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    client.addTransceiver(Camera(), direction="sendrecv")
    if audio:
        client.addTransceiver("audio", direction="sendrecv")
    client.createDataChannel("controls")
    await client.setLocalDescription(await client.createOffer())
    offer = client.localDescription.sdp
    await client.close()
    return str(offer)


def left_open() -> list[RTCPeerConnection]:
    gc.collect()
    peers = [item for item in gc.get_objects() if type(item) is RTCPeerConnection]
    return [peer for peer in peers if peer.connectionState != "closed"]


def mutated(sdp: str, rng: random.Random) -> str:
    """One to four random edits of an SDP's lines and characters."""
    lines = sdp.split("\r\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(9)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
        elif kind == 4 and lines[at]:
            place = rng.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + chr(rng.randint(32, 0x2FF)) + lines[at][place + 1 :]
        elif kind == 5:
            lines[at] = "".join("9" if char.isdigit() else char for char in lines[at])
        elif kind == 6:
            lines[at] = lines[at].replace(":", rng.choice(["", "::", " ", ":-1 "]), 1)
        elif kind == 7:
            lines[at] = lines[at] + rng.choice(
                [" ", " 0", " -1", "\0", ";x=1", "/9", " 99999999999"]
            )
        else:
            del lines[at : at + rng.randint(1, 12)]
        lines = lines or [""]
    return "\r\n".join(lines)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_malformed_offer_is_worse_than_400_or_leaves_a_peer(loop: str) -> None:
    async def main() -> None:
        async with standing() as stand:
            rng = random.Random(f"offers on {loop}")
            offers = [CHROMIUM_OFFER, await make_offer(), await make_offer(audio=True)]
            statuses: dict[int, int] = {}
            descriptors = len(os.listdir("/proc/self/fd"))
            filled_mib, slowest_s = 0.0, 0.0
            for number in range(MUTATIONS):
                if number % COLLECTED_EVERY == 0:
                    gc.collect()
                if number == MUTATIONS // 3:
                    filled_mib = resident_mib(os.getpid())
                offer = mutated(offers[number % len(offers)], rng)
                began_s = time.monotonic()
                response = await stand.http.post(
                    "/whip", content=offer.encode("utf-8", "replace"), headers=SDP
                )
                slowest_s = max(slowest_s, time.monotonic() - began_s)
                statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
                if response.status_code == 201:
                    gone = await stand.http.delete(response.headers["Location"])
                    assert gone.status_code == 200
                else:
                    assert response.json()["error"], offer
            assert set(statuses) == {201, 400}, statuses
            assert min(statuses.values()) >= MUTATIONS // 10, statuses
            assert slowest_s < SLOWEST_S
            assert resident_mib(os.getpid()) < filled_mib + GROWTH_MIB
            assert len(stand.daemon.sessions) == 0
            await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 2)
            await until(lambda: not left_open())

    run_on(loop, main, timeout_s=max(120, MUTATIONS / 2))
