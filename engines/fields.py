"""Lays a coarse field of values over a picture, smoothly. Knows no faces.

    part, values = enlarge(field, field_from_picture, rgb.shape)
    rgb[part] *= values

Where the field lies is any affine map; but to turn it is cheap only while it is small, and to
stretch it is cheap always: so it is turned at a quarter of the picture's resolution.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_COARSE = 4
"""pixels of the picture for one of the turned field"""


def enlarge(field: F32, matrix: F64, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], F32]:
    """The part of a picture that a field covers, and the field's values there.

    Args:
        field: (h, w, C) with C at most 4; its border goes on where the part is wider.
        matrix: (2, 3) cell of the field = matrix @ (column, row, 1) of the picture.
        shape: of the picture, (H, W, ...).

    Returns:
        rows and columns, and (rows, columns, C); without a pixel where the field lies outside.
    """
    part = cover(field.shape, matrix, shape)
    if part.rows.start == part.rows.stop:
        return (part.rows, part.columns), np.empty((0, 0, field.shape[2]), np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(
        field, part.field_from_cell, part.cells, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    stretched = cv2.resize(turned, (part.cells[0] * _COARSE, part.cells[1] * _COARSE))
    height, width = part.rows.stop - part.rows.start, part.columns.stop - part.columns.start
    return (part.rows, part.columns), cast(F32, stretched[:height, :width])


class Cover(NamedTuple):
    """How a field lies on a picture."""

    rows: slice
    columns: slice
    """of the picture, where the field lies; both empty where it lies outside"""
    cells: tuple[int, int]
    """columns and rows of the turned field"""
    field_from_cell: F64
    """(2, 3) a cell of the field for a cell of the turned one"""


def cover(field: tuple[int, ...], matrix: F64, shape: tuple[int, ...]) -> Cover:
    """
    Args:
        field: its shape, (h, w, ...).
        matrix, shape: as of `enlarge`.
    """
    rows, columns = _extent(matrix, field, shape)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height <= 0 or width <= 0:
        rows = columns = slice(0, 0)
        height = width = 0
    coarse = matrix.copy()
    coarse[:, 2] += matrix[:, :2] @ (columns.start, rows.start)
    coarse[:, 2] += matrix[:, :2].sum(axis=1) * (_COARSE - 1) / 2
    coarse[:, :2] *= _COARSE
    return Cover(rows, columns, (-(-width // _COARSE), -(-height // _COARSE)), coarse)


def _extent(matrix: F64, field: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a picture in which a field lies."""
    corners = np.array([[x, y] for x in (0, field[1] - 1) for y in (0, field[0] - 1)])
    back = cv2.invertAffineTransform(matrix)  # numpy's takes a millisecond: it wakes threads
    at = corners @ back[:, :2].T + back[:, 2]
    size = shape[1], shape[0]
    x0, y0 = np.clip(np.floor(at.min(axis=0)), 0, size).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(at.max(axis=0)) + 1, 0, size).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)
