"""The VMC driver against a real OSC peer, and against strangers and nonsense."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from pythonosc.udp_client import SimpleUDPClient

from realtime import osc
from realtime.clock import NS_PER_S, FakeClock
from realtime.config import Vmc
from realtime.drivers.vmc import Puppet, VmcDriver
from realtime.errors import FrameError, SessionError
from realtime.frames import Performed
from realtime.sinks.vmc import quaternion_of
from realtime.stages.retarget import euler_rad, rotation_of

APPLY = osc.message("/VMC/Ext/Blend/Apply")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def driver(port: int) -> Iterator[VmcDriver]:
    driver = VmcDriver(Vmc(listen=f"127.0.0.1:{port}"), FakeClock(5 * NS_PER_S))
    yield driver
    driver.close()


def blend(name: str, value: float) -> bytes:
    return osc.message("/VMC/Ext/Blend/Val", name, value)


def bone(name: str, yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> bytes:
    turn = rotation_of(np.radians([yaw_deg, pitch_deg, 0]).astype(np.float32))
    return osc.message("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, *quaternion_of(turn))


def test_what_a_tracker_sends_becomes_a_face(driver: VmcDriver, port: int) -> None:
    with closing(SimpleUDPClient("127.0.0.1", port)) as client:
        client.send_message("/VMC/Ext/Blend/Val", ["jawOpen", 0.75])
        client.send_message("/VMC/Ext/Blend/Val", ["Blink_L", 1.0])
        client.send_message("/VMC/Ext/Blend/Apply", [])

    found = [driver.next(5.0) for _ in range(3)]

    assert found[:2] == [None, None]
    tracked = found[2]
    assert tracked is not None and isinstance(tracked.face, Performed)
    assert tracked.face.coefficients == {"jawOpen": 0.75, "eyeBlinkLeft": 1.0}
    assert tracked.source.arrived_ns == 5 * NS_PER_S
    assert tracked.source.rgb.size == 0


def test_silence_is_no_face(driver: VmcDriver) -> None:
    assert driver.next(0.01) is None


def test_only_what_was_applied_counts() -> None:
    puppet = Puppet()
    assert puppet.feed(blend("jawOpen", 1.0), 0) is None
    first = puppet.feed(APPLY, 0)
    assert puppet.feed(blend("jawOpen", 0.0), 1) is None
    assert first is not None and first.coefficients == {"jawOpen": 1.0}
    second = puppet.feed(APPLY, 2)
    assert second is not None and second.coefficients == {"jawOpen": 0.0}


@pytest.mark.parametrize("spelt", ["jawOpen", "JawOpen", "A", "JAWOPEN"])
def test_names_are_taken_as_senders_spell_them(spelt: str) -> None:
    puppet = Puppet()
    puppet.feed(blend(spelt, 3.0), 0)
    performed = puppet.feed(APPLY, 0)
    assert performed is not None and performed.coefficients == {"jawOpen": 1.0}


def test_the_head_turns_as_its_bones_together() -> None:
    puppet = Puppet()
    puppet.feed(bone("Neck", yaw_deg=10), 0)
    performed = puppet.feed(bone("Head", yaw_deg=15), 0)
    assert performed is not None
    assert np.degrees(euler_rad(performed.rotation)) == pytest.approx([25, 0, 0], abs=0.01)


def test_a_head_that_turns_to_its_left_in_unity_turns_to_the_picture_s_right() -> None:
    # Unity: left-handed, y up; a turn by -30 degrees about y takes z (ahead) to -x (its left).
    half = np.radians(-30) / 2
    puppet = Puppet()
    turn = (0.0, float(np.sin(half)), 0.0, float(np.cos(half)))
    performed = puppet.feed(osc.message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *turn), 0)
    assert performed is not None
    nose = performed.rotation @ np.array([0, 0, -1], np.float32)
    assert nose[0] == pytest.approx(0.5, abs=1e-3)  # right in the picture: the subject's left


def test_bones_alone_make_frames_until_something_is_applied() -> None:
    puppet = Puppet()
    assert puppet.feed(bone("Head"), 0) is not None
    assert puppet.feed(APPLY, 1) is not None
    assert puppet.feed(bone("Head"), 2) is None
    assert puppet.feed(bone("Head"), 3 * NS_PER_S) is not None


def test_a_tracker_that_sees_nobody_gives_no_face() -> None:
    puppet = Puppet()
    puppet.feed(osc.message("/VMC/Ext/OK", 1, 3, 0, 0), 0)
    assert puppet.feed(APPLY, 0) is None
    puppet.feed(osc.message("/VMC/Ext/OK", 1, 3, 0, 1), 0)
    assert puppet.feed(APPLY, 0) is not None


@pytest.mark.parametrize(
    "packet",
    [
        b"nonsense",
        osc.message("/VMC/Ext/Blend/Val", 1.0, "jawOpen"),
        osc.message("/VMC/Ext/Blend/Val"),
        blend("jawOpen", float("nan")),
        osc.message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0),
        osc.message("/VMC/Ext/Bone/Pos", "Head", *[0.0] * 7),
    ],
)
def test_a_malformed_packet_is_one_frame_s_error(packet: bytes) -> None:
    with pytest.raises(FrameError, match="a VMC packet of"):
        Puppet().feed(packet, 0)


def test_other_messages_are_passed_over() -> None:
    puppet = Puppet()
    for address in ("/VMC/Ext/T", "/VMC/Ext/Root/Pos", "/avatar/parameters/x"):
        assert puppet.feed(osc.message(address, 1.0), 0) is None
    puppet.feed(blend("Sorrow", 1.0), 0)
    performed = puppet.feed(APPLY, 0)
    assert performed is not None and performed.coefficients == {}


def test_a_taken_port_is_told(driver: VmcDriver, port: int) -> None:
    with pytest.raises(SessionError, match=f"127.0.0.1:{port}: Address already in use; another"):
        VmcDriver(Vmc(listen=f"127.0.0.1:{port}"), FakeClock())


def test_the_open_network_needs_named_peers(port: int) -> None:
    with pytest.raises(SessionError, match="VMC has no password"):
        VmcDriver(Vmc(listen=f"0.0.0.0:{port}"), FakeClock())
    with pytest.raises(SessionError, match="'phone' is no IP address"):
        VmcDriver(Vmc(listen=f"0.0.0.0:{port}", peers=("phone",)), FakeClock())


def test_a_stranger_s_packets_are_passed_over(port: int) -> None:
    driver = VmcDriver(Vmc(listen=f"0.0.0.0:{port}", peers=("192.0.2.7",)), FakeClock())
    with closing(SimpleUDPClient("127.0.0.1", port)) as client:
        client.send_message("/VMC/Ext/Blend/Apply", [])
    with pytest.raises(FrameError, match=r"from 127\.0\.0\.1 was passed over"):
        driver.next(5.0)
    driver.close()
