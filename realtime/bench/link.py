"""A worse network than loopback: a relay for one WebRTC connection that delays and loses packets.

Both ends are told the relay's addresses instead of each other's (`as_seen_by_server`,
`as_seen_by_client` rewrite the SDP), so that every packet goes through it, without root and without
a kernel module. Each way has its own queue; packets keep their order, as on one Wi-Fi link.
Knows no media.
"""

from __future__ import annotations

import asyncio
import functools
import random
import re
from collections import deque
from dataclasses import dataclass, replace
from types import TracebackType
from typing import cast

from realtime.errors import StartupError

_CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ (?i:udp) \d+ (\S+) (\d+) typ host.*\r?\n", re.M)
_ANY_CANDIDATE = re.compile(r"^a=(candidate:.*|end-of-candidates)\r?\n", re.M)
_FIRST_MEDIA = re.compile(r"^(m=.*\r?\n(?:c=.*\r?\n)?)", re.M)
QUEUE_MS = 250
"""packets that would wait longer than this for a link of limited rate are dropped"""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """What happens to packets, the same each way."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """up to so much more, equally likely"""
    loss_pct: float = 0.0
    """each packet on its own"""
    rate_mbit_s: float = 0.0
    """0: no limit"""

    @property
    def is_perfect(self) -> bool:
        return self == Profile()

    def __str__(self) -> str:
        if self.is_perfect:
            return "nothing between them"
        parts = [f"{self.delay_ms:g} ms"]
        if self.jitter_ms:
            parts.append(f"0 to {self.jitter_ms:g} ms of jitter")
        parts.append(f"{self.loss_pct:g} % loss")
        if self.rate_mbit_s:
            parts.append(f"{self.rate_mbit_s:g} Mbit/s")
        return ", ".join(parts) + " each way"


PROFILES = {
    "loopback": Profile(),
    "lan": Profile(delay_ms=1, jitter_ms=0.5),
    "wifi": Profile(delay_ms=5, jitter_ms=8, loss_pct=1),
    "lossy": Profile(delay_ms=20, jitter_ms=5, loss_pct=2, rate_mbit_s=1.5),
}


def profile_of(name: str, delay_ms: float | None, loss_pct: float | None) -> Profile:
    """A profile by name, with its delay or loss replaced where they are given.

    Raises:
        StartupError: there is no such profile.
    """
    if name not in PROFILES:
        raise StartupError(f"--profile {name}: must be one of {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if delay_ms is not None:
        profile = replace(profile, delay_ms=delay_ms)
    if loss_pct is not None:
        profile = replace(profile, loss_pct=loss_pct)
    return profile


class Shaper:
    """Decides for one direction when a packet comes out, if it does; repeatable by its seed."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self._profile = profile
        self._random = random.Random(seed)
        self._dark_until_s = 0.0
        self._free_s = 0.0
        """when the link of limited rate has sent what it was given"""
        self._last_s = 0.0
        self.lost = 0

    def go_dark(self, now_s: float, seconds: float) -> None:
        """Lose everything for a while: a tunnel, a roaming phone."""
        self._dark_until_s = now_s + seconds

    def leaves_at(self, now_s: float, size: int) -> float | None:
        """When a packet of `size` bytes that enters now comes out; None if it is lost."""
        profile = self._profile
        if now_s < self._dark_until_s:
            self.lost += 1
            return None
        if self._random.random() * 100 < profile.loss_pct:
            self.lost += 1
            return None
        start_s = now_s
        if profile.rate_mbit_s:
            start_s = max(now_s, self._free_s)
            if start_s - now_s > QUEUE_MS / 1e3:
                self.lost += 1
                return None
            start_s = self._free_s = start_s + size * 8 / (profile.rate_mbit_s * 1e6)
        way_ms = profile.delay_ms + self._random.random() * profile.jitter_ms
        self._last_s = max(self._last_s, start_s + way_ms / 1e3)
        return self._last_s


class _End(asyncio.DatagramProtocol):
    """One socket of the relay: what comes in here leaves at the other."""

    def __init__(self, shaper: Shaper) -> None:
        self._shaper = shaper
        self.other: _End | None = None
        self.peer: Address | None = None
        """who talks to this socket: the last sender, or whom the SDP named"""
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        """(when it leaves, packet), in the order in which they came and leave"""
        self._timer: asyncio.TimerHandle | None = None
        """for the first of them"""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.peer = addr
        leaves_s = self._shaper.leaves_at(asyncio.get_running_loop().time(), len(data))
        if leaves_s is not None:
            self._waiting.append((leaves_s, data))
            if self._timer is None:
                self._let_out()

    def _let_out(self) -> None:
        """Send on what is due, and come again for the next one. A timer for each packet would not
        keep the order of two that are due at the same time."""
        self._timer, loop = None, asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, data = self._waiting.popleft()
            if self.other is not None:
                self.other.send(data)
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._let_out)

    def send(self, data: bytes) -> None:
        if self.peer is not None and self._transport is not None:
            self._transport.sendto(data, self.peer)

    @property
    def address(self) -> Address:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def _itself(end: _End) -> _End:
    return end


class Link:
    """A relay between one client and one server, open while entered."""

    def __init__(self, profile: Profile, seed: int = 1) -> None:
        self._to_server, self._to_client = Shaper(profile, seed), Shaper(profile, seed + 1)
        self._client_end, self._server_end = _End(self._to_server), _End(self._to_client)

    async def __aenter__(self) -> Link:
        loop = asyncio.get_running_loop()
        self._client_end.other, self._server_end.other = self._server_end, self._client_end
        for end in (self._client_end, self._server_end):
            await loop.create_datagram_endpoint(
                functools.partial(_itself, end), local_addr=("127.0.0.1", 0)
            )
        return self

    async def __aexit__(
        self,
        failure: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client_end.close()
        self._server_end.close()

    @property
    def lost(self) -> int:
        """Packets that did not come out, both ways."""
        return self._to_server.lost + self._to_client.lost

    def go_dark(self, seconds: float) -> None:
        """Lose every packet, both ways, from now on for so long."""
        now_s = asyncio.get_running_loop().time()
        for shaper in (self._to_server, self._to_client):
            shaper.go_dark(now_s, seconds)

    def as_seen_by_server(self, offer: str) -> str:
        """The client's offer, with the relay as the only place where the client can be reached."""
        return with_candidate(offer, self._server_end.address)

    def as_seen_by_client(self, answer: str) -> str:
        """The server's answer, with the relay as the only place where the server can be reached.

        Raises:
            StartupError: the answer names no UDP address.
        """
        found = _CANDIDATE.findall(answer)
        if not found:
            raise StartupError("the daemon's answer names no UDP address to relay to")
        host, port = min(found, key=lambda each: each[0] != "127.0.0.1")
        self._server_end.peer = (host, int(port))
        return with_candidate(answer, self._client_end.address)


def with_candidate(sdp: str, address: Address) -> str:
    """An SDP whose only ICE candidate is this address (RFC 8839), in its first, bundled section."""
    host, port = address
    line = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\na=end-of-candidates\r\n"
    return _FIRST_MEDIA.sub(lambda match: match[1] + line, _ANY_CANDIDATE.sub("", sdp), count=1)
