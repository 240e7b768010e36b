"""How calm and how quick tracking is: jitter of a still face, and delay added to a moving one.

- Jitter: the frame of a performer's clip with the lips closed most, repeated with fresh sensor
  noise and sent through H.264 as a webcam would be, tracked with and without smoothing. Stated as
  the spread around the mean, and as the second difference from frame to frame, which is what the
  eye sees as shimmer.
- Delay: the same landmarks with a jump of 60 px within 100 ms laid over them (when do they pass
  the middle?), and the clip itself (by how much do smoothed landmarks trail the raw ones?).
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from realtime.bench.report import Report, finish, print_table
from realtime.clock import NS_PER_S
from realtime.config import Tracking, Video
from realtime.drivers.camera import CameraDriver
from realtime.errors import StartupError
from realtime.frames import F32, U8, Arrived, FaceTrack, SourceFrame
from realtime.smoothing import LandmarkSmoother
from realtime.stages.ingest import Ingest

STILL_FPS = 30
NOISE_SIGMA = 3.0
STEP_PX = 60.0
STEP_S = 0.1
_SETTLE = 15  # frames before anything is measured


def run(clip: Path, config: Tracking, smoothing: float = 0.5, frames: int = 150) -> None:
    """Measure, print a table, and one JSON object as the last line."""
    metrics = measure(clip, config, smoothing, frames)
    print_table(f"tracking: {clip.name}", ("metric", "value"), list(metrics.items()))
    asked = {"clip": clip.name, "smoothing": smoothing, "frames": frames, **config.model_dump()}
    finish(Report("tracking", asked, metrics))


def measure(
    clip: Path, config: Tracking, smoothing: float = 0.5, frames: int = 150
) -> dict[str, float]:
    """All figures for one clip; at most `frames` of it are used.

    Raises:
        StartupError: the clip cannot be read, or shows no face throughout.
    """
    pictures, step_s = _read(clip, frames)
    moving = _track(pictures, config, clip)
    at_rest = pictures[int(_lip_gap(moving).argmin())]
    still = _track(_as_webcam(at_rest, frames), config, clip)
    calm = _smooth(still, 1 / STILL_FPS, config, smoothing)
    followed = _smooth(moving, step_s, config, smoothing)
    metrics: dict[str, float] = {}
    for name, landmarks in (("raw", still), ("smoothed", calm)):
        metrics[f"jitter_{name}_px"] = _spread(landmarks)
        metrics[f"shimmer_{name}_px"] = _second_difference(landmarks)
    metrics["step_delay_ms"] = 1e3 * _step_delay_s(still, config, smoothing)
    metrics["head_delay_ms"] = 1e3 * step_s * _lag(moving[:, 1, 0], followed[:, 1, 0])
    metrics["lips_delay_ms"] = 1e3 * step_s * _lag(_lip_gap(moving), _lip_gap(followed))
    metrics["lids_delay_ms"] = 1e3 * step_s * _lag(_lid_gap(moving), _lid_gap(followed))
    metrics["blink_depth_kept"] = _depth(_lid_gap(followed)) / _depth(_lid_gap(moving))
    return metrics


def _read(clip: Path, frames: int) -> tuple[list[U8], float]:
    """Pictures of the clip, and the seconds between them."""
    ingest = Ingest(Video())
    try:
        with av.open(f"file:{clip}") as container:
            rate = container.streams.video[0].average_rate or STILL_FPS
            decoded = itertools.islice(container.decode(video=0), frames)
            pictures = [ingest(Arrived(frame, 0), i).rgb for i, frame in enumerate(decoded)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise StartupError(f"{clip}: cannot be read as video ({error})") from error
    if len(pictures) < 2 * _SETTLE:
        raise StartupError(f"{clip}: {len(pictures)} frames; at least {2 * _SETTLE} are needed")
    return pictures, float(1 / rate)


def _as_webcam(picture: U8, count: int) -> list[U8]:
    """A still scene as a webcam would send it: sensor noise, then real-time H.264."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    noise = np.random.default_rng(0)
    encoded = io.BytesIO()
    with av.open(encoded, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=STILL_FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 2_000_000
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for _ in range(count):
            grain = noise.normal(0, NOISE_SIGMA, (height, width, 3))
            noisy = np.clip(picture[:height, :width] + grain, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, "rgb24")))
        container.mux(stream.encode(None))
    encoded.seek(0)
    with av.open(encoded) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _track(pictures: list[U8], config: Tracking, clip: Path) -> F32:
    """(N, 478, 3) raw landmarks in pixels."""
    driver = CameraDriver(config)
    landmarks = []
    try:
        for index, picture in enumerate(pictures):
            time_ns = index * NS_PER_S // STILL_FPS
            face = driver.track(SourceFrame(index, 0, time_ns, picture))
            if not isinstance(face, FaceTrack):
                raise StartupError(f"{clip}: no face ({face.reason}) in frame {index}")
            landmarks.append(face.landmarks_px)
    finally:
        driver.close()
    return np.stack(landmarks)


def _smooth(landmarks: F32, step_s: float, config: Tracking, smoothing: float) -> F32:
    smoother = LandmarkSmoother(config)
    return np.stack(
        [
            smoother(points, round((1 + index) * step_s * NS_PER_S), smoothing)
            for index, points in enumerate(landmarks)
        ]
    )


def _spread(landmarks: F32) -> float:
    """Standard deviation around the mean, px, over all landmarks and both axes."""
    return float(np.sqrt(landmarks[_SETTLE:, :, :2].var(axis=0).mean()))


def _second_difference(landmarks: F32) -> float:
    """Root mean square, px."""
    return float(np.sqrt((np.diff(landmarks[_SETTLE:, :, :2], n=2, axis=0) ** 2).mean()))


def _step_delay_s(still: F32, config: Tracking, smoothing: float) -> float:
    """How much later the smoothed head passes the middle of a fast move."""
    times_s = np.arange(len(still)) / STILL_FPS
    moved = still.copy()
    moved[:, :, 0] += (STEP_PX * np.clip((times_s - 1.0) / STEP_S, 0, 1))[:, None]
    smoothed = _smooth(moved, 1 / STILL_FPS, config, smoothing)
    return _passes_middle(smoothed, times_s) - _passes_middle(moved, times_s)


def _passes_middle(landmarks: F32, times_s: NDArray[np.float64]) -> float:
    path = landmarks[:, :, 0].mean(axis=1)
    path = path - path[_SETTLE : STILL_FPS - 1].mean()
    after = int(np.argmax(path >= STEP_PX / 2))
    share = (STEP_PX / 2 - path[after - 1]) / (path[after] - path[after - 1])
    return float(times_s[after - 1] + share / STILL_FPS)


def _lag(raw: F32, smoothed: F32) -> float:
    """Frames by which `smoothed` trails `raw`: the best d in smoothed(t) = raw(t) - d raw'(t)."""
    slope = np.gradient(raw)
    late = raw - smoothed
    return float((slope * late)[_SETTLE:].sum() / (slope**2)[_SETTLE:].sum())


def _lip_gap(landmarks: F32) -> F32:
    gap: F32 = np.linalg.norm(landmarks[:, 13] - landmarks[:, 14], axis=1)
    return gap


def _lid_gap(landmarks: F32) -> F32:
    """Eye aspect ratio of the right eye."""
    gap = np.linalg.norm(landmarks[:, 159] - landmarks[:, 145], axis=1)
    corners = landmarks[:, face_mesh.RIGHT_EYE_OUTER] - landmarks[:, 133]
    ratio: F32 = gap / np.linalg.norm(corners, axis=1)
    return ratio


def _depth(openness: F32) -> float:
    """How far the lids go from open to the deepest blinks."""
    return float(np.percentile(openness, 90) - np.sort(openness)[:4].mean())
