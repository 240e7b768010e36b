"""Smoothing of landmarks over time: calm when the face is still, quick when it moves.

The One-Euro filter (Casiez, Roussel, Vogel, "1€ Filter", CHI 2012): a low-pass whose cutoff rises
with speed. Two of them share the work, because a head and a lip move differently:

    landmarks = what the head does (an affine motion of the mean face, 12 numbers)  -> one filter
              + what the face does (the rest, per landmark)                         -> another

The head's speed is estimated from all landmarks together, so its noise is a tenth of one
landmark's and its cutoff may rise steeply: a fast head hardly lags. Lids, lips and irises are small
and fast and get a higher cutoff than the skin. Speeds are in face units per second, so that neither
the resolution nor the distance from the camera matters. Time is an argument; no clock is read here.
"""

from __future__ import annotations

import numpy as np

from engines import face_mesh
from realtime.clock import NS_PER_S
from realtime.config import Tracking
from realtime.frames import F32, LANDMARK_COUNT

_MAX_GAP_S = 0.5
"""after a longer gap the filter starts anew instead of gliding there"""
FALLBACK_STEP_S = 1 / 30
"""for time stamps that do not advance"""
_SPEED_CUTOFF_HZ = 6.0
"""of the speed estimate itself; the paper's 1 Hz answers too late for a head"""
_HEAD_CALM = 1.0
_HEAD_QUICKNESS = 30.0
_AGILE_CALM = 3.0
_AGILE_QUICKNESS = 20.0
"""cutoffs at rest and their rise, relative to the settings: the head; lids, lips and irises"""


class OneEuro:
    """One filter over an array of any shape.

    Args:
        joint: one speed for all elements, the root mean square of theirs, instead of one each.
    """

    def __init__(self, joint: bool = False) -> None:
        self._joint = joint
        self._value: F32 | None = None
        self._rate: F32 | None = None

    def __call__(
        self, value: F32, step_s: float, min_cutoff_hz: F32 | float, beta: F32 | float
    ) -> F32:
        """The filtered value, of the same shape.

        Args:
            value: (..., D); the speed is the norm over the last axis.
            step_s: time since the previous value, > 0.
            min_cutoff_hz: cutoff at rest, broadcast against (..., 1).
            beta: rise of the cutoff in Hz per (unit of `value` per second), likewise.
        """
        if self._value is None or self._rate is None:
            self._value, self._rate = value.copy(), np.zeros_like(value)
            return value
        change = (value - self._value) / step_s
        self._rate += _weight(_SPEED_CUTOFF_HZ, step_s) * (change - self._rate)
        squares = (self._rate**2).sum(axis=-1, keepdims=True)
        speed = np.sqrt(squares.mean() if self._joint else squares)
        gain = _weight(min_cutoff_hz + beta * speed, step_s)
        self._value = self._value + gain * (value - self._value)
        return self._value


def _weight(cutoff_hz: F32 | float, step_s: float) -> F32:
    """Share of the new value in a first-order low-pass with this cutoff."""
    turn = 2 * np.pi * step_s * np.asarray(cutoff_hz, np.float32)
    return np.asarray(turn / (turn + 1), np.float32)


class Steps:
    """The time from frame to frame."""

    def __init__(self) -> None:
        self._time_ns: int | None = None

    def __call__(self, time_ns: int) -> float | None:
        """Seconds since the frame before; None at first and after a gap: begin anew."""
        previous_ns, self._time_ns = self._time_ns, time_ns
        if previous_ns is None or abs(time_ns - previous_ns) > _MAX_GAP_S * NS_PER_S:
            return None
        step_s = (time_ns - previous_ns) / NS_PER_S
        return step_s if step_s > 0 else FALLBACK_STEP_S


def ease(strength: float) -> float:
    """What cutoffs are multiplied by: `Controls.smoothing` of 0.5 takes the settings as they are,
    1 halves the cutoffs at rest."""
    return float(4.0 ** (1 - 2 * strength) if strength < 0.5 else 2.0 ** (1 - 2 * strength))


class LandmarkSmoother:
    """Calms one performer's landmarks. Starts anew after a gap."""

    def __init__(self, config: Tracking) -> None:
        self._min_cutoff_hz = config.one_euro_min_cutoff_hz
        self._beta = config.one_euro_beta
        self._basis, self._solve = _affine_basis()
        self._agility = _agility()
        self.reset()

    def reset(self) -> None:
        self._steps = Steps()
        self._begin()

    def _begin(self) -> None:
        self._head, self._face = OneEuro(joint=True), OneEuro()

    def __call__(self, landmarks_px: F32, time_ns: int, strength: float) -> F32:
        """Filtered landmarks.

        Args:
            landmarks_px: (478, 3).
            time_ns: when the picture was taken.
            strength: `Controls.smoothing`; 0 passes the landmarks through, see `ease`.
        """
        if strength <= 0.0:
            self.reset()
            return landmarks_px
        step_s = self._steps(time_ns)
        if step_s is None:
            self._begin()
            step_s = FALLBACK_STEP_S
        unit = max(face_mesh.face_unit(landmarks_px), 1.0)
        head = self._solve @ landmarks_px  # (4, 3)
        calm, quick = self._min_cutoff_hz * ease(strength), self._beta * ease(strength)
        calm_head = self._head(head, step_s, _HEAD_CALM * calm, _HEAD_QUICKNESS * quick / unit)
        calm_face = self._face(
            landmarks_px - self._basis @ head,
            step_s,
            calm * (1 + (_AGILE_CALM - 1) * self._agility),
            quick / unit * (1 + (_AGILE_QUICKNESS - 1) * self._agility),
        )
        return np.asarray(self._basis @ calm_head + calm_face, np.float32)


def _affine_basis() -> tuple[F32, F32]:
    """(478, 4) the mean shape with a constant, and (4, 478) its pseudo-inverse."""
    shape = face_mesh.load().mean_shape
    basis = np.hstack([shape, np.ones((LANDMARK_COUNT, 1), np.float32)])
    return basis, np.linalg.pinv(basis).astype(np.float32)


def _agility() -> F32:
    """(478, 1) 1 for lids, lips and irises, 0 for the rest."""
    agile = np.zeros((LANDMARK_COUNT, 1), np.float32)
    for part in (
        face_mesh.MOUTH_HOLE,
        face_mesh.RIGHT_EYE_HOLE,
        face_mesh.LEFT_EYE_HOLE,
        face_mesh.polygon(face_mesh.LIPS_OUTER_UPPER, face_mesh.LIPS_OUTER_LOWER),
        face_mesh.RIGHT_IRIS,
        face_mesh.LEFT_IRIS,
    ):
        agile[list(part)] = 1.0
    return agile
