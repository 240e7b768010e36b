"""Cutout: the avatar without any background, as colour and matte that survive a video codec.

A codec keeps colour at half the resolution and smears it over blocks. Where the matte ends, the
colour therefore goes on as that of the nearest avatar (push-pull filling, as in `backdrop.py`), so
that what is smeared over the edge is of the avatar itself: neither the old background nor black
shows as a halo. Pixels that are covered by less than half, which may hold some of the old
background, take the colour inside. Colour stays straight, not multiplied: the viewer multiplies.
"""

from __future__ import annotations

import cv2
import numpy as np

from realtime.backdrop import push_pull
from realtime.frames import U8, Cutout

_SCALE = 8
_SURE_ALPHA = 128
"""from here on a pixel's own colour counts"""


def cut_out(rgb: U8, alpha: U8) -> Cutout:
    """
    Args:
        rgb: (H, W, 3) the avatar, right where `alpha` is high and anything elsewhere.
        alpha: (H, W) 0..255.
    """
    height, width = alpha.shape
    size = (max(width // _SCALE, 1), max(height // _SCALE, 1))
    _, sure = cv2.threshold(alpha, _SURE_ALPHA - 1, 255, cv2.THRESH_BINARY)
    own = cv2.copyTo(rgb, sure, np.zeros_like(rgb))
    colour = cv2.resize(own, size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(sure, size, interpolation=cv2.INTER_AREA)
    filled = push_pull(colour.astype(np.float32), weight.astype(np.float32) / 255)
    around = np.clip(filled, 0, 255).astype(np.uint8)
    continued = cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR)
    return Cutout(np.asarray(cv2.copyTo(rgb, sure, continued), np.uint8), alpha)
