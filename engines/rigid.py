"""Similarity transforms between point sets: rotation, scale, translation. Knows no faces.

The fit is the weighted least-squares one of Umeyama, "Least-squares estimation of transformation
parameters between two point patterns", IEEE TPAMI 13(4), 1991.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Similarity:
    """y = scale * rotation @ x + translation."""

    rotation: F32
    """(3, 3), determinant +1"""
    scale: float
    translation: F32
    """(3,)"""

    @property
    def roll(self) -> float:
        """Radians about the z axis, of the turn in the plane that is nearest to the rotation."""
        (a, b), (c, d) = self.rotation[:2, :2].tolist()
        return math.atan2(c - b, a + d)

    def in_plane(self) -> F32:
        """(2, 2) roll and scale, without yaw and pitch."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        matrix: F32 = (self.scale * np.array([[cos, -sin], [sin, cos]])).astype(np.float32)
        return matrix

    def apply(self, points: F32) -> F32:
        """Transform (N, 3) points."""
        moved: F32 = (self.scale * points @ self.rotation.T + self.translation).astype(np.float32)
        return moved

    def invert(self, points: F32) -> F32:
        """Undo `apply` for (N, 3) points."""
        back: F32 = ((points - self.translation) @ self.rotation / self.scale).astype(np.float32)
        return back


def fit_similarity(source: F32, target: F32, weights: F32 | None = None) -> Similarity:
    """The similarity that carries `source` onto `target` with the least weighted squared error.

    Args:
        source, target: (N, 3), N >= 3, not all on one line.
        weights: (N,) non-negative; equal when absent.
    """
    w = np.ones(len(source)) if weights is None else weights.astype(np.float64)
    w = w / w.sum()
    a, b = source.astype(np.float64), target.astype(np.float64)
    a_mean, b_mean = w @ a, w @ b
    a_centred, b_centred = a - a_mean, b - b_mean
    covariance = (b_centred * w[:, None]).T @ a_centred  # (3, 3)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])  # no reflections
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (w @ (a_centred**2).sum(axis=1)))
    translation = b_mean - scale * rotation @ a_mean
    return Similarity(rotation.astype(np.float32), scale, translation.astype(np.float32))
