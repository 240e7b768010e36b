"""What a frame costs before anybody performs: some frames of a made-up face, rendered and timed.

The face is the mean of the mesh, which looks about and talks; the camera's picture is grey. It runs
on the thread that will render, so that the first performer finds caches filled, too. Nothing of it
is shown. What is not rehearsed, as tracking and encoding, is assumed until it is measured. Knows no
threads and no sessions.
"""

from __future__ import annotations

import math
import time
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engines import face_mesh
from realtime.admission import Cost
from realtime.clock import NS_PER_MS, NS_PER_S, VIDEO_CLOCK_HZ, Clock, MonotonicClock
from realtime.errors import FrameError
from realtime.frames import (
    Controls,
    FaceTrack,
    OutputFrame,
    SourceFrame,
    Timings,
    Tracked,
)

if TYPE_CHECKING:
    from realtime.identity import Identity

FPS = 30
WARM_UP_FRAMES, COUNTED_FRAMES = 4, 12
WHOLE_FRAME = 2.0
"""times the processor time of rendering: what decoding, tracking, encoding and sending take beside
it. 26 to 33 ms a frame where rendering takes 14 (docs/LOG.md, "One process or one each"); on a GPU
it is more, and whoever comes before that is measured finds the daemon too generous"""
_WIDTH_PX, _HEIGHT_PX = 640, 480
_FACE_UNIT_PX = 110.0
_TURN_RAD = 0.15
_JAW_UNITS = 0.12


class Stage(Protocol):
    """The part of a pipeline that is rehearsed."""

    def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> object: ...


def rehearse(stage: Stage, identity: Identity, clock: Clock | None = None) -> Cost:
    """The cost of a frame: its rendering in the median, after some that are not counted, and the
    processor time of all else as `WHOLE_FRAME` has it.

    Raises:
        FrameError: a stage refused a frame, or the made-up face gave no avatar.
    """
    timer = clock or MonotonicClock()
    frames = range(WARM_UP_FRAMES + COUNTED_FRAMES)
    counted = [_timed(stage, identity, index, timer) for index in frames][WARM_UP_FRAMES:]
    rendering_ms = median(cost.cpu_ms for cost in counted)
    return Cost(median(cost.render_ms for cost in counted), WHOLE_FRAME * rendering_ms)


def _timed(stage: Stage, identity: Identity, index: int, clock: Clock) -> Cost:
    tracked = made_up(index)
    began_ns, cpu_ns = clock.now_ns(), time.thread_time_ns()
    made = stage.process(tracked, Controls(), identity)
    wall_ms = (clock.now_ns() - began_ns) / NS_PER_MS
    if not isinstance(made, OutputFrame):
        raise FrameError(f"frame {index} of a made-up face gave no avatar: {made}")
    return Cost(wall_ms, (time.thread_time_ns() - cpu_ns) / NS_PER_MS)


def made_up(index: int) -> Tracked:
    """A frame of the mean face that turns to and fro and opens its mouth."""
    phase = 2 * math.pi * index / FPS
    turn = _TURN_RAD * math.sin(phase)
    face = face_mesh.load().mean_shape.astype(np.float32)
    lower = list(face_mesh.LIPS_INNER_LOWER[1:] + face_mesh.LIPS_OUTER_LOWER[1:])
    face[[*lower, face_mesh.CHIN], 1] += _JAW_UNITS * (1 - math.cos(phase)) / 2
    rotation = np.array(
        [[math.cos(turn), 0, math.sin(turn)], [0, 1, 0], [-math.sin(turn), 0, math.cos(turn)]]
    )
    middle = np.array([_WIDTH_PX / 2, _HEIGHT_PX / 2, 0])
    landmarks = (face - face.mean(axis=0)) @ rotation.T * _FACE_UNIT_PX + middle
    at_ns = (index + 1) * NS_PER_S // FPS
    grey = np.full((_HEIGHT_PX, _WIDTH_PX, 3), 128, np.uint8)
    source = SourceFrame(index, at_ns * VIDEO_CLOCK_HZ // NS_PER_S, at_ns, grey)
    return Tracked(source, FaceTrack(landmarks.astype(np.float32), 1.0), None, Timings(at_ns))
