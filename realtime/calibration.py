"""A performer's neutral: the face at rest, turned to the camera. Pure: landmarks and time in, out.

From the first frame there is a provisional neutral, the calmest face so far. After a full second of
good frames the median of the calmest of them becomes the neutral, and the place of the head in
those frames its place of rest. Calm is a face with closed lips and open eyes that looks ahead; a
performer who talks through that second still shows enough of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines import face_mesh
from engines.pose import NECK_JOINT
from engines.rigid import fit_similarity
from realtime import face_regions
from realtime.clock import NS_PER_S
from realtime.frames import F32

RIGID = list(face_mesh.RIGID)

_SHARE_CALM = 0.25
_MIN_SAMPLES = 6
_MAX_SAMPLES = 300
_MAX_TURN_RAD = math.radians(28)
_MAX_TILT_RAD = math.radians(20)
_OPEN_LIDS = 0.085  # face units; narrower eyes count as closing
_OPEN_LIPS = 0.05  # face units; weighs as much as a half closed eye or a turn by _MAX_TURN_RAD


@dataclass(frozen=True, slots=True)
class Neutral:
    """What a performer looks like at rest, and where the head is then."""

    face: F32
    """(478, 3) in the head frame: outer eye corners 1 apart, lips closed, gaze ahead"""
    centre_px: F32
    """(2,) middle of the rigid landmarks, were the head not turned"""
    scale_px: float
    """pixels per face unit"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame's face without its head pose."""

    face: F32
    """(478, 3) face units, turned to the camera by its fit to the mean face"""
    rotation: F32
    """(3, 3) that was undone"""
    centre_px: F32
    scale_px: float
    agitation: float
    """0 calm; grows with open lips, closing eyes and a turned head"""

    @classmethod
    def of(cls, landmarks_px: F32) -> Sample:
        mesh, weights = face_mesh.load(), face_regions.regions().skull
        pose = fit_similarity(mesh.mean_shape, landmarks_px, weights)
        face = pose.invert(landmarks_px)
        unit = face_mesh.face_unit(face)
        face = (face / unit).astype(np.float32)
        lids = min(face_regions.lid_gap(face, eye) for eye in (0, 1))
        lips = float(np.abs(face_regions.lip_gaps(face)).max())
        agitation = (
            lips / _OPEN_LIPS
            + 2 * max(0.0, 1 - lids / _OPEN_LIDS)
            + _turn_rad(pose.rotation) / _MAX_TURN_RAD
        )
        scale_px = pose.scale * unit
        # A head that turns carries its face to the side: the neck is what stays in place.
        unturned = scale_px * (pose.rotation @ NECK_JOINT - NECK_JOINT)[:2]
        centre: F32 = landmarks_px[RIGID, :2].mean(axis=0) + unturned
        return cls(face, pose.rotation, centre, scale_px, agitation)

    @property
    def frontal(self) -> bool:
        """Whether the whole face is seen well enough to learn its shape."""
        return _turn_rad(self.rotation) < _MAX_TURN_RAD


class Calibrator:
    """Collects frames until a neutral can be taken. One object per calibration.

    Args:
        duration_s: for how long the face must be good.
        on_demand: the performer asked for it and faces the camera as they want to be seen: their
            whole head pose becomes the rest pose, not only its tilt.
    """

    def __init__(self, duration_s: float, on_demand: bool) -> None:
        self._duration_ns = round(duration_s * NS_PER_S)
        self._on_demand = on_demand
        self._samples: list[Sample] = []
        self._began_ns = 0

    def add(self, sample: Sample, now_ns: int) -> Neutral | None:
        """Look at one frame; the neutral once it can be taken."""
        if not sample.frontal:
            return None
        if not self._samples:
            self._began_ns = now_ns
        self._samples.append(sample)
        if len(self._samples) > _MAX_SAMPLES:
            worst = max(range(len(self._samples)), key=lambda at: self._samples[at].agitation)
            del self._samples[worst]
        if len(self._samples) < _MIN_SAMPLES or now_ns - self._began_ns < self._duration_ns:
            return None
        calm = sorted(self._samples, key=lambda each: each.agitation)
        return merge(calm[: max(3, round(_SHARE_CALM * len(calm)))], self._on_demand)


def merge(samples: Sequence[Sample], on_demand: bool = False) -> Neutral:
    """The neutral that these frames (one at least) show."""
    face = np.median([sample.face for sample in samples], axis=0)
    mean_rotation = np.mean([sample.rotation for sample in samples], axis=0)
    # The height of the camera and the shape of the nose decide the absolute tilt, and neither is
    # meant: the performer's face at rest is the avatar's facing ahead. Left and right are meant.
    rest = _nearest_rotation(mean_rotation) if on_demand else _tilt_of(mean_rotation)
    face = face @ rest.T
    face = _look_ahead(_close_lips(face / face_mesh.face_unit(face)))
    centre = np.median([sample.centre_px for sample in samples], axis=0)
    scale_px = float(np.median([sample.scale_px for sample in samples]))
    return Neutral(face.astype(np.float32), centre.astype(np.float32), scale_px)


def _close_lips(face: F32) -> F32:
    """Undo what the jaw is open, so that closed lips are the zero of every performer."""
    gaps = np.maximum(face_regions.lip_gaps(face), 0)
    raised = face.copy()
    raised[:, 1] -= face_regions.regions().jaw * gaps.max()
    upper, lower = list(face_mesh.LIPS_INNER_UPPER), list(face_mesh.LIPS_INNER_LOWER)
    outer = list(face_mesh.LIPS_OUTER_LOWER)
    raised[lower, 1] = np.minimum(face[lower, 1], face[upper, 1])
    raised[outer, 1] = face[outer, 1] - gaps  # both rows run through the same eleven columns
    return raised


def _look_ahead(face: F32) -> F32:
    """Centre the irises horizontally: for eyes that look ahead, both deviate by the same amount."""
    centred = face.copy()
    deviation = [
        face[iris[0], 0] - (face[upper[0], 0] + face[upper[-1], 0]) / 2
        for upper, _, iris in face_regions.EYES
    ]
    for _, _, iris in face_regions.EYES:
        centred[list(iris), 0] -= float(np.mean(deviation))
    return centred


def _turn_rad(rotation: F32) -> float:
    """Angle between the face's direction and the camera's."""
    return math.acos(float(np.clip(rotation[2, 2], -1, 1)))


def _tilt_of(rotation: F32) -> F32:
    """(3, 3) the part of a rotation about the horizontal axis, within limits."""
    tilt = math.atan2(float(rotation[2, 1]), float(rotation[2, 2]))
    tilt = float(np.clip(tilt, -_MAX_TILT_RAD, _MAX_TILT_RAD))
    cosine, sine = math.cos(tilt), math.sin(tilt)
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]], np.float32)


def _nearest_rotation(matrix: F32) -> F32:
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ vt, np.float32)
