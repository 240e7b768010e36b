"""A picture's number, drawn into the picture itself: what a camera sees can be found again.

24 cells in the lower left corner, black or white: 16 bits of the number, 8 bits of check. The cells
are a fortieth of the picture's width, so that they survive codecs, scaling and colour conversion.
`glass_page.js` draws and reads the same code. Pure; knows no clocks.
"""

from __future__ import annotations

import numpy as np

from realtime.errors import StartupError
from realtime.frames import U8

NUMBER_BITS, CHECK_BITS = 16, 8
NUMBERS = 1 << NUMBER_BITS
"""they begin again at 0 after so many"""
CELLS = NUMBER_BITS + CHECK_BITS
CELLS_PER_WIDTH = 40
LEAST_CELL_PX = 4
"""a smaller one does not survive a codec"""
LEAST_WIDTH_PX, LEAST_HEIGHT_PX, MOST_PX = LEAST_CELL_PX * CELLS_PER_WIDTH, 96, 3840
_BLACK, _WHITE, _GREY = 16, 235, 128
_SPLIT = 126
"""brighter cells are ones"""
_PROBES = (-0.2, 0.0, 0.2)
"""where a cell is looked at, in cells from its middle"""


def check_of(number: int) -> int:
    """8 bits that neither an all-black nor an all-white strip satisfies."""
    return (number * 40503 >> 8 & 0xFF) ^ 0x5A


def bits_of(number: int) -> list[int]:
    """Most significant first. Numbers beyond NUMBERS wrap around."""
    value = (number % NUMBERS) << CHECK_BITS | check_of(number % NUMBERS)
    return [value >> (CELLS - 1 - index) & 1 for index in range(CELLS)]


def require_code_fits(what: str, width_px: int, height_px: int) -> None:
    """
    Args:
        what: whose picture it is.

    Raises:
        StartupError: a number could not be drawn into a picture of this size, or not be read.
    """
    even = width_px % 2 == 0 and height_px % 2 == 0
    fits = LEAST_WIDTH_PX <= width_px <= MOST_PX and LEAST_HEIGHT_PX <= height_px <= MOST_PX
    if not even or not fits:
        raise StartupError(
            f"{what} has {width_px}x{height_px}: must be even numbers, {LEAST_WIDTH_PX} to "
            f"{MOST_PX} wide and {LEAST_HEIGHT_PX} to {MOST_PX} high, so that numbers in its "
            "pictures can be read"
        )


def draw(i420: U8, number: int) -> None:
    """Draw the number into a picture, in place.

    Args:
        i420: (H * 3 // 2, W), limited range; H and W even.
    """
    rows, width = i420.shape
    height = rows * 2 // 3
    edges = _edges(width)
    top, bottom = _rows(width, height)
    for left, right, bit in zip(edges, edges[1:], bits_of(number), strict=False):
        i420[top:bottom, left:right] = _WHITE if bit else _BLACK
    left, right = edges[0] // 2, -(-edges[-1] // 2)
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    chroma[:, top // 2 : -(-bottom // 2), left:right] = _GREY


def read(luma: U8) -> int | None:
    """The number in a picture, 0 to NUMBERS - 1; None where there is none, or it is damaged.

    Args:
        luma: (H, W) brightness; the green channel of an RGB picture does as well.
    """
    height, width = luma.shape
    cell = width / CELLS_PER_WIDTH
    top, bottom = _rows(width, height)
    if top < 0 or cell < LEAST_CELL_PX:
        return None
    probes = np.array(_PROBES) * cell
    rows = np.round((top + bottom) / 2 + probes).astype(int)
    middles = (np.arange(CELLS) + 1.0) * cell
    columns = np.round(middles[:, None] + probes).astype(int)
    seen = luma[rows[:, None], columns.reshape(-1)].reshape(len(rows), CELLS, -1)
    bits = seen.mean(axis=(0, 2)) > _SPLIT
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    number, check = value >> CHECK_BITS, value & 0xFF
    return number if check == check_of(number) else None


def _edges(width: int) -> list[int]:
    """Left edge of each cell, and the right edge of the last: half a cell from the left."""
    cell = width / CELLS_PER_WIDTH
    return [round((index + 0.5) * cell) for index in range(CELLS + 1)]


def _rows(width: int, height: int) -> tuple[int, int]:
    """First row of the cells and the one after the last: half a cell from below."""
    cell = width / CELLS_PER_WIDTH
    return round(height - 1.5 * cell), round(height - 0.5 * cell)
