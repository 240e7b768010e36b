"""Who drives in an evaluation: performers' clips and still poses, as motions.

Everything goes the daemon's way: its tracker, its smoothing, its retargeting. Knows no network and
no measure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engines.pose import MotionTensors
from engines.training.measures import luma
from engines.training.people import Person
from realtime.clock import NS_PER_S
from realtime.config import Config
from realtime.errors import StartupError
from realtime.frames import Arrived, Controls, FaceTrack, Motion, Tracked
from realtime.media_file import MediaReader
from realtime.pipeline import TrackStage
from realtime.stages.retarget import Retarget

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_HOLD_STEPS = 4
"""a still pose is held for so many of retargeting's longest steps, half a second each"""
_STEP_NS = NS_PER_S // 2
_NEUTRAL_STEPS = 40
"""at 30 a second: longer than a calibration takes"""
_BETWEEN_PASSES_NS = NS_PER_S
STILL_FPS = 25
STILL_FRAMES = 75
_SENSOR_NOISE = 3.0
"""standard deviation in grey levels of 255, as `reenactd bench tracking` takes it"""


@dataclass(frozen=True)
class Performance:
    """A performer's clip, and what it does to any identity."""

    name: str
    pictures: list[U8]
    """(H, W) luma"""
    landmarks: F32
    """(N, 478, 3) tracked and smoothed; the previous ones where no face was found"""
    motions: list[MotionTensors | None]


Truth = list[dict[str, float]]
"""what lies beside a clip, per frame: jaw, smile, blink 0..1, yaw_deg"""
_TRUTH = ("jaw", "smile", "blink", "yaw_deg")


def pose_motions(driver: Person, frames: list[str], config: Config) -> list[Motion | None]:
    """What each still frame of a person makes of any identity.

    The daemon's own retargeting: the portrait is shown until it is taken for the neutral, then each
    frame is held for two seconds, so that nothing is left of the one before it.
    """
    retarget = Retarget(config.retarget)
    neutral = FaceTrack(driver.landmarks[driver.portrait], 1.0)
    now_ns = NS_PER_S
    for _ in range(_NEUTRAL_STEPS):
        retarget(neutral, Controls(), now_ns)
        now_ns += NS_PER_S // 30
    motions = []
    for frame in frames:
        face, motion = FaceTrack(driver.landmarks[frame], 1.0), None
        for _ in range(_HOLD_STEPS):
            now_ns += _STEP_NS
            motion = retarget(face, Controls(), now_ns)
        motions.append(motion)
    return motions


def perform(clip: Path, config: Config) -> Performance:
    """Track and retarget a clip.

    As `reenactd render` does it: the opening is shown first, until the neutral is known.

    Raises:
        StartupError: the clip cannot be read, or nothing in it drives.
    """
    tracked = list(_track(clip, config))
    retarget, now_ns = Retarget(config.retarget), 0
    for frame in tracked:
        now_ns = frame.source.arrived_ns
        _motion(retarget, frame, now_ns)
        if retarget.calibrated:
            break
    later_ns = now_ns + _BETWEEN_PASSES_NS
    motions = [_motion(retarget, f, later_ns + f.source.arrived_ns) for f in tracked]
    if all(motion is None for motion in motions):
        raise StartupError(
            f"{clip}: none of {len(tracked)} frames drives, some must; take one that shows a face"
        )
    return Performance(
        name=clip.stem,
        pictures=[luma(frame.source.rgb).astype(np.uint8) for frame in tracked],
        landmarks=_landmarks(tracked),
        motions=motions,
    )


def find_clips(folder: Path) -> list[tuple[Path, Truth]]:
    """All clips of a folder with their truths. Each is opened: a long run must not end at one.

    Raises:
        StartupError: there is none, or one cannot be read.
    """
    clips = sorted(folder.glob("*.mp4"))
    if not clips:
        raise StartupError(f"{folder}: holds no *.mp4, must hold one or more; see --clips")
    for clip in clips:
        with MediaReader(clip):
            pass
    return [(clip, read_truth(clip)) for clip in clips]


def read_truth(clip: Path) -> Truth:
    """
    Raises:
        StartupError: what lies beside the clip is missing or damaged.
    """
    path = clip.with_suffix(".json")
    try:
        frames = json.loads(path.read_text("utf-8"))
        truth = [{name: float(frame[name]) for name in _TRUTH} for frame in frames]
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise StartupError(
            f"{path}: cannot be read as a clip's truth ({error}); must be a list with "
            f"{', '.join(_TRUTH)} of each frame: mend it, or move {clip.name} away"
        ) from None
    return truth


def write_still(clip: Path, moment: int, out: Path, count: int = STILL_FRAMES) -> None:
    """One frame of a clip as a webcam would send it that sees nothing move: noise, then H.264.

    Raises:
        StartupError: the clip cannot be read.
    """
    picture = _frame(clip, moment)
    noise = np.random.default_rng(0)
    with av.open(f"file:{out}", "w") as container:
        stream = container.add_stream("libx264", rate=STILL_FPS)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        stream.bit_rate = 2_000_000
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for _ in range(count):
            noisy = np.clip(picture + noise.normal(0, _SENSOR_NOISE, picture.shape), 0, 255)
            frame = av.VideoFrame.from_ndarray(noisy.astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def calmest(truth: Truth) -> int:
    """The frame of a clip in which the performer is nearest to rest."""
    agitation = [
        frame["jaw"] + frame["smile"] + frame["blink"] + abs(frame["yaw_deg"]) / 10
        for frame in truth
    ]
    return int(np.argmin(agitation))


def tensors_of(motion: Motion) -> MotionTensors:
    """A motion as the engines take it."""
    return MotionTensors(
        motion.rotation, motion.translation, motion.scale, motion.expression, motion.eye_openness
    )


def _motion(retarget: Retarget, frame: Tracked, now_ns: int) -> MotionTensors | None:
    if not isinstance(frame.face, FaceTrack):
        return None
    motion = retarget(frame.face, Controls(), now_ns)
    return None if motion is None else tensors_of(motion)


def _landmarks(tracked: list[Tracked]) -> F32:
    found: list[F32] = []
    for frame in tracked:
        if isinstance(frame.face, FaceTrack):
            found.append(frame.face.landmarks_px)
        else:
            found.append(found[-1] if found else np.zeros((478, 3), np.float32))
    return np.stack(found)


def _track(clip: Path, config: Config) -> Iterator[Tracked]:
    stage = TrackStage(config)
    try:
        with MediaReader(clip) as reader:
            frames = (item for item in reader if isinstance(item, av.VideoFrame))
            for index, frame in enumerate(frames):
                now_ns = NS_PER_S + round(index / reader.rate * NS_PER_S)
                yield stage(Arrived(frame, now_ns), Controls())
    finally:
        stage.close()


def _frame(clip: Path, number: int) -> U8:
    with MediaReader(clip) as reader:
        frames = (item for item in reader if isinstance(item, av.VideoFrame))
        frame = next(itertools.islice(frames, number, None))
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
