"""Pictures in another size: smaller for viewers who want them, once for all encodes of that size;
and in a film's own, while the session's changes. Knows no codecs and no viewers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Literal

import cv2
import numpy as np

from realtime.frames import U8

Size = Literal["full", "half", "quarter"]
"""of the width and height that the performer's session has"""
DIVISOR: Mapping[Size, int] = {"full": 1, "half": 2, "quarter": 4}
MIN_HEIGHT_PX = 240
"""below it the label cannot be read, nor the invisible mark be found: no picture is made smaller"""


def scaled_wh(width_px: int, height_px: int, size: Size) -> tuple[int, int]:
    """What becomes of a picture: even numbers, in proportion, and never below MIN_HEIGHT_PX."""
    share = max(1 / DIVISOR[size], min(1.0, MIN_HEIGHT_PX / height_px))
    return _even(width_px * share), _even(height_px * share)


def scaled(i420: U8, size: Size, *, stacked: bool) -> U8:
    """The same picture, smaller; the same array where it stays as it is.

    Args:
        i420: (H * 3 // 2, W).
        stacked: it is colour above matte, (H * 3, W): each is scaled by itself, so that nothing of
            one gets into the other.
    """
    parts = 2 if stacked else 1
    rows, width = i420.shape
    height = rows * 2 // 3 // parts
    to_width, to_height = scaled_wh(width, height, size)
    if (to_width, to_height) == (width, height):
        return i420
    return resized(i420, (to_width, to_height), parts)


def resized(i420: U8, to_wh: tuple[int, int], parts: int = 1) -> U8:
    """The same picture in another size.

    Args:
        i420: (H * 3 // 2, W), or `parts` pictures one above the other in each plane.
        to_wh: of each part; even numbers.
    """
    rows, width = i420.shape
    height = rows * 2 // 3 // parts
    shrinks = to_wh[0] * to_wh[1] < width * height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    flat, made, at = i420.reshape(-1), [], 0
    for half in (1, 2, 2):  # luma, then both of chroma
        from_hw, part_wh = (height // half, width // half), (to_wh[0] // half, to_wh[1] // half)
        pixels = from_hw[0] * from_hw[1]
        for _ in range(parts):
            plane = flat[at : at + pixels].reshape(from_hw)
            made.append(cv2.resize(plane, part_wh, interpolation=how).reshape(-1))
            at += pixels
    return np.asarray(np.concatenate(made), np.uint8).reshape(-1, to_wh[0])


def same_shape(one_wh: tuple[int, int], other_wh: tuple[int, int]) -> bool:
    """Whether one is the other made larger or smaller, but for the rounding to whole pixels."""
    (width, height), (other_width, other_height) = one_wh, other_wh
    return abs(width * other_height - other_width * height) <= other_width + other_height


class Scaler:
    """One size of one kind of picture; asked by several encodes, it scales each picture once."""

    def __init__(self, size: Size, *, stacked: bool) -> None:
        self._size = size
        self._stacked = stacked
        self._lock = threading.Lock()
        self._last: tuple[U8, U8] | None = None
        self.made = 0
        """pictures that were scaled"""

    def wh_of(self, i420: U8) -> tuple[int, int]:
        """Width and height of what becomes of it, with the matte below it if it has one."""
        parts = 2 if self._stacked else 1
        rows, width = i420.shape
        to_width, to_height = scaled_wh(width, rows * 2 // 3 // parts, self._size)
        return to_width, to_height * parts

    def __call__(self, i420: U8) -> U8:
        """Called on the encoders' threads."""
        with self._lock:
            if self._last is None or self._last[0] is not i420:
                self._last = i420, scaled(i420, self._size, stacked=self._stacked)
                self.made += 1
            return self._last[1]


def _even(px: float) -> int:
    return max(2, 2 * round(px / 2))
