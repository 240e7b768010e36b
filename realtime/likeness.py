"""How alike two faces are in shape, by their landmarks. Pure: landmarks in, a distance out.

The shape is what the head's pose and the face's expression leave over: landmarks turned to the
camera, scaled to one face unit, without lips, brows, lids and irises. It is a weak sign of who
somebody is: the tracker pulls every face toward its mean, and the lens and the distance change the
shape of one and the same face. So a small distance does not prove a person, and the figures of
`THRESHOLD` are of rendered people.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from engines import face_mesh
from engines.rigid import fit_similarity
from realtime import face_regions
from realtime.calibration import Sample
from realtime.frames import F32

THRESHOLD = 0.040
"""face units"""


def shape_of(landmarks_px: F32) -> F32 | None:
    """(478, 3) in face units, turned to the camera; None where the face is turned away too far."""
    sample = Sample.of(landmarks_px)
    return sample.face if sample.frontal else None


def mean_shape(shapes: Sequence[F32]) -> F32:
    """(478, 3) of one face or more, of the same person."""
    return np.asarray(np.mean(shapes, axis=0), np.float32)


def distance(first: F32, second: F32) -> float:
    """Between two shapes, in face units: weighted root mean square, after the best fit."""
    weights = _weights()
    fit = fit_similarity(first, second, weights)
    apart = fit.invert(second) - first
    return float(np.sqrt(weights @ (apart**2).sum(axis=1)))


@cache
def _weights() -> F32:
    """(478,) their sum is 1: nothing for what an expression moves."""
    parts = face_regions.regions()
    still = 1 - parts.mouth - parts.brows - parts.lids - parts.irises
    still[face_mesh.SKIN_LANDMARKS :] = 0
    return np.asarray(still / still.sum(), np.float32)
