"""The relay: what it does to packets, and how both ends are led to it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from realtime.bench.link import PROFILES, Link, Profile, Shaper, profile_of, with_candidate
from realtime.errors import StartupError

OFFER = (Path(__file__).parents[1] / "data" / "chromium_offer.sdp").read_text()
ANSWER = (
    "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"
    "a=candidate:1 1 udp 2130706431 192.0.2.7 40000 typ host\r\n"
    "a=candidate:2 1 udp 2130706430 127.0.0.1 {port} typ host\r\n"
    "a=end-of-candidates\r\n"
)


def ways(profile: Profile, sizes: list[int], every_s: float = 0.01) -> list[float | None]:
    """How long packets of these sizes take that enter one after the other, in ms."""
    shaper = Shaper(profile, seed=3)
    found: list[float | None] = []
    for index, size in enumerate(sizes):
        leaves_s = shaper.leaves_at(index * every_s, size)
        found.append(None if leaves_s is None else 1e3 * (leaves_s - index * every_s))
    return found


def test_delay_and_jitter_are_kept_within_their_bounds() -> None:
    found = ways(Profile(delay_ms=20, jitter_ms=5), [1000] * 500)
    assert all(way is not None and 20 <= way <= 25 for way in found)


def test_packets_keep_their_order_however_large_the_jitter() -> None:
    shaper = Shaper(Profile(delay_ms=5, jitter_ms=50), seed=1)
    leave = [shaper.leaves_at(index / 1000, 1000) for index in range(500)]
    assert all(a is not None and b is not None and a <= b for a, b in pairwise(leave))


def test_the_stated_share_is_lost() -> None:
    found = ways(Profile(loss_pct=3), [1000] * 20_000)
    assert found.count(None) / len(found) == pytest.approx(0.03, abs=0.005)


def test_a_link_of_limited_rate_delays_and_then_drops() -> None:
    found = ways(Profile(rate_mbit_s=1), [1250] * 60, every_s=0)  # 10 ms each
    assert found[:3] == pytest.approx([10, 20, 30])
    assert None not in found[:25] and found[30:] == [None] * 30


def test_nothing_comes_through_a_dark_link() -> None:
    shaper = Shaper(Profile(), seed=1)
    shaper.go_dark(1.0, 2.0)
    leave = [shaper.leaves_at(now_s, 100) for now_s in (1.0, 2.9, 3.0)]
    assert leave == [None, None, 3.0]


def test_a_profile_can_be_bent_and_a_wrong_name_names_the_right_ones() -> None:
    assert profile_of("loopback", None, None).is_perfect
    assert profile_of("wifi", None, 7) == Profile(5, 8, 7, 0)
    assert profile_of("loopback", 20, 3) == Profile(delay_ms=20, loss_pct=3)
    with pytest.raises(StartupError, match="loopback, lan, wifi, lossy"):
        profile_of("dsl", None, None)
    assert all(str(profile) for profile in PROFILES.values())


def test_an_sdp_names_the_relay_and_nothing_else() -> None:
    sdp = with_candidate(OFFER, ("127.0.0.1", 5000))
    candidates = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
    assert candidates == ["a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host"]
    assert sdp.count("m=") == OFFER.count("m=")


async def test_packets_go_both_ways_through_the_relay_only() -> None:
    server, client = await _Socket.open(), await _Socket.open()
    async with Link(Profile(delay_ms=1)) as link:
        answer = link.as_seen_by_client(ANSWER.format(port=server.address[1]))
        offer = link.as_seen_by_server(OFFER)
        client.send(b"to the server", address_in(answer))
        assert await server.get() == (b"to the server", address_in(offer))
        server.send(b"to the client", address_in(offer))
        assert await client.get() == (b"to the client", address_in(answer))
    server.close()
    client.close()


async def test_packets_come_out_in_the_order_in_which_they_went_in() -> None:
    """In a burst with jitter most leave at the same time: the latest that one before was given."""
    server, client = await _Socket.open(), await _Socket.open()
    async with Link(Profile(delay_ms=5, jitter_ms=20), seed=7) as link:
        answer = link.as_seen_by_client(ANSWER.format(port=server.address[1]))
        sent = [b"%d" % number for number in range(100)]
        for packet in sent:
            client.send(packet, address_in(answer))
        assert [(await server.get())[0] for _ in sent] == sent
    server.close()
    client.close()


async def test_an_answer_without_an_address_is_refused() -> None:
    async with Link(Profile()) as link:
        with pytest.raises(StartupError, match="no UDP address"):
            link.as_seen_by_client("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n")


def address_in(sdp: str) -> tuple[str, int]:
    (line,) = [line for line in sdp.splitlines() if line.startswith("a=candidate")]
    return line.split()[4], int(line.split()[5])


class _Socket(asyncio.DatagramProtocol):
    """One end: keeps what comes."""

    def __init__(self) -> None:
        self._got: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls) -> _Socket:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        protocol._transport = transport
        return protocol

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._got.put_nowait((data, addr))

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)

    async def get(self) -> tuple[bytes, tuple[str, int]]:
        return await asyncio.wait_for(self._got.get(), 10)

    def close(self) -> None:
        self._transport.close()
