"""The door to the engines: a portrait becomes an `EncodedIdentity` once, then frames are rendered.

    reenactor = load_reenactor("auto", threads=2)
    identity = reenactor.encode_identity(portrait_rgba, landmarks_px, canvas_hw=(480, 640))
    image = reenactor.render(identity, motion)

Knows tensors and no clocks: what time it is, whose session this is and what happens to a failed
frame are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import backends, crop, face_mesh
from engines.backends.base import Engine
from engines.errors import EngineError, PortraitError
from engines.eyes import Eye, eyes_of
from engines.mouth import Mouth
from engines.portrait import extend
from engines.pose import MotionTensors, TargetFace
from engines.rigid import Similarity
from engines.specs import NETWORKS
from engines.steady import Steady
from engines.warp import Placement, SourceMap, WarpMesh, sample

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_FACE_SHARE = 0.235
"""face unit on the canvas, as a share of the canvas' height: a webcam's usual framing"""
_TORSO = 1.3
"""at most so many face units of a portrait are shown below the chin"""
_HEADROOM = 0.05
"""share of the canvas' height kept free above the head"""
_MOST_DETAIL = 2.0
"""portrait pixels per canvas pixel; a larger portrait is shrunk once, so that it never aliases"""
_FEWEST_TEETH_PX = 60
_STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@dataclass(frozen=True, slots=True)
class EncodedIdentity:
    """Everything about a portrait that does not change from frame to frame."""

    canvas_hw: tuple[int, int]
    portrait_rgba: U8
    """(H, W, 4) continued beyond its borders"""
    landmarks: F32
    """(478, 3) in portrait_rgba's pixels"""
    mesh: WarpMesh
    target: TargetFace
    mouth: Mouth
    eyes: tuple[Eye, Eye]
    """the subject's right and left"""
    portrait_patches: list[crop.Patch]
    features: F32
    """(patches, C, 24, 24)"""


@dataclass(frozen=True, slots=True)
class RenderedArrays:
    rgb: U8
    """(H, W, 3) not premultiplied"""
    alpha: U8
    """(H, W)"""


class Reenactor:
    """A network and its geometry. One thread calls it."""

    def __init__(
        self, encode: Engine | None, drive: Engine | None, reason: str, layers: bool = True
    ) -> None:
        self._encode, self._drive, self._layers = encode, drive, layers
        self.reason = reason
        """what runs, on what, and why"""

    def encode_identity(
        self, portrait_rgba: U8, landmarks_px: F32, canvas_hw: tuple[int, int]
    ) -> EncodedIdentity:
        """Prepare a portrait; takes some hundred milliseconds.

        Args:
            portrait_rgba: (H, W, 4) uint8, alpha 255 on the person.
            landmarks_px: (478, 3) of the face in it.
            canvas_hw: even height and width of the pictures to come.

        Raises:
            PortraitError: the arrays are not a portrait and its landmarks.
        """
        _check_portrait(portrait_rgba, landmarks_px)
        portrait_rgba, landmarks_px, zoom = _fit_detail(portrait_rgba, landmarks_px, canvas_hw)
        extended = extend(portrait_rgba)
        landmarks = landmarks_px.astype(np.float32).copy()
        landmarks[:, :2] += extended.origin
        centre_x = float(landmarks[list(face_mesh.RIGID), 0].mean())
        foot_y = extended.origin[1] + _foot(portrait_rgba, landmarks_px)
        canvas_from_portrait = np.array(
            [
                [zoom, 0, canvas_hw[1] / 2 - zoom * centre_x],
                [0, zoom, canvas_hw[0] - zoom * foot_y],
            ],
            np.float32,
        )
        patches = crop.patches(landmarks, _STAY, face_mesh.face_unit(landmarks))
        return EncodedIdentity(
            canvas_hw=canvas_hw,
            portrait_rgba=extended.rgba,
            landmarks=landmarks,
            mesh=WarpMesh(landmarks, extended.rgba[..., 3]),
            target=TargetFace(landmarks, canvas_from_portrait, canvas_hw),
            mouth=Mouth(
                landmarks,
                _skin_rgb(extended.rgba, landmarks),
                _teeth_rgb(extended.rgba, landmarks),
            ),
            eyes=eyes_of(extended.rgba, landmarks),
            portrait_patches=patches,
            features=self._features(extended.rgba, landmarks, patches),
        )

    def render(
        self, identity: EncodedIdentity, motion: MotionTensors, steady: Steady | None = None
    ) -> RenderedArrays:
        """The identity as `motion` drives it, on its canvas.

        Args:
            steady: of the frames before; without it each frame is drawn for itself.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        return self.draw(identity, identity.target.place(motion), steady)

    def draw(
        self, identity: EncodedIdentity, placement: Placement, steady: Steady | None = None
    ) -> RenderedArrays:
        """The identity with its landmarks, head and torso exactly where `placement` says.

        Args:
            steady: as of `render`.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        source = identity.mesh.source_map(placement, identity.canvas_hw)
        rgba = sample(identity.portrait_rgba, source, identity.canvas_hw)
        if self._layers:
            for eye in identity.eyes:
                eye.draw(rgba[..., :3], placement.landmarks, placement.head)
        rgb = cast(U8, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
        if self._drive is not None:
            self._refine(self._drive, identity, placement, source, rgba, rgb)
        if self._layers:
            identity.mouth.draw(rgb, placement.landmarks, placement.head)
        if steady is not None:
            steady(rgb, placement.landmarks)
        return RenderedArrays(rgb, cast(U8, cv2.extractChannel(rgba, 3)))

    def _refine(  # noqa: PLR0913 - one step of draw, cut out of it
        self,
        drive: Engine,
        identity: EncodedIdentity,
        placement: Placement,
        source: SourceMap,
        rgba: U8,
        rgb: U8,
    ) -> None:
        """Let the network paint mouth and eyes of `rgba` into `rgb`, where they need it."""
        landmarks, head = placement.landmarks, placement.head
        unit_px = face_mesh.face_unit(identity.landmarks)
        shares = [1.0, *(eye.needs_paint(landmarks, head) for eye in identity.eyes)]
        for region, patch in enumerate(crop.patches(landmarks, head, unit_px)):
            if shares[region] == 0:
                continue
            warped = patch.cut(rgba)
            at_rest = identity.portrait_patches[region]
            inputs = {
                "warped": crop.as_tensor([crop.to_planes(crop.over_grey(warped))]),
                "guide": crop.as_tensor([patch.guide(landmarks, warped[..., 3])]),
                "features": identity.features[region : region + 1],
                "grid": crop.feature_grid(patch, source, at_rest)[None],
            }
            change = drive.run(inputs)["change"][0]
            if not np.isfinite(change).all():
                raise EngineError("the network's output is not finite; the frame is dropped")
            patch.add(change.transpose(1, 2, 0) * np.float32(shares[region]), rgb)

    def _features(self, rgba: U8, landmarks: F32, patches: list[crop.Patch]) -> F32:
        if self._encode is None:
            return np.zeros((len(patches), 0, crop.FEATURE_SIZE, crop.FEATURE_SIZE), np.float32)
        seen = [patch.cut(rgba) for patch in patches]
        guides = [p.guide(landmarks, s[..., 3]) for p, s in zip(patches, seen, strict=True)]
        inputs = {
            "portrait": crop.as_tensor([crop.to_planes(crop.over_grey(s)) for s in seen]),
            "guide": crop.as_tensor(guides),
        }
        return self._encode.run(inputs)["features"].copy()


def load_reenactor(backend: str = "auto", threads: int = 1) -> Reenactor:
    """Load warp-refine on the chosen backend; OpenCV takes as many threads, process-wide.

    Raises:
        BackendError, WeightsError: it cannot be run here, or its files are not what they claim.
    """
    # OpenCV would take every core for a millisecond's work, and tracking runs beside it
    cv2.setNumThreads(threads)
    spec = NETWORKS["warp-refine-lite"]
    chosen, why = backends.choose(backend, spec)
    encode, drive = (backends.open_graph(chosen, spec, graph, threads) for graph in spec.graphs)
    return Reenactor(encode, drive, f"{spec.name} on {drive.description}: {why}")


def geometry_only(*, layers: bool = True) -> Reenactor:
    """The same avatar without its network: the baseline that a network must beat.

    Args:
        layers: draw eyeballs and the mouth's inside; without them the portrait is only warped.
    """
    return Reenactor(None, None, "geometry only, no network", layers)


def _skin_rgb(rgba: U8, landmarks: F32) -> F32:
    """(3,) mean colour of cheeks, nose and forehead."""
    x, y = np.round(landmarks[list(face_mesh.RIGID), :2]).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < rgba.shape[1]) & (y < rgba.shape[0])
    mean: F32 = np.median(rgba[y[inside], x[inside], :3], axis=0).astype(np.float32)
    return mean


def _teeth_rgb(rgba: U8, landmarks: F32) -> F32 | None:
    """(3,) the brightest fifth of what a portrait shows between its lips, if anything."""
    hole = np.zeros(rgba.shape[:2], np.uint8)
    cv2.fillPoly(hole, [np.round(landmarks[face_mesh.MOUTH_HOLE, :2]).astype(np.int32)], (255,))
    seen = rgba[cv2.erode(hole, np.ones((3, 3), np.uint8)) > 0, :3]
    if len(seen) < _FEWEST_TEETH_PX:
        return None
    luma = seen.mean(axis=1)
    bright: F32 = seen[luma >= np.quantile(luma, 0.8)].mean(axis=0).astype(np.float32)
    return bright


def _check_portrait(rgba: U8, landmarks: F32) -> None:
    if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8 or min(rgba.shape[:2]) < 64:
        raise PortraitError(
            f"portrait is {rgba.shape} {rgba.dtype}; must be (H, W, 4) uint8, at least 64x64"
        )
    if landmarks.shape != (face_mesh.LANDMARKS, 3) or not np.isfinite(landmarks).all():
        raise PortraitError(f"landmarks are {landmarks.shape}; must be finite and (478, 3)")
    unit = face_mesh.face_unit(landmarks)
    if unit < 16:
        raise PortraitError(
            f"the eyes are {unit:.0f} px apart; must be at least 16 px: use a larger portrait"
        )


def _foot(rgba: U8, landmarks: F32) -> float:
    """The row of a portrait that lies on the canvas' lower border."""
    below_chin = float(landmarks[face_mesh.CHIN, 1]) + _TORSO * face_mesh.face_unit(landmarks)
    return min(float(rgba.shape[0]), below_chin)


def _fit_detail(rgba: U8, landmarks: F32, canvas_hw: tuple[int, int]) -> tuple[U8, F32, float]:
    """Portrait, landmarks and zoom: the face at its share of the canvas, the head below its top."""
    height = canvas_hw[0]
    rows = np.flatnonzero((rgba[..., 3] > 127).any(axis=1))
    top = int(rows[0]) if len(rows) else 0
    by_face = _FACE_SHARE * height / face_mesh.face_unit(landmarks)
    by_head = (1 - _HEADROOM) * height / (_foot(rgba, landmarks) - top)
    zoom = min(by_face, by_head)
    shrink = min(1.0, _MOST_DETAIL * zoom)
    if shrink < 1:
        size = round(rgba.shape[1] * shrink), round(rgba.shape[0] * shrink)
        rgba = cast(U8, cv2.resize(rgba, size, interpolation=cv2.INTER_AREA))
    return rgba, (landmarks * shrink).astype(np.float32), zoom / shrink
