"""The performer clips for tests: pictures, what was tracked in them, and the truth beside them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from realtime.clock import NS_PER_S
from realtime.config import Tracking
from realtime.drivers.camera import CameraDriver
from realtime.frames import F32, U8, FaceTrack, SourceFrame

FOLDER = Path(__file__).parent / "data" / "performers"
NAMES = ("performer1", "performer2", "performer3", "performer4")
FPS = 25


@cache
def pictures(name: str) -> list[U8]:
    """(480, 640, 3) RGB, all 250 of them."""
    with av.open(str(FOLDER / f"{name}.mp4")) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


@cache
def truth(name: str, quantity: str) -> NDArray[np.float64]:
    """One value per picture, for example "jaw" or "yaw_deg"."""
    frames = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return np.array([frame[quantity] for frame in frames], np.float64)


@cache
def landmarks(name: str) -> F32:
    """(250, 478, 3) as the camera driver finds them, unsmoothed."""
    driver = CameraDriver(Tracking())
    faces = [driver.track(source(name, index)) for index in range(len(pictures(name)))]
    driver.close()
    assert all(isinstance(face, FaceTrack) for face in faces)
    return np.stack([face.landmarks_px for face in faces if isinstance(face, FaceTrack)])


def source(name: str, index: int) -> SourceFrame:
    time_ns = time_of(index)
    return SourceFrame(index, index * 3600, time_ns, pictures(name)[index])


def time_of(index: int) -> int:
    """Monotonic time of a picture, in nanoseconds; begins somewhere, as clocks do."""
    return (1000 + index) * NS_PER_S // FPS
