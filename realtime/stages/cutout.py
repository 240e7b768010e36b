"""Cutout: the avatar without any background, as colour and matte that survive a video codec.

A codec keeps colour at half the resolution and smears it over blocks. Where the matte ends, the
colour therefore goes on as that of the nearest avatar (push-pull filling, as in `backdrop.py`), so
that what is smeared over the edge is of the avatar itself: neither the old background nor black
shows as a halo. Half-covered pixels, which may hold some of the old background, are drawn towards
the colour inside. Colour stays straight, not multiplied: the viewer multiplies.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.backdrop import blend, push_pull
from realtime.frames import U8, Cutout

_SCALE = 8
_SURE_ALPHA = 128
"""from here on a pixel's own colour counts alone"""
_TRUST: U8 = np.clip(np.arange(256) * 255 // _SURE_ALPHA, 0, 255).astype(np.uint8)


def cut_out(rgb: U8, alpha: U8) -> Cutout:
    """
    Args:
        rgb: (H, W, 3) the avatar, right where `alpha` is high and anything elsewhere.
        alpha: (H, W) 0..255.
    """
    height, width = alpha.shape
    trust = np.asarray(cv2.LUT(alpha, _TRUST), np.uint8)
    size = (max(width // _SCALE, 1), max(height // _SCALE, 1))
    weighted = cv2.multiply(rgb, cv2.merge((trust,) * 3), scale=1 / 255)
    colour = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(trust, size, interpolation=cv2.INTER_AREA)
    filled = push_pull(colour.astype(np.float32), weight.astype(np.float32) / 255)
    around = np.clip(filled, 0, 255).astype(np.uint8)
    behind = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return Cutout(blend(rgb, trust, np.asarray(behind, np.uint8)), alpha)
