"""The performer's real room without the performer: what the avatar stands in front of.

Where the performer is, the picture shows what was seen there before, and where nothing was ever
seen, a smooth continuation of the surroundings (push-pull filling: Gortler et al., "The Lumigraph",
SIGGRAPH 1996). Works at half resolution inside the hole, because the avatar covers most of it.

The hole is generous on purpose: the matte is widened, joined with that of the frame before and with
the area around the face, so that a matte that is a little off shows no rim of the performer.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.frames import F32, U8, FaceTrack, Tracked

_HOLE_FROM = 0.15
"""matte above which a pixel counts as performer"""
_WIDEN = 0.03
"""of the picture's height"""
_FACE_GROWTH = 1.5
_FILL_SCALE = 8
_SEAM = np.ones((7, 7), np.uint8)
"""what was seen goes over into what is filled in within this many half-resolution pixels"""
_BLUR_SIGMA_PX = 2.2
"""at an eighth of the resolution"""


class RealBackdrop:
    """Remembers the room behind one performer, at the size of the canvas."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        self._half = (width_px // 2, height_px // 2)
        half_hw = (self._half[1], self._half[0])
        self._room: U8 = np.zeros((*half_hw, 3), np.uint8)
        self._seen: U8 = np.zeros(half_hw, np.uint8)
        """255 where `_room` holds a pixel that the performer did not cover"""
        self._last_hole: U8 = np.zeros(half_hw, np.uint8)
        radius = max(round(_WIDEN * self._half[1]), 2)
        self._pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))

    def __call__(self, tracked: Tracked, matte: F32, blurred: bool) -> U8:
        """(H, W, 3) of the canvas' size.

        Args:
            matte: (H, W) 0..1 of the source picture: where the performer is.
            blurred: strongly out of focus, instead of as it is.
        """
        crop = _cover(tracked.source.rgb.shape[:2], self._size)
        picture = _resize(tracked.source.rgb[crop], self._size)
        hole = self._hole(tracked, matte, crop)
        self._remember(picture, hole)
        if blurred:
            return self._out_of_focus()
        return self._without_performer(picture, hole)

    def _hole(self, tracked: Tracked, matte: F32, crop: tuple[slice, slice]) -> U8:
        """(H/2, W/2) 255 where the performer may be."""
        small = cv2.resize(matte[crop], self._half, interpolation=cv2.INTER_AREA)
        mask = np.where(small > _HOLE_FROM, np.uint8(255), np.uint8(0))
        if isinstance(tracked.face, FaceTrack):
            rows, columns = crop
            scale = self._half[0] / (columns.stop - columns.start)
            outline = (tracked.face.landmarks_px[:, :2] - (columns.start, rows.start)) * scale
            centre = outline.mean(axis=0)
            grown = centre + _FACE_GROWTH * (outline - centre)
            cv2.fillConvexPoly(mask, cv2.convexHull(np.round(grown).astype(np.int32)), (255,))
        mask = np.asarray(cv2.dilate(mask, self._pen), np.uint8)
        joined = cv2.bitwise_or(mask, self._last_hole)
        self._last_hole = mask
        return np.asarray(joined, np.uint8)

    def _remember(self, picture: U8, hole: U8) -> None:
        small = _resize(picture, self._half)
        free = cv2.bitwise_not(hole)
        cv2.copyTo(small, free, self._room)
        cv2.bitwise_or(self._seen, free, self._seen)

    def _filled(self) -> F32:
        """(H/8, W/8, 3) the room with what was never seen filled in."""
        size = (self._size[0] // _FILL_SCALE, self._size[1] // _FILL_SCALE)
        colour = cv2.resize(self._room, size, interpolation=cv2.INTER_AREA)  # black where unseen
        weight = cv2.resize(self._seen, size, interpolation=cv2.INTER_AREA)
        return push_pull(colour.astype(np.float32), weight.astype(np.float32) / 255)

    def _out_of_focus(self) -> U8:
        soft = cv2.GaussianBlur(self._filled(), (0, 0), _BLUR_SIGMA_PX)
        half = cv2.resize(soft, self._half, interpolation=cv2.INTER_CUBIC)
        smooth = np.clip(half, 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(smooth, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _without_performer(self, picture: U8, hole: U8) -> U8:
        filled = np.clip(self._filled(), 0, 255).astype(np.uint8)
        room = cv2.resize(filled, self._half, interpolation=cv2.INTER_LINEAR)
        sure = cv2.blur(cv2.erode(self._seen, _SEAM), (7, 7))
        room = blend(self._room, np.asarray(sure, np.uint8), np.asarray(room, np.uint8))
        behind = cv2.resize(room, self._size, interpolation=cv2.INTER_LINEAR)
        edge = cv2.resize(cv2.blur(hole, (5, 5)), self._size, interpolation=cv2.INTER_LINEAR)
        return blend(np.asarray(behind, np.uint8), np.asarray(edge, np.uint8), picture)


_BAND = 64
"""rows that are blended at a time"""


def blend(front: U8, alpha: U8, back: U8) -> U8:
    """(H, W, 3) `front` over `back` by `alpha` (H, W) 0..255.

    In bands, and in each only where `front` shows: half of a picture with one person is background.
    """
    out = back.copy()
    for top in range(0, alpha.shape[0], _BAND):
        x, y, width, height = cv2.boundingRect(alpha[top : top + _BAND])
        if width:
            part = slice(top + y, top + y + height), slice(x, x + width)
            share = cv2.merge((alpha[part],) * 3)
            shown = cv2.multiply(front[part], share, scale=1 / 255)
            rest = cv2.multiply(back[part], cv2.bitwise_not(share), scale=1 / 255)
            out[part] = cv2.add(shown, rest)
    return out


def _resize(rgb: U8, size: tuple[int, int]) -> U8:
    if rgb.shape[:2] == (size[1], size[0]):
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _cover(source_hw: tuple[int, ...], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the largest centred part with the proportions of `size` (w, h)."""
    height, width = source_hw
    scale = min(width / size[0], height / size[1])
    rows, columns = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def push_pull(colour: F32, weight: F32) -> F32:
    """Fill where `weight` (H, W) is low from coarser and coarser averages; colours are weighted."""
    height, width = weight.shape
    if min(height, width) > 1:
        half = ((width + 1) // 2, (height + 1) // 2)
        coarse = push_pull(
            np.asarray(cv2.resize(colour, half, interpolation=cv2.INTER_AREA), np.float32),
            np.asarray(cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32),
        )
        behind = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        total = max(float(weight.sum()), 1e-6)
        behind = np.broadcast_to(colour.sum(axis=(0, 1)) / total, colour.shape)
    certain = np.minimum(weight, 1)[:, :, None]
    own = colour / np.maximum(weight, 1e-6)[:, :, None]
    return np.asarray(certain * own + (1 - certain) * behind, np.float32)
