"""The geometry: where every pixel of the driven picture comes from in the portrait.

A triangle mesh covers the portrait: the face's own landmarks, and around them a lattice for hair,
neck and shoulders. Driven landmarks move the face; the lattice follows the head's rigid motion
above the chin, the torso's below the shoulders, and bends between them. The moved triangles are
drawn from far to near; in the face, which folds, four times a pixel.

Numpy, OpenCV and the compiled loops of `raster.py`. Knows no network: the refinement enters in
`models.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh, rim
from engines.raster import draw_sources, find_extents, merge_quarters, nothing, sample_folds
from engines.rigid import Similarity

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

_LATTICE_STEP = 0.5
"""distance of lattice vertices, in face units"""
_CLEARANCE = 0.50
"""no other lattice vertex closer to the outline than this, in face units"""
_NECK_TOP, _NECK_BOTTOM = -0.25, 0.80
"""the head's motion fades over this stretch below the chin, in face units"""
_TUCK = 0.8
"""how far the mesh's edge is drawn in from the face's outline, as a share of its outer triangles"""
_FOLLOW = 0.55
"""how far around the face the lattice follows what its outline does beyond rigid motion (a jaw that
drops, a landmark that is off): it fades like a Gaussian of this width, in face units"""
_SILHOUETTE_FORESHORTENING = 0.5
"""a round skull's outline moves less than a plane's when it turns: share of the plane's motion"""
_SKULL_DEPTH, _SKULL_BEGINS = 0.75, 0.2
"""ears and the hair beside them lie so far behind the face's outline, but for what is next to it:
a Gaussian of this width, both in face units"""
_ABOVE_DEPTH = 0.2
"""share of that depth above the forehead: hair that lies as deep as the outline there leaves a
corner at the far temple of a turned head"""
_MARGIN = 0.15
"""a map goes on so far beyond the person, in face units: hair may be moved outwards (`head.py`)"""
_BAND = 32
"""height of a band in pixels"""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where head and torso are now, in canvas pixels."""

    landmarks: F32
    """(478, 3) driven landmarks"""
    head: Similarity
    """canvas from portrait, of the skull"""
    torso: F32
    """(2, 3) canvas from portrait, of the shoulders"""


@dataclass(frozen=True, slots=True)
class SourceMap:
    """For each pixel of a part of the canvas the portrait pixel (x, y) that it shows."""

    xy: F32
    """(h, w, 2)"""
    left: int
    top: int
    """where the part lies on the canvas; beyond it there is nobody"""
    bands: tuple[tuple[slice, slice], ...]
    """rows and columns of the part where somebody may be: a head is narrower than shoulders"""
    moved: F32
    """(T, 3, 2) corners of the mesh outside of the face, in the part's pixels"""
    sources: F32
    """(T, 3, 2) the same corners in the portrait"""
    face: _Face

    @property
    def of_face(self) -> F32:
        """(h, w, 2) a view of what the face covers."""
        face = self.face
        height, width = (side // 2 for side in face.quarters.shape[:2])
        return self.xy[face.top : face.top + height, face.left : face.left + width]


@dataclass(frozen=True, slots=True)
class _Face:
    """The part of the map that folds."""

    left: int
    top: int
    """in the map"""
    quarters: F32
    """(2 h, 2 w, 2) at twice its resolution"""
    folds: I32
    """(F, 2) rows and columns of pixels that show an edge"""

    @property
    def quarters_of_folds(self) -> F32:
        """(F, 2, 2, 2) a copy of what `quarters` says of them."""
        height, width = self.quarters.shape[:2]
        blocks = self.quarters.reshape(height // 2, 2, width // 2, 2, 2)
        of_folds: F32 = blocks[self.folds[:, 0], :, self.folds[:, 1]]
        return of_folds


@dataclass(frozen=True, slots=True)
class _Box:
    """A part of the canvas, in pixels; never empty."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, points: F32, canvas_hw: tuple[int, int]) -> _Box:
        """The part that holds `points`."""
        height, width = canvas_hw
        low = np.clip(np.floor(points.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, low + 1, (width, height)).astype(int)
        return cls(int(low[0]), int(low[1]), *(high - low).tolist())


class WarpMesh:
    """The mesh of one portrait. Build once, `source_map` per frame.

    Args:
        landmarks: (478, 3) of the portrait in its pixels, z in the same scale.
        alpha: (H, W) uint8 where the portrait shows a person.
    """

    def __init__(self, landmarks: F32, alpha: U8) -> None:
        skin = face_mesh.load().triangles
        self._inner = rim.inner_neighbours(skin)
        self.landmarks = self._tuck(landmarks.astype(np.float32))
        unit = face_mesh.face_unit(landmarks)
        oval = self.landmarks[list(face_mesh.FACE_OVAL)]
        lattice = _lattice(oval[:, :2], (alpha.shape[1], alpha.shape[0]), unit)
        shares, squared = _follow_weights(oval[:, :2], lattice, unit)
        self._near = np.exp(-squared[:, None] / _FOLLOW**2)
        skull = _SKULL_DEPTH * unit
        behind = skull * (1 - np.exp(-squared / _SKULL_BEGINS**2))
        from_middle = lattice - self.landmarks[list(face_mesh.RIGID), :2].mean(axis=0)
        upwards = np.maximum(-from_middle[:, 1], 0) / np.linalg.norm(from_middle, axis=1)
        below_chin = (lattice[:, 1] - landmarks[face_mesh.CHIN, 1]) / unit
        self._head_share = 1 - rim.smoothstep(_NECK_TOP, _NECK_BOTTOM, below_chin)[:, None]
        behind *= 1 - (1 - _ABOVE_DEPTH) * np.minimum(2 * upwards**2, 1)
        behind *= self._head_share[:, 0]
        depth = shares @ oval[:, 2] + behind
        self._lattice = np.column_stack([lattice, depth]).astype(np.float32)
        self._follow = shares * self._near
        self._middle_depth = float(landmarks[[234, 454], 2].mean()) + skull
        rest = np.concatenate([self.landmarks[:, :2], lattice]).astype(np.float32)
        around = _around_triangles(self.landmarks[:, :2], lattice)
        around = around[_shows_somebody(rest[around], _widened(alpha, _MARGIN * unit))]
        behind = _behind_triangles(self.landmarks[:, :2])
        self._skin = skin
        self._under = np.concatenate([around, behind]).astype(np.int32)
        self._around = around
        self._rest = rest
        self._used = np.unique(np.concatenate([self._under, skin]))
        self._rim = rim.Rim(landmarks.astype(np.float32), self._inner)

    @property
    def triangles_around(self) -> int:
        """How many triangles there are outside of the face."""
        return len(self._around)

    def source_map(self, placement: Placement, canvas_hw: tuple[int, int]) -> SourceMap:
        """For each canvas pixel the portrait pixel that it shows.

        Pixels of the map that no triangle covers get (-1e5, -1e5).
        """
        landmarks = self._tuck(placement.landmarks)
        inwards, outwards = self._rim.give_way(placement.landmarks, placement.head)
        lattice = self._place_lattice(placement, landmarks)
        lattice[: len(outwards)] += outwards
        vertices = np.concatenate([landmarks[:, :2], lattice])
        box = _Box.around(vertices[self._used], canvas_hw)
        face = _Box.around(landmarks[:, :2], canvas_hw)
        xy, around = nothing((box.height, box.width)), self._around
        moved = np.take(vertices - (box.left, box.top), around, axis=0).astype(np.float32)
        rest = self._rest.copy()
        rest[: face_mesh.LANDMARKS] += inwards
        sources = np.take(rest, around, axis=0)
        draw_sources(moved, sources, xy, 1.0)
        quarters = self._draw_face(vertices, rest, landmarks[:, 2], face)
        folds = np.empty((face.height * face.width, 2), np.int32)
        top, left = face.top - box.top, face.left - box.left
        within = xy[top : top + face.height, left : left + face.width]
        count = merge_quarters(quarters, within, folds)
        bands = _bands(moved, (box.height, box.width))
        shown = _Face(left, top, quarters, folds[:count])
        return SourceMap(xy, box.left, box.top, bands, moved, sources, shown)

    def _draw_face(self, vertices: F32, rest: F32, depth: F32, box: _Box) -> F32:
        """(2 h, 2 w, 2) what is seen in the face's box at twice its resolution, far to near."""
        skin = self._skin
        far_to_near = np.argsort(-(depth[skin[:, 0]] + depth[skin[:, 1]] + depth[skin[:, 2]]))
        triangles = np.concatenate([self._under, skin[far_to_near]])
        quarters = nothing((2 * box.height, 2 * box.width))
        # the middle of a quarter is a quarter of a pixel away from the pixel's
        fine = (vertices - (box.left - 0.25, box.top - 0.25)).astype(np.float32) * 2
        moved = np.take(fine, triangles, axis=0)
        draw_sources(moved, np.take(rest, triangles, axis=0), quarters, 0.5)
        return quarters

    def _tuck(self, landmarks: F32) -> F32:
        """(478, 3) with the outline drawn in a little.

        The tracker's outline lies on the silhouette or beyond it; a head turn would widen that
        sliver of hair and background into the cheek.
        """
        tucked = landmarks.copy()
        oval = list(face_mesh.FACE_OVAL)
        tucked[oval] += _TUCK * (self._inner @ landmarks - landmarks[oval])
        return tucked

    def _place_lattice(self, placement: Placement, landmarks: F32) -> F32:
        """(V, 2) canvas positions of the lattice vertices."""
        head, flat = placement.head, self._lattice
        turned = head.apply(flat)[:, :2]
        # the same motion without foreshortening: in-plane rotation, scale and translation only
        centre = self.landmarks[list(face_mesh.RIGID)].mean(axis=0)
        centre[2] = self._middle_depth
        axes = head.in_plane()
        rolled = (flat[:, :2] - centre[:2]) @ axes.T + head.apply(centre[None])[0, :2]
        roundness = (1 - _SILHOUETTE_FORESHORTENING) * (1 - self._near)
        skull = turned + (rolled - turned) * roundness
        body = flat[:, :2] @ placement.torso[:, :2].T + placement.torso[:, 2]
        oval = list(face_mesh.FACE_OVAL)
        beyond_rigid = landmarks[oval, :2] - head.apply(self.landmarks[oval])[:, :2]
        placed = body + (skull - body) * self._head_share + self._follow @ beyond_rigid
        return cast(F32, placed.astype(np.float32))


def sample(picture: U8, source: SourceMap, canvas_hw: tuple[int, int]) -> U8:
    """Look a picture (H, W, 4) up for a whole canvas; zero where there is nobody."""
    canvas = np.zeros((*canvas_hw, 4), np.uint8)
    height, width = source.xy.shape[:2]
    part = canvas[source.top : source.top + height, source.left : source.left + width]
    unused = np.empty(0, np.float32)
    for band in source.bands:
        cv2.remap(picture, source.xy[band], unused, cv2.INTER_LINEAR, dst=part[band])
    face = source.face
    sample_folds(picture, face.quarters, face.folds, part[face.top :, face.left :])
    return canvas


def _lattice(oval: F32, size_px: tuple[int, int], unit: float) -> F32:
    """(V, 2) vertices around the face, over the picture and one face unit beyond it."""
    width, height = size_px
    step = _LATTICE_STEP * unit
    x = np.arange(-unit, width + unit + step, step)
    y = np.arange(-unit, height + unit + step, step)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    outline = cv2.convexHull(oval.astype(np.float32))
    clear = [
        cv2.pointPolygonTest(outline, (float(px), float(py)), True) < -_CLEARANCE * unit
        for px, py in points
    ]
    rings = [rim.ring(oval, distance * unit) for distance in rim.RINGS]
    kept: F32 = np.concatenate([*rings, points[np.array(clear)]])
    return kept


def _follow_weights(oval: F32, lattice: F32, unit: float) -> tuple[F32, F32]:
    """How the lattice hangs on the face's outline.

    Returns:
        (V, 36) share of each outline landmark: inverse-distance weights (Shepard 1968);
        (V,) squared distance to the outline, in face units.
    """
    squared = ((lattice[:, None] - oval[None]) ** 2).sum(axis=2) / unit**2  # (V, 36)
    shares = 1 / (squared + 1e-4) ** 2
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.astype(np.float32), squared.min(axis=1).astype(np.float32)


def _around_triangles(landmarks: F32, lattice: F32) -> I32:
    """Lattice and face outline. (T, 3) vertex numbers."""
    oval = np.array(face_mesh.FACE_OVAL, np.int32)
    around = np.concatenate([oval, np.arange(len(lattice), dtype=np.int32) + face_mesh.LANDMARKS])
    # the lattice goes on below the face: a fold at the outline shows it, never a hole
    return cast(I32, around[delaunay(np.concatenate([landmarks[oval], lattice]))])


def _behind_triangles(landmarks: F32) -> I32:
    """What is seen through the holes of the skin: eyeballs, mouth. (T, 3) vertex numbers."""
    parts = []
    for hole, iris in (
        (face_mesh.RIGHT_EYE_HOLE, face_mesh.RIGHT_IRIS),
        (face_mesh.LEFT_EYE_HOLE, face_mesh.LEFT_IRIS),
    ):
        eye = np.concatenate([hole, np.array(iris, np.int32)])
        parts.append(eye[delaunay(landmarks[eye])])
    parts.append(_strip(face_mesh.LIPS_INNER_UPPER, face_mesh.LIPS_INNER_LOWER))
    return cast(I32, np.concatenate(parts).astype(np.int32))


def _shows_somebody(corners: F32, alpha: U8) -> NDArray[np.bool_]:
    """(T,) whether the bounding box of a triangle (T, 3, 2) meets a person."""
    height, width = alpha.shape
    low = np.clip(np.floor(corners.min(axis=1)), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1)) + 1, 0, (width, height)).astype(int)
    boxes = zip(low, high, strict=True)
    return np.array([alpha[y0:y1, x0:x1].any() for (x0, y0), (x1, y1) in boxes])


def _widened(alpha: U8, px: float) -> U8:
    """The largest alpha within so many pixels along x and y."""
    side = 2 * math.ceil(px) + 1
    return cast(U8, cv2.dilate(alpha, np.ones((side, side), np.uint8)))


def _strip(upper: tuple[int, ...], lower: tuple[int, ...]) -> I32:
    """Triangles between two rows of landmarks that share both ends."""
    triangles = []
    for i in range(len(upper) - 1):
        triangles.append((upper[i], upper[i + 1], lower[i]))
        triangles.append((upper[i + 1], lower[i + 1], lower[i]))
    return np.array(triangles, np.int32)


def delaunay(points: F32) -> I32:
    """(T, 3) Delaunay triangles of (N, 2) points; coinciding points share their triangles."""
    low, span = points.min(axis=0), float(np.ptp(points, axis=0).max())
    scaled = (points - low) / span * 4000 + 20
    subdivision = cv2.Subdiv2D((0, 0, 4096, 4096))
    number = {subdivision.insert((float(x), float(y))): i for i, (x, y) in enumerate(scaled)}
    triangles = []
    for corners in np.array(subdivision.getTriangleList()).reshape(-1, 3, 2):
        if (corners <= 0).any() or (corners >= 4096).any():
            continue  # touches the subdivision's own outer triangle
        triangles.append([number[subdivision.locate((float(x), float(y)))[2]] for x, y in corners])
    return np.array(triangles, np.int32).reshape(-1, 3)


def _bands(moved: F32, hw: tuple[int, int]) -> tuple[tuple[slice, slice], ...]:
    """Rows and columns of a map in which triangles (T, 3, 2) may lie."""
    height, width = hw
    extents = np.empty((-(-height // _BAND), 2), np.float32)
    find_extents(moved, _BAND, extents)
    columns = np.clip(np.floor(extents) + (0, 1), 0, width).astype(int).tolist()
    return tuple(
        (slice(number * _BAND, (number + 1) * _BAND), slice(first, end))
        for number, (first, end) in enumerate(columns)
        if first < end
    )
