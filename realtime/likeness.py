"""How alike two faces are in shape, by their landmarks. Pure: landmarks in, a distance out.

The shape is what the head's pose leaves over: landmarks turned to the camera, scaled to one face
unit. Two of them are compared in the directions in which people differ, each as a share of how much
one person differs from frame to frame (Fisher's idea; `engines/training/likeness.py` measured both
on rendered people). It is a weak sign of who somebody is: the tracker pulls every face toward its
mean, and the lens and the distance change the shape of one and the same face.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np

from engines import face_mesh
from engines.rigid import fit_similarity
from realtime import face_regions
from realtime.calibration import Sample
from realtime.frames import F32

THRESHOLD = 1.0
"""standard deviations of one person's frames; of rendered people it lets in 1.4 % of strangers, and
refuses 4.0 % of those in the picture"""


def shape_of(landmarks_px: F32) -> F32 | None:
    """(478, 3) in face units, turned to the camera; None where the face is turned away too far."""
    sample = Sample.of(landmarks_px)
    return sample.face if sample.frontal else None


def mean_shape(shapes: Sequence[F32]) -> F32:
    """(478, 3) of one face or more, of the same person."""
    return np.asarray(np.mean(shapes, axis=0), np.float32)


def distance(first: F32, second: F32) -> float:
    """Between two shapes: 0 the same, about 1 two frames of one person in different moods."""
    return measure(_directions(), aligned(first), aligned(second))


def aligned(shape: F32) -> F32:
    """(468, 3) laid over the mean face by what no expression moves; without irises."""
    fit = fit_similarity(face_mesh.load().mean_shape, shape, face_regions.regions().skull)
    return fit.invert(shape)[: face_mesh.SKIN_LANDMARKS]


def measure(directions: F32, first: F32, second: F32) -> float:
    """Root mean square of the difference of two aligned shapes over (D, 468 * 3) directions."""
    along = directions @ (first - second).ravel()
    return float(np.sqrt(np.mean(along**2)))


@cache
def _directions() -> F32:
    data = resources.files("realtime").joinpath("likeness.npz").read_bytes()
    with np.load(io.BytesIO(data)) as learned:
        return np.asarray(learned["directions"], np.float32)
