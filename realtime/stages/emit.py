"""Emit: a marked picture -> I420 for the encoders. The last arrow; only it makes an OutputFrame.

It accepts a Marked, or one on a GPU, and nothing else, so that no picture without the visible mark
can reach a sink, and adds the invisible one, which no setting takes away. A marked cutout leaves as
one picture of twice the height, for video has no transparency: the colour above, the matte below as
grey.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.frames import (
    U8,
    Marked,
    MarkedCutout,
    MarkedOnGpu,
    OutputFrame,
    OutputState,
    Timings,
)
from realtime.watermark import Payload, Watermark

_LUMA_OF: U8 = np.rint(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
"""of a grey, in limited range"""
_NO_CHROMA = 128


class Emit:
    """Keeps the pattern of the payload that it saw last: one object per session."""

    def __init__(self) -> None:
        self._watermark: Watermark | None = None

    def __call__(
        self,
        marked: Marked | MarkedOnGpu,
        source_seq: int,
        pts: int,
        state: OutputState,
        timings: Timings,
    ) -> OutputFrame:
        """Convert to I420, BT.601 limited range (ITU-R BT.601-7), contiguous, and mark its luma.

        Raises:
            TypeError: `marked` is not a Marked.
            EngineError: the GPU failed, or gave NaN or infinity.
        """
        if not isinstance(marked, Marked | MarkedOnGpu):
            raise TypeError(
                f"emit was given a {type(marked).__name__}: only a Marked may leave the pipeline; "
                "pass the picture through stages.mark.Mark first"
            )
        watermark = self._watermark
        if watermark is None or watermark.payload.id != marked.payload:
            watermark = self._watermark = Watermark(Payload(marked.payload))
        of_source = source_seq, pts, state, timings, marked.payload
        if isinstance(marked, MarkedOnGpu):
            height, width = marked.picture.canvas_hw
            i420 = marked.picture.pack(watermark.embedding(width, height))
            return OutputFrame(i420, width, height, *of_source)
        height, width = marked.rgb.shape[:2]
        i420 = _i420_of(marked.rgb, watermark)
        stacked = None if marked.cutout is None else _stacked(marked.cutout, watermark)
        return OutputFrame(i420, width, height, *of_source, stacked_i420=stacked)


def _i420_of(rgb: U8, watermark: Watermark) -> U8:
    i420 = np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    watermark.embed(i420[: rgb.shape[0]])
    return i420


def _stacked(cutout: MarkedCutout, watermark: Watermark) -> U8:
    """(H * 3, W): the planes of a picture of W x 2H, each one's lower half being the matte's."""
    if not isinstance(cutout, MarkedCutout):
        raise TypeError(f"emit was given a cutout that is a {type(cutout).__name__}, not marked")
    height, width = cutout.alpha.shape
    colour = _i420_of(cutout.rgb, watermark).reshape(-1)
    pixels, quarter = height * width, height * width // 4
    stacked = np.empty(pixels * 3, np.uint8)
    stacked[:pixels] = colour[:pixels]
    stacked[pixels : 2 * pixels] = cv2.LUT(cutout.alpha, _LUMA_OF).reshape(-1)
    for plane in range(2):
        from_, to = pixels + plane * quarter, 2 * pixels + plane * 2 * quarter
        stacked[to : to + quarter] = colour[from_ : from_ + quarter]
        stacked[to + quarter : to + 2 * quarter] = _NO_CHROMA
    return stacked.reshape(height * 3, width)
