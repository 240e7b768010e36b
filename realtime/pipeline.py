"""What happens to one frame, in order. READ THIS FIRST. No threads, no sockets, no queues.

    Arrived --ingest--> SourceFrame --driver, smoothing--> Tracked            TrackStage
    Tracked --retarget--> Motion (--look--> Seen) --reenact--> Rendered --composite-->
        Composited --mark--> Marked --emit--> OutputFrame                     Pipeline

A face that another program tracked comes without a picture (`drivers/vmc.py`): it begins as a
Tracked, and `enact` makes its Motion where `retarget` does a camera's.
`look` runs only for a network that has to see the performer, and gives numbers, no picture.

Which thread runs which half, and what happens when there is no output, is decided in `workers.py`
and `pacing.py`. The webcam's picture has no way through: what `emit` accepts only `mark` makes, and
only from a composite of the avatar and a background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from engines.errors import EngineError
from realtime.cards import card_matte, draw_card
from realtime.clock import VIDEO_CLOCK_HZ, Clock, MonotonicClock
from realtime.config import Config
from realtime.drivers.camera import CameraDriver
from realtime.errors import FrameError
from realtime.frames import (
    Arrived,
    Composited,
    Controls,
    Cutout,
    FaceTrack,
    Motion,
    NoFace,
    NoFaceReason,
    OutputFrame,
    Performed,
    SourceFrame,
    Timings,
    Tracked,
)
from realtime.smoothing import LandmarkSmoother, Steps
from realtime.stages.composite import Composite
from realtime.stages.emit import Emit
from realtime.stages.enact import Enact
from realtime.stages.ingest import Ingest
from realtime.stages.look import Look
from realtime.stages.mark import Mark, Marks
from realtime.stages.reenact import Reenact
from realtime.stages.retarget import Retarget
from realtime.watermark import Payload

if TYPE_CHECKING:
    from engines.avatar import AnyReenactor
    from realtime.identity import Identity

_ROWS = 480
"""to which landmarks are scaled before their motion is measured"""
NoOutputReason = NoFaceReason | Literal["calibrating"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoOutput:
    """A frame from which no picture is made: absence is a value with a reason."""

    reason: NoOutputReason


class Stopwatch:
    """Runs stages one after the other and notes when each began and how long it took."""

    def __init__(self, clock: Clock, timings: Timings) -> None:
        self._clock = clock
        self.timings = timings

    def run(self, stage: str, work: Callable[[], T]) -> T:
        began_ns = self._clock.now_ns()
        result = work()
        spent_ns = self._clock.now_ns() - began_ns
        self.timings = self.timings.with_stage(stage, spent_ns, began_ns)
        return result


class TrackStage:
    """The first half, on the session's track thread: a decoded frame to what the performer does."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._ingest = Ingest(config.video)
        self._driver = CameraDriver(config.tracking)
        self._smooth = LandmarkSmoother(config.tracking)
        self._shape: tuple[int, ...] = ()
        self._seq = 0

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        """
        Raises:
            FrameError: this frame cannot be used; the next one may.
            SessionError: this camera's pictures cannot be used at all.
        """
        timings = Timings(arrived.arrived_ns)
        if arrived.receive_ns:
            began_ns = arrived.arrived_ns - arrived.receive_ns
            timings = timings.with_stage("receive", arrived.receive_ns, began_ns)
        watch = Stopwatch(self._clock, timings)
        seq, self._seq = self._seq, self._seq + 1
        source = watch.run("ingest", lambda: self._ingest(arrived, seq))
        face = watch.run("track", lambda: self._track(source, controls))
        matte = None
        if controls.background in ("blur", "camera") and isinstance(face, FaceTrack):
            matte = watch.run("matte", lambda: self._driver.matte(source))
        return Tracked(source, face, matte, watch.timings)

    def close(self) -> None:
        self._driver.close()

    def _track(self, source: SourceFrame, controls: Controls) -> FaceTrack | NoFace:
        if source.rgb.shape != self._shape:  # landmarks of another size are no neighbours
            self._shape = source.rgb.shape
            self._smooth.reset()
        face = self._driver.track(source)
        if isinstance(face, NoFace):
            self._smooth.reset()
            return face
        time_ns = source.pts * 1_000_000_000 // VIDEO_CLOCK_HZ
        return replace(
            face, landmarks_px=self._smooth(face.landmarks_px, time_ns, controls.smoothing)
        )


class Pipeline:
    """The second half, on the render thread: what the performer does to a picture of the avatar."""

    def __init__(self, config: Config, reenactor: AnyReenactor, clock: Clock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._video = config.video
        self._canvas_hw = (config.video.height_px, config.video.width_px)
        self._retarget = Retarget(config.retarget)
        self._enact = Enact(config.retarget)
        self._performed = False
        """whether another program tracks: then there is no neutral to wait for"""
        self.on_motion: Callable[[Motion], None] | None = None
        """is told of every motion before it is rendered; must not block"""
        self._look = Look(reenactor, config.tracking) if reenactor.looks else None
        self._reenact = Reenact(reenactor)
        self._composite, self._composite_hw = Composite(config.video), self._canvas_hw
        payload = Payload.random()
        self._mark, self._emit = Mark(config.output, payload), Emit()
        self._card_mark, self._card_emit = Mark(config.output, payload), Emit()
        self._steps = Steps()
        """between frames that are driven"""
        self._cards: dict[tuple[str, tuple[int, int]], OutputFrame] = {}

    @property
    def marks(self) -> Marks:
        """How every picture from here is marked."""
        return self._mark.marks

    @property
    def calibrated(self) -> bool:
        """Whether the performer's neutral was taken and no other is asked for."""
        return self._performed or self._retarget.calibrated

    def calibrate(self) -> None:
        """Take the performer's neutral anew from the coming second."""
        self._retarget.calibrate()
        self._enact.calibrate()

    def cut_out(self, wanted: bool) -> None:
        """Also give the avatar without its background, or no longer."""
        self._composite.cuts_out = wanted

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        """One frame of the avatar, of the size for which the identity is encoded, or why not.

        Raises:
            FrameError: a stage refused this frame (not finite, wrong shape, engine failed).
        """
        try:
            return self._process(tracked, controls, identity)
        except EngineError as error:  # a GPU may fail in every stage
            raise FrameError(str(error)) from error

    def _process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        face = tracked.face
        if isinstance(face, NoFace):
            return NoOutput(face.reason)
        source = tracked.source
        watch = Stopwatch(self._clock, tracked.timings)
        motion = watch.run("retarget", lambda: self._motion(face, source, controls))
        if motion is None:
            return NoOutput("calibrating")
        if self.on_motion is not None:
            self.on_motion(motion)
        if self._steps(source.arrived_ns) is None:
            self._reenact.forget()
        seen, look = None, self._look
        if look is not None and isinstance(face, FaceTrack):
            seen = watch.run("look", lambda: look(source, face, motion.rest, controls))
        rendered = watch.run("reenact", lambda: self._reenact(motion, identity.encoded, seen))
        self._fit(identity)
        composited = watch.run(
            "composite", lambda: self._composite(rendered, identity, controls, tracked)
        )
        marked = watch.run("mark", lambda: self._mark(composited))
        output = watch.run(
            "emit", lambda: self._emit(marked, source.seq, source.pts, "LIVE", watch.timings)
        )
        return replace(output, timings=watch.timings)

    def _motion(
        self, face: FaceTrack | Performed, source: SourceFrame, controls: Controls
    ) -> Motion | None:
        self._performed = isinstance(face, Performed)
        if isinstance(face, Performed):
            return self._enact(face, controls)
        return self._retarget(_of_any_size(face, source), controls, source.arrived_ns)

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        """A still picture with a text, marked like any other; the same one for the same text.

        Args:
            canvas_hw: its height and width; None for the configured ones.

        Called on another thread than `process`, with which it shares nothing that changes.
        """
        size = canvas_hw or self._canvas_hw
        if (text, size) not in self._cards:
            picture = draw_card(text, size)
            composited = Composited(picture, Cutout(picture, card_matte(text, size)))
            timings = Timings(self._clock.now_ns())
            marked = self._card_mark(composited)
            self._cards[text, size] = self._card_emit(marked, -1, 0, "CARD", timings)
        return self._cards[text, size]

    def _fit(self, identity: Identity) -> None:
        """Have the compositor work at the identity's size, which changes with the quality."""
        height, width = identity.background_rgb.shape[:2]
        if (height, width) != self._composite_hw:
            self._composite_hw = (height, width)
            size = {"width_px": width, "height_px": height}
            cuts_out = self._composite.cuts_out
            self._composite = Composite(self._video.model_copy(update=size))
            self._composite.cuts_out = cuts_out


def _of_any_size(face: FaceTrack, source: SourceFrame) -> FaceTrack:
    """The face as in a picture of `_ROWS` rows, seen from its middle.

    A browser that is short of time sends smaller pictures: the avatar must not move for that.
    """
    height, width = source.rgb.shape[:2]
    landmarks = face.landmarks_px - np.array([width / 2, height / 2, 0], np.float32)
    return replace(face, landmarks_px=landmarks * np.float32(_ROWS / height))
