"""The geometry: where every pixel of the driven picture comes from in the portrait.

A triangle mesh covers the portrait: the face's own landmarks, and around them a lattice for hair,
neck and shoulders. Driven landmarks move the face; the lattice follows the head's rigid motion
above the chin, the torso's below the shoulders, and bends between them. Drawing the moved triangles
from far to near gives, for each pixel, its triangle, and the triangle's affine map its source.

Numpy and OpenCV only. Knows no network: the refinement enters in `models.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import Similarity

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

_LATTICE_STEP = 0.5
"""distance of lattice vertices, in face units"""
_CLEARANCE = 0.10
"""no lattice vertex closer to the face's outline than this, in face units"""
_NECK_TOP, _NECK_BOTTOM = -0.25, 0.80
"""the head's motion fades over this stretch below the chin, in face units"""
_TUCK = 0.8
"""how far the mesh's edge is drawn in from the face's outline, as a share of its outer triangles"""
_FOLLOW = 0.55
"""how far around the face the lattice follows what its outline does beyond rigid motion (a jaw that
drops, a landmark that is off): it fades like a Gaussian of this width, in face units"""
_SILHOUETTE_FORESHORTENING = 0.5
"""a round skull's outline moves less than a plane's when it turns: share of the plane's motion"""
_SUBPIXEL_BITS = 4
_STEEPEST = 16.0
"""portrait pixels per map pixel"""
_MAP_SCALE = 2
"""the map is drawn at half resolution and enlarged: it is smooth where it matters"""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where head and torso are now, in canvas pixels."""

    landmarks: F32
    """(478, 3) driven landmarks"""
    head: Similarity
    """canvas from portrait, of the skull"""
    torso: F32
    """(2, 3) canvas from portrait, of the shoulders"""


class WarpMesh:
    """The mesh of one portrait. Build once, `source_map` per frame.

    Args:
        landmarks: (478, 3) of the portrait in its pixels, z in the same scale.
        size_px: width and height of the portrait picture.
    """

    def __init__(self, landmarks: F32, size_px: tuple[int, int]) -> None:
        self._skin = face_mesh.load().triangles
        self._inner = _inner_neighbours(self._skin)
        self.landmarks = self._tuck(landmarks.astype(np.float32))
        unit = face_mesh.face_unit(landmarks)
        oval = self.landmarks[list(face_mesh.FACE_OVAL)]
        lattice = _lattice(oval[:, :2], size_px, unit)
        shares, self._near = _follow_weights(oval[:, :2], lattice, unit)
        # as deep as the outline beside it: what lies next to the face turns with the face
        self._lattice = np.column_stack([lattice, shares @ oval[:, 2]]).astype(np.float32)
        self._follow = shares * self._near
        self._ear_depth = float(landmarks[[234, 454], 2].mean())
        below_chin = (lattice[:, 1] - landmarks[face_mesh.CHIN, 1]) / unit
        self._head_share = 1 - _smoothstep(_NECK_TOP, _NECK_BOTTOM, below_chin)[:, None]
        self._rest = np.concatenate([self.landmarks[:, :2], lattice]).astype(np.float32)
        self._under = _under_triangles(self.landmarks[:, :2], lattice)

    def source_map(self, placement: Placement, canvas_hw: tuple[int, int]) -> F32:
        """For each canvas pixel the portrait pixel (x, y) that it shows.

        Returns:
            (H, W, 2) float32; pixels that no triangle covers get (-1e4, -1e4).
        """
        landmarks = self._tuck(placement.landmarks)
        vertices = np.concatenate([landmarks[:, :2], self._place_lattice(placement, landmarks)])
        order = np.argsort(-landmarks[self._skin, 2].sum(axis=1))  # far to near
        triangles = np.concatenate([self._under, self._skin[order]])
        coarse_hw = (canvas_hw[0] // _MAP_SCALE, canvas_hw[1] // _MAP_SCALE)
        coarse = (vertices - (_MAP_SCALE - 1) / 2) / _MAP_SCALE
        corners = np.take(coarse, triangles, axis=0)
        visible = np.flatnonzero(_touches(corners, coarse_hw))
        corners = np.take(corners, visible, axis=0)
        index = _draw_indices(corners, coarse_hw)
        sources = np.take(self._rest, np.take(triangles, visible, axis=0), axis=0)
        affine = _affine_maps(corners, sources)
        small = _apply_affine(affine, index)
        height, width = canvas_hw
        return cast(F32, cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))

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
        centre[2] = self._ear_depth
        axes = in_plane(head)
        rolled = (flat[:, :2] - centre[:2]) @ axes.T + head.apply(centre[None])[0, :2]
        roundness = (1 - _SILHOUETTE_FORESHORTENING) * (1 - self._near)
        skull = turned + (rolled - turned) * roundness
        body = flat[:, :2] @ placement.torso[:, :2].T + placement.torso[:, 2]
        oval = list(face_mesh.FACE_OVAL)
        beyond_rigid = landmarks[oval, :2] - head.apply(self.landmarks[oval])[:, :2]
        placed = body + (skull - body) * self._head_share + self._follow @ beyond_rigid
        return cast(F32, placed.astype(np.float32))


def sample(image: U8, source: F32) -> U8:
    """Look an image (H, W, C) up at a (h, w, 2) map of its pixels; zero beyond its borders."""
    return cast(U8, cv2.remap(image, source, np.empty(0, np.float32), cv2.INTER_LINEAR))


def in_plane(head: Similarity) -> F32:
    """(2, 2) the head's roll and scale, without its yaw and pitch."""
    rotation = head.rotation
    roll = np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])
    cos, sin = np.cos(roll), np.sin(roll)
    matrix: F32 = (head.scale * np.array([[cos, -sin], [sin, cos]])).astype(np.float32)
    return matrix


def _smoothstep(low: float, high: float, x: F32) -> F32:
    t = np.clip((x - low) / (high - low), 0, 1)
    smooth: F32 = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _inner_neighbours(skin: I32) -> F32:
    """(36, 478) weights: the mean of the inner landmarks beside each outline landmark."""
    oval = list(face_mesh.FACE_OVAL)
    weights = np.zeros((len(oval), face_mesh.LANDMARKS), np.float32)
    for row, landmark in enumerate(oval):
        around = np.unique(skin[(skin == landmark).any(axis=1)])
        weights[row, np.setdiff1d(around, oval)] = 1
    normalised: F32 = weights / weights.sum(axis=1, keepdims=True)
    return normalised


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
    kept: F32 = points[np.array(clear)]
    return kept


def _follow_weights(oval: F32, lattice: F32, unit: float) -> tuple[F32, F32]:
    """How the lattice hangs on the face's outline.

    Returns:
        (V, 36) share of each outline landmark: inverse-distance weights (Shepard 1968);
        (V, 1) nearness, a Gaussian of the distance to the outline.
    """
    squared = ((lattice[:, None] - oval[None]) ** 2).sum(axis=2) / unit**2  # (V, 36)
    shares = 1 / (squared + 1e-4) ** 2
    shares /= shares.sum(axis=1, keepdims=True)
    near = np.exp(-squared.min(axis=1, keepdims=True) / _FOLLOW**2)
    return shares.astype(np.float32), near.astype(np.float32)


def _under_triangles(landmarks: F32, lattice: F32) -> I32:
    """What is drawn below the skin: lattice, eyeballs, mouth. (T, 3) vertex numbers."""
    oval = np.array(face_mesh.FACE_OVAL, np.int32)
    around = np.concatenate([oval, np.arange(len(lattice), dtype=np.int32) + face_mesh.LANDMARKS])
    # the lattice goes on below the face: a fold at the outline shows it, never a hole
    parts = [around[delaunay(np.concatenate([landmarks[oval], lattice]))]]
    for hole, iris in (
        (face_mesh.RIGHT_EYE_HOLE, face_mesh.RIGHT_IRIS),
        (face_mesh.LEFT_EYE_HOLE, face_mesh.LEFT_IRIS),
    ):
        eye = np.concatenate([hole, np.array(iris, np.int32)])
        parts.append(eye[delaunay(landmarks[eye])])
    parts.append(_strip(face_mesh.LIPS_INNER_UPPER, face_mesh.LIPS_INNER_LOWER))
    return cast(I32, np.concatenate(parts).astype(np.int32))


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


def _touches(corners: F32, hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(T,) whether a triangle's bounding box meets the picture."""
    far = np.array([hw[1], hw[0]], np.float32)
    meets: NDArray[np.bool_] = ((corners.max(axis=1) >= 0) & (corners.min(axis=1) <= far)).all(
        axis=1
    )
    return meets


def _draw_indices(corners: F32, hw: tuple[int, int]) -> I32:
    """(H, W) number of the last triangle drawn at each pixel, -1 where none was."""
    index = np.full(hw, -1, np.int32)
    fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for number, triangle in enumerate(fixed):
        cv2.fillConvexPoly(index, triangle, (number,), cv2.LINE_8, _SUBPIXEL_BITS)
    return index


def _affine_maps(corners: F32, sources: F32) -> F32:
    """(T, 6) source_x = a x + b y + c, source_y = d x + e y + f, for each moved triangle.

    A sliver covers pixels that lie outside it, where its map would reach far away: a triangle with
    next to no area, or squeezed beyond `_STEEPEST`, maps to its own middle.
    """
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    from1, from2 = sources[:, 1] - sources[:, 0], sources[:, 2] - sources[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    inverse = np.where(np.abs(area) > 0.3, 1 / np.where(area == 0, 1, area), 0)[:, None]
    by_x = (from1 * edge2[:, 1:] - from2 * edge1[:, 1:]) * inverse  # (T, 2) d source / d x
    by_y = (from2 * edge1[:, :1] - from1 * edge2[:, :1]) * inverse  # (T, 2) d source / d y
    sane = (np.abs(by_x) < _STEEPEST) & (np.abs(by_y) < _STEEPEST)
    sane = sane.all(axis=1, keepdims=True)
    by_x, by_y = by_x * sane, by_y * sane
    middle, source = corners.mean(axis=1), sources.mean(axis=1)
    offset = source - by_x * middle[:, :1] - by_y * middle[:, 1:]
    maps: F32 = np.stack(
        [by_x[:, 0], by_y[:, 0], offset[:, 0], by_x[:, 1], by_y[:, 1], offset[:, 1]], axis=1
    ).astype(np.float32)
    return maps


def _apply_affine(affine: F32, index: I32) -> F32:
    """(H, W, 2) source position of each pixel from its triangle's map."""
    height, width = index.shape
    nowhere = np.array([[0, 0, -1e4, 0, 0, -1e4]], np.float32)
    maps = np.concatenate([affine, nowhere]).T.copy()  # (6, T + 1); -1 wraps to the last column
    at = index.astype(np.intp)
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    source = np.empty((height, width, 2), np.float32)
    for axis in (0, 1):
        # one coefficient at a time: each table stays in the first-level cache
        position = np.take(maps[3 * axis], at, mode="wrap") * x
        position += np.take(maps[3 * axis + 1], at, mode="wrap") * y
        position += np.take(maps[3 * axis + 2], at, mode="wrap")
        source[..., axis] = position
    return source
