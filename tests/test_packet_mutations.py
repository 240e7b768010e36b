"""Ten thousand random packets from a client that is let in: no exception, no growth, no end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiortc import RTCPeerConnection

from realtime.bench.machine import resident_mib
from tests.helpers import Camera, Performer, run_on, standing, until

PACKETS = 10_000
GROWTH_MIB = 20
"""after the first fifth, in which buffers fill: 8,000 packets of 300 bytes kept would be 2.4 more,
each with its objects a multiple"""
BURST = 50
"""packets between two breaths of the loop, which the daemon shares with its attacker here"""
RTCP_TYPES = (192, 200, 201, 202, 203, 204, 205, 206, 207, 223)


def rtp(rng: random.Random, payload_types: list[int], ssrcs: list[int]) -> bytes:
    """A header that says anything, before random bytes (RFC 3550 section 5.1)."""
    first = 0x80 | rng.choice((0, 0, 0x10, 0x20, 0x0F, rng.randrange(0x40)))
    second = rng.choice(payload_types) | rng.choice((0, 0x80))
    head = struct.pack(
        "!BBHLL",
        first,
        second,
        rng.randrange(1 << 16),
        rng.randrange(1 << 32),
        rng.choice([*ssrcs, rng.randrange(1 << 32)]),
    )
    return head + rng.randbytes(rng.choice((0, 1, 2, 3, 8, 40, 400, 1200)))


def rtcp(rng: random.Random, payload_types: list[int], ssrcs: list[int]) -> bytes:
    """One packet or two in a compound, of lengths that may be lies (section 6.1)."""
    whole = b""
    for _ in range(rng.choice((1, 1, 2))):
        body = struct.pack("!L", rng.choice([*ssrcs, rng.randrange(1 << 32)]))
        body += rng.randbytes(4 * rng.choice((0, 1, 2, 5, 6, 30)))
        words = rng.choice((len(body) // 4, len(body) // 4, 0, 1, 0xFFFF))
        first = 0x80 | rng.choice((0, 1, 1, 15, 31, rng.randrange(0x40)))
        whole += struct.pack("!BBH", first, rng.choice(RTCP_TYPES), words) + body
    return whole


def unencrypted(rng: random.Random, payload_types: list[int], ssrcs: list[int]) -> bytes:
    """What would be STUN, DTLS, RTP, or nothing known (RFC 7983), by its first byte."""
    first = rng.choice((0, 1, 2, 20, 21, 22, 23, 63, 64, 128, 144, 191, 192, 255))
    return bytes([first]) + rng.randbytes(rng.choice((0, 1, 11, 12, 19, 20, 60, 1400)))


async def send(peer: RTCPeerConnection, make: Callable[..., bytes], packet: bytes) -> None:
    transport: Any = peer.getSenders()[0].transport
    if make is unencrypted:
        await transport.transport._send(packet)
        return
    try:
        await transport._send_rtp(packet)
    except Exception as exc:  # noqa: BLE001 - the attacker's own SRTP refuses to encrypt it
        assert "srtp" in type(exc).__module__, exc


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_random_packets_are_survived(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with standing() as stand:
            cameras = Camera(), Camera()
            attacker, other = (Performer(stand.http, camera) for camera in cameras)
            for performer in (other, attacker):
                await performer.connect()
                await until(lambda: performer.stat("state") == "LIVE")  # noqa: B023 - awaited here
            attacked, untouched = (
                stand.daemon.sessions.get(performer.location.removeprefix("/whip/"))
                for performer in (attacker, other)
            )
            assert attacked is not None and untouched is not None
            # its own packets would fail: what it is about to send upsets its own SRTP context, too
            cameras[0].running.clear()
            tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            before = attacked._peer.packets_received()
            rng = random.Random(f"packets on {loop}")
            await attack(attacker, rng, PACKETS // 5)
            filled_mib = resident_mib(os.getpid())
            await attack(attacker, rng, PACKETS - PACKETS // 5)
            assert resident_mib(os.getpid()) < filled_mib + GROWTH_MIB
            arrived = attacked._peer.packets_received() - before
            assert arrived > PACKETS // 2, "many are well enough made to be looked at"
            assert attacked.phase == "live"
            assert await answer_time_s(stand.http) < 2
            seen = len(other.seen)
            await until(lambda: len(other.seen) > seen + 10 and other.stat("state") == "LIVE")
            assert len(asyncio.all_tasks()) <= tasks + 2
            assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
            for performer in (attacker, other):
                await stand.http.delete(performer.location)
                await performer.close()

    with caplog.at_level(logging.WARNING):
        run_on(loop, main, timeout_s=120)
    assert "Traceback" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def attack(performer: Performer, rng: random.Random, packets: int) -> None:
    sender: Any = performer.peer.getSenders()[0]
    ssrcs = [sender._ssrc, sender._rtx_ssrc]
    for number in range(packets):
        make = rng.choice((rtp, rtp, rtcp, rtcp, unencrypted))
        await send(performer.peer, make, make(rng, list(range(96, 128)), ssrcs))
        if number % BURST == 0:
            await asyncio.sleep(0.005)


async def answer_time_s(http: Any) -> float:
    began_s = time.monotonic()
    assert (await http.get("/api/status")).status_code == 200
    return time.monotonic() - began_s
