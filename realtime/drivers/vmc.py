"""The VMC driver: another program sees the performer, and sends what it sees as VMC over UDP.

https://protocol.vmc.info: `/VMC/Ext/Blend/Val` (name, value) sets an expression, `.../Blend/Apply`
makes the ones before it count, `/VMC/Ext/Bone/Pos` turns a bone, `/VMC/Ext/OK` says whether the
tracker sees anybody. A frame is what holds at each Apply; of a tracker that never applies, at each
turn of the head. Everything else of the protocol is passed over.

VMC knows neither secrets nor encryption: who reaches the port moves the avatar. So it is bound to
loopback, or takes packets of named peers only; the sender of a UDP packet can be forged, so this
keeps out neighbours in one's own network, not attackers.

Bones turn in Unity's axes (x to the avatar's right, y up, z ahead), ours are all three reversed, so
that a rotation's matrix is the same in both. Positions are passed over: they are the body's.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from dataclasses import dataclass

import numpy as np

from realtime import arkit, osc
from realtime.access import is_loopback
from realtime.clock import NS_PER_S, Clock, pts_from_ns
from realtime.config import Vmc
from realtime.errors import FrameError, SessionError
from realtime.frames import F32, Performed, SourceFrame, Timings, Tracked

LARGEST_BYTES = 65_535
SILENT_NS = NS_PER_S // 2
"""a tracker that has not applied for so long is one that never applies"""
_CHAIN = ("Spine", "Chest", "UpperChest", "Neck", "Head")
"""bones that turn the head, from the hips up; their rotations are each relative to the one below"""
_VRM = {
    "a": ("jawOpen",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "blink_l": ("eyeBlinkLeft",),
    "blink_r": ("eyeBlinkRight",),
    "joy": ("mouthSmileLeft", "mouthSmileRight"),
}
"""of VRM 0's own expressions those that name what a face does"""
_MEANS = {**_VRM, **{name.lower(): (name,) for name in arkit.NAMES}}
"""lower case, for senders differ in it"""
_NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


class Puppet:
    """What a tracker has said so far. Pure: packets and time in, faces out."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._coefficients: dict[str, float] = {}
        self._turns: dict[str, F32] = {}
        self._applied_ns: int | None = None
        self._sees = True

    def feed(self, datagram: bytes, now_ns: int) -> Performed | None:
        """The face that holds now, if the packet completes one.

        Raises:
            FrameError: it is malformed; what came before the mistake counts.
        """
        complete = False
        try:
            for address, values in osc.read(datagram):
                complete |= self._take(address, values, now_ns)
        except osc.OscError as exc:
            raise FrameError(
                f"a VMC packet of {len(datagram)} bytes was passed over: {exc}"
            ) from None
        if not complete or not self._sees:
            return None
        return Performed(self._rotation(), dict(self._coefficients))

    def _take(self, address: str, values: tuple[osc.Value, ...], now_ns: int) -> bool:
        """Remember one message; whether it completes a frame."""
        if address == "/VMC/Ext/Blend/Val":
            name, value = _typed(address, values, 1)
            for meant in _MEANS.get(name.lower(), ()):
                self._pending[meant] = min(max(value[0], 0.0), 1.0)
        elif address == "/VMC/Ext/Blend/Apply":
            self._coefficients.update(self._pending)
            self._pending.clear()
            self._applied_ns = now_ns
            return True
        elif address == "/VMC/Ext/Bone/Pos":
            name, value = _typed(address, values, 7)
            if name in _CHAIN:
                self._turns[name] = _rotation(value[3:])
            applies = self._applied_ns is not None and now_ns - self._applied_ns < SILENT_NS
            return name == "Head" and not applies
        elif address == "/VMC/Ext/OK" and len(values) >= 4:
            self._sees = bool(values[3])
        return False

    def _rotation(self) -> F32:
        turn = np.eye(3, dtype=np.float32)
        for bone in _CHAIN:
            if bone in self._turns:
                turn = turn @ self._turns[bone]
        return turn


@dataclass(frozen=True, slots=True)
class _Door:
    """Where packets are taken, and whose."""

    host: str
    port: int
    peers: frozenset[str]
    """empty: everyone's, which loopback alone allows"""


class VmcDriver:
    """Listens while it lives. Used by one thread.

    Raises:
        SessionError: the address cannot be listened on, or not without naming peers.
    """

    def __init__(self, config: Vmc, clock: Clock) -> None:
        self._clock = clock
        self._door = _door(config)
        self._puppet = Puppet()
        self._seq = 0
        family = socket.AF_INET6 if ":" in self._door.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind((self._door.host, self._door.port))
        except OSError as exc:
            self._socket.close()
            raise SessionError(
                f"vmc.listen = {config.listen}: {exc.strerror or exc}; another session or program "
                "listens there already, or it is no address of this machine"
            ) from exc

    def next(self, timeout_s: float) -> Tracked | None:
        """What the next packet completes; None if none came in time, or it completes nothing.

        Raises:
            FrameError: the packet is malformed, or of a stranger; the next one may be right.
        """
        self._socket.settimeout(timeout_s)
        try:
            datagram, sender = self._socket.recvfrom(LARGEST_BYTES)
        except TimeoutError:
            return None
        except OSError as exc:  # an ICMP error of somebody else's packet, on some systems
            raise FrameError(f"vmc.listen: {exc.strerror or exc}") from None
        if self._door.peers and sender[0] not in self._door.peers:
            raise FrameError(
                f"a VMC packet from {sender[0]} was passed over: name it in vmc.peers to take it"
            )
        now_ns = self._clock.now_ns()
        performed = self._puppet.feed(datagram, now_ns)
        if performed is None:
            return None
        seq, self._seq = self._seq, self._seq + 1
        source = SourceFrame(seq, pts_from_ns(now_ns), now_ns, _NO_PICTURE)
        spent_ns = self._clock.now_ns() - now_ns
        return Tracked(
            source, performed, None, Timings(now_ns).with_stage("track", spent_ns, now_ns)
        )

    def close(self) -> None:
        self._socket.close()


def _door(config: Vmc) -> _Door:
    host, _, port = config.listen.rpartition(":")
    host = host.strip("[]")
    for peer in config.peers:
        try:
            ipaddress.ip_address(peer)
        except ValueError:
            raise SessionError(
                f"vmc.peers = {list(config.peers)}: {peer!r} is no IP address"
            ) from None
    if not is_loopback(host) and not config.peers:
        raise SessionError(
            f"vmc.listen = {config.listen}: VMC has no password, so an address other than loopback "
            'needs vmc.peers, as ["192.168.1.20"] for the phone'
        )
    return _Door("127.0.0.1" if host == "localhost" else host, int(port), frozenset(config.peers))


def _typed(
    address: str, values: tuple[osc.Value, ...], numbers: int
) -> tuple[str, tuple[float, ...]]:
    """A name and so many finite numbers; more may follow."""
    name, given = (values[0], values[1 : 1 + numbers]) if values else (None, ())
    found = tuple(float(value) for value in given if isinstance(value, (int, float)))
    if not isinstance(name, str) or len(found) != numbers or not all(map(math.isfinite, found)):
        raise osc.OscError(f"{address} needs a name and {numbers} finite numbers")
    return name, found


def _rotation(quaternion: tuple[float, ...]) -> F32:
    """(3, 3) of (x, y, z, w), which need not be of length one."""
    length = math.hypot(*quaternion)
    if not 1e-3 < length < 1e3:
        raise osc.OscError("/VMC/Ext/Bone/Pos: a rotation must be a quaternion")
    x, y, z, w = (part / length for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )
