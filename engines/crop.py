"""What the refinement network sees: three upright patches of the driven face, each with a guide.

Geometry is right for skin and hair; it fails where the portrait has nothing to show: around lips
that were closed, on lids that were open. So the network looks only there: at the mouth, and
at both eyes (the left one mirrored, so that it meets one kind of eye). A patch turns and scales
with the head. Its guide says where lips, lids and irises must be: geometry knows, pixels do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh, warp
from engines.rigid import Similarity

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
Pixels = TypeVar("Pixels", NDArray[np.float32], NDArray[np.uint8])

FEATURE_STRIDE = 4
"""pixels of a patch for a cell of the identity's feature map"""
GUIDE_CHANNELS = 5
"""mouth opening, lips, eye opening, iris, person"""
OF_MOUTHS = (0, 1)
"""which of them are 0 on an eye's patch"""

_SHIFT_BITS = 4


@dataclass(frozen=True, slots=True)
class Region:
    """One place that is refined."""

    around: tuple[int, ...]
    """landmarks whose middle is the patch's"""
    side: float
    """of the patch, in face units"""
    mirrored: bool = False


REGIONS = (
    Region((61, 291, 0, 17), 1.15),
    Region((33, 133), 0.68),
    Region((263, 362), 0.68, mirrored=True),
)
"""mouth, right eye, left eye"""
MOUTH = 0
"""which of them is lit; the others are painted"""


@dataclass(frozen=True, slots=True)
class Patch:
    """Where one region lies on a canvas."""

    patch_from_canvas: F32
    """(2, 3) affine, pixels to pixels"""
    px: int
    """of a side"""

    def points(self, canvas_points: F32) -> F32:
        """(N, 2) canvas pixels as patch pixels."""
        matrix = self.patch_from_canvas
        moved: F32 = canvas_points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return moved

    def cut(self, canvas_image: Pixels) -> Pixels:
        """The patch of a canvas-sized image or map, (px, px, ...)."""
        cropped = cv2.warpAffine(
            canvas_image,
            self.patch_from_canvas,
            (self.px, self.px),
            borderMode=cv2.BORDER_REPLICATE,
        )
        return cast(Pixels, cropped)

    def guide(self, landmarks: F32, alpha: U8) -> U8:
        """Draw the guide.

        Args:
            landmarks: (478, 3) driven landmarks on the canvas.
            alpha: (px, px) the person's coverage of the patch.

        Returns:
            (GUIDE_CHANNELS, px, px) uint8.
        """
        drawn = self.points(landmarks[_DRAWN]) * (1 << _SHIFT_BITS)
        lips, mouth, *eyes_and_irises = np.split(np.round(drawn).astype(np.int32), _SPLITS)
        guide = np.zeros((GUIDE_CHANNELS, self.px, self.px), np.uint8)
        _fill(guide[0], mouth)
        _fill(guide[1], lips)
        for hole, iris in zip(eyes_and_irises[::2], eyes_and_irises[1::2], strict=True):
            _fill(guide[2], hole)
            _disc(guide[3], iris)
        cv2.min(guide[3], guide[2], dst=guide[3])
        guide[4] = alpha
        return guide

    def add(self, change: F32, canvas: U8) -> None:
        """Add a change (px, px, 3) of full scale 1 to a uint8 canvas, in place; it saturates."""
        region, here = self._onto(change, canvas, 0.0)
        if region.size:
            cv2.addWeighted(region, 1.0, here, 255.0, 0.0, dst=region, dtype=cv2.CV_8U)

    def light(self, gain: F32, canvas: U8) -> None:
        """Multiply a uint8 canvas by a gain (px, px), in place; it saturates.

        The canvas keeps its own detail, of which a patch may have less.
        """
        region, here = self._onto(gain, canvas, 1.0)
        if region.size:
            cv2.multiply(region, cv2.merge([here] * 3), dst=region, dtype=cv2.CV_8U)

    def reach(self, canvas_hw: tuple[int, ...]) -> Reach:
        """The part of a canvas that the patch may cover."""
        (a, b, tx), (c, d, ty) = self.patch_from_canvas.tolist()
        half = self.px / 2
        middle_x, middle_y = half - tx, half - ty
        area = a * d - b * c
        x, y = (d * middle_x - b * middle_y) / area, (a * middle_y - c * middle_x) / area
        reach_x = half * (abs(d) + abs(b)) / abs(area)
        reach_y = half * (abs(a) + abs(c)) / abs(area)
        height, width = canvas_hw[:2]
        x0, y0 = max(math.floor(x - reach_x), 0), max(math.floor(y - reach_y), 0)
        x1, y1 = min(math.ceil(x + reach_x), width), min(math.ceil(y + reach_y), height)
        shifted = np.array([[a, b, a * x0 + b * y0 + tx], [c, d, c * x0 + d * y0 + ty]])
        return Reach(slice(y0, max(y1, y0)), slice(x0, max(x1, x0)), shifted)

    def _onto(self, values: F32, canvas: U8, beyond: float) -> tuple[U8, F32]:
        """The patch's bounding box on a canvas, a view, and the patch's values there; maybe empty.

        Args:
            beyond: the value of pixels that the patch does not cover.
        """
        reach = self.reach(canvas.shape)
        region = canvas[reach.rows, reach.columns]
        if not region.size:
            return region, np.empty(0, np.float32)
        size = region.shape[1], region.shape[0]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        matrix = reach.patch_from_part
        here = cv2.warpAffine(values, matrix, size, flags=flags, borderValue=(beyond,) * 4)
        return region, cast(F32, here)


class Reach(NamedTuple):
    """A patch's bounding box on a canvas; maybe empty."""

    rows: slice
    columns: slice
    patch_from_part: F64
    """(2, 3) affine; the part's first pixel is (0, 0)"""


def place(region: Region, px: int, landmarks: F32, head: Similarity, unit_px: float) -> Patch:
    """Where a region of a driven face lies.

    Args:
        px: side of the patch.
        landmarks: (478, 3) on the canvas.
        head: canvas from portrait, of the skull.
        unit_px: the face unit in the portrait.
    """
    (a, b), (c, d) = (head.in_plane() * unit_px).tolist()  # turns and zooms
    scale = px / (region.side * (a * d - b * c))
    flip = -scale if region.mirrored else scale
    linear = np.array([[flip * d, -flip * b], [-scale * c, scale * a]], np.float32)
    centre = landmarks[list(region.around), :2].sum(axis=0) / np.float32(len(region.around))
    offset = (px - 1) / 2 - linear @ centre
    matrix = np.concatenate([linear, offset[:, None]], axis=1).astype(np.float32)
    return Patch(matrix, px)


def patches(px: int, landmarks: F32, head: Similarity, unit_px: float) -> list[Patch]:
    """The patches of a driven face, one per region; arguments as of `place`."""
    return [place(region, px, landmarks, head, unit_px) for region in REGIONS]


def sources(patch: Patch, source: warp.SourceMap, cells: int, beyond: float | None = None) -> F32:
    """(cells, cells, 2) the portrait pixels that a patch shows, of coarser cells.

    Args:
        beyond: what x and y are outside the canvas; the map's border goes on without it.
    """
    matrix = cells_from_map(patch, source, cells)
    size = cells, cells
    mode = cv2.BORDER_REPLICATE if beyond is None else cv2.BORDER_CONSTANT
    fill = (0.0, 0.0) if beyond is None else (beyond, beyond)
    return cast(F32, cv2.warpAffine(source.xy, matrix, size, borderMode=mode, borderValue=fill))


def cells_from_map(patch: Patch, source: warp.SourceMap, cells: int) -> F32:
    """(2, 3) a coarser cell of a patch for a pixel of the map."""
    step = patch.px / cells
    matrix = patch.patch_from_canvas / np.float32(step)  # cells are `step` pixels wide
    matrix[:, 2] += (1 / step - 1) / 2 + matrix[:, :2] @ (source.left, source.top)
    return matrix


def feature_grid(patch: Patch, source: warp.SourceMap, portrait_patch: Patch) -> F32:
    """Where the identity's features lie for each cell of a patch's coarse grid.

    Args:
        patch: on the canvas.
        source: the portrait pixel of each canvas pixel.
        portrait_patch: the region in the portrait itself, in which the features were made.

    Returns:
        (px / FEATURE_STRIDE, as many, 2) in -2..2, as GridSample takes it (align_corners false).
    """
    coarse = sources(patch, source, patch.px // FEATURE_STRIDE)
    in_patch = portrait_patch.points(coarse.reshape(-1, 2)).reshape(coarse.shape)
    grid: F32 = np.clip((in_patch + 0.5) * (2 / portrait_patch.px) - 1, -2, 2).astype(np.float32)
    return grid


def over_grey(rgba: U8) -> U8:
    """(..., 3) over mid grey: what the network takes where nobody is."""
    if cv2.extractChannel(rgba, 3).min() == 255:
        return cast(U8, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
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


_SHAPES = (
    face_mesh.polygon(face_mesh.LIPS_OUTER_UPPER, face_mesh.LIPS_OUTER_LOWER),
    face_mesh.MOUTH_HOLE,
    face_mesh.RIGHT_EYE_HOLE,
    np.array(face_mesh.RIGHT_IRIS[1:], np.int32),
    face_mesh.LEFT_EYE_HOLE,
    np.array(face_mesh.LEFT_IRIS[1:], np.int32),
)
"""lips, mouth, then eye and iris of both sides"""
_DRAWN = np.concatenate(_SHAPES)
_SPLITS = np.cumsum([len(shape) for shape in _SHAPES])[:-1]


def _fill(plane: U8, polygon: NDArray[np.int32]) -> None:
    cv2.fillPoly(plane, [polygon], (255,), cv2.LINE_AA, _SHIFT_BITS)


def _disc(plane: U8, ring: NDArray[np.int32]) -> None:
    points = ring.tolist()
    centre = [sum(values) / len(points) for values in zip(*points, strict=True)]
    radius = sum(math.dist(point, centre) for point in points) / len(points)
    at = round(centre[0]), round(centre[1])
    cv2.circle(plane, at, round(radius), (255,), -1, cv2.LINE_AA, _SHIFT_BITS)
