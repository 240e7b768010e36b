"""Carry a motion over to a target face: where its landmarks, head and torso go on the canvas.

The motion is free of the performer's shape; here it meets the target's: offsets are scaled by the
target's face unit, lids close by their share of the target's own opening, and lips that would pass
through each other meet instead. Numpy only; knows no pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import Similarity, fit_similarity
from engines.warp import Placement

F32 = NDArray[np.float32]

_RIGID = list(face_mesh.RIGID)
NECK_JOINT = np.array([0.0, 0.45, 0.75], np.float32)
"""from the middle of the rigid landmarks to where the skull turns on the neck, in face units"""
_TORSO_FOLLOWS = 0.6
"""share of the neck joint's way that the shoulders go along"""
_REACH = np.array([0.9, 0.6], np.float32)
"""how far the head may go, in face units; approached softly"""
_SCALE_REACH = 0.30
"""how much nearer or farther the avatar may come"""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a network that looks at the performer read there: numbers, of which no picture can be
    made. Lengths are in heights of the camera's picture."""

    head: F32
    """(6,) rotation vector in radians, x and y from the picture's middle, logarithm of the size"""
    expression: F32
    """(K, 3) offsets of the network's own key points, in its own unit"""
    offset: F32
    """(2,) of the head from the middle of what was looked at, in reaches"""
    reach: float
    """half a side of what was looked at"""


@dataclass(frozen=True, slots=True)
class Gains:
    """How much of what was seen is passed on: 0 nothing, 1 as performed."""

    expression: float = 1.0
    """over all of mouth, blink and gaze"""
    mouth: float = 1.0
    blink: float = 1.0
    gaze: float = 1.0
    head: float = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The performer as a network sees them now, and as it saw them at rest."""

    now: Sight
    rest: Sight
    gains: Gains = Gains()


@dataclass(frozen=True, slots=True)
class MotionTensors:
    """A motion as tensors; see `realtime.frames.Motion` for the meaning and axes."""

    rotation: F32
    """(3, 3)"""
    translation: F32
    """(2,) face units"""
    scale: float
    expression: F32
    """(478, 3) face units"""
    eye_openness: F32
    """(2,) subject's right, left"""
    seen: Seen | None = None
    """for a network that looks at the performer itself; gains are applied to all but this"""


def still() -> MotionTensors:
    """No motion at all."""
    return MotionTensors(
        np.eye(3, dtype=np.float32),
        np.zeros(2, np.float32),
        1.0,
        np.zeros((face_mesh.LANDMARKS, 3), np.float32),
        np.ones(2, np.float32),
    )


class TargetFace:
    """The neutral face of one identity, placed on a canvas.

    Args:
        landmarks: (478, 3) of the portrait in its pixels.
        canvas_from_portrait: (2, 3) scale and offset only.
        canvas_hw: height and width of the canvas in pixels.
    """

    def __init__(
        self, landmarks: F32, canvas_from_portrait: F32, canvas_hw: tuple[int, int]
    ) -> None:
        self._portrait = landmarks.astype(np.float32)
        self._zoom = float(canvas_from_portrait[0, 0])
        self._offset = canvas_from_portrait[:, 2]
        self._bottom = float(canvas_hw[0])
        self._unit = face_mesh.face_unit(landmarks)  # portrait pixels
        pose = fit_similarity(face_mesh.load().mean_shape[_RIGID], self._portrait[_RIGID])
        self._own_rotation = pose.rotation
        centre = self._portrait[_RIGID].mean(axis=0)
        self._joint = centre + self._unit * pose.rotation @ NECK_JOINT
        # the neutral in the head frame, in face units, around the neck joint
        self._local = ((self._portrait - self._joint) @ pose.rotation / self._unit).astype(
            np.float32
        )
        self._lid_gaps = [_gaps(self._local, upper, lower) for upper, lower in _EYES]

    def place(self, motion: MotionTensors) -> Placement:
        """Where this face is under `motion`."""
        zoom = self._zoom * (1 + _SCALE_REACH * float(np.tanh((motion.scale - 1) / _SCALE_REACH)))
        turned_joint = motion.rotation @ NECK_JOINT - NECK_JOINT
        way = _ease(motion.translation + turned_joint[:2], _REACH) * self._unit * zoom
        torso = self._torso(zoom, way * _TORSO_FOLLOWS)
        joint_px = torso[:, :2] @ self._joint[:2] + torso[:, 2] + way * (1 - _TORSO_FOLLOWS)

        local = self._express(motion)
        landmarks = (self._unit * zoom * local @ motion.rotation.T).astype(np.float32)
        landmarks[:, :2] += joint_px
        rotation = motion.rotation @ self._own_rotation.T
        offset = -zoom * rotation @ self._joint
        offset[:2] += joint_px
        head = Similarity(rotation.astype(np.float32), zoom, offset.astype(np.float32))
        return Placement(landmarks, head, torso)

    def _torso(self, zoom: float, way: F32) -> F32:
        """(2, 3) canvas from portrait: zoomed about the middle of the canvas' lower edge."""
        grow = zoom / self._zoom
        rest_x = self._zoom * self._joint[0] + self._offset[0]
        offset_x = grow * (self._offset[0] - rest_x) + rest_x + way[0]
        offset_y = grow * (self._offset[1] - self._bottom) + self._bottom + way[1]
        return np.array([[zoom, 0, offset_x], [0, zoom, offset_y]], np.float32)

    def _express(self, motion: MotionTensors) -> F32:
        """(478, 3) the face in its head frame, face units."""
        local: F32 = self._local + motion.expression
        for (upper, lower), gaps, openness in zip(
            _EYES, self._lid_gaps, motion.eye_openness, strict=True
        ):
            local[list(upper), 1] = local[list(lower), 1] - gaps * openness
        above, below = list(face_mesh.LIPS_INNER_UPPER), list(face_mesh.LIPS_INNER_LOWER)
        overlap = np.minimum(local[below, 1] - local[above, 1], 0) / 2
        local[above, 1] += overlap
        local[below, 1] -= overlap
        return local


_EYES = (
    (face_mesh.RIGHT_EYE_UPPER[1:-1], face_mesh.RIGHT_EYE_LOWER[1:-1]),
    (face_mesh.LEFT_EYE_UPPER[1:-1], face_mesh.LEFT_EYE_LOWER[1:-1]),
)


def _gaps(local: F32, upper: tuple[int, ...], lower: tuple[int, ...]) -> F32:
    """(7,) opening at each pair of lid landmarks, downwards positive."""
    gaps: F32 = local[list(lower), 1] - local[list(upper), 1]
    return gaps


def _ease(value: F32, reach: F32) -> F32:
    """`value` near zero, at most `reach`, smooth between."""
    eased: F32 = reach * np.tanh(value / reach)
    return eased
