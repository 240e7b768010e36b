"""What the refinement network sees: three upright patches of the driven face, each with a guide.

Geometry is right for skin and hair; it fails where the portrait has nothing to show: around lips
that were closed, on lids that were open. So the network looks only there: at the mouth, and
at both eyes (the left one mirrored, so that it meets one kind of eye). A patch turns and scales
with the head. Its guide says where lips, lids and irises must be: geometry knows, pixels do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh, warp
from engines.rigid import Similarity

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Pixels = TypeVar("Pixels", NDArray[np.float32], NDArray[np.uint8])

SIZE = 96
"""side of a patch in pixels"""
FEATURE_SIZE = 24
"""side of a patch's feature map of the identity"""
GUIDE_CHANNELS = 5
"""mouth opening, lips, eye opening, iris, person"""

_SHIFT_BITS = 4


@dataclass(frozen=True, slots=True)
class Region:
    """One place that is refined."""

    around: tuple[int, ...]
    """landmarks whose middle is the patch's"""
    side: float
    """of the patch, in face units"""
    mirrored: bool


REGIONS = (
    Region((61, 291, 0, 17), 1.15, mirrored=False),
    Region((33, 133), 0.68, mirrored=False),
    Region((263, 362), 0.68, mirrored=True),
)
"""mouth, right eye, left eye"""


@dataclass(frozen=True, slots=True)
class Patch:
    """Where one region lies on a canvas."""

    patch_from_canvas: F32
    """(2, 3) affine, pixels to pixels"""

    def points(self, canvas_points: F32) -> F32:
        """(N, 2) canvas pixels as patch pixels."""
        matrix = self.patch_from_canvas
        moved: F32 = canvas_points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return moved

    def cut(self, canvas_image: Pixels) -> Pixels:
        """The patch of a canvas-sized image or map, (SIZE, SIZE, ...)."""
        cropped = cv2.warpAffine(
            canvas_image, self.patch_from_canvas, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE
        )
        return cast(Pixels, cropped)

    def guide(self, landmarks: F32, alpha: U8) -> U8:
        """Draw the guide.

        Args:
            landmarks: (478, 3) driven landmarks on the canvas.
            alpha: (SIZE, SIZE) the person's coverage of the patch.

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
        """Add a change (SIZE, SIZE, 3) of full scale 1 to a uint8 canvas, in place.

        Only the patch's bounding box on the canvas is touched; the result saturates.
        """
        corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
        linear, offset = self.patch_from_canvas[:, :2], self.patch_from_canvas[:, 2]
        on_canvas = (corners - offset) @ _inverse(linear).T
        height, width = canvas.shape[:2]
        x0, y0 = np.clip(np.floor(on_canvas.min(axis=0)).astype(int), 0, (width, height))
        x1, y1 = np.clip(np.ceil(on_canvas.max(axis=0)).astype(int), 0, (width, height))
        if x1 <= x0 or y1 <= y0:
            return  # outside the picture
        shifted = self.patch_from_canvas.copy()
        shifted[:, 2] += linear @ np.array([x0, y0], np.float32)
        size = int(x1 - x0), int(y1 - y0)
        change_here = cv2.warpAffine(change, shifted, size, flags=cv2.WARP_INVERSE_MAP)
        region = canvas[y0:y1, x0:x1]
        cv2.addWeighted(region, 1.0, change_here, 255.0, 0.0, dst=region, dtype=cv2.CV_8U)


def patches(landmarks: F32, head: Similarity, unit_px: float) -> list[Patch]:
    """The patches of a driven face, one per region.

    Args:
        landmarks: (478, 3) on the canvas.
        head: canvas from portrait, of the skull.
        unit_px: the face unit in the portrait.
    """
    turn = warp.in_plane(head)  # (2, 2), zooms too
    return [_patch(landmarks, turn * unit_px, region) for region in REGIONS]


def _patch(landmarks: F32, canvas_from_face: F32, region: Region) -> Patch:
    centre = landmarks[list(region.around), :2].mean(axis=0)
    flip = np.array([-1.0 if region.mirrored else 1.0, 1.0], np.float32)
    canvas_from_patch = canvas_from_face * flip * (region.side / SIZE)
    linear = _inverse(canvas_from_patch)
    offset = (SIZE - 1) / 2 - linear @ centre
    return Patch(np.column_stack([linear, offset]).astype(np.float32))


def _inverse(matrix: F32) -> F32:
    """Of a (2, 2) matrix; numpy's general one costs fifty times as much."""
    (a, b), (c, d) = matrix.tolist()
    determinant = a * d - b * c
    return np.array([[d, -b], [-c, a]], np.float32) / np.float32(determinant)


def feature_grid(patch_source: F32, portrait_patch: Patch) -> F32:
    """Where the identity's features lie for each cell of a patch's coarse grid.

    Args:
        patch_source: (SIZE, SIZE, 2) portrait pixel of each patch pixel.
        portrait_patch: the region in the portrait itself, in which the features were made.

    Returns:
        (FEATURE_SIZE, FEATURE_SIZE, 2) in -2..2, as GridSample takes it (align_corners false).
    """
    step = SIZE // FEATURE_SIZE
    coarse = patch_source[step // 2 :: step, step // 2 :: step]
    in_patch = portrait_patch.points(coarse.reshape(-1, 2)).reshape(coarse.shape)
    grid: F32 = np.clip((in_patch + 0.5) * (2 / SIZE) - 1, -2, 2).astype(np.float32)
    return grid


def over_grey(rgba: U8) -> U8:
    """(..., 3) over mid grey: what the network takes where nobody is."""
    if rgba[..., 3].min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed: U8 = ((rgba[..., :3] * alpha + 128 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return mixed


def as_tensor(planes: Sequence[U8]) -> F32:
    """uint8 arrays -> one float32 batch, 0..1."""
    scaled: F32 = np.stack(planes) * np.float32(1 / 255)
    return scaled


def to_planes(rgb: U8) -> U8:
    """(H, W, 3) -> (3, H, W)."""
    return np.ascontiguousarray(rgb.transpose(2, 0, 1))


_LIPS = face_mesh.polygon(face_mesh.LIPS_OUTER_UPPER, face_mesh.LIPS_OUTER_LOWER)


def _fill(plane: U8, polygon: NDArray[np.int32]) -> None:
    cv2.fillPoly(plane, [polygon], (255,), cv2.LINE_AA, _SHIFT_BITS)


def _disc(plane: U8, ring: NDArray[np.int32]) -> None:
    centre = ring.mean(axis=0)
    radius = np.linalg.norm(ring - centre, axis=1).mean()
    at = round(float(centre[0])), round(float(centre[1]))
    cv2.circle(plane, at, round(float(radius)), (255,), -1, cv2.LINE_AA, _SHIFT_BITS)
