"""How far lids and lips are open, as the retargeting networks were taught to count it.

They count on 203 landmarks: the gap between the lids' middles by the eye's width, and the gap
between the inner lips' middles by the mouth's width. The landmarks of MediaPipe on the same spots
stand for them here. The order of both eyes is taken to be the picture's, from left to right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_EYES = ((159, 145, 33, 133), (386, 374, 362, 263))
"""upper lid, lower lid, both corners; the subject's right eye (on the picture's left), left eye"""
_MOUTH = (13, 14, 61, 291)
"""upper inner lip, lower inner lip, both corners"""


def of_eyes(landmarks: F32) -> F32:
    """(2,) of (478, 3)."""
    return np.array([_opening(landmarks, eye) for eye in _EYES], np.float32)


def of_lips(landmarks: F32) -> float:
    """Of (478, 3)."""
    return _opening(landmarks, _MOUTH)


def _opening(landmarks: F32, spots: tuple[int, int, int, int]) -> float:
    upper, lower, first, second = landmarks[list(spots), :2]
    width = float(np.linalg.norm(first - second))
    return float(np.linalg.norm(upper - lower)) / max(width, 1e-6)
