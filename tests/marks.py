"""Is a picture marked? Measured in a way of its own, so that a search which imagines is caught."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from realtime.config import Output
from realtime.frames import F32, U8, Composited
from realtime.stages.mark import Mark
from realtime.watermark import Payload, draw_pattern


def mark_score(luma: U8 | F32, payload: Payload) -> float:
    """How much more a picture agrees with that session's pattern where it should lie than anywhere
    else, in standard deviations."""
    height, width = luma.shape
    detail = luma.astype(np.float32) - cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 3.0)
    pattern = draw_pattern(payload, width, height).astype(np.float32)
    spectrum = np.fft.rfft2(np.clip(detail, -4, 4)) * np.conj(np.fft.rfft2(pattern))
    agreement = np.fft.irfft2(spectrum, luma.shape)
    return float(agreement[0, 0] / agreement.std())


def mark_here(luma: U8, payload: Payload) -> float:
    """How much a picture agrees with that session's pattern at its place, in standard deviations:
    below 5 without the mark. Ten times as fast as `mark_score`."""
    height, width = luma.shape
    fine = luma.astype(np.float32) - cv2.blur(luma, (7, 7))
    detail, pattern = np.clip(fine, -4, 4), _pattern(payload, width, height)
    loudness = np.sqrt(np.vdot(detail, detail) * np.vdot(pattern, pattern))
    return float(np.vdot(detail, pattern) / max(loudness, 1e-6) * np.sqrt(luma.size))


@lru_cache(maxsize=8)
def _pattern(payload: Payload, width: int, height: int) -> F32:
    return draw_pattern(payload, width, height).astype(np.float32)


def label_seen(luma: U8) -> bool:
    """Whether white letters on a dark pill lie where the default settings put them."""
    drawn, box = _label(*luma.shape)
    return float(np.corrcoef(drawn.ravel(), luma[box].ravel())[0, 1]) > 0.8


@lru_cache(maxsize=8)
def _label(height: int, width: int) -> tuple[U8, tuple[slice, slice]]:
    """As it is drawn on grey, and where it lies."""
    blank = np.full((height, width, 3), 128, np.uint8)
    drawn = Mark(Output(), Payload(0))(Composited(blank)).rgb[:, :, 1]
    rows, columns = np.nonzero(drawn != 128)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return drawn[box], box
