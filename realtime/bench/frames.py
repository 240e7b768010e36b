"""A whole frame on a GPU: from decoded I420 to the I420 that an encoder takes, 1280 x 720.

As the host sees it, all stages but the tracker's in a row (MediaPipe runs beside, on the CPU); and
what the GPU does, between events on its streams. The performer is the made-up face of the
rehearsal, the avatar one of the gallery before its own background. Has not run on a GPU yet.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from realtime.bench.report import percentiles, print_table
from realtime.config import Config, Video
from realtime.errors import FrameError
from realtime.frames import Arrived, Controls, FaceTrack, OutputFrame, Timings, Tracked
from realtime.identity import IdentityStore
from realtime.pipeline import Pipeline
from realtime.rehearsal import made_up
from realtime.stages.ingest import Ingest

if TYPE_CHECKING:
    from engines.gpu.liveportrait import GpuLivePortrait
    from engines.gpu.reenactor import GpuReenactor

CANVAS_HW = 720, 1280
_IDENTITY = "juniper"
_WARM_UP_FRAMES = 10
_SCALE = np.float32(CANVAS_HW[0] / 480)
"""the made-up face is one of 480 rows"""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    frame_ms: Sequence[float]
    """in to out, on the host"""
    stage_ms: Mapping[str, Sequence[float]]
    """on the GPU's own clock, by stage"""
    grown_bytes: int
    """of GPU memory in all counted frames; none should be allocated"""

    def metrics(self) -> dict[str, float]:
        found = percentiles("frame", self.frame_ms)
        for stage, spent_ms in self.stage_ms.items():
            found |= percentiles(f"frame_{stage}", spent_ms)
        return found | {"frame_grown_mbyte": self.grown_bytes / 1e6}

    def print(self, name: str) -> None:
        rows = [("in to out", *percentiles("", self.frame_ms).values())]
        rows += [(f"  {s}", *percentiles("", ms).values()) for s, ms in self.stage_ms.items()]
        title = f"{name}: milliseconds a frame of {CANVAS_HW[1]}x{CANVAS_HW[0]}, without tracking"
        print_table(title, ("", "p50", "p95", "p99"), rows)
        if self.grown_bytes:
            print(f"NOT AS IT SHOULD BE: these frames took {self.grown_bytes / 1e6:.1f} MB more")


def time_frames(reenactor: GpuReenactor | GpuLivePortrait, frames: int) -> FrameTimes:
    """
    Raises:
        EngineError: the GPU fails, or has no memory left.
        FrameError: a frame was refused.
    """
    height, width = CANVAS_HW
    config = Config(video=Video(width_px=width, height_px=height))
    identity = IdentityStore(config.identities).load(_IDENTITY, reenactor, CANVAS_HW)
    ingest, pipeline = Ingest(config.video), Pipeline(config, reenactor)
    frame_ms: list[float] = []
    stage_ms: dict[str, list[float]] = {}
    free_bytes = 0
    for index in range(_WARM_UP_FRAMES + frames):
        arrived = Arrived(_camera_frame(index), made_up(index).source.arrived_ns)
        began = time.perf_counter()
        made = pipeline.process(_tracked(ingest, arrived, index), Controls(), identity)
        spent_ms = (time.perf_counter() - began) * 1e3
        if not isinstance(made, OutputFrame):
            raise FrameError(f"frame {index} of a made-up face gave no avatar: {made}")
        if index < _WARM_UP_FRAMES:
            free_bytes = _free(reenactor)
            continue
        frame_ms.append(spent_ms)
        for stage, spent in reenactor.stage_ms(CANVAS_HW).items():
            stage_ms.setdefault(stage, []).append(spent)
    return FrameTimes(frame_ms, stage_ms, free_bytes - _free(reenactor))


def _tracked(ingest: Ingest, arrived: Arrived, index: int) -> Tracked:
    face = made_up(index).face
    assert isinstance(face, FaceTrack)
    scaled = FaceTrack(face.landmarks_px * _SCALE, face.confidence)
    return Tracked(ingest(arrived, index), scaled, None, Timings(arrived.arrived_ns))


def _camera_frame(index: int) -> av.VideoFrame:
    height, width = CANVAS_HW
    grey = np.full((height * 3 // 2, width), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
    frame.pts = index
    return frame


def _free(reenactor: GpuReenactor | GpuLivePortrait) -> int:
    with reenactor.device.current():
        return reenactor.device.free_bytes()
