"""VMC out: head pose and expressions to whatever speaks VMC, as OSC over UDP. No pictures.

https://protocol.vmc.info/marionette-spec: for each motion OK, T, the Head bone, every expression,
and Apply, in bundles that fit a network's packets. What leaves is what drives the avatar, after the
performer's gains. While no motion comes, OK says four times a second that nobody is tracked.

The head alone is turned; its place is left at 0, for a picture does not say where a body is.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import Iterator
from typing import Literal

from realtime import arkit, osc
from realtime.clock import NS_PER_S, Clock
from realtime.errors import ReenactdError
from realtime.frames import F32, Motion

MOST_BYTES = 1400
"""of a packet: less than what any link carries in one piece"""
_LOADED, _CALIBRATED, _NORMAL_MODE = 1, 3, 0
_VRM = {
    "A": ("jawOpen",),
    "Blink_L": ("eyeBlinkLeft",),
    "Blink_R": ("eyeBlinkRight",),
    "Joy": ("mouthSmileLeft", "mouthSmileRight"),
}
"""VRM 0's names, each the mean of these"""


class VmcSink:
    """Sends to one address; whether anybody listens there is not known."""

    def __init__(self, target: str, names: Literal["arkit", "vrm"], clock: Clock) -> None:
        self._target = target
        """HOST:PORT"""
        self._clock = clock
        self._began_ns = clock.now_ns()
        meaning = _VRM if names == "vrm" else {name: (name,) for name in arkit.NAMES}
        self._blends = [
            (osc.message("/VMC/Ext/Blend/Val", name, 0.0)[:-4], parts)
            for name, parts in meaning.items()
        ]
        """all of a message but its value, and of what that is the mean"""
        self._socket: socket.socket | None = None

    def show(self, motion: Motion | None) -> None:
        """
        Raises:
            ReenactdError: there is no such host, or no way to it.
        """
        now_s = (self._clock.now_ns() - self._began_ns) / NS_PER_S
        try:
            for packet in osc.bundles(self._messages(motion, now_s), MOST_BYTES):
                self._connected().send(packet)
        except ConnectionRefusedError:
            return  # nobody listens there yet
        except OSError as exc:
            reason = exc.strerror or exc
            raise ReenactdError(f"vmc.send = {self._target}: {reason}") from exc

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            host, _, port = self._target.rpartition(":")
            family, kind, protocol, _, address = socket.getaddrinfo(
                host.strip("[]"), int(port), type=socket.SOCK_DGRAM
            )[0]
            connected = socket.socket(family, kind, protocol)
            connected.connect(address)
            self._socket = connected
        return self._socket

    def _messages(self, motion: Motion | None, now_s: float) -> Iterator[bytes]:
        seen = int(motion is not None)
        yield osc.message("/VMC/Ext/OK", _LOADED, _CALIBRATED, _NORMAL_MODE, seen)
        yield osc.message("/VMC/Ext/T", float(now_s))
        if motion is None:
            return
        turn = quaternion_of(motion.rotation)
        yield osc.message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *turn)
        measured = arkit.measure(motion)
        for prefix, parts in self._blends:
            value = sum(measured[name] for name in parts) / len(parts)
            yield prefix + struct.pack(">f", value)
        yield osc.message("/VMC/Ext/Blend/Apply")


def quaternion_of(rotation: F32) -> tuple[float, float, float, float]:
    """(x, y, z, w) of a rotation by less than half a turn; w is positive."""
    trace = min(max(float(rotation.trace()), -1 + 1e-6), 3.0)
    w = math.sqrt(1 + trace) / 2
    x = float(rotation[2, 1] - rotation[1, 2]) / (4 * w)
    y = float(rotation[0, 2] - rotation[2, 0]) / (4 * w)
    z = float(rotation[1, 0] - rotation[0, 1]) / (4 * w)
    return x, y, z, w
