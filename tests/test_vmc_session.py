"""A session that another program's tracker drives, end to end: OSC in, avatar out, OSC out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
from pythonosc.udp_client import SimpleUDPClient

from realtime import face_regions
from realtime.config import Tracking
from realtime.drivers.camera import CameraDriver
from realtime.frames import FaceTrack, SourceFrame
from realtime.studio import LiveStudio
from tests.drivers.test_vmc import free_port
from tests.helpers import Camera, Performer, config_with, run_on, standing, until
from tests.sinks.test_vmc import Peer, peer

__all__ = ["peer"]  # a fixture


class Tracker:
    """A phone's tracker: one face, sent 30 times a second until it is told to stop."""

    def __init__(self, port: int) -> None:
        self.values = {"jawOpen": 0.0}
        self.sending = True
        self._client = SimpleUDPClient("127.0.0.1", port)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        with closing(self._client) as client:
            while True:
                if self.sending:
                    for name, value in self.values.items():
                        client.send_message("/VMC/Ext/Blend/Val", [name, value])
                    client.send_message("/VMC/Ext/Blend/Apply", [])
                await asyncio.sleep(1 / 30)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextmanager
def tracked_pictures() -> Iterator[CameraDriver]:
    driver = CameraDriver(Tracking())
    yield driver
    driver.close()


def lip_gap(driver: CameraDriver, performer: Performer) -> float:
    """Of the avatar in the newest received picture, in face units; NaN where it shows none."""
    luma = np.ascontiguousarray(performer.seen[-1].luma)
    rgb = np.repeat(luma[:, :, None], 3, axis=2)
    for _ in range(3):  # a tracker settles
        face = driver.track(SourceFrame(0, 0, 0, rgb))
    if not isinstance(face, FaceTrack):
        return float("nan")
    points = face.landmarks_px
    unit = float(np.linalg.norm(points[33] - points[263]))
    return float(face_regions.lip_gaps(points).max()) / unit


@pytest.mark.slow
def test_a_jaw_that_opens_elsewhere_opens_the_avatar_s_mouth(peer: Peer) -> None:
    async def main() -> None:
        port = free_port()
        config = config_with(
            tracking={"driver": "vmc"}, vmc={"listen": f"127.0.0.1:{port}", "send": peer.address}
        )
        async with standing(config, LiveStudio(config)) as stand:
            performer = Performer(stand.http, Camera(fps=5))
            await performer.connect()
            await until(lambda: performer.stat("state") == "START")
            tracker = Tracker(port)
            await until(lambda: performer.stat("state") == "LIVE", 60)
            assert performer.stat("face") == "ok" and performer.stat("calibrated")
            with tracked_pictures() as driver:
                await until(lambda: lip_gap(driver, performer) < 0.06, 60)
                tracker.values["jawOpen"] = 0.8
                await until(lambda: lip_gap(driver, performer) > 0.12, 60)

            jaws = [
                params[1]
                for address, params in await asyncio.to_thread(drained, peer)
                if address == "/VMC/Ext/Blend/Val" and params[0] == "jawOpen"
            ]
            assert jaws[-1] == pytest.approx(0.8, abs=0.05)

            with closing(SimpleUDPClient("127.0.0.1", port)) as stranger:
                stranger._sock.sendto(b"nonsense", ("127.0.0.1", port))
            await until(lambda: performer.stat("errors") == 1)

            tracker.sending = False
            await until(lambda: performer.stat("state") == "CARD")
            tracker.sending = True
            await until(lambda: performer.stat("state") == "LIVE", 60)

            await tracker.close()
            await performer.close()

    run_on("uvloop", main, timeout_s=240)


def drained(peer: Peer) -> list[tuple[str, list[object]]]:
    """Everything sent so far, up to the end of a motion that is sent from now on."""
    peer.socket.setblocking(False)
    try:
        while peer.socket.recv(65536):
            pass
    except BlockingIOError:
        peer.socket.settimeout(5)
    return peer.until("/VMC/Ext/Blend/Apply")


def test_a_port_that_is_taken_ends_the_session_with_the_reason() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{other.getsockname()[1]}"
            config = config_with(tracking={"driver": "vmc"}, vmc={"listen": listen})
            async with standing(config) as stand:
                performer = Performer(stand.http, Camera())
                await performer.connect()
                await until(lambda: bool(performer.heard("closed")))
                assert "Address already in use" in performer.heard("closed")[0]["reason"]
                await performer.close()

    run_on("asyncio", main)
