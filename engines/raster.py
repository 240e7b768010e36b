"""Draws triangles of a picture where they were moved to. Knows no faces.

    xy = nothing(hw)
    draw_sources(moved, triangles, xy, 1.0)   # where in the picture each pixel comes from

Numpy would need many passes for it, and OpenCV a call per triangle.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from engines.compiled import compiled

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

NOWHERE = np.float32(-1e5)
"""the source, x and y, of a pixel that no triangle covers"""
STEEPEST = 8.0
"""picture pixels per canvas pixel"""
SMALLEST = 1.0
"""area of a triangle that can be drawn, in square canvas pixels"""
_FOLD = np.float32(2.0)
"""picture pixels between the sources of a pixel's quarters: beyond it they are sampled apart"""


def nothing(hw: tuple[int, int]) -> F32:
    """(H, W, 2) a map without triangles."""
    xy = np.empty((*hw, 2), np.float32)
    xy.fill(NOWHERE)  # np.full takes ten times as long for it
    return xy


@compiled("f8(f4, f4, f4, f4)")
def _slope(x0: float, y0: float, x1: float, y1: float) -> float:
    return float((np.float64(x1) - x0) / (np.float64(y1) - y0))


@compiled("void(f4[:,:,::1], f4[:,:,::1], f4[:,:,::1], f8)")
def draw_sources(moved: F32, triangles: F32, xy: F32, pixel: float) -> None:
    """Write the source of each pixel, in place; later triangles hide earlier ones.

    A pixel belongs to a triangle when its centre lies inside, or on its left or upper edge: of
    triangles that share an edge exactly one gets a pixel on it, and no gap opens between them.
    A sliver covers pixels beside it, where its map would reach far away: a triangle with next to no
    area, or squeezed beyond `STEEPEST`, shows its own middle.

    Args:
        moved: (T, 3, 2) corners in pixels of `xy`; the centre of the first is (0, 0).
        triangles: (T, 3, 2) the same corners in the picture.
        xy: (H, W, 2) the map.
        pixel: size of its pixels, in canvas pixels.
    """
    height, width = xy.shape[:2]
    for t in range(len(moved)):
        x0, y0 = moved[t, 0, 0], moved[t, 0, 1]
        x1, y1 = moved[t, 1, 0], moved[t, 1, 1]
        x2, y2 = moved[t, 2, 0], moved[t, 2, 1]
        top, bottom = ceil(max(min(y0, y1, y2), 0.0)), ceil(min(max(y0, y1, y2), float(height)))
        if top >= bottom or max(x0, x1, x2) < 0 or min(x0, x1, x2) >= width:
            continue
        u0, v0 = triangles[t, 0, 0], triangles[t, 0, 1]
        u1, v1 = triangles[t, 1, 0], triangles[t, 1, 1]
        u2, v2 = triangles[t, 2, 0], triangles[t, 2, 1]
        # the affine map of the triangle: u = ux x + uy y + uc, and v likewise
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        ux = ((u1 - u0) * (y2 - y0) - (u2 - u0) * (y1 - y0)) / area
        uy = ((u2 - u0) * (x1 - x0) - (u1 - u0) * (x2 - x0)) / area
        vx = ((v1 - v0) * (y2 - y0) - (v2 - v0) * (y1 - y0)) / area
        vy = ((v2 - v0) * (x1 - x0) - (v1 - v0) * (x2 - x0)) / area
        steepest = max(abs(ux), abs(uy), abs(vx), abs(vy))
        if abs(area) * pixel * pixel < SMALLEST or not steepest < STEEPEST * pixel:
            ux = uy = vx = vy = np.float32(0)
        x, y = (x0 + x1 + x2) / 3, (y0 + y1 + y2) / 3
        uc = np.float32((u0 + u1 + u2) / 3 - ux * x - uy * y)
        vc = np.float32((v0 + v1 + v2) / 3 - vx * x - vy * y)
        # from top to bottom: a long edge on one side, two short ones on the other, each with the
        # same line, bit for bit, for both triangles that share it
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        long, upper, lower = _slope(x0, y0, x2, y2), _slope(x0, y0, x1, y1), _slope(x1, y1, x2, y2)
        for row in range(top, bottom):
            a = x0 + long * (row - y0)
            b = x0 + upper * (row - y0) if row < y1 else x1 + lower * (row - y1)
            first, end = ceil(max(min(a, b), 0.0)), ceil(min(max(a, b), float(width)))
            u, v = uy * np.float32(row) + uc, vy * np.float32(row) + vc
            for column in range(first, end):
                xy[row, column, 0] = ux * np.float32(column) + u
                xy[row, column, 1] = vx * np.float32(column) + v


@compiled("i8(f4[:,:,::1], f4[:,:,:], i4[:,::1])")
def merge_quarters(fine: F32, xy: F32, folds: I32) -> int:
    """Bring a map of twice the resolution down to one source per pixel.

    Args:
        fine: (2 H, 2 W, 2).
        xy: (H, W, 2) is written: the mean of the four, or one of them at a fold.
        folds: (H W, 2) is written: row and column of each pixel whose quarters show different
            parts of the picture.

    Returns:
        How many folds there are.
    """
    height, width = xy.shape[:2]
    count = 0
    for row in range(height):
        for column in range(width):
            i, j = 2 * row, 2 * column
            ax, bx, cx, dx = (
                fine[i, j, 0],
                fine[i, j + 1, 0],
                fine[i + 1, j, 0],
                fine[i + 1, j + 1, 0],
            )
            ay, by, cy, dy = (
                fine[i, j, 1],
                fine[i, j + 1, 1],
                fine[i + 1, j, 1],
                fine[i + 1, j + 1, 1],
            )
            apart = max(max(abs(dx - ax), abs(dy - ay)), max(abs(cx - bx), abs(cy - by)))
            if apart > _FOLD:
                folds[count, 0], folds[count, 1] = row, column
                count += 1
                xy[row, column, 0], xy[row, column, 1] = ax, ay
            else:
                xy[row, column, 0] = (ax + bx + cx + dx) * np.float32(0.25)
                xy[row, column, 1] = (ay + by + cy + dy) * np.float32(0.25)
    return count


@compiled("void(f4[:,:,::1], i8, f4[:,::1])")
def find_extents(moved: F32, height: int, extents: F32) -> None:
    """How far triangles reach to the left and the right in each band of `height` rows.

    Args:
        moved: (T, 3, 2) corners in pixels.
        extents: (B, 2) is written: least and greatest x; infinity and less where there is none.
    """
    extents[:, 0], extents[:, 1] = np.inf, -np.inf
    for t in range(len(moved)):
        top = min(moved[t, 0, 1], moved[t, 1, 1], moved[t, 2, 1])
        bottom = max(moved[t, 0, 1], moved[t, 1, 1], moved[t, 2, 1])
        first, last = max(top / height, 0.0), min(bottom / height, len(extents) - 1.0)
        for band in range(int(first), int(last) + 1 if last >= 0 else 0):
            for k in range(3):
                extents[band, 0] = min(extents[band, 0], moved[t, k, 0])
                extents[band, 1] = max(extents[band, 1], moved[t, k, 0])


@compiled("void(u1[:,:,::1], f4[:,:,::1], i4[:,::1], u1[:,:,:])")
def sample_folds(picture: U8, fine: F32, folds: I32, rgba: U8) -> None:
    """Sample pixels at folds from their quarters, in place, so that the edge has no steps.

    Args:
        picture: (H, W, 4) not premultiplied.
        fine, folds: of `merge_quarters`.
        rgba: (h, w, 4) the pixels of `fine`, at half its resolution.
    """
    height, width = picture.shape[:2]
    total = np.zeros(4)
    for row, column in folds:
        total[:] = 0
        for k in range(4):
            x, y = fine[2 * row + k // 2, 2 * column + k % 2]
            if not (x >= 0 and y >= 0 and x < width - 1 and y < height - 1):
                continue
            left, top = int(x), int(y)
            for down in range(2):
                for along in range(2):
                    share = abs(1 - along - (x - left)) * abs(1 - down - (y - top))
                    pixel = picture[top + down, left + along]
                    alpha = share * pixel[3]
                    total[3] += alpha
                    for channel in range(3):
                        total[channel] += alpha * pixel[channel]
        if total[3] > 0:
            for channel in range(3):
                rgba[row, column, channel] = np.uint8(total[channel] / total[3] + 0.5)
        rgba[row, column, 3] = np.uint8(total[3] / 4 + 0.5)
