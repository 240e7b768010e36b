"""The virtual camera: what it shows and when, with a sink that speaks pyvirtualcam's interface.

No loopback device can exist where these run, so no test opens a real one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from realtime.cards import draw_card
from realtime.client import Unanswered
from realtime.clock import FakeClock
from realtime.config import Output
from realtime.errors import StartupError
from realtime.frames import U8
from realtime.vcam import CARD_TEXT, Feed, Shape, _no_device, open_camera, run
from realtime.watermark import Payload
from tests.helpers import until
from tests.marks import label_seen, mark_score

SHAPE = Shape(320, 240, 60.0)


class Sink:
    """Takes pictures as pyvirtualcam's Camera does, and checks them as it does."""

    device = "/dev/video9"

    def __init__(self, width: int = 320, height: int = 240) -> None:
        self.pictures: list[U8] = []
        self.unplugged = False
        self._bytes = width * height * 3 // 2

    def send(self, frame: U8) -> None:
        assert frame.dtype == np.uint8 and frame.size == self._bytes
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


def test_the_card_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = Payload(0xCA4D)
    monkeypatch.setattr(Payload, "random", classmethod(lambda cls: payload))
    luma = feed(FakeClock()).card[:240]
    assert label_seen(luma) and mark_score(luma, payload) > 6
    bare = draw_card(CARD_TEXT, (240, 320))[:, :, 1].copy()
    assert not label_seen(bare) and mark_score(bare, payload) < 5


async def test_a_size_that_may_lose_the_mark_is_told_once() -> None:
    clock, lines = FakeClock(), list[str]()
    shape = Shape(480, 640, 60)
    shown = Feed(shape, Output(), clock)
    assert shown.warning == "", "the card has it"
    daemon, sink = Daemon(640, 480), Sink(480, 640)
    daemon.is_up.set()
    task = asyncio.create_task(run(sink, shown, shape, daemon.visit, lines.append))
    await until(lambda: len(sink.pictures) > 6 and daemon.shown > 6)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    warnings = [line for line in lines if line.startswith("warning: the avatar fills 360 of 640")]
    assert len(warnings) == 1, lines


class Daemon:
    """Comes, shows pictures, goes, as the test says."""

    def __init__(self, width: int = 320, height: int = 240) -> None:
        self.visits = self.shown = 0
        self.is_up = asyncio.Event()
        self.luma = 60
        self._size = width, height

    async def visit(self, show: Callable[[av.VideoFrame], None]) -> str:
        self.visits += 1
        if not self.is_up.is_set():
            raise Unanswered("no reenactd answers")
        while self.is_up.is_set():
            show(picture(self.luma, *self._size))
            self.shown += 1
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


async def test_sigterm_leaves_the_card_and_ends_in_peace() -> None:
    sink, daemon, lines = Sink(), Daemon(), list[str]()
    daemon.is_up.set()
    shown = feed(FakeClock())
    task = asyncio.create_task(run(sink, shown, SHAPE, daemon.visit, lines.append))
    await until(lambda: sink.shows(60))
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 5)
    assert np.array_equal(sink.pictures[-1], shown.card)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_a_fault_of_a_visit_is_told_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime.vcam.FIRST_PAUSE_S", 0.01)
    sink, daemon, lines = Sink(), Daemon(), list[str]()
    daemon.is_up.set()
    visits = 0

    async def visit(show: Callable[[av.VideoFrame], None]) -> str:
        nonlocal visits
        visits += 1
        if visits == 1:
            raise AttributeError("aiortc has a bug")
        return await daemon.visit(show)

    task = asyncio.create_task(run(sink, feed(FakeClock()), SHAPE, visit, lines.append))
    await until(lambda: sink.shows(60))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    fault = "a fault of the viewer: AttributeError('aiortc has a bug'); trying again until it comes"
    assert lines == [fault, "the avatar is on"]


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
    assert camera.device == "fake"
    assert np.array_equal(sent[0].reshape(360, 320), shown.card)
    camera.close()


def test_where_there_is_no_device_the_real_one_says_so() -> None:
    with pytest.raises(StartupError, match="/dev/no-such-camera cannot be used"):
        open_camera(SHAPE, "/dev/no-such-camera")
