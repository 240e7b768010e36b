"""Where LivePortrait looks: square crops around a face, from MediaPipe's 478 landmarks.

The published crops come from 203 other landmarks (brows, eyes, nose, lips, and the outline from
temple to chin to temple): their bounding square, seen upright from the eyes to the lips, enlarged
and shifted. Their network is not ours to use, so the same extents are taken from the landmarks that
lie on the same features: the brows' upper edge, the outline below them, the chin. `_OUTLINE` leaves
out the forehead, which the 203 do not cover. On the mean face this square is 1.52 face units wide,
and its height and width agree within half a percent.

ASSUMED, not measured: that both outlines lie at the same place, so that the published enlargements
hold unchanged. How near these crops come to the original's could not be checked: neither its
landmark network nor a picture of a real person was at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)
"""upper edges"""
_OUTLINE = tuple(
    landmark
    for landmark in face_mesh.FACE_OVAL
    if landmark not in (54, 103, 67, 109, 10, 338, 297, 332, 284)
)
"""temples, cheeks, jaw, chin"""
_LIPS = face_mesh.polygon(face_mesh.LIPS_OUTER_UPPER, face_mesh.LIPS_OUTER_LOWER)
_EYES = np.concatenate([face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE])
_EXTENT = np.array([*_BROWS, *_OUTLINE, *_EYES, *_LIPS], np.int32)

_SOURCE_SCALE, _SOURCE_LIFT = 2.3, 0.125
_DRIVING_SCALE, _DRIVING_LIFT = 2.2, 0.1
"""side in squares of the face; how far the middle lies above the square's, in sides"""


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A square of a picture."""

    centre: F32
    """(2,) pixels of the picture"""
    side_px: float
    angle_rad: float
    """by which the crop is turned in the picture, clockwise"""

    def crop_from_picture(self, px: int) -> F32:
        """(2, 3) affine to the pixels of a crop of `px` a side; pixels lie at whole numbers."""
        zoom = px / self.side_px
        cos, sin = zoom * math.cos(self.angle_rad), zoom * math.sin(self.angle_rad)
        turn = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([turn, (px - 1) / 2 - turn @ self.centre]).astype(np.float32)

    def cut(self, picture: U8, px: int) -> U8:
        """(px, px, C) of (H, W, C); what lies beyond its border is continued."""
        times = max(1, round(self.side_px / px))  # a larger one is averaged down, not sampled
        matrix = self.crop_from_picture(times * px)
        size = (times * px, times * px)
        found = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return shrunk(cast(U8, found), px)


def shrunk(crop: U8, px: int) -> U8:
    """A square crop at a size that divides its own."""
    if crop.shape[0] == px:
        return crop
    return cast(U8, cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA))


def source_crop(landmarks: F32) -> FaceCrop:
    """Of a portrait: upright, whichever way the head is tilted."""
    return _crop(landmarks, _SOURCE_SCALE, _SOURCE_LIFT, upright=True)


def driving_crop(landmarks: F32) -> FaceCrop:
    """Of a performer: parallel to the picture, so that the head's tilt is seen."""
    return _crop(landmarks, _DRIVING_SCALE, _DRIVING_LIFT, upright=False)


def _crop(landmarks: F32, scale: float, lift: float, upright: bool) -> FaceCrop:
    xy = landmarks[:, :2].astype(np.float64)
    down = xy[_LIPS].mean(axis=0) - xy[_EYES].mean(axis=0)
    length = float(np.linalg.norm(down))
    if length < 1e-3:  # eyes on the lips: no face that the tracker finds
        down, length = np.array([0.0, 1.0]), 1.0
    down /= length
    axes = np.array([[down[1], -down[0]], down])  # right and down of the face, in the picture
    seen = xy[_EXTENT] @ axes.T
    low, high = seen.min(axis=0), seen.max(axis=0)
    side = scale * float((high - low).max())
    centre = (low + high) / 2 @ axes - lift * side * down
    angle = math.atan2(-down[0], down[1]) if upright else 0.0
    return FaceCrop(centre.astype(np.float32), side, angle)
