"""Which landmarks belong to what, as weights over the 478: skull, mouth, brows, lids, irises.

Weights fall off smoothly over the skin, so that a gain on one part leaves no crease to the next.
They are computed once from the mean face. Measures of openness are here too, because they are used
both to find a performer's neutral and to read the motion from it. All in face units.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from engines import face_mesh
from realtime.frames import F32, LANDMARK_COUNT

_FOREHEAD = (10, 109, 338, 67, 297, 103, 332, 54, 284, 21, 251)
"""under hair the model guesses these"""
_NOSE_WINGS = (122, 351, 196, 419, 174, 399, 188, 412, 114, 343, 128, 357, 47, 277, 126, 355) + (
    *(217, 437, 198, 420, 193, 417),
)
_BROWS = (
    70,
    63,
    105,
    66,
    107,
    46,
    53,
    52,
    65,
    55,
    300,
    293,
    334,
    296,
    336,
    276,
    283,
    282,
    295,
    285,
)
_CHIN = (152, 148, 377, 176, 400, 149, 378, 150, 379, 18, 200, 199, 175, 83, 313, 32, 262)
_LIPS = face_mesh.LIPS_OUTER_UPPER + face_mesh.LIPS_OUTER_LOWER

EYES: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    (face_mesh.RIGHT_EYE_UPPER, face_mesh.RIGHT_EYE_LOWER, face_mesh.RIGHT_IRIS),
    (face_mesh.LEFT_EYE_UPPER, face_mesh.LEFT_EYE_LOWER, face_mesh.LEFT_IRIS),
)
"""subject's right, left: upper lid, lower lid (both from the outer to the inner corner), iris"""


class Regions(NamedTuple):
    """Weights of (478,), 0..1; mouth + brows + lids + irises never exceed 1."""

    skull: F32
    """for the rigid fit: zero for all that jaw, lips, brows or lids move"""
    mouth: F32
    brows: F32
    lids: F32
    irises: F32
    jaw: F32
    """how much a landmark goes along when the jaw opens; for closing the lips of a neutral"""


@cache
def regions() -> Regions:
    shape = face_mesh.load().mean_shape
    skull = np.zeros(LANDMARK_COUNT, np.float32)
    skull[list(face_mesh.RIGID)] = 0.5
    skull[list(_FOREHEAD)] = 0.2
    skull[list(_NOSE_WINGS)] = 1.0
    irises = np.zeros(LANDMARK_COUNT, np.float32)
    irises[list(face_mesh.RIGHT_IRIS + face_mesh.LEFT_IRIS)] = 1.0
    lid_rims = [index for upper, lower, _ in EYES for index in (*upper, *lower)]
    parts = [
        _around(shape, (*_LIPS, *face_mesh.MOUTH_HOLE, *_CHIN), core=0.12, fade=0.35),
        _around(shape, _BROWS, core=0.08, fade=0.25),
        _around(shape, tuple(lid_rims), core=0.03, fade=0.10),
    ]
    mouth, brows, lids = (part * (1 - irises) for part in parts)
    brows = brows * (1 - lids)
    total = np.maximum(mouth + brows + lids, 1.0)
    lips_y = shape[list(face_mesh.LIPS_INNER_LOWER), 1].mean()
    chin_y = shape[face_mesh.CHIN, 1]
    below = np.clip((shape[:, 1] - lips_y) / (0.3 * (chin_y - lips_y)), 0, 1)
    return Regions(skull, mouth / total, brows / total, lids / total, irises, mouth * below)


def lid_gap(face: F32, eye: int) -> float:
    """Mean opening of one eye (0 right, 1 left) of (478, 3) in the head frame."""
    upper, lower, _ = EYES[eye]
    middle = slice(3, 6)  # the corners hardly move
    gaps = face[list(lower[middle])] - face[list(upper[middle])]
    return float(np.linalg.norm(gaps[:, :2], axis=1).mean())


def lip_gaps(face: F32) -> F32:
    """(11,) opening between the inner lips from the right to the left corner, downwards."""
    lower, upper = list(face_mesh.LIPS_INNER_LOWER), list(face_mesh.LIPS_INNER_UPPER)
    gaps: F32 = face[lower, 1] - face[upper, 1]
    return gaps


def _around(shape: F32, core_points: tuple[int, ...], core: float, fade: float) -> F32:
    """1 within `core` of the points, falling smoothly to 0 at `core + fade`."""
    flat = shape[:, :2]
    distance = np.linalg.norm(flat[:, None] - flat[None, list(core_points)], axis=2).min(axis=1)
    t = np.clip(1 - (distance - core) / fade, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
