"""A coarse field is laid over a picture smoothly, where it lies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.fields import enlarge

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

HW = (180, 240)
CELLS = (12, 16)
TURNED = np.array([[0.062, 0.024, -2.1], [-0.028, 0.056, 3.4]])
"""sixteen pixels to a cell: the field lies across the picture, and beyond two of its borders"""


def smooth_field(channels: int = 3) -> F32:
    """Waves that are five cells long and longer."""
    rows, columns = np.mgrid[: CELLS[0], : CELLS[1]]
    waves = [np.sin(rows / (1 + c) + c) + np.cos(columns / 2 - c) for c in range(channels)]
    field: F32 = np.stack(waves, axis=-1).astype(np.float32)
    return field


def flat_field(value: float, channels: int = 2) -> F32:
    return np.full((*CELLS, channels), value, np.float32)


def places(matrix: F64, hw: tuple[int, int] = HW) -> F64:
    """(H, W, 2) cell of the field of each pixel."""
    rows, columns = np.mgrid[: hw[0], : hw[1]].astype(np.float64)
    at: F64 = np.stack([columns, rows], axis=-1) @ matrix[:, :2].T + matrix[:, 2]
    return at


def inside(at: F64, by: float = 0.0) -> NDArray[np.bool_]:
    """(H, W) whether a place is so many cells inside of the field."""
    last = np.array(CELLS[::-1]) - 1
    return np.asarray(((at >= by) & (at <= last - by)).all(axis=-1))


def looked_up(field: F32, at: F64) -> F64:
    """(H, W, C) the field at each place, bilinearly; its border goes on."""
    x, y = np.clip(at, 0, np.array(CELLS[::-1]) - 1).transpose(2, 0, 1)
    left, top = np.minimum(x.astype(int), CELLS[1] - 2), np.minimum(y.astype(int), CELLS[0] - 2)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - a) * field[top, left] + a * field[top, left + 1]
    lower = (1 - a) * field[top + 1, left] + a * field[top + 1, left + 1]
    found: F64 = (1 - b) * upper + b * lower
    return found


def laid(field: F32, matrix: F64, hw: tuple[int, int] = HW) -> F32:
    """(H, W, C) NaN where the field does not lie."""
    whole = np.full((*hw, field.shape[2]), np.nan, np.float32)
    part, values = enlarge(field, matrix, (*hw, 3))
    whole[part] = values
    return whole


@pytest.mark.parametrize("channels", [2, 3])
def test_between_cells_the_field_is_bilinear(channels: int) -> None:
    field, at = smooth_field(channels), places(TURNED)
    there = inside(at, by=0.5)
    assert 0.2 < there.mean() < 0.9, "the test's own picture"
    difference = np.abs(laid(field, TURNED) - looked_up(field, at))[there]
    assert difference.max() < 0.05 * np.ptp(field)
    assert difference.mean() < 0.005 * np.ptp(field)


@pytest.mark.parametrize("matrix", [TURNED, np.array([[0.3, 0, -1], [0, 0.3, -2.5]])])
def test_no_cell_is_shifted(matrix: F64) -> None:
    """Of a field that is its own place, each pixel finds its own."""
    rows, columns = np.mgrid[: CELLS[0], : CELLS[1]]
    field = np.stack([columns, rows], axis=-1).astype(np.float32)
    at = places(matrix)
    # a turned pixel is four wide: so far the border reaches, and half of it at the picture's
    there = inside(at, by=4 * float(np.abs(matrix[:, :2]).max()))
    there[:2] = there[-2:] = there[:, :2] = there[:, -2:] = False
    assert there.any()
    np.testing.assert_allclose(laid(field, matrix)[there], at[there], atol=0.02)


def test_the_part_holds_all_of_the_field_and_little_more() -> None:
    at = places(TURNED)
    found = ~np.isnan(laid(flat_field(1.0), TURNED)[..., 0])
    assert found[inside(at)].all()
    rows, columns = np.nonzero(inside(at))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert found.sum() <= (height + 3) * (width + 3)


def test_a_flat_field_is_flat_up_to_its_borders() -> None:
    values = laid(flat_field(0.7), TURNED)[inside(places(TURNED))]
    np.testing.assert_allclose(values, 0.7, rtol=1e-5)


def test_a_field_that_fades_out_is_nothing_where_it_ends() -> None:
    """So what lies beside it may stay as it is without an edge."""
    field = flat_field(1.0)
    field[[0, -1]] = 0
    field[:, [0, -1]] = 0
    values = laid(field, TURNED)
    beyond = ~inside(places(TURNED)) & ~np.isnan(values[..., 0])
    assert beyond.any()
    assert np.abs(values[beyond]).max() < 0.25, "a quarter of a cell"


@pytest.mark.parametrize("way", [(300, 0), (-300, 0), (0, 300), (0, -300), (1e6, 1e6)])
def test_a_field_beside_the_picture_covers_none_of_it(way: tuple[float, float]) -> None:
    matrix = TURNED.copy()
    matrix[:, 2] -= matrix[:, :2] @ way
    part, values = enlarge(flat_field(1.0, 3), matrix, (*HW, 3))
    assert values.shape == (0, 0, 3)
    assert np.zeros((*HW, 3))[part].shape == values.shape


@pytest.mark.parametrize("hw", [(1, 1), (2, 3), (5, 240), (180, 1)])
def test_of_a_narrow_picture_nothing_is_left_out(hw: tuple[int, int]) -> None:
    matrix = np.array([[0.05, 0, 1], [0, 0.05, 1]])
    np.testing.assert_allclose(laid(flat_field(2.0), matrix, hw), 2.0, rtol=1e-5)
