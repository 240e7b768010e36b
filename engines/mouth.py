"""What a closed mouth hides: teeth, tongue and the dark behind them, drawn where they must be.

A portrait with its lips closed has no pixel of these, and a small network answers the choice
between teeth and tongue with their mean. But teeth are rigid: the upper row belongs to the skull,
the lower one to the jaw, and both poses are known. So they are drawn, once, as textures, placed per
frame, and seen through the opening between the lips. Numpy and OpenCV only.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import Similarity

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_PX_PER_UNIT = 480
"""of the textures"""
_HALF_WIDTH = 0.31
_UPPER = ((0.082, 0.112), (0.066, 0.100), (0.066, 0.106), (0.058, 0.088), (0.05, 0.07))
_LOWER = ((0.050, 0.080), (0.054, 0.080), (0.060, 0.084), (0.058, 0.074), (0.05, 0.06))
"""(width, height) of the teeth from the middle outwards, in face units"""
_ROW_HEIGHT = 0.125
_LOWER_HEIGHT = max(height for _, height in _LOWER)
_ENAMEL = (232.0, 224.0, 212.0)
_CAVITY = (83.0, 31.0, 31.0)
_TONGUE = (182.0, 90.0, 92.0)
_UPPER_SHOWS = (0.068, -0.12)
"""how far the upper row's edge hangs below the closed lips' line, in face units, and how much of it
the lip covers again for each unit of the opening"""
_LOWER_SHOWS = (0.035, 0.06)
"""how far the lower row's edge stands above the lower lip, and what a jaw that drops adds"""
_TONGUE_WIDTH = 0.40
"""half of it, as a share of the mouth's"""
_TONGUE_HEIGHT = (0.05, 0.18)
"""half of it, in face units, and what each unit of the opening adds"""
_TONGUE_LIES = 0.04
"""its middle above the lower lip, in face units"""
_TONGUE_SOFT = 0.05
"""sigma of its edge, in face units: it falls off into the dark"""
_BEHIND_LIPS = 0.06
"""teeth lie this far behind the lips, in face units"""
_OPENS = (0.015, 0.055)
"""below the first opening nothing is drawn, from the second on everything; in face units, beyond
what the portrait itself shows: of a smile the teeth are its own until it opens wider"""
_SHADOW = 0.07
"""the lips' shadow reaches this far into the mouth, in face units"""
_LEAST_LIGHT = 0.62
_LIT = (0.4, 1.15)
"""teeth are no darker and no brighter, as shares of the enamel's colour"""
_TINT = (0.75, 1.25)
"""of the light, in each channel"""
_SKIN_LEVEL = 165.0
_WHITE = (182.0, 176.0, 172.0)
"""skin, and the white of eyes, where teeth have the enamel's colour; it lies in the lids' shadow"""
_SHIFT_BITS = 4


class _Row(NamedTuple):
    colour: F32
    """(h, w, 3) premultiplied, 0..255"""
    alpha: F32
    """(h, w) 0..1"""


class Seen(NamedTuple):
    """What is seen between the lips."""

    rows: slice
    columns: slice
    """of the canvas, where it lies"""
    rgb: F32
    """(h, w, 3) 0..255"""
    share: F32
    """(h, w) 0..1 how much of it is seen"""


class Mouth:
    """The inside of one identity's mouth.

    Args:
        landmarks: (478, 3) of the portrait.
        skin_rgb: (3,) mean colour of its face.
        white_rgb: (3,) white of its eyes, if it is seen: teeth are lit as it is. Skin tells
            less of the light, for it is dark or pale by itself.
        teeth_rgb: (3,) colour of the teeth that the portrait shows, if it does.
    """

    def __init__(
        self,
        landmarks: F32,
        skin_rgb: F32,
        white_rgb: F32 | None = None,
        teeth_rgb: F32 | None = None,
    ) -> None:
        self._unit = face_mesh.face_unit(landmarks)
        gap = landmarks[14, :2] - landmarks[13, :2]
        self._own_opening = max(float(np.linalg.norm(gap)) / self._unit - _OPENS[0], 0)
        self._lit = _light(skin_rgb, white_rgb, teeth_rgb)
        # lips that part at rest have left the upper teeth where they were
        middle = landmarks[[13, 14]].mean(axis=0) if self._own_opening == 0 else landmarks[13]
        right = landmarks[face_mesh.LEFT_EYE_OUTER] - landmarks[face_mesh.RIGHT_EYE_OUTER]
        self._right = right / np.linalg.norm(right)
        down = landmarks[face_mesh.CHIN] - landmarks[face_mesh.FOREHEAD]
        down = down - self._right * (down @ self._right)
        self._down = down / np.linalg.norm(down)
        back = np.cross(self._right, self._down)
        self._rest = middle + back * _BEHIND_LIPS * self._unit

    def draw(self, rgb: U8, landmarks: F32, head: Similarity) -> None:
        """Draw what is seen between the lips, in place.

        Args:
            rgb: (H, W, 3) canvas.
            landmarks: (478, 3) driven, on the canvas.
            head: canvas from portrait, of the skull.
        """
        seen = self.look(rgb.shape, landmarks, head)
        if seen is None:
            return
        region = rgb[seen.rows, seen.columns]
        mixed = region + seen.share[..., None] * (seen.rgb - region)
        region[:] = np.clip(mixed, 0, 255).astype(np.uint8)

    def look(self, canvas_hw: tuple[int, ...], landmarks: F32, head: Similarity) -> Seen | None:
        """What is seen between the lips; None if they are closed.

        Args:
            canvas_hw: its height and width.
            landmarks, head: as of `draw`.
        """
        unit = self._unit * head.scale
        opening = float(landmarks[14, 1] - landmarks[13, 1]) / unit
        beyond = opening - self._own_opening - _OPENS[0]
        share = float(np.clip(beyond / (_OPENS[1] - _OPENS[0]), 0, 1))
        polygon = landmarks[face_mesh.MOUTH_HOLE, :2]
        height, width = canvas_hw[:2]
        x0, y0 = np.clip(np.floor(polygon.min(axis=0)).astype(int) - 2, 0, (width, height))
        x1, y1 = np.clip(np.ceil(polygon.max(axis=0)).astype(int) + 3, 0, (width, height))
        if share == 0 or x1 - x0 < 4 or y1 - y0 < 4:
            return None
        corner = np.array([x0, y0], np.float32)
        size = int(x1 - x0), int(y1 - y0)
        mask = np.zeros((size[1], size[0]), np.uint8)
        points = np.round((polygon - corner) * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [points], (255,), cv2.LINE_AA, _SHIFT_BITS)
        inside = self._inside(landmarks, head, corner, size)
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) / (_SHADOW * unit)
        light = _LEAST_LIGHT + (1 - _LEAST_LIGHT) * np.clip(depth, 0, 1)
        inside *= light[..., None] * self._lit
        covered: F32 = mask * np.float32(share / 255)
        return Seen(slice(int(y0), int(y1)), slice(int(x0), int(x1)), inside, covered)

    def _inside(self, landmarks: F32, head: Similarity, corner: F32, size: tuple[int, int]) -> F32:
        """(h, w, 3) the mouth's inside around the opening, fully lit."""
        inside = np.empty((size[1], size[0], 3), np.float32)
        inside[:] = _CAVITY
        unit = self._unit * head.scale
        low, side = landmarks[14, :2] - corner, landmarks[[78, 308], :2]
        opening = max(float(landmarks[14, 1] - landmarks[13, 1]) / unit, 0)
        wide = float(np.linalg.norm(side[1] - side[0]))
        axes = round(_TONGUE_WIDTH * wide), round(_at(_TONGUE_HEIGHT, opening) * unit)
        centre = round(float(low[0])), round(float(low[1]) - _TONGUE_LIES * unit)
        tongue = np.zeros(inside.shape[:2], np.uint8)
        cv2.ellipse(tongue, centre, axes, 0, 0, 360, (255,), -1, cv2.LINE_AA)
        tongue_share = cv2.GaussianBlur(tongue, (0, 0), max(_TONGUE_SOFT * unit, 0.8))[..., None]
        inside += (np.array(_TONGUE, np.float32) - inside) * (tongue_share * np.float32(1 / 255))
        upper, lower = _rows()
        up, across = self._down * self._unit, self._right * self._unit
        # a smile bares the upper teeth as far as it parts the lips
        bared = min(max(_at(_UPPER_SHOWS, opening), self._own_opening), _ROW_HEIGHT)
        top = self._rest + up * (bared - _ROW_HEIGHT)
        _place(inside, upper, _texture_corners(head, top, across, up) - corner)
        # the jaw carries the lower row along with the lip
        jaw = landmarks[14] - head.apply(self._rest[None])[0]
        above = _at(_LOWER_SHOWS, opening) + _ROW_HEIGHT - _LOWER_HEIGHT
        edge = self._rest - up * above
        _place(inside, lower, _texture_corners(head, edge, across, up) + jaw[:2] - corner)
        return inside


def _light(skin_rgb: F32, white_rgb: F32 | None, teeth_rgb: F32 | None) -> F32:
    """(3,) what falls on the teeth, as shares of the enamel's colour."""
    level = np.full(3, max(float(skin_rgb.mean()) / _SKIN_LEVEL, 0.5), np.float32)
    if white_rgb is not None:
        level = white_rgb / np.array(_WHITE, np.float32)
    if teeth_rgb is not None:
        own = teeth_rgb / np.array(_ENAMEL, np.float32)
        if own.mean() > level.mean():  # what is darker may be a tongue
            level = own
    mean = max(float(level.mean()), 1e-3)
    return np.clip(level / mean, *_TINT) * np.float32(np.clip(mean, *_LIT))


def _at(line: tuple[float, float], opening: float) -> float:
    """A value that changes with the opening, both in face units; never below 0."""
    return max(line[0] + line[1] * opening, 0)


def _texture_corners(head: Similarity, top: F32, across: F32, up: F32) -> F32:
    """(3, 2) canvas positions of a row's left top, right top and left bottom corners."""
    left, right = top - across * _HALF_WIDTH, top + across * _HALF_WIDTH
    corners = np.stack([left, right, left + up * _ROW_HEIGHT])
    return head.apply(corners.astype(np.float32))[:, :2]


def _place(inside: F32, row: _Row, corners: F32) -> None:
    """Blend a row of teeth into the mouth's inside, in place."""
    height, width = row.alpha.shape
    texture = np.array([[0, 0], [width, 0], [0, height]], np.float32)
    matrix = cv2.getAffineTransform(texture, corners.astype(np.float32))
    size = inside.shape[1], inside.shape[0]
    colour = cv2.warpAffine(row.colour, matrix, size, flags=cv2.INTER_AREA)
    alpha = cv2.warpAffine(row.alpha, matrix, size, flags=cv2.INTER_AREA)
    inside *= 1 - alpha[..., None]
    inside += colour


@cache
def _rows() -> tuple[_Row, _Row]:
    """Upper and lower teeth; the lower row stands on its head."""
    upper = _draw_row(_UPPER)
    flipped = _draw_row(_LOWER)
    return upper, _Row(flipped.colour[::-1].copy(), flipped.alpha[::-1].copy())


def _draw_row(teeth: tuple[tuple[float, float], ...]) -> _Row:
    """A row that hangs from the texture's upper border."""
    width, height = round(2 * _HALF_WIDTH * _PX_PER_UNIT), round(_ROW_HEIGHT * _PX_PER_UNIT)
    alpha = np.zeros((height, width), np.float32)
    relief = np.zeros((height, width), np.float32)
    edge = 0.0
    for across, down in teeth:
        for sign in (-1, 1):
            middle = width / 2 + sign * (edge + across / 2) * _PX_PER_UNIT
            _draw_tooth(alpha, relief, middle, across * _PX_PER_UNIT / 2, down * _PX_PER_UNIT)
        edge += across
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    round_arch = 1 - 0.55 * np.abs(x) ** 2.2  # the row curves away from the light
    shade = (0.76 + 0.24 * relief) * round_arch
    colour = shade[..., None] * np.array(_ENAMEL, np.float32) * alpha[..., None]
    # textures are shrunk three to six times when they are placed: keep them free of aliasing
    return _Row(
        cast(F32, cv2.GaussianBlur(colour, (0, 0), 1.6)),
        cast(F32, cv2.GaussianBlur(alpha, (0, 0), 1.6)),
    )


def _draw_tooth(alpha: F32, relief: F32, middle: float, half: float, length: float) -> None:
    """One rounded tooth with a soft ridge and a fine gap to its neighbours; in place."""
    rows, columns = alpha.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    across, along = np.abs(x - middle) / (half - 0.4), y / length
    # a superellipse, cut off by the gum: nearly straight sides, a rounded edge
    shape = across**5 + np.maximum(along, 0) ** 7
    cover = np.clip((1.04 - shape) * 12, 0, 1)
    ridge = np.clip(1 - across**3, 0, 1) * (0.80 + 0.20 * np.clip(along * 1.6, 0, 1))
    np.maximum(alpha, cover, out=alpha)
    relief[:] = np.where(cover > 0, np.maximum(relief, ridge), relief)
