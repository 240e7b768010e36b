"""A drawn face for tests: the mean shape as landmarks, and a portrait painted from it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.pose import MotionTensors

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SIZE = 512


def landmarks(unit_px: float = 130.0) -> F32:
    """(478, 3) frontal, in the pixels of `portrait()`."""
    placed = face_mesh.load().mean_shape * unit_px
    placed[:, :2] += [SIZE / 2, SIZE * 0.42]
    return placed.astype(np.float32)


def portrait() -> U8:
    """(512, 512, 4): skin over a body, with a fine texture, so that motion can be seen."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32), (0, 0), 3)
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[..., :3] = np.clip((texture - 127) * 3 + 140, 0, 255).astype(np.uint8)
    alpha = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(alpha, (SIZE // 2, round(SIZE * 0.42)), (130, 200), 0, 0, 360, (255,), -1)
    cv2.ellipse(alpha, (SIZE // 2, SIZE), (300, 130), 0, 0, 360, (255,), -1)
    rgba[..., 3] = alpha
    return rgba


def still() -> MotionTensors:
    """No motion at all."""
    return MotionTensors(
        np.eye(3, dtype=np.float32),
        np.zeros(2, np.float32),
        1.0,
        np.zeros((face_mesh.LANDMARKS, 3), np.float32),
        np.ones(2, np.float32),
    )


def yaw(degrees: float) -> F32:
    """(3, 3) a head turned towards +x of the picture."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], np.float32)
