"""One performer with real WebRTC peers, and everybody who gets the pictures: a stage for tests.

From the composite on the stages are the real ones, and so is the one that looks at a camera
picture's size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import numpy as np

from realtime import client, vcam, whep_client
from realtime.clock import MonotonicClock
from realtime.config import Config, Output, Video
from realtime.frames import U8, Arrived, Composited, Controls, Motion, OutputFrame, Tracked
from realtime.identity import Identity
from realtime.pipeline import NoOutput
from realtime.stages.emit import Emit
from realtime.stages.ingest import Ingest
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests.helpers import (
    CARD_LUMA,
    FACE_LUMA,
    Camera,
    FakePipeline,
    FakeStudio,
    FakeTrackStage,
    Performer,
    Script,
    Watcher,
    until,
)
from tests.pictures import HEIGHT, WIDTH
from tests.running import Running

PAYLOAD = Payload(0x5EA1ED00)
CAMERA_SHAPE = vcam.Shape(WIDTH * 3 // 2, HEIGHT * 3 // 2, 15)
"""of the virtual camera: the picture is enlarged for it"""


class MarkedPipeline:
    """What the fake decides and breaks, as a picture that the real last stages finish."""

    def __init__(self, script: Script) -> None:
        self._fake = FakePipeline(script)
        self.calibrated, self.calibrate = True, self._fake.calibrate
        self._mark, self._emit = Mark(Output(), PAYLOAD), Emit()
        self.marks = self._mark.marks
        self.on_motion: Callable[[Motion], None] | None = None

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        made = self._fake.process(tracked, controls, identity)
        if not isinstance(made, OutputFrame):
            return NoOutput("none")
        return self._finish(FACE_LUMA[identity.id], made)

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        return self._finish(CARD_LUMA, self._fake.card(text, canvas_hw))

    def cut_out(self, wanted: bool) -> None:
        """Nobody watches without a background here."""

    def _finish(self, level: int, like: OutputFrame) -> OutputFrame:
        rgb = np.full((like.height_px, like.width_px, 3), level, np.uint8)
        marked = self._mark(Composited(rgb))
        return self._emit(marked, like.source_seq, like.pts, like.state, like.timings)


class MeasuringTrackStage(FakeTrackStage):
    """Looks at the picture's size first, as the real one does."""

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        Ingest(Video().model_copy(update={"max_input_px": WIDTH * HEIGHT}))(arrived, 0)
        return super().__call__(arrived, controls)


class MarkedStudio(FakeStudio):
    def make_track_stage(self) -> FakeTrackStage:
        return MeasuringTrackStage(self.script)

    def make_pipeline(self) -> MarkedPipeline:  # type: ignore[override]
        return MarkedPipeline(self.script)


class WebcamSink:
    """Speaks pyvirtualcam's interface."""

    device = "/dev/video9"

    def __init__(self) -> None:
        self.lumas: list[U8] = []

    def send(self, frame: U8) -> None:
        self.lumas.append(frame[: CAMERA_SHAPE.height_px])

    def close(self) -> None:
        """Nothing to release."""


def is_card(luma: U8) -> bool:
    return abs(float(luma.mean()) - CARD_LUMA) < 12


@dataclass
class Stage:
    """One performer, and everybody who gets the pictures."""

    camera: Camera
    performer: Performer
    viewer: Watcher
    webcam: WebcamSink
    feed: vcam.Feed
    http: httpx.AsyncClient

    def show(self, card: bool) -> bool:
        """Whether all that can be seen at once show a card, or the avatar."""
        lumas = (self.performer.seen[-1].luma, self.viewer.seen[-1].luma, self.webcam.lumas[-1])
        return all(is_card(luma) == card for luma in lumas)


@asynccontextmanager
async def staged(running: Running, config: Config) -> AsyncIterator[Stage]:
    """A performer (H.264), a viewer (VP8) and a virtual camera, all live."""
    address = client.find(Config(), running.url)
    headers = {"Authorization": f"Bearer {address.token}"}
    webcam, clock = WebcamSink(), MonotonicClock()
    feed = vcam.Feed(CAMERA_SHAPE, config.output, clock)
    visit = whep_client.visitor(config.rtc, address, "stage")
    async with httpx.AsyncClient(base_url=address.url, headers=headers, timeout=60) as http:
        camera = Camera()
        performer, viewer = Performer(http, camera), Watcher(http, "VP8")
        await performer.connect(name="stage")
        await viewer.connect("/whep/stage")
        filming = asyncio.create_task(
            vcam.run(webcam, feed, CAMERA_SHAPE, visit, lambda line: None)
        )
        stage = Stage(camera, performer, viewer, webcam, feed, http)
        await until(lambda: bool(performer.seen and viewer.seen and webcam.lumas))
        await until(lambda: stage.show(card=False))
        yield stage
        filming.cancel()
        await asyncio.gather(filming, return_exceptions=True)
        await viewer.close()
        await performer.close()
