"""`reenactd vcam`: the avatar as a camera of this machine, for Zoom, Discord, OBS and the rest.

A process of its own beside the daemon: it watches a session as any viewer does, and hands what it
gets to pyvirtualcam at a steady rate. Programs that read a camera do not like it to vanish, so it
stays while the daemon comes and goes, and shows a card meanwhile. Every picture is marked: those of
the daemon are, and the cards here are made by the same two stages.

pyvirtualcam is under the GPL 2.0: it is installed on demand, and nothing but this process loads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from av import VideoFrame

from realtime.cards import draw_card
from realtime.client import Unanswered
from realtime.clock import NS_PER_S, Clock
from realtime.config import Output
from realtime.errors import StartupError
from realtime.fitting import Place, fitted, place, unreadable
from realtime.frames import U8, Composited, Timings
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload

STALE_NS = NS_PER_S
"""a picture older than this gives way to the card"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""between two visits: doubled with each that brings nothing"""
CARD_TEXT = "Waiting for reenactd"
INSTALL_PACKAGE = (
    "`reenactd vcam` needs pyvirtualcam: `pip install 'reenactd[vcam]'` (it is under the GPL 2.0, "
    "which is why it is not there by default)"
)
INSTALL_DEVICE = {
    "linux": (
        "make one with v4l2loopback: `sudo apt-get install v4l2loopback-dkms`, then `sudo modprobe "
        "v4l2loopback devices=1 exclusive_caps=1 card_label=reenactd`"
    ),
    "darwin": (
        "install OBS Studio 30 or newer, press Start Virtual Camera in it once, allow its system "
        "extension, and stop it again"
    ),
    "win32": (
        "install OBS Studio, which brings OBS Virtual Camera; press Start Virtual Camera in it "
        "once, and stop it again"
    ),
}
"""by platform"""

Visit = Callable[[Callable[[VideoFrame], None]], Awaitable[str]]
"""shows pictures as they come, until there are no more, and returns why; raises Unanswered"""


class VirtualCamera(Protocol):
    """The part of pyvirtualcam.Camera that is used, with I420 pictures."""

    @property
    def device(self) -> str: ...
    def send(self, frame: U8) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What the camera offers, for as long as it is open."""

    width_px: int
    height_px: int
    fps: float


def open_camera(shape: Shape, device: str | None) -> VirtualCamera:
    """
    Raises:
        StartupError: pyvirtualcam is not installed, or there is no such device.
    """
    try:
        import pyvirtualcam
    except ImportError:
        raise StartupError(INSTALL_PACKAGE) from None
    try:
        camera: Any = pyvirtualcam.Camera(
            shape.width_px,
            shape.height_px,
            shape.fps,
            fmt=pyvirtualcam.PixelFormat.I420,
            device=device,
        )
    except (RuntimeError, OSError) as exc:
        raise StartupError(_no_device(device, str(exc), sys.platform)) from None
    return _Flat(camera)


def _no_device(device: str | None, reason: str, platform: str) -> str:
    said = " ".join(reason.split())
    how = INSTALL_DEVICE.get(platform, INSTALL_DEVICE["linux"])
    what = f"{device} cannot be used as a" if device else "there is no"
    return f"{what} virtual camera ({said}): {how}"


class _Flat:
    """pyvirtualcam takes I420 as one row of bytes."""

    def __init__(self, camera: Any) -> None:
        self._camera = camera

    @property
    def device(self) -> str:
        return str(self._camera.device)

    def send(self, frame: U8) -> None:
        self._camera.send(frame.reshape(-1))

    def close(self) -> None:
        self._camera.close()


class Feed:
    """What the camera shows now: the newest picture, or the card where that is too old. Pure."""

    def __init__(self, shape: Shape, output: Output, clock: Clock) -> None:
        self._shape = shape
        self._clock = clock
        canvas = draw_card(CARD_TEXT, (shape.height_px, shape.width_px))
        marked = Mark(output, Payload.random())(Composited(canvas))
        self.card: U8 = Emit()(marked, -1, 0, "CARD", Timings(clock.now_ns())).i420
        whole = Place(0, 0, shape.width_px, shape.height_px)
        self.warning = unreadable(whole, shape.height_px)
        """what is lost by the size of what is shown; empty where nothing is"""
        self._newest: VideoFrame | None = None
        self._came_ns = 0
        self._picture: U8 = self.card

    @property
    def is_live(self) -> bool:
        return self._newest is not None and self._clock.now_ns() - self._came_ns < STALE_NS

    def show(self, frame: VideoFrame) -> None:
        """A picture came; it is converted when it is shown, if it is."""
        self._newest, self._came_ns = frame, self._clock.now_ns()
        self._picture = self.card

    def now(self) -> U8:
        """(H * 3 // 2, W) I420 in the camera's size."""
        if self._newest is None or not self.is_live:
            return self.card
        if self._picture is self.card:
            into = self._shape.width_px, self._shape.height_px
            at = place((self._newest.width, self._newest.height), into)
            self._picture = fitted(self._newest, at, into)
            self.warning = unreadable(at, into[1])
        return self._picture


async def run(
    camera: VirtualCamera, feed: Feed, shape: Shape, visit: Visit, tell: Callable[[str], None]
) -> None:
    """Feed the camera until cancelled, or until SIGTERM; the last picture is the card.

    Args:
        tell: gets a line whenever what is shown, or why nothing can be, changes.

    Raises:
        StartupError: the device went away.
    """
    watching = asyncio.create_task(_visit_for_ever(feed, visit, tell))
    try:
        with _sigterm() as ended:
            await _feed(camera, feed, shape, ended, tell)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        _send(camera, feed.card)


async def _feed(
    camera: VirtualCamera,
    feed: Feed,
    shape: Shape,
    ended: asyncio.Event,
    tell: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    due_s, live, warned = loop.time(), False, ""
    while not ended.is_set():
        _send(camera, feed.now())
        if feed.is_live != live:
            live = feed.is_live
            tell("the avatar is on" if live else "no avatar: the card is shown")
        if feed.warning not in ("", warned):
            warned = feed.warning
            tell(f"warning: {warned}")
        due_s = max(due_s + 1 / shape.fps, loop.time())
        await asyncio.sleep(due_s - loop.time())


@contextlib.contextmanager
def _sigterm() -> Iterator[asyncio.Event]:
    """Set by that signal: who stops a service should see the card as well."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows ends a process without asking it
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    try:
        yield ended
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


def _send(camera: VirtualCamera, picture: U8) -> None:
    try:
        camera.send(picture)
    except (RuntimeError, OSError) as exc:
        raise StartupError(
            f"{camera.device} takes no more pictures ({exc}): start `reenactd vcam` again once the "
            "device is back"
        ) from exc


async def _visit_for_ever(feed: Feed, visit: Visit, tell: Callable[[str], None]) -> None:
    pause_s, said = FIRST_PAUSE_S, ""
    while True:
        shown = False

        def show(frame: VideoFrame) -> None:
            nonlocal shown
            shown = True
            feed.show(frame)

        try:
            why = await visit(show)
        except Unanswered as exc:
            why = str(exc)
        except Exception as exc:  # noqa: BLE001 - the task's root: the next visit may go well
            why = f"a fault of the viewer: {exc!r}"
        if shown:
            pause_s, said = FIRST_PAUSE_S, ""
        if why != said:
            said = why
            tell(f"{why}; trying again until it comes")
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
