"""The real stages behind a real session: the avatar appears, and what breaks fails closed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import av
import numpy as np
import pytest

from engines.backends.base import Engine
from engines.models import Reenactor
from realtime.cast import CARD_TEXTS
from realtime.frames import U8
from realtime.studio import LiveStudio
from tests.conftest import PERFORMERS
from tests.helpers import Camera, Performer, config_with, run_on, standing, until
from tests.pictures import luma_of, texture

pytestmark = pytest.mark.slow


class ClipCamera(Camera):
    """A performer's clip, over and over, at 15 fps: a busy test machine keeps up with that."""

    def __init__(self) -> None:
        super().__init__(fps=15)
        with av.open(str(PERFORMERS / "performer1.mp4")) as container:
            frames = [frame for _, frame in zip(range(60), container.decode(video=0), strict=False)]
        self.pictures = [luma_of(frame).copy() for frame in frames]

    async def recv(self) -> av.VideoFrame:
        self.picture = self.pictures[len(self.sent_s) % len(self.pictures)]
        return await super().recv()


def likeness(first: U8, second: U8) -> float:
    """Pearson's correlation of two pictures of one size."""
    return float(np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1])


class BrokenEngine:
    """A network whose output is not a number once it breaks."""

    def __init__(self, real: Engine) -> None:
        self._real = real
        self.broken = False
        self.description = real.description

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = self._real.run(inputs)
        if self.broken:
            return {name: np.full_like(value, np.nan) for name, value in outputs.items()}
        return dict(outputs)


@pytest.fixture(autouse=True)
def nothing_is_kept_for_good() -> Iterator[None]:
    """Other tests of this process look for what is left."""
    yield
    gc.unfreeze()


def test_the_avatar_performs_and_a_network_that_gives_nan_ends_in_the_card() -> None:
    async def main() -> None:
        config = config_with(engine={"threads": 1})
        studio = LiveStudio(config)
        async with standing(config, studio) as stand:
            camera = ClipCamera()
            performer = Performer(stand.http, camera)
            await performer.connect()
            card = studio.make_pipeline().card(CARD_TEXTS[""]).i420[: config.video.height_px]
            await until(lambda: performer.stat("state") == "LIVE", 60)
            await until(lambda: likeness(performer.seen[-1].luma, card) < 0.8)
            assert performer.stat("face") == "ok"
            assert gc.get_freeze_count() > 0, "the collector would search what stays anyway"

            reenactor = studio._reenactor
            assert isinstance(reenactor, Reenactor)
            network = reenactor._network
            assert network is not None and network.drive is not None
            engine = BrokenEngine(network.drive)
            reenactor._network = replace(network, drive=cast(Engine, engine))
            engine.broken = True
            await until(lambda: performer.stat("state") == "CARD")
            begin = len(performer.seen)
            await until(lambda: len(performer.seen) >= begin + 10)
            for seen in performer.seen[begin:]:
                assert likeness(seen.luma, card) > 0.9
                assert max(likeness(seen.luma, picture) for picture in camera.pictures[::6]) < 0.5
            assert performer.stat("errors") > 0

            engine.broken = False
            await until(lambda: performer.stat("state") == "LIVE", 60)
            await performer.close()

    run_on("uvloop", main, timeout_s=150)


@pytest.mark.parametrize(("width", "height"), [(321, 243), (3840, 2160), (64, 48)])
def test_unusual_cameras_are_taken(width: int, height: int) -> None:
    async def main() -> None:
        config = config_with(rtc={"codec": "vp8"})
        async with standing(config, LiveStudio(config)) as stand:
            camera = OddCamera(width, height)
            performer = Performer(stand.http, camera)
            await performer.connect()
            await until(lambda: performer.stat("fps_in") > 0, 60)
            await until(lambda: performer.stat("reason") == "none", 60)
            stats = performer.heard("stats")[-1]
            assert stats["camera"] == {"width": width, "height": height}
            assert stats["errors"] == 0 and not performer.heard("closed")
            await performer.close()

    run_on("asyncio", main, timeout_s=120)


def test_a_camera_with_too_many_pixels_is_refused_with_the_reason() -> None:
    async def main() -> None:
        config = config_with(video={"max_input_px": 320 * 240})
        async with standing(config, LiveStudio(config)) as stand:
            performer = Performer(stand.http, Camera(picture=texture(640, 480)))
            await performer.connect()
            await until(lambda: bool(performer.heard("closed")), 60)
            assert "640x480" in performer.heard("closed")[0]["reason"]
            await performer.close()

    run_on("asyncio", main, timeout_s=90)


class OddCamera(Camera):
    """Sizes that 4:2:0 does not divide."""

    def __init__(self, width: int, height: int) -> None:
        even = texture(width + width % 2, height + height % 2)
        super().__init__(fps=5, picture=even)
        self._size = (width, height)

    async def recv(self) -> av.VideoFrame:
        frame = await super().recv()
        width, height = self._size
        grey = av.VideoFrame(width, height, "yuv420p")
        for plane, source in zip(grey.planes, frame.planes, strict=True):
            rows = np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = rows[: plane.height, : plane.width]
            plane.update(padded.tobytes())
        grey.pts, grey.time_base = frame.pts, frame.time_base
        return grey
