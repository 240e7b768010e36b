"""Emit: a marked picture -> I420 for the encoders. The last arrow; only it makes an OutputFrame.

It accepts a Marked and nothing else, so that no picture without the visible mark can reach a sink,
and adds the invisible one, which no setting takes away.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.frames import Marked, OutputFrame, OutputState, Timings
from realtime.watermark import Payload, Watermark


class Emit:
    """Keeps the pattern of the payload that it saw last: one object per session."""

    def __init__(self) -> None:
        self._watermark: Watermark | None = None

    def __call__(
        self, marked: Marked, source_seq: int, pts: int, state: OutputState, timings: Timings
    ) -> OutputFrame:
        """Convert to I420, BT.601 limited range (ITU-R BT.601-7), contiguous, and mark its luma.

        Raises:
            TypeError: `marked` is not a Marked.
        """
        if not isinstance(marked, Marked):
            raise TypeError(
                f"emit was given a {type(marked).__name__}: only a Marked may leave the pipeline; "
                "pass the picture through stages.mark.Mark first"
            )
        watermark = self._watermark
        if watermark is None or watermark.payload.id != marked.payload:
            watermark = self._watermark = Watermark(Payload(marked.payload))
        height, width = marked.rgb.shape[:2]
        i420 = np.ascontiguousarray(cv2.cvtColor(marked.rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
        watermark.embed(i420[:height])
        return OutputFrame(i420, width, height, source_seq, pts, state, timings, marked.payload)
