"""Make a portrait ready to be warped: clean edges, and enough cloth to fill a wide canvas.

A portrait ends where its photographer stopped; a canvas is wider and a head moves. So the picture
is continued beyond its borders: shoulders go on along their own slope, hair that touches the upper
border is closed by a cap. Knows no landmarks but their size, and no networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

_SIDE, _TOP, _BOTTOM = 0.5, 0.12, 0.35
"""how far the picture is continued, as shares of its height"""
_STRIP = 0.08
"""width of the cloth that is continued sidewards, as a share of the picture's"""
_SLOPE_BASE = 0.06
"""share of the width over which a shoulder's slope is measured"""


@dataclass(frozen=True, slots=True)
class ExtendedPortrait:
    rgba: U8
    """(H, W, 4), not premultiplied; colours go on under transparent pixels"""
    origin: F32
    """(2,) x, y of the original picture's corner in this one"""


def extend(rgba: U8) -> ExtendedPortrait:
    """Continue a portrait beyond its borders.

    Args:
        rgba: (H, W, 4) uint8, alpha 255 on the person.
    """
    height, width = rgba.shape[:2]
    side, top, bottom = round(_SIDE * height), round(_TOP * height), round(_BOTTOM * height)
    y, x = np.mgrid[-top : height + bottom, -side : width + side].astype(np.float32)
    alpha = rgba[..., 3]
    left = _shoulder_slope(alpha)
    right = _shoulder_slope(alpha[:, ::-1])
    # beyond a side border the cloth beside it is mirrored to and fro, and sheared so that the
    # shoulder keeps falling
    beyond_left, beyond_right = np.maximum(-x, 0), np.maximum(x - (width - 1), 0)
    strip = _STRIP * width
    mirrored_left, mirrored_right = (
        _to_and_fro(beyond_left, strip),
        _to_and_fro(beyond_right, strip),
    )
    source_x = np.clip(x, 0, width - 1) + mirrored_left - mirrored_right
    source_y = y - left * (beyond_left + mirrored_left) - right * (beyond_right + mirrored_right)
    source_x, source_y, open_top = _cap(alpha, source_x, source_y)
    source_y = np.minimum(source_y, height - 1)
    inside = (source_y >= 0) & ~open_top
    extended = cast(
        U8,
        cv2.remap(
            bleed(rgba),
            source_x.astype(np.float32),
            np.maximum(source_y, 0).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
    )
    extended[..., 3] = np.where(inside, extended[..., 3], 0)
    return ExtendedPortrait(extended, np.array([side, top], np.float32))


def _to_and_fro(distance: F32, length: float) -> F32:
    """A triangle wave: 0 at 0, `length` at `length`, 0 again at twice that."""
    wave: F32 = length - np.abs(distance % (2 * length) - length)
    return wave


def bleed(rgba: U8) -> U8:
    """Continue the person's colours under transparent pixels, so that interpolation at the edge
    does not mix in whatever the encoder left there. Alpha is kept."""
    weight = (rgba[..., 3:].astype(np.float32) / 255) ** 2
    colour = rgba[..., :3].astype(np.float32) * weight
    total, mass = colour.copy(), weight[..., 0].copy()
    for sigma in (2, 8, 32, 128):
        small = 1 / max(1, sigma // 4)
        blurred = [_blur(plane, sigma, small) for plane in (colour, weight[..., 0])]
        share = np.clip(1 - mass, 0, 1)
        total += share[..., None] * blurred[0]
        mass += share * blurred[1]
    filled = total / np.maximum(mass, 1e-6)[..., None]
    keep = weight
    rgb = rgba[..., :3] * keep + filled * (1 - keep)
    return np.dstack([np.clip(rgb, 0, 255).astype(np.uint8), rgba[..., 3]])


def _blur(plane: F32, sigma: float, small: float) -> F32:
    """Gaussian blur, computed at a lower resolution where that makes no difference."""
    size = plane.shape[1], plane.shape[0]
    reduced = cv2.resize(plane, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(reduced, (0, 0), max(sigma * small, 1.0))
    return cast(F32, cv2.resize(blurred, size, interpolation=cv2.INTER_LINEAR))


def _shoulder_slope(alpha: U8) -> float:
    """How fast the silhouette falls towards the left border: rows per column, 0..1."""
    columns = max(2, round(_SLOPE_BASE * alpha.shape[1]))
    solid = alpha[:, : columns + 1] > 127
    if not (solid[:, 0].any() and solid[:, columns].any()):
        return 0.0
    fall = int(solid[:, 0].argmax()) - int(solid[:, columns].argmax())
    return float(np.clip(fall / columns, 0.0, 1.0))


def _cap(alpha: U8, x: F32, y: F32) -> tuple[F32, F32, NDArray[np.bool_]]:
    """Close a head that the upper border cuts: rows above mirror those below, ever narrower."""
    columns = np.flatnonzero(alpha[0] > 127)
    above = y < 0
    if len(columns) < 8:
        return x, y, above
    centre, half = float(columns.mean()), float(np.ptp(columns)) / 2
    radius = max(half, 0.3 * alpha.shape[1])  # of the skull: its own curve is no longer to be seen
    sagitta = radius - float(np.sqrt(max(radius**2 - half**2, 0.0)))
    rise = np.clip(-y / max(sagitta, 1.0), 0, 1)
    narrow = np.sqrt(np.maximum(1 - rise, 1e-4))
    capped_x = np.where(above, centre + (x - centre) / narrow, x)
    outside = above & ((rise >= 1) | (np.abs(capped_x - centre) > half))
    return capped_x.astype(np.float32), np.where(above, -y, y).astype(np.float32), outside
