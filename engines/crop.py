"""What the refinement network sees: an upright crop of the driven face, and a guide drawn from it.

The crop turns and scales with the head, so that the network always meets a face of the same size.
Its guide says where mouth, lips, eyes and irises must be: geometry knows that, pixels do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh, warp
from engines.rigid import Similarity
from engines.warp import in_plane

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Pixels = TypeVar("Pixels", NDArray[np.float32], NDArray[np.uint8])

SIZE = 192
"""side of the crop in pixels"""
FEATURE_SIZE = 48
"""side of the identity's feature map"""
GUIDE_CHANNELS = 5
"""mouth opening, lips, eye openings, irises, person"""

_SIDE, _DROP = 2.3, 0.45
"""side of the crop, and how far its centre lies below the eyes, in face units"""
_SHIFT_BITS = 4


@dataclass(frozen=True, slots=True)
class CropFrame:
    """Where the crop lies on the canvas."""

    crop_from_canvas: F32
    """(2, 3) affine, pixels to pixels"""

    @classmethod
    def around(cls, rest_landmarks: F32, head: Similarity) -> CropFrame:
        """The crop of a head that moved by `head` from `rest_landmarks` (478, 3)."""
        eyes = rest_landmarks[[face_mesh.RIGHT_EYE_OUTER, face_mesh.LEFT_EYE_OUTER]].mean(axis=0)
        unit = face_mesh.face_unit(rest_landmarks)
        across = (
            rest_landmarks[face_mesh.LEFT_EYE_OUTER] - rest_landmarks[face_mesh.RIGHT_EYE_OUTER]
        )
        tilt = np.arctan2(across[1], across[0])
        upright = np.array(
            [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]], np.float32
        )
        down = np.append(upright[:, 1], 0).astype(np.float32)
        centre = head.apply((eyes + _DROP * unit * down)[None])[0, :2]
        canvas_from_crop = in_plane(head) @ upright * (_SIDE * unit / SIZE)  # (2, 2)
        linear = np.linalg.inv(canvas_from_crop)
        offset = (SIZE - 1) / 2 - linear @ centre
        return cls(np.column_stack([linear, offset]).astype(np.float32))

    def points(self, canvas_points: F32) -> F32:
        """(N, 2) canvas pixels as crop pixels."""
        matrix = self.crop_from_canvas
        moved: F32 = canvas_points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return moved

    def cut(self, canvas_image: Pixels) -> Pixels:
        """The crop of a canvas-sized image or map, (SIZE, SIZE, ...)."""
        cropped = cv2.warpAffine(
            canvas_image, self.crop_from_canvas, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE
        )
        return cast(Pixels, cropped)

    def guide(self, landmarks: F32, alpha: U8) -> U8:
        """Draw the guide.

        Args:
            landmarks: (478, 3) driven landmarks on the canvas.
            alpha: (SIZE, SIZE) the person's coverage of the crop.

        Returns:
            (GUIDE_CHANNELS, SIZE, SIZE) uint8.
        """
        points = np.round(self.points(landmarks) * (1 << _SHIFT_BITS)).astype(np.int32)
        guide = np.zeros((GUIDE_CHANNELS, SIZE, SIZE), np.uint8)
        mouth, lips, eyes, irises = guide[0], guide[1], guide[2], guide[3]
        _fill(lips, points[_LIPS])
        _fill(mouth, points[face_mesh.MOUTH_HOLE])
        for hole, ring in (
            (face_mesh.RIGHT_EYE_HOLE, face_mesh.RIGHT_IRIS),
            (face_mesh.LEFT_EYE_HOLE, face_mesh.LEFT_IRIS),
        ):
            _fill(eyes, points[hole])
            _disc(irises, points[list(ring[1:])])
        cv2.min(irises, eyes, dst=irises)
        guide[4] = alpha
        return guide

    def add(self, change: F32, canvas: U8) -> None:
        """Add a crop-sized change (SIZE, SIZE, 3), full scale 1, to a uint8 canvas.

        Only the crop's bounding box on the canvas is touched; the result saturates at 0 and 255.
        """
        corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
        linear, offset = self.crop_from_canvas[:, :2], self.crop_from_canvas[:, 2]
        on_canvas = (corners - offset) @ np.linalg.inv(linear).T
        height, width = canvas.shape[:2]
        x0, y0 = np.clip(np.floor(on_canvas.min(axis=0)).astype(int), 0, (width, height))
        x1, y1 = np.clip(np.ceil(on_canvas.max(axis=0)).astype(int), 0, (width, height))
        if x1 <= x0 or y1 <= y0:
            return  # the face is outside the picture
        shifted = self.crop_from_canvas.copy()
        shifted[:, 2] += linear @ np.array([x0, y0], np.float32)
        patch = cv2.warpAffine(
            change,
            shifted,
            (int(x1 - x0), int(y1 - y0)),
            flags=cv2.WARP_INVERSE_MAP,
        )
        region = canvas[y0:y1, x0:x1]
        cv2.addWeighted(region, 1.0, patch * 255, 1.0, 0.0, dst=region, dtype=cv2.CV_8U)


_LIPS = face_mesh.polygon(face_mesh.LIPS_OUTER_UPPER, face_mesh.LIPS_OUTER_LOWER)


def _fill(plane: U8, polygon: NDArray[np.int32]) -> None:
    cv2.fillPoly(plane, [polygon], (255,), cv2.LINE_AA, _SHIFT_BITS)


def _disc(plane: U8, ring: NDArray[np.int32]) -> None:
    centre = ring.mean(axis=0)
    radius = np.linalg.norm(ring - centre, axis=1).mean()
    at = round(float(centre[0])), round(float(centre[1]))
    cv2.circle(plane, at, round(float(radius)), (255,), -1, cv2.LINE_AA, _SHIFT_BITS)


def feature_grid(crop_source: F32, portrait_frame: CropFrame) -> F32:
    """Where the identity's features lie for each cell of the crop's coarse grid.

    Args:
        crop_source: (SIZE, SIZE, 2) portrait pixel of each crop pixel.
        portrait_frame: the crop of the portrait itself, in which the features were made.

    Returns:
        (FEATURE_SIZE, FEATURE_SIZE, 2) in -1..1, as GridSample takes it (align_corners false).
    """
    step = SIZE // FEATURE_SIZE
    coarse = crop_source[step // 2 :: step, step // 2 :: step]
    in_crop = portrait_frame.points(coarse.reshape(-1, 2)).reshape(coarse.shape)
    grid: F32 = np.clip((in_crop + 0.5) * (2 / SIZE) - 1, -2, 2).astype(np.float32)
    return grid


def sample_source(portrait_rgba: U8, crop_source: F32) -> U8:
    """(SIZE, SIZE, 4) the portrait seen through the crop's map, in one interpolation."""
    return warp.sample(portrait_rgba, crop_source)


def over_grey(rgba: U8) -> U8:
    """(H, W, 3) over mid grey: what the network takes where nobody is."""
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed: U8 = ((rgba[..., :3] * alpha + 128 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return mixed
