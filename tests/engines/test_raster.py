"""Triangles drawn all at once: no gap at a shared edge, the last one on top, nothing outside."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from engines.raster import draw_indices

HW = (60, 80)


def draw(*triangles: Sequence[tuple[float, float]]) -> np.ndarray:
    corners = np.array(triangles, np.float32)  # (T, 3, 2)
    return draw_indices(corners[..., 0].T, corners[..., 1].T, HW)


def random_mesh(seed: int) -> np.ndarray:
    """(T, 3, 2) triangles of a shaken lattice that covers the picture and more."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-10:71:9, -10:91:9].astype(np.float32)
    points = np.stack([x, y], axis=-1) + rng.uniform(-2, 2, (*x.shape, 2)).astype(np.float32)
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, :-1], points[1:, 1:]
    return np.concatenate([np.stack(t, axis=2).reshape(-1, 3, 2) for t in ((a, b, c), (b, d, c))])


def inside(triangle: np.ndarray) -> np.ndarray:
    """(H, W) whether a pixel's centre lies strictly inside, by the signs of three areas."""
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float64)
    areas = []
    for start, end in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        (x0, y0), (x1, y1) = start.astype(float), end.astype(float)
        areas.append((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0))
    apart: np.ndarray = (np.min(areas, axis=0) > 1e-6) | (np.max(areas, axis=0) < -1e-6)
    return apart


def test_a_right_triangle_has_its_left_and_upper_edge() -> None:
    index = draw([(10, 5), (14, 5), (10, 9)])
    expected = np.full(HW, -1)
    for row, length in enumerate((4, 3, 2, 1)):
        expected[5 + row, 10 : 10 + length] = 0
    np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_mesh_has_no_gap_and_every_pixel_its_triangle(seed: int) -> None:
    mesh = random_mesh(seed)
    index = draw_indices(mesh[..., 0].T, mesh[..., 1].T, HW)
    assert index.min() >= 0
    for number in np.unique(index):
        assert not (inside(mesh[number]) & (index != number)).any()


def test_the_last_one_is_on_top() -> None:
    wide = [(0, 0), (79, 0), (0, 59)]
    small = [(5, 5), (15, 5), (5, 15)]
    assert draw(wide, small)[6, 6] == 1
    assert (draw(small, wide) != 0).all()


def test_triangles_are_the_same_whatever_the_order_of_their_corners() -> None:
    corners = [(12.3, 4.7), (40.1, 21.9), (7.4, 50.2)]
    first = draw(corners)
    for turn in ([0, 2, 1], [1, 0, 2], [2, 1, 0]):
        np.testing.assert_array_equal(draw([corners[i] for i in turn]), first)


def test_what_lies_outside_or_has_no_area_draws_nothing() -> None:
    outside = [(-50, -50), (-10, -50), (-50, -10)]
    line = [(5, 5), (15, 15), (25, 25)]
    flat = [(5, 8), (15, 8), (25, 8)]
    assert (draw(outside, line, flat) == -1).all()


def test_one_that_reaches_far_beyond_is_cut_at_the_border() -> None:
    assert (draw([(-1000, -1000), (3000, -1000), (-1000, 3000)]) == 0).all()


def test_it_agrees_with_opencv_away_from_edges() -> None:
    triangle = [(10.5, 3.25), (70.75, 30.5), (22.0, 55.0)]
    drawn = np.full(HW, -1, np.int32)
    cv2.fillConvexPoly(drawn, np.round(np.array(triangle) * 16).astype(np.int32), (0,), 8, 4)
    differ = draw(triangle) != drawn
    edge = cv2.morphologyEx((drawn == 0).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))
    assert not (differ & (edge == 0)).any()
