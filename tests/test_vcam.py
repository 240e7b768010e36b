"""The virtual camera: what it shows and when, with a sink that speaks pyvirtualcam's interface.

No loopback device can exist where these run, so no test opens a real one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from realtime.client import Unanswered
from realtime.clock import FakeClock
from realtime.config import Output
from realtime.errors import StartupError
from realtime.frames import U8
from realtime.vcam import Feed, Shape, _no_device, open_camera, run
from tests.helpers import until

SHAPE = Shape(320, 240, 60.0)


class Sink:
    """Takes pictures as pyvirtualcam's Camera does, and checks them as it does."""

    device = "/dev/video9"

    def __init__(self) -> None:
        self.pictures: list[U8] = []
        self.unplugged = False

    def send(self, frame: U8) -> None:
        assert frame.dtype == np.uint8 and frame.size == 320 * 240 * 3 // 2
        if self.unplugged:
            raise RuntimeError("No such device")
        self.pictures.append(frame)

    def close(self) -> None:
        pass

    def shows(self, luma: int) -> bool:
        return bool(self.pictures) and abs(float(self.pictures[-1][:240].mean()) - luma) < 2


def picture(luma: int, width: int = 320, height: int = 240) -> av.VideoFrame:
    plane = np.full((height * 3 // 2, width), 128, np.uint8)
    plane[:height] = luma
    return av.VideoFrame.from_ndarray(plane, format="yuv420p")


def feed(clock: FakeClock) -> Feed:
    return Feed(SHAPE, Output(), clock)


def test_the_card_stands_before_the_first_picture_and_after_the_last() -> None:
    clock = FakeClock()
    shown = feed(clock)
    assert np.array_equal(shown.now(), shown.card) and not shown.is_live
    shown.show(picture(200))
    assert float(shown.now()[:240].mean()) == 200
    clock.advance_ms(999)
    assert shown.is_live and float(shown.now()[:240].mean()) == 200
    clock.advance_ms(2)
    assert np.array_equal(shown.now(), shown.card) and not shown.is_live


def test_the_card_is_marked() -> None:
    shown, plain = feed(FakeClock()), Feed(SHAPE, Output(label="SYNTHETIC"), FakeClock())
    apart = np.abs(shown.card[:240].astype(int) - plain.card[:240])
    differing = np.argwhere(apart > 24)  # the invisible marks of the two differ as well
    assert len(differing) and differing[:, 0].max() < 40 and differing[:, 1].min() > 160


def test_pictures_of_another_size_fit_the_camera() -> None:
    shown = feed(FakeClock())
    shown.show(picture(90, 640, 480))
    assert shown.now().shape == (360, 320)


class Daemon:
    """Comes, shows pictures, goes, as the test says."""

    def __init__(self) -> None:
        self.visits = 0
        self.is_up = asyncio.Event()
        self.luma = 60

    async def visit(self, show: Callable[[av.VideoFrame], None]) -> str:
        self.visits += 1
        if not self.is_up.is_set():
            raise Unanswered("no reenactd answers")
        while self.is_up.is_set():
            show(picture(self.luma))
            await asyncio.sleep(0.01)
        return "the session ended"


async def test_it_outlives_the_daemon_and_finds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.vcam.FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr("realtime.vcam.STALE_NS", 200_000_000)
    from realtime.clock import MonotonicClock

    sink, daemon, lines = Sink(), Daemon(), list[str]()
    shown = Feed(SHAPE, Output(), MonotonicClock())
    task = asyncio.create_task(run(sink, shown, SHAPE, daemon.visit, lines.append))
    await until(lambda: daemon.visits > 2 and len(sink.pictures) > 3)
    assert np.array_equal(sink.pictures[-1], shown.card)
    for luma in (60, 90):
        daemon.luma = luma
        daemon.is_up.set()
        await until(lambda luma=luma: sink.shows(luma))  # type: ignore[misc]
        daemon.is_up.clear()
        await until(lambda: np.array_equal(sink.pictures[-1], shown.card))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert np.array_equal(sink.pictures[-1], shown.card)
    assert lines.count("no reenactd answers; trying again until it comes") <= 3
    assert lines.count("the avatar is on") == 2


async def test_a_device_that_goes_away_ends_it_with_one_line() -> None:
    sink, daemon = Sink(), Daemon()
    sink.unplugged = True
    with pytest.raises(StartupError, match=r"/dev/video9 takes no more pictures \(No such device"):
        await run(sink, feed(FakeClock()), SHAPE, daemon.visit, lambda line: None)


@pytest.mark.parametrize(
    ("platform", "device", "said"),
    [
        ("linux", None, "there is no virtual"),
        ("linux", "/dev/video9", "/dev/video9 cannot be used as a virtual camera"),
        ("win32", None, "OBS Virtual Camera"),
        ("darwin", None, "Start Virtual Camera"),
    ],
)
def test_a_missing_device_is_told_with_what_to_install(
    platform: str, device: str | None, said: str
) -> None:
    text = _no_device(device, "'v4l2loopback' backend:\nno device", platform)
    assert said in text and "\n" not in text
    assert ("modprobe v4l2loopback" in text) == (platform == "linux")


def test_without_pyvirtualcam_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(StartupError, match=r"reenactd\[vcam\].*GPL"):
        open_camera(SHAPE, None)


def test_its_interface_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="the extra `vcam` is not installed")
    sent: list[U8] = []

    class Backend:
        def __init__(self, **asked: Any) -> None:
            self.asked = asked

        def device(self) -> str:
            return "fake"

        def native_fourcc(self) -> None:
            return None

        def send(self, frame: U8) -> None:
            sent.append(frame)

        def close(self) -> None:
            pass

    monkeypatch.setattr("pyvirtualcam.camera.BACKENDS", {"fake": Backend})
    camera = open_camera(SHAPE, None)
    shown = feed(FakeClock())
    camera.send(shown.now())
    assert camera.device == "fake" and pyvirtualcam.__name__
    assert np.array_equal(sent[0].reshape(360, 320), shown.card)
    camera.close()


def test_where_there_is_no_device_the_real_one_says_so() -> None:
    pytest.importorskip("pyvirtualcam", reason="the extra `vcam` is not installed")
    with pytest.raises(StartupError, match="/dev/no-such-camera cannot be used"):
        open_camera(SHAPE, "/dev/no-such-camera")
