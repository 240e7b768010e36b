"""Eyeballs behind their lids: a white that stays, an iris that goes where the gaze goes.

A mesh tears an iris that moves and squeezes one whose lids close. So the portrait's eye is taken
apart once: the iris, of which lids hide a part, is completed by its own mirror image; the white is
continued below it. Per frame both are laid where the driven landmarks want them and seen through
the opening of the lids. The lids' edge with its lashes stays what the mesh makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.compiled import compiled
from engines.rigid import Similarity

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

_MARGIN = 0.15
"""of the textures around the lids' opening, in face units"""
_LASHES = 0.018
"""this near to the lids an eye is in shadow or behind lashes, in face units"""
_LIMBUS = (0.95, 1.55)
"""the iris ends somewhere here, in radii that the tracker finds; large irises it takes for less"""
_LIMBUS_STEP = 0.05
_IRIS = 0.09
"""radius, in face units: all people's irises are smaller, and larger ones drawn by somebody"""
_RING = 0.25
"""width of the rings that are compared to find it, in radii"""
_FEWEST_PX = 8
_WHITE_FROM = 0.6
"""share of the brighter whites' luma from which a pixel is one of them"""
_WHITE_SOFT = 0.01
"""sigma that smoothes the white, in face units: it is pieced together from few pixels"""
_SOFT = 0.14
"""width of the iris' soft edge, in radii"""
_INPAINT_PX = 3
_EDGE = 0.018
"""softness of the lids' edge, in face units: the portrait's own white is in shadow there"""
_IRIS_EDGE = 2.5
"""before an iris the edge is so many times as sharp, or another would show through it"""
_OPEN = 0.03
"""a portrait's eye that is less open, in face units, cannot be taken apart"""
_EDGE_ON = 0.1
"""an eye is not drawn when its plane is seen from so much aside that this is left of it"""
_PAINTED = (0.75, 0.45)
"""shares of the portrait's opening: above the first an eye needs no paint, below the second all"""
_SHIFT_BITS = 4


@dataclass(frozen=True, slots=True)
class _Side:
    """Landmark numbers of one eye."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    hole: I32
    iris: tuple[int, ...]

    def opening(self, landmarks: F32) -> float:
        """Mean distance of the lids, in the landmarks' unit."""
        gaps = landmarks[list(self.upper[1:-1]), :2] - landmarks[list(self.lower[1:-1]), :2]
        return float(np.sqrt((gaps**2).sum(axis=1)).mean())


SIDES = (
    _Side(
        face_mesh.RIGHT_EYE_UPPER,
        face_mesh.RIGHT_EYE_LOWER,
        face_mesh.RIGHT_EYE_HOLE,
        face_mesh.RIGHT_IRIS,
    ),
    _Side(
        face_mesh.LEFT_EYE_UPPER,
        face_mesh.LEFT_EYE_LOWER,
        face_mesh.LEFT_EYE_HOLE,
        face_mesh.LEFT_IRIS,
    ),
)
"""the subject's right and left"""


class Gap(NamedTuple):
    """Where an eyeball is seen between its lids; `lay` says what the arrays are."""

    rows: slice
    columns: slice
    """of the canvas"""
    lids: U8
    back: F32
    offsets: F32


class Eye:
    """One eye of one identity.

    Args:
        view: what the portrait shows of it.
        landmarks: (478, 3) in the portrait.
        limbus: where its iris ends, in radii that the tracker finds; None: it is no disc, but
            drawn, and the eye is left to the mesh.
    """

    def __init__(self, view: _View, landmarks: F32, side: _Side, limbus: float | None) -> None:
        self._side = side
        self._unit = face_mesh.face_unit(landmarks)
        self._at_rest = side.opening(landmarks)
        self._corners = [side.upper[0], side.upper[-1]]
        middle = landmarks[self._corners].mean(axis=0)
        steps = self._unit * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
        self._plane = (middle + steps).astype(np.float32)
        self._is_drawn = limbus is None
        self._textures: _Textures | None = None
        if limbus is not None:
            self._textures = _take_apart(view, landmarks, side, limbus)

    def needs_paint(self, landmarks: F32, head: Similarity) -> float:
        """0..1 how much of the network's paint this eye needs: all once its lids are near closed.

        Args:
            landmarks, head: as driven, on the canvas.
        """
        if self._is_drawn:
            return 0.0  # lids of people look wrong there; the mesh squeezes it
        if self._at_rest <= _OPEN * self._unit:
            return 1.0
        share = self._side.opening(landmarks) / head.scale / self._at_rest
        return float(np.clip((_PAINTED[0] - share) / (_PAINTED[0] - _PAINTED[1]), 0, 1))

    def draw(self, rgb: U8, landmarks: F32, head: Similarity) -> None:
        """Draw the eyeball between its lids, in place.

        Args:
            rgb: (H, W, 3) canvas.
            landmarks: (478, 3) driven, on the canvas.
            head: canvas from portrait, of the skull.
        """
        gap = self.look(rgb.shape, landmarks, head)
        if gap is not None and self.layers is not None:
            lay(rgb[gap.rows, gap.columns], gap.lids, self.layers, gap.back, gap.offsets)

    @property
    def layers(self) -> F32 | None:
        """(2, h, w, 4) of the eyeball, as `lay` takes them; None where the portrait shows none."""
        return None if self._textures is None else self._textures.layers

    @property
    def white_rgb(self) -> F32 | None:
        """(3,) its white, as the portrait shows it, if it does."""
        return None if self._textures is None else self._textures.white_rgb

    def look(self, canvas_hw: tuple[int, ...], landmarks: F32, head: Similarity) -> Gap | None:
        """Where the eyeball is seen, and which part of it; None if it is not.

        Args:
            canvas_hw: its height and width.
            landmarks, head: as of `draw`.
        """
        polygon = landmarks[self._side.hole, :2]
        height, width = canvas_hw[:2]
        x0, y0 = np.clip(np.floor(polygon.min(axis=0)).astype(int) - 2, 0, (width, height)).tolist()
        x1, y1 = np.clip(np.ceil(polygon.max(axis=0)).astype(int) + 3, 0, (width, height)).tolist()
        if self._textures is None or x1 - x0 < 6 or y1 - y0 < 6:
            return None
        corner = np.array([x0, y0], np.float32)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        points = np.round((polygon - corner) * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [points], (255,), cv2.LINE_AA, _SHIFT_BITS)
        softness = max(_EDGE * self._unit * head.scale, 0.7 * _IRIS_EDGE)
        lids = cast(U8, cv2.GaussianBlur(mask, (0, 0), softness))
        origin, right, down = head.apply(self._plane)[:, :2]
        (a, c), (b, d) = (right - origin).tolist(), (down - origin).tolist()
        area = a * d - b * c
        if abs(area) < (_EDGE_ON * self._unit * head.scale) ** 2:
            return None
        middle = landmarks[self._corners, :2].sum(axis=0) * np.float32(0.5)
        places = np.stack([middle, landmarks[self._side.iris[0], :2]]) - corner
        back = np.array([[d, -b], [-c, a]], np.float32) * np.float32(self._unit / area)
        offsets = self._textures.anchors - places @ back.T
        return Gap(slice(y0, y1), slice(x0, x1), lids, back, offsets)


@compiled("void(u1[:,:,:], u1[:,::1], f4[:,:,:,::1], f4[:,:], f4[:,::1])")
def lay(rgb: U8, lids: U8, layers: F32, back: F32, offsets: F32) -> None:
    """Show layers of texture, the last one on top, where lids are open; in place.

    Args:
        rgb: (h, w, 3) a part of the picture.
        lids: (h, w) shut up to 127, wide open at 255; the first layer is seen as far as they are
            open, those on it sooner.
        layers: (L, H, W, 4) colour 0..255 and coverage 0..1; go on beyond their borders.
        back, offsets: (2, 2) and (L, 2) a texture's pixel = back @ the picture's + offset.
    """
    height, width = layers.shape[1:3]
    inside = np.empty(3)
    for row in range(rgb.shape[0]):
        for column in range(rgb.shape[1]):
            seen = lids[row, column] * (2 / 255) - 1
            if seen <= 0:
                continue
            inside[0], inside[1], inside[2] = rgb[row, column]
            for layer in range(len(layers)):
                x = back[0, 0] * column + back[0, 1] * row + offsets[layer, 0]
                y = back[1, 0] * column + back[1, 1] * row + offsets[layer, 1]
                x, y = min(max(x, 0.0), width - 1.001), min(max(y, 0.0), height - 1.001)
                left, top = int(x), int(y)
                x, y = x - left, y - top
                share = 0.0
                for channel in (3, 0, 1, 2):
                    upper = (1 - x) * layers[layer, top, left, channel]
                    upper += x * layers[layer, top, left + 1, channel]
                    lower = (1 - x) * layers[layer, top + 1, left, channel]
                    lower += x * layers[layer, top + 1, left + 1, channel]
                    value = (1 - y) * upper + y * lower
                    if channel == 3:
                        share = value * (seen if layer == 0 else min(seen * _IRIS_EDGE, 1.0))
                    else:
                        inside[channel] += share * (value - inside[channel])
            for channel in range(3):
                rgb[row, column, channel] = np.uint8(inside[channel] + 0.5)


def eyes_of(rgba: U8, landmarks: F32) -> tuple[Eye, Eye]:
    """The subject's right and left eye; both irises are of one size."""
    views = [_View.of(rgba, landmarks, side) for side in SIDES]
    found = _find_limbus(views)
    radius = found * sum(view.radius for view in views) / len(views)
    limbus = found if radius <= _IRIS * face_mesh.face_unit(landmarks) else None
    right, left = (
        Eye(view, landmarks, side, limbus) for view, side in zip(views, SIDES, strict=True)
    )
    return right, left


@dataclass(frozen=True, slots=True)
class _View:
    """What a portrait shows around one eye, in pixels of a part of it."""

    picture: U8
    """(h, w, 3)"""
    clear: NDArray[np.bool_]
    """(h, w) neither lids, lashes nor their shadow"""
    distance: F32
    """(h, w) from the iris' centre, in radii that the tracker finds"""
    corner: F32
    """(2,) the part's place in the portrait"""
    radius: float
    """of the iris, as the tracker finds it"""

    @classmethod
    def of(cls, rgba: U8, landmarks: F32, side: _Side) -> _View:
        unit = face_mesh.face_unit(landmarks)
        polygon = landmarks[side.hole, :2]
        low = np.maximum(np.floor(polygon.min(axis=0) - _MARGIN * unit), 0).astype(int)
        high = np.ceil(polygon.max(axis=0) + _MARGIN * unit).astype(int)
        picture = np.ascontiguousarray(rgba[low[1] : high[1], low[0] : high[0], :3])
        hole = np.zeros(picture.shape[:2], np.uint8)
        if side.opening(landmarks) > _OPEN * unit:
            cv2.fillPoly(hole, [np.round(polygon - low).astype(np.int32)], (255,))
        depth = cv2.distanceTransform(hole, cv2.DIST_L2, 5)
        ring = landmarks[list(side.iris), :2] - low
        radius = max(float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean()), 1e-3)
        y, x = np.mgrid[: hole.shape[0], : hole.shape[1]].astype(np.float32)
        distance = np.hypot(x - ring[0, 0], y - ring[0, 1]) / radius
        return cls(
            picture,
            depth > max(_LASHES * unit, 1),
            distance.astype(np.float32),
            low.astype(np.float32),
            radius,
        )

    def change_at(self, radius: float) -> float:
        """How much the colour changes from a ring within a radius to one beyond it."""
        far = self.distance - radius
        within = self.clear & (far > -_RING) & (far < 0)
        beyond = self.clear & (far > 0) & (far < _RING)
        if min(within.sum(), beyond.sum()) < _FEWEST_PX:
            return 0.0
        # medians: a highlight is brighter than both
        step = np.median(self.picture[beyond], axis=0) - np.median(self.picture[within], axis=0)
        return float(np.linalg.norm(step))


def _find_limbus(views: list[_View]) -> float:
    """The radius at which the colour changes most, in the tracker's radii; both eyes have a say."""
    radii = np.arange(*_LIMBUS, _LIMBUS_STEP)
    changes = np.array([[view.change_at(radius) for radius in radii] for view in views])
    says = changes / np.maximum(changes.max(axis=1, keepdims=True), 1e-3)
    return float(radii[says.sum(axis=0).argmax()])


@dataclass(frozen=True, slots=True)
class _Textures:
    """An eye taken apart, in portrait pixels around it."""

    layers: F32
    """(2, h, w, 4) white and iris, colour 0..255 and coverage 0..1"""
    anchors: F32
    """(2, 2) x, y of the middle between the corners, and of the iris' centre"""
    white_rgb: F32
    """(3,) of the white that is seen"""


def _take_apart(view: _View, landmarks: F32, side: _Side, limbus: float) -> _Textures | None:
    """None where the eye is closed or too small to be told from its lids."""
    is_white = view.clear & (view.distance > limbus + _SOFT)
    is_iris = view.clear & (view.distance < limbus)
    if min(is_white.sum(), is_iris.sum()) < _FEWEST_PX:
        return None
    # an iris that is larger than it was found would tint the white, and lashes and the corner's
    # shadow would speckle it: what is bright is taken, and of that the greyer half
    luma = view.picture.mean(axis=2)
    is_white &= luma >= _WHITE_FROM * np.quantile(luma[is_white], 0.75)
    tint = np.ptp(view.picture.astype(np.int16), axis=2)
    is_white &= tint <= np.median(tint[is_white])
    centre = landmarks[side.iris[0], :2] - view.corner
    share = np.clip((limbus + _SOFT / 2 - view.distance) / _SOFT, 0, 1).astype(np.float32)
    white = _continue(view.picture, is_white)
    softness = max(_WHITE_SOFT * face_mesh.face_unit(landmarks), 0.5)
    white = cast(F32, cv2.GaussianBlur(white, (0, 0), softness))
    iris = _continue(*_complete(view.picture, is_iris, centre))
    middle = landmarks[[side.upper[0], side.upper[-1]], :2].mean(axis=0) - view.corner
    return _Textures(
        np.stack([np.dstack([white, np.ones_like(share)]), np.dstack([iris, share])]),
        np.stack([middle, centre]).astype(np.float32),
        np.median(view.picture[is_white], axis=0).astype(np.float32),
    )


def _complete(picture: U8, known: NDArray[np.bool_], centre: F32) -> tuple[U8, NDArray[np.bool_]]:
    """Where the iris is hidden, its mirror image: upside down, else turned by half a circle."""
    y, x = np.mgrid[: known.shape[0], : known.shape[1]].astype(np.float32)
    picture, known = picture.copy(), known.copy()
    for mirrored_x in (x, 2 * centre[0] - x):
        at = np.dstack([mirrored_x, 2 * centre[1] - y])
        also = cv2.remap(known.astype(np.uint8), at, np.empty(0), cv2.INTER_NEAREST) > 0
        new = also & ~known
        picture[new] = cv2.remap(picture, at, np.empty(0), cv2.INTER_LINEAR)[new]
        known |= new
    return picture, known


def _continue(picture: U8, known: NDArray[np.bool_]) -> F32:
    """(h, w, 3) the picture where it is known, continued where it is not (Telea 2004)."""
    unknown = np.where(known, np.uint8(0), np.uint8(255))
    return cv2.inpaint(picture, unknown, _INPAINT_PX, cv2.INPAINT_TELEA).astype(np.float32)
