"""Moved triangles: no gap at a shared edge, the last one on top, no steps at folds."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from engines.raster import NOWHERE, draw_sources, merge_quarters, nothing, sample_folds

HW = (60, 80)


def draw(*triangles: Sequence[tuple[float, float]]) -> np.ndarray:
    """(H, W) the number of the triangle that is seen at each pixel, -1 where there is none."""
    return indices(np.array(triangles, np.float32))


def indices(moved: np.ndarray) -> np.ndarray:
    """As `draw`, of (T, 3, 2): each triangle shows the one point of the picture with its number."""
    points = np.zeros_like(moved)
    points[:] = np.arange(len(moved), dtype=np.float32)[:, None, None]
    xy = nothing(HW)
    draw_sources(np.ascontiguousarray(moved), points, xy, 1.0)
    return np.where(xy[..., 0] == NOWHERE, -1, xy[..., 0]).round().astype(int)


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
    index = indices(mesh)
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


def test_a_moved_triangle_shows_what_it_showed() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        rest = rng.uniform(0, 60, (1, 3, 2)).astype(np.float32)
        turn = np.array([[0.9, -0.3], [0.35, 1.1]], np.float32)
        moved = (rest @ turn.T + (9, -4)).astype(np.float32)
        xy = nothing(HW)
        draw_sources(moved, rest, xy, 1.0)
        row, column = np.nonzero(xy[..., 0] > NOWHERE)
        expected = (np.stack([column, row], axis=1) - (9, -4)) @ np.linalg.inv(turn).T
        np.testing.assert_allclose(xy[row, column], expected, atol=1e-3)


def test_a_squeezed_triangle_shows_its_middle_only() -> None:
    rest = np.array([[(0, 0), (300, 0), (0, 300)]], np.float32)
    moved = np.array([[(10, 10), (20, 10), (10, 20)]], np.float32)
    xy = nothing(HW)
    draw_sources(moved, rest, xy, 1.0)
    np.testing.assert_allclose(xy[12, 12], (100, 100), atol=1e-3)


def quarters(moved: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map drawn at twice the resolution; that, merged; and the pixels at folds."""
    fine = nothing((2 * HW[0], 2 * HW[1]))
    draw_sources(((moved + 0.25) * 2).astype(np.float32), rest, fine, 0.5)
    xy, folds = np.empty((*HW, 2), np.float32), np.empty((HW[0] * HW[1], 2), np.int32)
    return fine, xy, folds[: merge_quarters(fine, xy, folds)]


def seen(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(H, W, 4) one sample per pixel."""
    rgba: np.ndarray = np.asarray(cv2.remap(picture, xy, np.empty(0), cv2.INTER_LINEAR), np.uint8)
    return rgba


def test_quarters_of_a_flat_mesh_merge_into_the_map_itself() -> None:
    mesh = random_mesh(1)
    _, xy, folds = quarters(mesh, mesh)
    y, x = np.mgrid[: HW[0], : HW[1]]
    assert len(folds) == 0
    np.testing.assert_allclose(xy, np.stack([x, y], axis=-1), atol=1e-3)


def test_an_edge_over_another_part_has_no_steps() -> None:
    """A white triangle over black: its slanting edge must be grey by as much as it covers."""
    picture = np.zeros((100, 200, 4), np.uint8)
    picture[..., 3] = 255
    picture[:, 100:, :3] = 255
    back = np.array([(-9, -9), (500, -9), (-9, 500)], np.float32)
    front = np.array([(5, 5), (75, 5), (5, 55)], np.float32)
    moved = np.stack([back, front])
    rest = np.stack([back * 0.05 + (20, 20), front + (110, 10)]).astype(np.float32)
    fine, xy, folds = quarters(moved, rest)
    rgba = seen(picture, xy)
    assert set(np.unique(rgba[..., 0])) == {0, 255}, "steps"
    sample_folds(picture, fine, folds, rgba)
    exact = np.zeros((HW[0] * 16, HW[1] * 16), np.uint8)
    cv2.fillConvexPoly(exact, np.round((front + 0.5) * 16 - 0.5).astype(np.int32), (255,))
    cover = cv2.resize(exact, HW[::-1], interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(rgba[..., 0] - cover).max() <= 255 / 4
    assert len(np.unique(rgba[..., 0])) == 5
    assert rgba[..., 3].min() == 255


def test_an_edge_to_nobody_fades() -> None:
    picture = np.full((100, 100, 4), 255, np.uint8)
    moved = np.array([[(5, 5), (75, 5), (5, 55)]], np.float32)
    fine, xy, folds = quarters(moved, moved)
    rgba = seen(picture, xy)
    sample_folds(picture, fine, folds, rgba)
    assert set(np.unique(rgba[..., 3])) == {0, 64, 128, 191, 255}
    assert rgba[rgba[..., 3] > 0, :3].min() == 255, "colour is not darkened by what is not there"
