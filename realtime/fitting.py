"""A picture in one of another size: scaled alike in both directions, with bars where it does not
fill it. Stretched in one direction, faces would be fat, and the invisible mark could not be found.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av import VideoFrame

from realtime.frames import U8
from realtime.watermark_search import SMALLEST

MIN_HEIGHT_PX = 240
"""of the picture without its bars: below it the invisible mark is not always found"""
_BLACK_LUMA, _NO_CHROMA = 16, 128
"""of BT.601 in limited range"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies in another; all of them even, as I420 has them."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


def place(size_px: tuple[int, int], into_px: tuple[int, int]) -> Place:
    """As large as it can be, in the middle.

    Args:
        size_px: width and height, in square pixels.
        into_px: the same of what it is put into; even.
    """
    share = min(into / size for into, size in zip(into_px, size_px, strict=True))
    width, height = (max(2, round(size * share / 2) * 2) for size in size_px)
    left, top = (
        (into - side) // 4 * 2 for into, side in zip(into_px, (width, height), strict=True)
    )
    return Place(left, top, width, height)


def fitted(frame: VideoFrame, at: Place, into_px: tuple[int, int]) -> U8:
    """(H * 3 // 2, W) I420 of that size, with black bars."""
    sized = frame.reformat(at.width_px, at.height_px, "yuv420p", interpolation="BICUBIC")
    i420 = np.ascontiguousarray(sized.to_ndarray(), np.uint8)
    width, height = into_px
    if (at.width_px, at.height_px) == into_px:
        return i420
    made = np.full((height * 3 // 2, width), _NO_CHROMA, np.uint8)
    made[:height] = _BLACK_LUMA
    planes = zip(
        _planes(made, width, height), _planes(i420, at.width_px, at.height_px), strict=True
    )
    for (whole, part), half in zip(planes, (1, 2, 2), strict=True):
        top, left = at.top_px // half, at.left_px // half
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return made


def unreadable(at: Place, into_height_px: int) -> str:
    """Why the invisible mark may not be found in what lies there; empty where it can."""
    if at.height_px < MIN_HEIGHT_PX:
        return (
            f"the avatar is {at.height_px} lines high: below {MIN_HEIGHT_PX} its invisible mark "
            "may not be found; give a larger --size"
        )
    if at.height_px < SMALLEST * into_height_px:
        return (
            f"the avatar fills {at.height_px} of {into_height_px} lines: below {SMALLEST:.0%} its "
            "invisible mark may not be found; give a --size of its shape"
        )
    return ""


def _planes(i420: U8, width: int, height: int) -> tuple[U8, U8, U8]:
    """Views of luma and both of chroma."""
    flat, pixels = i420.reshape(-1), width * height
    chroma = flat[pixels:].reshape(2, height // 2, width // 2)
    return flat[:pixels].reshape(height, width), chroma[0], chroma[1]
