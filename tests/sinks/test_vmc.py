"""VMC out, read by a real OSC peer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from pythonosc.osc_packet import OscPacket

from realtime import arkit, face_shapes
from realtime.clock import NS_PER_S, FakeClock
from realtime.errors import ReenactdError
from realtime.frames import F32, Motion
from realtime.sinks.vmc import MOST_BYTES, VmcSink, quaternion_of
from realtime.stages.retarget import rotation_of


def motion(coefficients: dict[str, float], rotation: F32 | None = None) -> Motion:
    shaped = face_shapes.shape(coefficients)
    turn = np.eye(3, dtype=np.float32) if rotation is None else rotation
    still = np.zeros(2, np.float32)
    return Motion(turn, still, 1.0, shaped.expression, shaped.eye_openness, {})


class Peer:
    """Listens as a VTuber's program does."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(5)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def until(self, last: str) -> list[tuple[str, list[object]]]:
        """Messages up to one of that address."""
        found: list[tuple[str, list[object]]] = []
        while not found or found[-1][0] != last:
            packet = self.socket.recv(65536)
            assert len(packet) <= MOST_BYTES
            read = [timed.message for timed in OscPacket(packet).messages]
            found += [(each.address, each.params) for each in read]
        return found


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.socket.close()


def test_a_motion_leaves_whole(peer: Peer) -> None:
    clock = FakeClock()
    sink = VmcSink(peer.address, "arkit", clock)
    turn = rotation_of(np.radians([20, -5, 3]).astype(np.float32))
    clock.advance_ms(1500)

    sink.show(motion({"jawOpen": 0.5, "eyeBlinkRight": 1.0}, turn))

    said = peer.until("/VMC/Ext/Blend/Apply")
    sink.close()
    assert said[0] == ("/VMC/Ext/OK", [1, 3, 0, 1])
    assert said[1] == ("/VMC/Ext/T", [1.5])
    assert said[2][0] == "/VMC/Ext/Bone/Pos" and said[2][1][0] == "Head"
    assert said[2][1][4:] == pytest.approx(quaternion_of(turn), abs=1e-6)
    values = {str(name): value for address, (name, value) in said[3:-1]}
    assert tuple(values) == arkit.NAMES
    assert values["jawOpen"] == pytest.approx(0.5, abs=0.02)
    assert values["eyeBlinkRight"] == 1.0 and values["eyeBlinkLeft"] == 0.0


def test_a_plain_vrm_model_hears_its_own_names(peer: Peer) -> None:
    sink = VmcSink(peer.address, "vrm", FakeClock())
    sink.show(motion({"jawOpen": 0.5, "mouthSmileLeft": 1.0}))
    values = {
        str(params[0]): params[1]
        for address, params in peer.until("/VMC/Ext/Blend/Apply")
        if address.endswith("Val")
    }
    sink.close()
    assert set(values) == {"A", "Blink_L", "Blink_R", "Joy"}
    assert values["A"] == pytest.approx(0.5, abs=0.05) and values["Joy"] == pytest.approx(
        0.5, abs=0.1
    )


def test_while_nobody_is_tracked_it_says_so(peer: Peer) -> None:
    sink = VmcSink(peer.address, "arkit", FakeClock(NS_PER_S))
    sink.show(None)
    said = peer.until("/VMC/Ext/T")
    sink.close()
    assert said[0] == ("/VMC/Ext/OK", [1, 3, 0, 0])


def test_nobody_listening_is_no_error() -> None:
    peer = Peer()
    peer.socket.close()
    sink = VmcSink(peer.address, "arkit", FakeClock())
    for _ in range(5):
        sink.show(None)
    sink.close()


def test_an_unknown_host_is_one_line() -> None:
    sink = VmcSink("no-such-host.invalid:39539", "arkit", FakeClock())
    with pytest.raises(ReenactdError, match="vmc.send = no-such-host.invalid:39539: "):
        sink.show(None)


@pytest.mark.parametrize("angles", [(0, 0, 0), (39, -24, 49), (-90, 0, 0), (10, 80, -60)])
def test_quaternions_are_of_length_one_and_turn_alike(angles: tuple[float, ...]) -> None:
    rotation = rotation_of(np.radians(angles).astype(np.float32))
    x, y, z, w = quaternion_of(rotation)
    assert x * x + y * y + z * z + w * w == pytest.approx(1, abs=1e-5)
    point = np.array([0.3, -0.5, 0.8])
    axis = np.array([x, y, z])
    turned = point + 2 * np.cross(axis, np.cross(axis, point) + w * point)
    assert turned == pytest.approx(rotation @ point, abs=1e-5)
