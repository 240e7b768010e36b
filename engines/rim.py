"""The rim of the face: where skin ends in the portrait, and what a turn makes of it.

Numpy only; knows no pictures.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import Similarity

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

RINGS = (0.12, 0.32)
"""distances from the face's outline of the lattice's vertices that go round it, in face units: hair
beside a cheek lies in triangles of one width, or its edge would wave when a turn widens them"""
_GIVE_WAY = (1.0, 0.5)
"""of each ring, as a share of what the rim looks inwards"""
_INWARDS, _FADES = 0.05, 0.12
"""how far a rim that widens looks inwards, and over what distance that fades, in face units"""
_WIDENS = (1.3, 3.0)
"""at how many times its width in the portrait it begins to, and at how many it does so wholly"""
_THINNEST = 1e-3
"""what may be divided by, in face units"""
_OVAL = list(face_mesh.FACE_OVAL)


class Rim:
    """The rim of the face, which the portrait shows at a grazing angle and a turn widens.

    There a pixel of the portrait covers many of the canvas, and what it shows is half skin, half
    hair: the rim would wave. Where it widens it looks further inwards, at skin alone, and the rings
    around it give way, so that ears keep their width.

    Args:
        landmarks: (478, 3) of the portrait.
        inner: (36, 478) weights of `inner_neighbours`.
    """

    def __init__(self, landmarks: F32, inner: F32) -> None:
        self._inner = inner
        unit = face_mesh.face_unit(landmarks)
        outline = landmarks[_OVAL, :2]
        self._width = np.maximum(self._measure(landmarks) / unit, _THINNEST)
        away = np.linalg.norm(landmarks[:, None, :2] - outline, axis=2)  # (478, 36)
        self._nearest = away.argmin(axis=1)
        self._outwards = _outwards(outline)
        fades = np.exp(-away.min(axis=1) / (_FADES * unit))
        self._inwards = -_INWARDS * unit * fades[:, None] * self._outwards[self._nearest]

    def give_way(self, landmarks: F32, head: Similarity) -> tuple[F32, F32]:
        """
        Returns:
            (478, 2) what to add to the landmarks' places in the portrait, in its pixels;
            (R * 36, 2) to the rings' places on the canvas, in its pixels.
        """
        share = self._widening(landmarks)
        away = share[:, None] * _INWARDS * face_mesh.face_unit(landmarks)
        directions = away * self._outwards @ head.in_plane().T / head.scale
        rings = np.concatenate([directions * fade for fade in _GIVE_WAY])
        return self._inwards * share[self._nearest, None], cast(F32, rings.astype(np.float32))

    def _widening(self, landmarks: F32) -> F32:
        """(36,) 0 where the rim is as narrow as in the portrait, 1 where it is far wider."""
        widens = self._measure(landmarks) / face_mesh.face_unit(landmarks) / self._width
        around = np.stack([np.roll(widens, by) for by in range(-2, 3)])
        return smoothstep(*_WIDENS, around.mean(axis=0))

    def _measure(self, landmarks: F32) -> F32:
        """(36,) how wide the outermost ring of triangles is seen, in pixels."""
        across = landmarks[_OVAL] - self._inner @ landmarks
        return cast(F32, np.linalg.norm(across[:, :2], axis=1))


def inner_neighbours(skin: I32) -> F32:
    """(36, 478) weights: the mean of the inner landmarks beside each outline landmark."""
    weights = np.zeros((len(_OVAL), face_mesh.LANDMARKS), np.float32)
    for row, landmark in enumerate(_OVAL):
        around = np.unique(skin[(skin == landmark).any(axis=1)])
        weights[row, np.setdiff1d(around, _OVAL)] = 1
    normalised: F32 = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def ring(oval: F32, distance: float) -> F32:
    """(36, 2) the outline's corners, moved outwards."""
    moved: F32 = oval + distance * _outwards(oval)
    return moved


def _outwards(oval: F32) -> F32:
    """(36, 2) unit vectors across the outline at its corners."""
    ahead, behind = np.roll(oval, -1, axis=0), np.roll(oval, 1, axis=0)
    along = ahead - behind
    normal = np.column_stack([along[:, 1], -along[:, 0]])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= np.sign(((oval - oval.mean(axis=0)) * normal).sum())
    return cast(F32, normal.astype(np.float32))


def smoothstep(low: float, high: float, x: F32) -> F32:
    t = np.clip((x - low) / (high - low), 0, 1)
    smooth: F32 = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth
