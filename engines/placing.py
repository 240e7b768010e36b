"""Where a portrait goes on a canvas: the face of a webcam's usual size, the cloth at the foot.

Every network's avatar is placed so, so that the same identity stands at the same place whichever
network drives it. Knows no networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.errors import PortraitError
from engines.portrait import extend

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


@dataclass(frozen=True, slots=True)
class PlacedPortrait:
    rgba: U8
    """(H, W, 4) continued beyond its borders"""
    landmarks: F32
    """(478, 3) in rgba's pixels"""
    canvas_from_portrait: F32
    """(2, 3) scale and offset only"""


def place(rgba: U8, landmarks_px: F32, canvas_hw: tuple[int, int]) -> PlacedPortrait:
    """
    Args:
        rgba: (H, W, 4) uint8, alpha 255 on the person.
        landmarks_px: (478, 3) of the face in it.
        canvas_hw: height and width of the canvas in pixels.

    Raises:
        PortraitError: the arrays are not a portrait and its landmarks.
    """
    _check(rgba, landmarks_px)
    rgba, landmarks_px, zoom = _fit_detail(rgba, landmarks_px, canvas_hw)
    extended = extend(rgba)
    landmarks = landmarks_px.astype(np.float32).copy()
    landmarks[:, :2] += extended.origin
    centre_x = float(landmarks[list(face_mesh.RIGID), 0].mean())
    foot_y = extended.origin[1] + _foot(rgba, landmarks_px)
    canvas_from_portrait = np.array(
        [
            [zoom, 0, canvas_hw[1] / 2 - zoom * centre_x],
            [0, zoom, canvas_hw[0] - zoom * foot_y],
        ],
        np.float32,
    )
    return PlacedPortrait(extended.rgba, landmarks, canvas_from_portrait)


def _check(rgba: U8, landmarks: F32) -> None:
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
