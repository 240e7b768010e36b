"""The way back of `arkit.py`: coefficients -> where landmarks go. Pure; knows no protocol.

Each coefficient moves the mean face linearly by a shape that is made of smooth bumps, about as far
as the mesh of a performer moves who performs it. Lids are not moved here but by an openness per
eye, for a lid closes by its share of the avatar's own opening. A coefficient without a shape moves
nothing: tongueOut, mouthClose beyond what the jaw opens, lips that roll or press.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from engines import face_mesh
from realtime import arkit
from realtime.frames import F32, LANDMARK_COUNT

_SIDES = {"Right": -1.0, "Left": 1.0}
_LIPS_Y = 0.755
"""of the mean face; x of its corners is +-0.27, its chin lies at y 1.26, its brows at -0.24"""
_CORNER = np.array([0.27, _LIPS_Y])
_EYE_SQUINT = 0.35
"""share of its opening that a squinting eye loses"""
_SHUT_WITH_JAW = 0.9
"""lips that mouthClose keeps together follow this share of a jaw that opens"""


class Shaped(NamedTuple):
    expression: F32
    """(478, 3) face units, as in `frames.Motion`"""
    eye_openness: F32
    """(2,) subject's right and left; 0 shut, 1 as in the neutral"""


def shape(coefficients: Mapping[str, float]) -> Shaped:
    """What these coefficients make of a neutral face; names without a shape are ignored."""
    names, basis = _basis()
    weights = np.array([coefficients.get(name, 0.0) for name in names], np.float32)
    shut = min(coefficients.get("mouthClose", 0.0), coefficients.get("jawOpen", 0.0))
    weights[names.index("mouthClose")] = _SHUT_WITH_JAW * shut
    openness = [
        1.0
        - coefficients.get(f"eyeBlink{side}", 0.0)
        - _EYE_SQUINT * coefficients.get(f"eyeSquint{side}", 0.0)
        + arkit.EYE_WIDE * coefficients.get(f"eyeWide{side}", 0.0)
        for side in ("Right", "Left")
    ]
    moved = np.tensordot(weights, basis, 1)
    return Shaped(moved, np.clip(openness, 0, 1 + arkit.EYE_WIDE).astype(np.float32))


@cache
def _basis() -> tuple[tuple[str, ...], F32]:
    """The names that have a shape, and (N, 478, 3)."""
    shapes = {**_jaw(), **_mouth(), **_upper_face(), **_gaze()}
    return tuple(shapes), np.stack([shapes[name] for name in shapes]).astype(np.float32)


def _jaw() -> dict[str, F32]:
    """After the mean response of four rendered performers: lips as a bow, the chin half as far."""
    x, y, _ = face_mesh.load().mean_shape.T
    below = _below_lips()
    depth = np.clip((y - _LIPS_Y) / 0.5, 0, 1)  # 0 at the lips, 1 at the chin
    reach = 0.33 + 0.22 * depth
    bow = below * np.clip(1 - (x / reach) ** 2, 0, 1)
    down = arkit.JAW_OPEN * bow * (1 - 0.5 * depth)
    corners = [_bump(side * _CORNER[0], _LIPS_Y, 0.08) * (1 - bow) for side in _SIDES.values()]
    opened = _along(y=np.maximum(down, arkit.CORNER_DROP * arkit.JAW_OPEN * sum(corners)))
    opened += _along(z=bow * (0.08 + 0.08 * depth))
    inward = arkit.CORNER_DRAW * arkit.JAW_OPEN
    for side in _SIDES.values():
        opened += _along(x=-side * inward * _bump(side * _CORNER[0], _LIPS_Y, 0.06))
    kept = 1 - 0.4 * depth  # what of it a shut mouth takes back: at the chin less than at the lips
    chin = below * _bump(0, 1.15, 0.30)
    return {
        "jawOpen": opened,
        "mouthClose": -kept[:, None] * opened,
        "jawForward": _along(z=-0.06 * chin),
        "jawLeft": _along(x=arkit.JAW_ASIDE * chin / chin[face_mesh.CHIN]),
        "jawRight": _along(x=-arkit.JAW_ASIDE * chin / chin[face_mesh.CHIN]),
    }


def _mouth() -> dict[str, F32]:
    below = _below_lips()
    above = 1 - below
    around = _bump(0, _LIPS_Y, 0.28, 0.14)
    corners = {name: _bump(side * _CORNER[0], _LIPS_Y, 0.10) for name, side in _SIDES.items()}
    inward = sum(_along(x=-_SIDES[name] * corner) for name, corner in corners.items())
    forward = _along(z=-_bump(0, _LIPS_Y, 0.16, 0.12))
    lower, upper = below * _bump(0, 0.80, 0.15, 0.10), above * _bump(0, 0.70, 0.15, 0.10)
    shapes = {
        "mouthPucker": arkit.ROUNDED * inward + 0.06 * forward,
        "mouthFunnel": 0.7 * arkit.ROUNDED * inward
        + _along(y=0.06 * lower - 0.04 * upper)
        + 0.05 * forward,
        "mouthLeft": _along(x=arkit.MOUTH_ASIDE * around / around[61]),
        "mouthRight": _along(x=-arkit.MOUTH_ASIDE * around / around[61]),
        "mouthShrugLower": _along(y=-0.03 * below * _bump(0, 0.95, 0.20)),
        "mouthShrugUpper": _along(y=-0.02 * upper),
    }
    for name, side in _SIDES.items():
        corner = corners[name]
        smile = _along(x=side * arkit.SMILE_OUT * corner, y=-arkit.SMILE_UP * corner)
        half_lower = below * _bump(side * 0.13, 0.80, 0.10)
        half_upper = above * _bump(side * 0.13, 0.70, 0.10)
        shapes |= {
            f"mouthSmile{name}": smile + _along(z=0.05 * corner),
            f"mouthFrown{name}": _along(y=arkit.FROWN_DOWN * corner),
            f"mouthStretch{name}": _along(x=side * arkit.STRETCHED * corner),
            f"mouthDimple{name}": _along(x=side * 0.03 * corner, z=0.03 * corner),
            f"mouthLowerDown{name}": _along(y=0.08 * half_lower),
            f"mouthUpperUp{name}": _along(y=-arkit.UPPER_UP * half_upper / half_upper.max()),
        }
    return shapes


def _upper_face() -> dict[str, F32]:
    inner = {name: _bump(side * 0.16, -0.24, 0.14, 0.12) for name, side in _SIDES.items()}
    both = np.maximum(inner["Left"], inner["Right"])
    shapes = {
        "browInnerUp": _along(y=-arkit.BROW_INNER_UP * both),
        "cheekPuff": _along(x=0.05 * (_bump(0.5, 0.60, 0.14) - _bump(-0.5, 0.60, 0.14))),
    }
    for name, side in _SIDES.items():
        outer = _bump(side * 0.50, -0.22, 0.13, 0.12)
        whole = _bump(side * 0.32, -0.25, 0.20, 0.12)
        shapes |= {
            f"browOuterUp{name}": _along(y=-arkit.BROW_OUTER_UP * outer),
            f"browDown{name}": _along(y=arkit.BROW_DOWN * np.maximum(inner[name], whole)),
            f"cheekSquint{name}": _along(y=-0.04 * _bump(side * 0.45, 0.30, 0.12)),
            f"noseSneer{name}": _along(y=-0.04 * _bump(side * 0.16, 0.42, 0.09)),
        }
    return shapes


def _gaze() -> dict[str, F32]:
    shapes: dict[str, F32] = {}
    for name, side in _SIDES.items():
        iris = np.zeros(LANDMARK_COUNT)
        iris[list(face_mesh.LEFT_IRIS if name == "Left" else face_mesh.RIGHT_IRIS)] = 1
        shapes |= {
            f"eyeLookOut{name}": _along(x=side * arkit.GAZE_ASIDE * iris),
            f"eyeLookIn{name}": _along(x=-side * arkit.GAZE_ASIDE * iris),
            f"eyeLookUp{name}": _along(y=-arkit.GAZE_UP * iris),
            f"eyeLookDown{name}": _along(y=arkit.GAZE_UP * iris),
        }
    return shapes


def _below_lips() -> F32:
    """(478,) 1 for the lower lip and what is below it, 0 above; the corners count as above."""
    lower, upper = list(face_mesh.LIPS_INNER_LOWER), list(face_mesh.LIPS_INNER_UPPER)
    mean = face_mesh.load().mean_shape
    middle = (mean[lower, 1] + mean[upper, 1]) / 2
    seam = np.interp(mean[:, 0], mean[lower, 0], middle)
    below = (mean[:, 1] > seam).astype(np.float32)
    below[lower], below[upper] = 1, 0
    return below


def _bump(x: float, y: float, wide: float, high: float | None = None) -> F32:
    """(478,) 1 at a place of the mean face, falling smoothly with the distance; no irises."""
    mean = face_mesh.load().mean_shape
    across, down = (mean[:, 0] - x) / wide, (mean[:, 1] - y) / (high or wide)
    bump = np.exp(-(across**2 + down**2) / 2)
    bump[face_mesh.SKIN_LANDMARKS :] = 0
    return np.asarray(bump, np.float32)


def _along(x: F32 | float = 0.0, y: F32 | float = 0.0, z: F32 | float = 0.0) -> F32:
    """(478, 3) from one amount, or one for each landmark, per axis."""
    axes = [np.broadcast_to(np.asarray(axis, np.float32), LANDMARK_COUNT) for axis in (x, y, z)]
    return np.stack(axes, 1)
