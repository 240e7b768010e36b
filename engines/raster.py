"""Draws triangles with numpy: which of them is seen at each pixel. Knows no faces.

A call per triangle costs microseconds, and a face has a thousand; so all are drawn at once. Each is
cut at its middle corner into two trapezoids, these into rows, and the rows are written in painter's
order: where a pixel is written twice, numpy keeps the last value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]


def draw_indices(x: F32, y: F32, hw: tuple[int, int]) -> I32:
    """The number of the last triangle drawn at each pixel.

    A pixel belongs to a triangle when its centre lies inside, or on its left or upper edge: of
    triangles that share an edge exactly one gets a pixel on it, and no gap opens between them.

    Args:
        x, y: (3, T) corners in pixels; the centre of the first pixel is (0, 0).
        hw: height and width of the picture.

    Returns:
        (H, W) int32; -1 where there is no triangle.
    """
    height, width = hw
    first, counts, edges = _trapezoids(x, y, height)
    trapezoid = np.repeat(np.arange(counts.size, dtype=np.int32), counts)
    row = _ramps(first, counts)
    slope_a, at_a, slope_b, at_b = np.take(edges, trapezoid, axis=1)
    side_a, side_b = slope_a * row + at_a, slope_b * row + at_b
    left = _first_pixel(np.minimum(side_a, side_b), width)
    lengths = _first_pixel(np.maximum(side_a, side_b), width) - left
    index = np.full(height * width, -1, np.int32)
    index[_ramps(row * width + left, lengths)] = np.repeat(trapezoid >> 1, lengths)
    return index.reshape(height, width)


def _trapezoids(x: F32, y: F32, height: int) -> tuple[I32, I32, F64]:
    """The upper and the lower part of each triangle, in drawing order.

    Returns:
        (2 T,) first row, (2 T,) number of rows, and (4, 2 T) both sides, each as slope and
        intercept of x = slope * row + intercept.
    """
    xs, ys = _sorted_by_y(x, y)
    start, end = [0, 0, 1], [2, 1, 2]  # the long edge, the upper short one, the lower
    rise = ys[end] - ys[start]
    # the same two corners in the same order wherever an edge is shared: bit for bit the same line
    slope = (xs[end] - xs[start]) / np.where(rise > 0, rise, np.inf)
    at = xs[start] - slope * ys[start]
    bounds = _first_pixel(ys, height)
    edges = np.empty((4, x.shape[1], 2))
    edges[0], edges[1] = slope[0, :, None], at[0, :, None]
    edges[2], edges[3] = slope[1:].T, at[1:].T
    return bounds[:2].T.reshape(-1), np.diff(bounds, axis=0).T.reshape(-1), edges.reshape(4, -1)


def _sorted_by_y(x: F32, y: F32) -> tuple[F64, F64]:
    """(3, T) corners of each triangle from top to bottom."""
    xs, ys = x.astype(np.float64), y.astype(np.float64)
    for a, b in ((0, 1), (1, 2), (0, 1)):
        swap = ys[a] > ys[b]
        for side in (xs, ys):
            side[a], side[b] = np.where(swap, side[b], side[a]), np.where(swap, side[a], side[b])
    return xs, ys


def _first_pixel(edge: F64, size: int) -> I32:
    """The first pixel whose centre does not lie before an edge, 0..size."""
    inside: I32 = np.minimum(np.maximum(np.ceil(edge), 0), size).astype(np.int32)
    return inside


def _ramps(starts: I32, lengths: I32) -> I32:
    """start, start + 1, ... for each start and length, joined."""
    ends: NDArray[Any] = np.cumsum(lengths, dtype=np.int32)
    ramps: I32 = np.repeat(starts - ends + lengths, lengths)
    ramps += np.arange(len(ramps), dtype=np.int32)
    return ramps
