"""What does not move does not flicker: the face is held over from frame to frame.

Tracking trembles by a tenth of a pixel, and lips and lids are the sharpest edges of a face: there a
viewer sees it first. So around eyes, nose and mouth a first-order recursive filter runs over time,
per pixel, as cameras reduce their noise: what changes little is averaged with what was shown
before, and what changes is shown at once.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.compiled import compiled

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

LEAST = 0.3
"""share of the new frame where nothing changes"""
CHANGES = 12
"""grey levels, mean in a window: from here on a pixel is all new"""
WINDOW = 9
"""pixels"""
_MARGIN = 0.2
"""around the features, in face units"""
FADE_PX = 8
"""over which the filter ends at the box's border"""
_FEATURES = np.array(
    (
        *face_mesh.LIPS_OUTER_UPPER,
        *face_mesh.LIPS_OUTER_LOWER,
        *face_mesh.RIGHT_EYE_UPPER,
        *face_mesh.RIGHT_EYE_LOWER,
        *face_mesh.LEFT_EYE_UPPER,
        *face_mesh.LEFT_EYE_LOWER,
    ),
    np.int32,
)
_OLD_SHARES = np.clip(1 - np.arange(256) / CHANGES, 0, 1 - LEAST).astype(np.float32)
"""by the change in grey levels"""


class Steady:
    """What one avatar showed last."""

    def __init__(self) -> None:
        self._last: U8 | None = None

    def __call__(self, rgb: U8, landmarks: F32) -> None:
        """Steady a picture, in place, and remember it.

        Args:
            rgb: (H, W, 3), always of one size.
            landmarks: (478, 3) in it.
        """
        box = held_box(landmarks, rgb.shape)
        new = rgb[box]
        if self._last is not None and new.size > 0:
            old = self._last[box]
            change = cv2.cvtColor(cv2.absdiff(new, old), cv2.COLOR_RGB2GRAY)
            mean = cv2.blur(change, (WINDOW, WINDOW))
            _hold(new, old, cast(U8, mean), _fade(len(new)), _fade(new.shape[1]))
        self._last = rgb.copy()


def held_box(landmarks: F32, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a picture that are held; maybe empty."""
    points, margin = landmarks[_FEATURES, :2], _MARGIN * face_mesh.face_unit(landmarks)
    size = shape[1], shape[0]
    x0, y0 = np.clip(points.min(axis=0) - margin, 0, size).astype(int).tolist()
    x1, y1 = np.clip(points.max(axis=0) + margin + 1, 0, size).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)


def _fade(pixels: int) -> F32:
    """(pixels,) 1 inside, falling to 0 at both ends."""
    inside = np.arange(pixels, dtype=np.float32)
    return np.minimum(np.minimum(inside + 1, pixels - inside) / np.float32(FADE_PX), 1)


@compiled("void(u1[:,:,:], u1[:,:,:], u1[:,::1], f4[::1], f4[::1])")
def _hold(new: U8, old: U8, change: U8, down: F32, along: F32) -> None:
    """Mix what was shown into a picture, in place.

    Args:
        new, old: (h, w, 3).
        change: (h, w) grey levels.
        down, along: (h,) and (w,) factors of the old one's share.
    """
    for row in range(new.shape[0]):
        for column in range(new.shape[1]):
            share = _OLD_SHARES[change[row, column]] * down[row] * along[column]
            for channel in range(3):
                now = np.float32(new[row, column, channel])
                mixed = now + share * (old[row, column, channel] - now)
                new[row, column, channel] = np.uint8(mixed + np.float32(0.5))
