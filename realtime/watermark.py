"""The invisible mark: a faint pattern in the luma of every output frame, which tells the session.

    watermark = Watermark(Payload.random())
    watermark.embed(luma)                      # in place, on the way out of the pipeline

Spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", IEEE Trans. Image
Processing 6(12), 1997), in the manner of JAWS (Kalker et al., "A video watermarking system for
broadcast monitoring", SPIE 3657, 1999): a fixed field of signs, one per cell, is laid over the
picture (`watermark_field.py`). A third of them are the same for every session, so that the field
can be found; the rest carry the session's id. It stands still, because a video codec sends what
stands still once and keeps it; it is fainter where a picture is smooth and an eye would see it.

Cells are a share of the picture's height: a picture that is scaled keeps them in place. The field
is public, so that everybody can look for it: whoever knows it can also forge it or take it out. It
says "this claims to be synthetic", and survives processing, not an adversary. How it is found is in
`watermark_search.py`.
"""

from __future__ import annotations

import cv2
import numpy as np

from engines.avatar import Embedding
from engines.compiled import compiled
from realtime.frames import U8
from realtime.watermark_field import COLUMNS, FIELD, I8, ROWS
from realtime.watermark_field import Payload as Payload

STEPS = 32
"""of a pattern, per grey level"""
BLOCK_PX = 8
"""pixels, in both directions, that share one gain"""
FAINTEST, STRONGEST = 10, 40
"""gains, in sixteenths: of a block that is smooth, and of one that is full of detail"""
PER_LEVEL = 3
"""sixteenths of gain for each grey level by which neighbours in a block differ in the mean"""
SHIFT = 9
"""a grey level is 1 << SHIFT, where a pattern is multiplied by a gain: a gain of 16 is 1"""
_HALF = 1 << (SHIFT - 1)


class Watermark:
    """Embeds one session's mark; keeps the pattern for the size that it saw last."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self._pattern = np.zeros((0, 0), np.int8)

    def embed(self, luma: U8) -> None:
        """
        Args:
            luma: (H, W) contiguous; changed in place, by a few grey levels.
        """
        add_pattern(luma, self._pattern_of(luma.shape[1], luma.shape[0]))

    def embedding(self, width: int, height: int) -> Embedding:
        """How a GPU does the same; the same array for the same size."""
        gains = FAINTEST, STRONGEST, PER_LEVEL, SHIFT
        return Embedding(self._pattern_of(width, height), BLOCK_PX, gains)

    def _pattern_of(self, width: int, height: int) -> I8:
        if self._pattern.shape != (height, width):
            self._pattern = draw_pattern(self.payload, width, height)
        return self._pattern


def draw_pattern(payload: Payload, width: int, height: int) -> I8:
    """(H, W) in `STEPS` of a grey level: a cell is a hundred-and-twentieth of the height, and the
    field's middle column of cells lies in the picture's middle."""
    cell = height / ROWS
    columns = int(np.ceil(width / cell / 2)) + 3  # to either side of the middle
    first = COLUMNS // 2 - columns
    cells = FIELD.carrying(payload).astype(np.float32)
    cells = np.take(cells, range(first, first + 2 * columns), axis=1, mode="wrap")
    cells = np.pad(cells, ((2, 2), (0, 0)), mode="wrap")
    # the centre of pixel x is at (x + 0.5 - width / 2) / cell of the middle, in cells
    across = (0.5 - width / 2) / cell + columns - 0.5
    down = 0.5 / cell + 2 - 0.5
    cells_from_px = np.array([[1 / cell, 0, across], [0, 1 / cell, down]])
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(cells, cells_from_px, (width, height), flags=how)
    return np.asarray(np.rint(drawn * STEPS), np.int8)


@compiled("void(u1[:,::1], i1[:,::1])")
def add_pattern(luma: U8, pattern: I8) -> None:
    """Add it, weighed block by block, in place; in whole numbers, as the GPU's kernel does.

    Args:
        luma: (H, W).
        pattern: (H, W) in `STEPS` of a grey level.
    """
    height, width = luma.shape
    detail, gains = np.empty(width, np.int32), np.empty(width, np.int32)
    for top in range(0, height, BLOCK_PX):
        bottom = min(top + BLOCK_PX, height)
        detail[:] = 0
        for row in range(top, bottom, 2):  # every other row says enough
            for column in range(width - 1):
                detail[column] += abs(np.int32(luma[row, column + 1]) - np.int32(luma[row, column]))
        for left in range(0, width, BLOCK_PX):
            right = min(left + BLOCK_PX, width)
            total = 0
            for column in range(left, right - 1):
                total += detail[column]
            pairs = max((right - left - 1) * ((bottom - top + 1) // 2), 1)
            gain = min(FAINTEST + PER_LEVEL * total // pairs, STRONGEST)
            for column in range(left, right):
                gains[column] = gain
        for row in range(top, bottom):
            for column in range(width):
                change = (pattern[row, column] * gains[column] + _HALF) >> SHIFT
                luma[row, column] = min(max(luma[row, column] + change, 0), 255)
