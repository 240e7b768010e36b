"""Emit: a marked picture -> I420 for the encoders. The last arrow; only it makes an OutputFrame.

It accepts a Marked and nothing else, so that no picture without the mark can reach a sink.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.frames import Marked, OutputFrame, OutputState, Timings


def emit(
    marked: Marked, source_seq: int, pts: int, state: OutputState, timings: Timings
) -> OutputFrame:
    """Convert to I420, BT.601 limited range (ITU-R BT.601-7), contiguous.

    Raises:
        TypeError: `marked` is not a Marked.
    """
    if not isinstance(marked, Marked):
        raise TypeError(
            f"emit was given a {type(marked).__name__}: only a Marked may leave the pipeline; "
            "pass the picture through stages.mark.Mark first"
        )
    height, width = marked.rgb.shape[:2]
    i420 = np.ascontiguousarray(cv2.cvtColor(marked.rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
    return OutputFrame(i420, width, height, source_seq, pts, state, timings)
