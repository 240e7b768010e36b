"""The camera driver: finds the performer's face and silhouette. The only user of MediaPipe.

Face: MediaPipe's face mesh with irises in tracking mode (arXiv 1907.06724, 2006.11341).
Silhouette: its selfie segmentation (landscape model), made only when it is asked for. Knows no
smoothing, no expressions and no avatar. MediaPipe is imported at the first use, not with this
module: it takes 0.7 s, of which more than half is matplotlib, which its package pulls in unasked.

One performer only. The graph tracks a single face, so a second person who walks in is not seen
while the first one is tracked. After a loss the graph would take any face; `_Keeper` then refuses
a face at another place for a while and hides it from the graph, so that the first one is found.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from engines import face_mesh
from engines.rigid import fit_similarity
from realtime.config import Tracking
from realtime.frames import F32, LANDMARK_COUNT, U8, FaceTrack, NoFace, SourceFrame

_MATTE_EDGE_PX = 256  # the model looks at 256x144; more pixels only cost time
_MIN_FACE_UNIT_PX = 16.0  # of the tracked picture: below it lips and lids are one pixel
_MIN_INSIDE = 0.7  # share of the landmarks that must lie in the picture
_MAX_MISFIT = 0.16  # face units
_DETECTION_THRESHOLD = (
    "facedetectionshortrangecpu__facedetectionshortrange__facedetection__"
    "TensorsToDetectionsCalculator.min_score_thresh"
)
_TRACKING_THRESHOLD = "facelandmarkcpu__ThresholdingCalculator.threshold"
_KEEP_NS = 1_500_000_000
_SAME_ASPECT = 0.02  # rounding of a shrunk picture's edges
_CHATTER = ("INFO: Created TensorFlow Lite", "WARNING: All log messages before absl", "W0000 ")
HELD_S = 10.0
"""the longest that what is written to stderr is held back"""


class CameraDriver:
    """Tracks one performer. Used by one thread; frames must come in order."""

    def __init__(self, config: Tracking) -> None:
        self._max_edge_px = config.max_edge_px
        self._graph = _FaceGraph(1, config.min_confidence, static=False)
        self._keeper = _Keeper()
        self._segmenter: Any = None

    def track(self, source: SourceFrame) -> FaceTrack | NoFace:
        """The performer's landmarks in pixels of `source`, or why there are none."""
        small, scale = _shrink(source.rgb, self._max_edge_px)
        self._keeper.measure(small.shape[1], small.shape[0])
        found = self._graph(self._keeper.hide_others(small))
        if not found:
            self._keeper.lost(source.arrived_ns)
            return NoFace("none")
        face = _judge(found[0], small.shape[1], small.shape[0])
        if isinstance(face, NoFace):
            self._keeper.lost(source.arrived_ns)
            return face
        if not self._keeper.accepts(face.landmarks_px, source.arrived_ns):
            return NoFace("none")
        return FaceTrack(face.landmarks_px * np.float32(scale), face.confidence)

    def matte(self, source: SourceFrame) -> F32:
        """(H, W) 0..1: where the performer is. The first call loads the model."""
        if self._segmenter is None:
            self._segmenter = _segmenter()
        return _segment(self._segmenter, source.rgb)

    def close(self) -> None:
        self._graph.close()
        if self._segmenter is not None:
            self._segmenter.close()


def find_faces(rgb: U8, at_most: int = 2) -> list[FaceTrack]:
    """Up to `at_most` plausible faces of a still picture, in its pixels, the surest first."""
    (faces,) = find_in_each([rgb], at_most)
    return faces


def find_in_each(pictures: Iterable[U8], at_most: int) -> Iterator[list[FaceTrack]]:
    """As `find_faces`, of one still picture after the other."""
    graph = _FaceGraph(at_most, 0.5, static=True)
    try:
        for rgb in pictures:
            judged = [_judge(found, rgb.shape[1], rgb.shape[0]) for found in graph(rgb)]
            yield [face for face in judged if isinstance(face, FaceTrack)]
    finally:
        graph.close()


def person_matte(rgb: U8) -> F32:
    """(H, W) 0..1 of a still picture: where the person is."""
    segmenter = _segmenter()
    try:
        return _segment(segmenter, rgb)
    finally:
        segmenter.close()


class _FaceGraph:
    """MediaPipe's face mesh graph: (H, W, 3) in, lists of (478, 3) out."""

    def __init__(self, max_faces: int, min_confidence: float, static: bool) -> None:
        with _quiet_stderr():
            self._mesh = _solution(
                "face_landmark/face_landmark_front_cpu",
                "multi_face_landmarks",
                {"num_faces": max_faces, "with_attention": True, "use_prev_landmarks": not static},
                {_DETECTION_THRESHOLD: min_confidence, _TRACKING_THRESHOLD: min_confidence},
            )
            # The graph starts with its first picture: start it here, not in a performer's frame.
            self._mesh.process(np.zeros((128, 128, 3), np.uint8))
        self._spoke = False

    def __call__(self, rgb: U8) -> list[F32]:
        """Landmarks in pixels; z in the scale of x, as the model gives it."""
        height, width = rgb.shape[:2]
        size = np.array([width, height, width], np.float32)
        if self._spoke:
            faces = self._mesh.process(np.ascontiguousarray(rgb)).multi_face_landmarks or []
        else:  # its first face makes it print a last line
            with _quiet_stderr():
                faces = self._mesh.process(np.ascontiguousarray(rgb)).multi_face_landmarks or []
            self._spoke = bool(faces)
        return [_points(face) * size for face in faces]

    def close(self) -> None:
        self._mesh.close()


_WIRE_BYTES = 17


def _points(face: Any) -> F32:
    """(N, 3) of a NormalizedLandmarkList.

    Reading 1,434 attributes of its messages takes a millisecond. On the wire (protobuf's encoding,
    "Message Structure") a landmark that has x, y and z and nothing else is always 17 bytes: tag and
    length, then three times a tag and a little-endian float.
    """
    wire = np.frombuffer(face.SerializeToString(), np.uint8)
    if wire.size != _WIRE_BYTES * len(face.landmark):
        return np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32)
    fields = wire.reshape(-1, _WIRE_BYTES)[:, 2:].reshape(-1, 3, 5)[..., 1:]
    return np.ascontiguousarray(fields).view("<f4")[..., 0].astype(np.float32)


class _Keeper:
    """Stays with the face that was tracked first. Knows where it was, not who it is."""

    def __init__(self) -> None:
        self._box: F32 | None = None
        """(2, 2) left-top and right-bottom of the performer's face, in the tracked picture"""
        self._seen_ns = 0
        self._hidden: F32 | None = None
        self._size: F32 | None = None
        """width and height of the tracked picture"""

    def measure(self, width: int, height: int) -> None:
        """The size of the picture that comes now. A camera that changes its own still sees the
        same room, unless it is turned or crops: then nobody's place is known any more."""
        size = np.array([width, height], np.float32)
        if self._size is not None and (size != self._size).any():
            across, down = factors = size / self._size
            if abs(across / down - 1) > _SAME_ASPECT:
                self._box = self._hidden = None
            self._box = None if self._box is None else self._box * factors
            self._hidden = None if self._hidden is None else self._hidden * factors
        self._size = size

    def hide_others(self, rgb: U8) -> U8:
        """The picture without the face that was refused last; the graph then looks elsewhere."""
        if self._hidden is None:
            return rgb
        (left, top), (right, bottom) = np.maximum(self._hidden, 0).astype(int)
        covered = rgb.copy()
        covered[top:bottom, left:right] = 127
        return covered

    def lost(self, now_ns: int) -> None:
        """No face in this frame; after a while anybody may take the place."""
        if now_ns - self._seen_ns > _KEEP_NS:
            self._box = self._hidden = None

    def accepts(self, landmarks: F32, now_ns: int) -> bool:
        """Whether this is the performer, by place; a refused face is hidden from now on."""
        box = np.stack([landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)])
        if self._box is not None and now_ns - self._seen_ns <= _KEEP_NS:
            reach = 0.5 * (self._box[1] - self._box[0]).max() + 0.5 * (box[1] - box[0]).max()
            if np.abs(box.mean(axis=0) - self._box.mean(axis=0)).max() > reach:
                self._hidden = box + (box[1] - box[0]) * np.array([[-0.4], [0.4]], np.float32)
                return False
        self._box, self._seen_ns, self._hidden = box, now_ns, None
        return True


def _judge(landmarks: F32, width: int, height: int) -> FaceTrack | NoFace:
    """Whether landmarks in a picture of this size can be a face that is worth driving."""
    if landmarks.shape != (LANDMARK_COUNT, 3) or not np.isfinite(landmarks).all():
        return NoFace("implausible")
    if face_mesh.face_unit(landmarks) < _MIN_FACE_UNIT_PX:
        return NoFace("too_small")
    confidence = _confidence(landmarks)
    if confidence <= 0.0:
        return NoFace("implausible")
    xy = landmarks[:, :2]
    inside = ((xy >= 0) & (xy < np.array([width, height]))).all(axis=1).mean()
    return NoFace("low_confidence") if inside < _MIN_INSIDE else FaceTrack(landmarks, confidence)


def _confidence(landmarks: F32) -> float:
    """1 where the bones of the face fit the mean face, 0 where they are no face any more.

    MediaPipe's graph gives no score of its own to Python.
    """
    stable = list(face_mesh.RIGID)
    mean = face_mesh.load().mean_shape[stable]
    fit = fit_similarity(mean, landmarks[stable])
    misfit = np.linalg.norm(fit.invert(landmarks[stable]) - mean, axis=1).mean()
    return float(np.clip(1.0 - (misfit / _MAX_MISFIT) ** 2, 0.0, 1.0))


def _segmenter() -> Any:
    with _quiet_stderr():
        segmenter = _solution(
            "selfie_segmentation/selfie_segmentation_cpu",
            "segmentation_mask",
            {"model_selection": 1},
        )
        segmenter.process(np.zeros((144, 256, 3), np.uint8))
    return segmenter


def _segment(segmenter: Any, rgb: U8) -> F32:
    small, _ = _shrink(rgb, _MATTE_EDGE_PX)
    mask = segmenter.process(np.ascontiguousarray(small)).segmentation_mask
    height, width = rgb.shape[:2]
    matte = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(matte, np.float32)


def _shrink(rgb: U8, max_edge_px: int) -> tuple[U8, float]:
    """The picture with its longer edge at most `max_edge_px`, and source_px / tracked_px."""
    height, width = rgb.shape[:2]
    scale = max(height, width) / max_edge_px
    if scale <= 1.0:
        return rgb, 1.0
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), width / size[0]


def _solution(
    graph: str, output: str, side_inputs: dict[str, int], parameters: dict[str, float] | None = None
) -> Any:
    """One of MediaPipe's solutions, whose graph runs on the thread that calls it.

    Its own classes give each graph threads of its own, and a picture changes threads some twenty
    times; each time it waits for a processor, where others want one too.

    Args:
        graph: a module of the package, without the ending.
        output: the stream that `process` answers with.
        side_inputs, parameters: as the solution's own class sets them.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    import mediapipe
    from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
    from mediapipe.python.solution_base import SolutionBase

    module = Path(mediapipe.__file__).parent / "modules" / f"{graph}.binarypb"
    config = CalculatorGraphConfig.FromString(module.read_bytes())
    config.executor.add(type="ApplicationThreadExecutor")
    return SolutionBase(
        graph_config=config,
        side_inputs=side_inputs,
        calculator_params=parameters,
        outputs=[output],
    )


class _Hush:
    """Holds file descriptor 2 back and lets through what is not MediaPipe's start-up chatter.

    Its C++ writes four lines per graph straight to the descriptor and offers no switch for them.
    Lines of other threads in that time are not lost, only late, and by HELD_S at most: a start that
    hangs keeps neither the log nor another's start waiting.
    """

    def __init__(self, held_s: float = HELD_S) -> None:
        self._held_s = held_s
        self._lock = threading.Lock()
        self._turn = self._inside = 0
        """which time it is that something is held; for how many"""
        self._held: IO[bytes] | None = None
        self._saved = -1
        self._limit: threading.Timer | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        turn = self._enter()
        try:
            yield
        finally:
            self._leave(turn)

    def _enter(self) -> int:
        with self._lock:
            if self._held is None:
                self._begin()
            self._inside += 1
            return self._turn

    def _leave(self, turn: int) -> None:
        with self._lock:
            if turn != self._turn or self._held is None:  # it took too long
                return
            self._inside -= 1
            if self._inside == 0:
                self._give_back()

    def _begin(self) -> None:
        sys.stderr.flush()
        self._turn, self._inside = self._turn + 1, 0
        self._held, self._saved = tempfile.TemporaryFile(), os.dup(2)
        os.dup2(self._held.fileno(), 2)
        self._limit = threading.Timer(self._held_s, self._expire, (self._turn,))
        self._limit.name, self._limit.daemon = "hush", True
        self._limit.start()

    def _expire(self, turn: int) -> None:
        with self._lock:
            if turn == self._turn and self._held is not None:
                self._give_back()

    def _give_back(self) -> None:
        assert self._held is not None and self._limit is not None
        self._limit.cancel()
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        self._held.seek(0)
        for line in self._held.read().decode(errors="replace").splitlines(keepends=True):
            if not line.startswith(_CHATTER):
                os.write(self._saved, line.encode())
        os.close(self._saved)
        self._held.close()
        self._held = None


_quiet_stderr = _Hush()
