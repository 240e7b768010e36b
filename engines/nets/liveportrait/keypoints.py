"""What happens between M and W: angles, key points, and whose motion they show.

Arrays are float32; `...` stands for any batch axes, K for the key points. x points right, y down,
z into the picture; -1 and 1 are the picture's edges. Knows no torch: it runs wherever the networks
were compiled for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_DEGREES_PER_BIN = 3.0
_FIRST_BIN_DEGREES = -97.5

_WHOLE = (1, 2, 6, *range(11, 21))
_PARTS = ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2))
"""(point, axis): the rest of a published expression is the person's, not the moment's"""


@dataclass(frozen=True, slots=True)
class Pose:
    """A face as M sees it. x = scale * (canonical @ rotation + expression) + translation."""

    canonical: F32
    """(..., K, 3) the person's key points at rest, seen from the front"""
    rotation: F32
    """(..., 3, 3) of the head, for row vectors"""
    expression: F32
    """(..., K, 3)"""
    scale: F32
    """(..., 1)"""
    translation: F32
    """(..., 3); its z is always 0"""

    @property
    def points(self) -> F32:
        """(..., K, 3): where the key points are."""
        turned = self.canonical @ self.rotation + self.expression
        placed: F32 = self.scale[..., None] * turned + self.translation[..., None, :]
        return placed


def decode(heads: Mapping[str, F32]) -> Pose:
    """M's outputs, under the names of `motion.Heads`."""
    angles = (bins_to_degrees(heads[name]) for name in ("pitch", "yaw", "roll"))
    return Pose(
        canonical=_triples(heads["kp"]),
        rotation=rotation(*angles),
        expression=_triples(heads["exp"]),
        scale=heads["scale"],
        translation=heads["t"] * np.array((1, 1, 0), np.float32),
    )


def bins_to_degrees(logits: F32) -> F32:
    """(..., 66) -> (...): the mean of the bins' angles, weighted by softmax."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    bins = np.arange(logits.shape[-1], dtype=np.float32)
    degrees: F32 = (weights @ bins) * _DEGREES_PER_BIN + np.float32(_FIRST_BIN_DEGREES)
    return degrees


def rotation(pitch_deg: F32, yaw_deg: F32, roll_deg: F32) -> F32:
    """(...) each -> (..., 3, 3): about x, then y, then z, transposed for row vectors."""
    pitch, yaw, roll = (
        _about(axis, angle) for axis, angle in enumerate((pitch_deg, yaw_deg, roll_deg))
    )
    turned: F32 = np.swapaxes(roll @ yaw @ pitch, -1, -2)
    return turned


def relative(source: Pose, driving: Pose, reference: Pose) -> Pose:
    """The source, moved as far as the driving face has moved away from its reference frame."""
    turn = driving.rotation @ np.swapaxes(reference.rotation, -1, -2)
    return replace(
        source,
        rotation=turn @ source.rotation,
        expression=source.expression + (driving.expression - reference.expression),
        scale=source.scale * (driving.scale / reference.scale),
        translation=source.translation + (driving.translation - reference.translation),
    )


def absolute(source: Pose, driving: Pose) -> Pose:
    """The source in the driving face's pose, its expression replaced where that is no identity."""
    taken = expression_mask(source.expression.shape[-2])
    return replace(
        source,
        rotation=driving.rotation,
        expression=np.where(taken, driving.expression, source.expression),
        translation=driving.translation,
    )


def expression_mask(points: int) -> NDArray[np.bool_]:
    """(K, 3): the components that absolute motion takes from the driving face."""
    mask = np.zeros((points, 3), np.bool_)
    mask[list(_WHOLE)] = True
    mask[tuple(zip(*_PARTS, strict=True))] = True
    return mask


def amplify(source: F32, driven: F32, gain: float) -> F32:
    """(..., K, 3): the way from source to driven points, `gain` times as far."""
    out: F32 = source + (driven - source) * np.float32(gain)
    return out


def friendly_gain(source: F32, first_driven: F32) -> float:
    """How much further a smaller face has to move to say the same: a ratio of hulls' volumes.

    The published "expression-friendly" option. `first_driven` is of the reference frame: after
    `relative` that is the source itself, and the gain 1.
    """
    return float(np.sqrt(hull_volume(source) / hull_volume(first_driven)))


def hull_volume(points: F32) -> float:
    """Volume of the convex hull of (K, 3), K small, no four points in one plane of the hull."""
    at = points.astype(np.float64) - points.mean(0)
    corners = np.array(list(combinations(range(len(at)), 3)))
    a, b, c = at[corners].swapaxes(0, 1)  # (N, 3) each: every triangle there is
    normal = np.cross(b - a, c - a)
    height = normal @ at.T - (normal * a).sum(-1, keepdims=True)  # (N, K)
    np.put_along_axis(height, corners, 0.0, -1)
    outside = (height <= 0).all(-1) | (height >= 0).all(-1)
    return float(np.abs((normal * a).sum(-1))[outside].sum() / 6)


def stitch(driven: F32, delta: F32) -> F32:
    """Driven points (..., K, 3) as S corrects them; delta (..., 3K + 2) is its output."""
    out: F32 = driven + _triples(delta[..., :-2])
    out[..., :2] += delta[..., None, -2:]
    return out


def _triples(flat: F32) -> F32:
    return flat.reshape(*flat.shape[:-1], -1, 3)


def _about(axis: int, degrees: F32) -> F32:
    """(..., 3, 3): a turn about one axis, for column vectors."""
    radians = np.deg2rad(degrees)
    out = np.zeros((*np.shape(degrees), 3, 3), np.float32)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[..., axis, axis] = 1
    out[..., i, i] = out[..., j, j] = np.cos(radians)
    out[..., j, i] = np.sin(radians)
    out[..., i, j] = -out[..., j, i]
    return out
