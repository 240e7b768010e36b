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

from engines import backends, crop, face_mesh, weights
from engines.backends.base import Engine
from engines.errors import EngineError, PortraitError
from engines.mouth import Mouth
from engines.portrait import extend
from engines.pose import MotionTensors, TargetFace
from engines.rigid import Similarity
from engines.specs import NETWORKS
from engines.warp import Placement, WarpMesh, sample

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_FACE_SHARE = 0.235
"""face unit on the canvas, as a share of the canvas' height: a webcam's usual framing"""
_HEADROOM = 0.05
"""share of the canvas' height kept free above the head"""
_MOST_DETAIL = 2.0
"""portrait pixels per canvas pixel; a larger portrait is shrunk once, so that it never aliases"""
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

    def __init__(self, encode: Engine | None, drive: Engine | None, reason: str) -> None:
        self._encode, self._drive = encode, drive
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
        height, width = extended.rgba.shape[:2]
        centre_x = float(landmarks[list(face_mesh.RIGID), 0].mean())
        foot_y = extended.origin[1] + portrait_rgba.shape[0]
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
            mesh=WarpMesh(landmarks, (width, height)),
            target=TargetFace(landmarks, canvas_from_portrait, canvas_hw),
            mouth=Mouth(landmarks, _skin_rgb(extended.rgba, landmarks)),
            portrait_patches=patches,
            features=self._features(extended.rgba, landmarks, patches),
        )

    def render(self, identity: EncodedIdentity, motion: MotionTensors) -> RenderedArrays:
        """The identity as `motion` drives it, on its canvas.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        placement = identity.target.place(motion)
        source = identity.mesh.source_map(placement, identity.canvas_hw)
        rgba = sample(identity.portrait_rgba, source)
        rgb = cast(U8, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
        alpha = cast(U8, cv2.extractChannel(rgba, 3))
        if self._drive is not None:
            self._refine(self._drive, identity, placement, source, rgb)
        if identity.mouth.closed:
            identity.mouth.draw(rgb, placement.landmarks, placement.head)
        return RenderedArrays(rgb, alpha)

    def _refine(  # noqa: PLR0913 - one step of render, cut out of it
        self,
        drive: Engine,
        identity: EncodedIdentity,
        placement: Placement,
        source: F32,
        rgb: U8,
    ) -> None:
        """Let the network paint mouth and eyes into `rgb`."""
        unit_px = face_mesh.face_unit(identity.landmarks)
        patches = crop.patches(placement.landmarks, placement.head, unit_px)
        maps = [patch.cut(source) for patch in patches]
        warped = [sample(identity.portrait_rgba, patch_map) for patch_map in maps]
        pairs = list(zip(patches, warped, strict=True))
        grids = zip(maps, identity.portrait_patches, strict=True)
        inputs = {
            "warped": crop.as_tensor([crop.to_planes(crop.over_grey(w)) for w in warped]),
            "guide": crop.as_tensor([p.guide(placement.landmarks, w[..., 3]) for p, w in pairs]),
            "features": identity.features,
            "grid": np.stack([crop.feature_grid(m, patch) for m, patch in grids]),
        }
        change = drive.run(inputs)["change"]
        if not np.isfinite(change).all():
            raise EngineError("the network's output is not finite; the frame is dropped")
        for patch, painted in zip(patches, change, strict=True):
            patch.add(np.ascontiguousarray(painted.transpose(1, 2, 0)), rgb)

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


def load_reenactor(backend: str = "auto", threads: int = 2) -> Reenactor:
    """Load warp-refine on the chosen backend.

    Raises:
        BackendError, WeightsError: it cannot be run here, or its files are not what they claim.
    """
    spec = NETWORKS["warp-refine-lite"]
    chosen, why = backends.choose(backend)
    encode, drive = (
        backends.open_engine(
            chosen, graph, weights.locate(spec.name, f"{graph.name}.onnx"), threads
        )
        for graph in spec.graphs
    )
    return Reenactor(encode, drive, f"{spec.name} on {drive.description}: {why}")


def geometry_only() -> Reenactor:
    """The same avatar without its network: the baseline that a network must beat."""
    return Reenactor(None, None, "geometry only, no network")


def _skin_rgb(rgba: U8, landmarks: F32) -> F32:
    """(3,) mean colour of cheeks, nose and forehead."""
    x, y = np.round(landmarks[list(face_mesh.RIGID), :2]).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < rgba.shape[1]) & (y < rgba.shape[0])
    mean: F32 = np.median(rgba[y[inside], x[inside], :3], axis=0).astype(np.float32)
    return mean


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


def _fit_detail(rgba: U8, landmarks: F32, canvas_hw: tuple[int, int]) -> tuple[U8, F32, float]:
    """Portrait, landmarks and zoom: the face at its share of the canvas, the head below its top."""
    height = canvas_hw[0]
    rows = np.flatnonzero((rgba[..., 3] > 127).any(axis=1))
    top = int(rows[0]) if len(rows) else 0
    by_face = _FACE_SHARE * height / face_mesh.face_unit(landmarks)
    by_head = (1 - _HEADROOM) * height / (rgba.shape[0] - top)
    zoom = min(by_face, by_head)
    shrink = min(1.0, _MOST_DETAIL * zoom)
    if shrink < 1:
        size = round(rgba.shape[1] * shrink), round(rgba.shape[0] * shrink)
        rgba = cast(U8, cv2.resize(rgba, size, interpolation=cv2.INTER_AREA))
    return rgba, (landmarks * shrink).astype(np.float32), zoom / shrink
