"""Retarget: a performer's landmarks -> Motion, free of the performer's shape. Knows no pictures.

    landmarks = scale * rotation @ (neutral + expression) + translation

The head pose is a rigid fit of the neutral on landmarks that follow the skull, so that jaw, lips
and brows neither turn nor scale the head. Expressions are what the fit leaves over. The performer's
gains and the limits of pose are applied here, so that what comes out is fit to drive any identity.
"""

from __future__ import annotations

import math

import numpy as np

from engines.rigid import fit_similarity
from realtime import face_regions
from realtime.calibration import RIGID, Calibrator, Neutral, Sample, merge
from realtime.clock import NS_PER_S
from realtime.config import Retarget as Settings
from realtime.errors import FrameError
from realtime.frames import F32, LANDMARK_COUNT, Controls, FaceTrack, Motion, Rest
from realtime.smoothing import OneEuro

_GLIDE_S = 0.15
"""time constant with which a better neutral replaces the one in use"""
_CLOSED_LIDS = 0.25
"""the model's lids keep this share of their opening when an eye is shut"""
_MAX_OPENNESS = 1.6
_LID_REST = 0.08
"""lids this near to their neutral are at it: pitch and brows move the measure by as much"""
_SCALE_CUTOFF_HZ, _SCALE_BETA = 0.8, 10.0
"""the size follows a body that leans in, not the percent by which a talking jaw deceives the fit"""
_MAX_OFFSET = 0.6
"""face units; expression offsets approach it softly"""
_MAX_ROLL_RAD = math.radians(50)
_FREE_SHARE = 0.7
"""poses are followed as they are up to this share of their limit, then eased"""
_BLIND_RAD = math.radians(25)
"""this far beyond the limit of pose, expressions are no longer believed"""
_FAR_EYE_RAD = (math.radians(15), math.radians(35))
"""turned from the first to the second angle, the far eye follows the near one"""
_GAZE_OPENNESS = (0.25, 0.55)
"""below the first openness the gaze keeps still, above the second it is believed"""
_SHORTEST_STEP_S, _LONGEST_STEP_S = 1 / 120, 0.5
_JAW_OPEN, _SMILE, _BROW_UP = 0.30, 0.10, 0.12
"""face units at which the named coefficients are 1"""

_SKULL = np.flatnonzero(face_regions.regions().skull)


class Retarget:
    """Turns one performer's landmarks into Motion. One object per session."""

    def __init__(self, config: Settings) -> None:
        self._limits_rad = np.radians([config.max_yaw_deg, config.max_pitch_deg])
        self._duration_s = config.calibration_s
        self._calibrator: Calibrator | None = Calibrator(config.calibration_s, on_demand=False)
        self._used: Neutral | None = None
        self._wanted: Neutral | None = None
        self._calmest = math.inf
        self._now_ns = 0
        self._gaze = np.zeros((2, 2), np.float32)
        self._scale = OneEuro()
        self._has_neutral = False
        self._takes = 0

    @property
    def calibrated(self) -> bool:
        """Whether a neutral was taken and no other is asked for."""
        return self._calibrator is None

    def calibrate(self) -> None:
        """Take a new neutral from the coming second; the old one serves until then."""
        self._calibrator = Calibrator(self._duration_s, on_demand=True)
        self._takes += 1

    def __call__(self, face: FaceTrack, controls: Controls, now_ns: int) -> Motion | None:
        """The motion of one frame; None while no neutral is known and the face is turned away.

        Raises:
            FrameError: the landmarks are not 478 finite points.
        """
        landmarks = face.landmarks_px
        if landmarks.shape != (LANDMARK_COUNT, 3) or not np.isfinite(landmarks).all():
            raise FrameError(
                f"landmarks of shape {landmarks.shape}: must be ({LANDMARK_COUNT}, 3), all finite; "
                "the frame was skipped"
            )
        step_s, self._now_ns = (now_ns - self._now_ns) / NS_PER_S, now_ns
        step_s = min(max(step_s, _SHORTEST_STEP_S), _LONGEST_STEP_S)
        rest = self._learn(landmarks, now_ns)
        neutral = self._glide(step_s)
        if neutral is None:
            return None
        skull = face_regions.regions().skull
        pose = fit_similarity(neutral.face[_SKULL], landmarks[_SKULL], skull[_SKULL])
        angles = euler_rad(pose.rotation)
        expression = pose.invert(landmarks) - neutral.face
        belief = self._belief(angles)
        openness = self._openness(neutral.face + expression, neutral.face, angles[0])
        self._steady_gaze(expression, openness)
        centre = landmarks[RIGID, :2].mean(axis=0)
        head = controls.head
        gain = gains(controls)
        blink = controls.blink * controls.expression * belief
        return Motion(
            rotation=rotation_of(limited(angles * head, self._limits_rad)),
            translation=((centre - neutral.centre_px) / neutral.scale_px * head).astype(np.float32),
            scale=math.exp(self._log_scale(pose.scale / neutral.scale_px, step_s) * head),
            expression=_soft_limit(expression * gain * belief),
            eye_openness=np.clip(1 + (openness - 1) * blink, 0, _MAX_OPENNESS).astype(np.float32),
            coefficients=_coefficients(neutral.face, expression, openness),
            rest=rest,
        )

    def _learn(self, landmarks: F32, now_ns: int) -> Rest | None:
        """Improve the neutral while a calibration runs; None while none does."""
        if self._calibrator is None:
            return None
        sample = Sample.of(landmarks)
        taken = self._calibrator.add(sample, now_ns)
        if taken is not None:
            self._wanted, self._calibrator, self._has_neutral = taken, None, True
        elif not self._has_neutral and sample.frontal and sample.agitation < 0.8 * self._calmest:
            self._wanted, self._calmest = merge([sample]), sample.agitation
        return Rest(self._takes, sample.agitation if sample.frontal else math.inf)

    def _glide(self, step_s: float) -> Neutral | None:
        """The neutral in use, on its way to the one that is wanted."""
        if self._used is None or self._wanted is None:
            self._used = self._wanted
        elif self._used is not self._wanted:
            share = 1 - math.exp(-step_s / _GLIDE_S)
            self._used = _between(self._used, self._wanted, share)
        return self._used

    def _log_scale(self, scale: float, step_s: float) -> float:
        value = np.array([math.log(scale)], np.float32)
        return float(self._scale(value, step_s, _SCALE_CUTOFF_HZ, _SCALE_BETA)[0])

    def _belief(self, angles: F32) -> float:
        """1 within the limits of pose, falling to 0 beyond, where the landmarks are guesses."""
        excess = float(np.max(np.abs(angles[:2]) - self._limits_rad))
        return float(np.clip(1 - excess / _BLIND_RAD, 0, 1))

    @staticmethod
    def _openness(face: F32, neutral: F32, yaw_rad: float) -> F32:
        """(2,) of the right and left eye; 0 shut, 1 as in the neutral."""
        shares = [
            face_regions.lid_gap(face, eye) / max(face_regions.lid_gap(neutral, eye), 1e-3)
            for eye in (0, 1)
        ]
        openness = (np.array(shares) - _CLOSED_LIDS) / (1 - _CLOSED_LIDS)
        begin, end = _FAR_EYE_RAD
        borrowed = float(np.clip((abs(yaw_rad) - begin) / (end - begin), 0, 1))
        far = 0 if yaw_rad > 0 else 1
        openness[far] += borrowed * (openness[1 - far] - openness[far])
        narrowed = np.minimum(openness / (1 - _LID_REST), 1)
        widened = np.maximum(openness - 1 - _LID_REST, 0)
        return np.asarray(np.clip(narrowed + widened, 0, _MAX_OPENNESS), np.float32)

    def _steady_gaze(self, expression: F32, openness: F32) -> None:
        """Keep the irises where they were while lids hide them; in place."""
        begin, end = _GAZE_OPENNESS
        for eye, (_, _, iris) in enumerate(face_regions.EYES):
            offset = expression[list(iris), :2].mean(axis=0)
            seen = float(np.clip((openness[eye] - begin) / (end - begin), 0, 1))
            self._gaze[eye] += seen * (offset - self._gaze[eye])
            expression[list(iris), :2] += self._gaze[eye] - offset


def euler_rad(rotation: F32) -> F32:
    """(yaw, pitch, roll) of rotation = Rz(roll) Ry(yaw) Rx(pitch), for yaw within 90 degrees.

    Positive yaw turns the face to the left of the picture, positive pitch lowers the chin,
    positive roll tilts the head clockwise in the picture.
    """
    yaw = math.asin(float(np.clip(-rotation[2, 0], -1, 1)))
    pitch = math.atan2(float(rotation[2, 1]), float(rotation[2, 2]))
    roll = math.atan2(float(rotation[1, 0]), float(rotation[0, 0]))
    return np.array([yaw, pitch, roll], np.float32)


def rotation_of(angles_rad: F32) -> F32:
    """(3, 3) from (yaw, pitch, roll); the inverse of `euler_rad`."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles_rad), np.sin(angles_rad)
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


def limited(angles_rad: F32, limits_rad: F32) -> F32:
    """(yaw, pitch, roll) as they are up to a share of their limits, then eased.

    Args:
        limits_rad: (2,) of yaw and pitch.
    """
    limits = np.array([*limits_rad, _MAX_ROLL_RAD])
    knee = _FREE_SHARE * limits
    room = limits - knee
    size = np.abs(angles_rad)
    eased = knee + room * np.tanh(np.maximum(size - knee, 0) / room)
    return np.asarray(np.sign(angles_rad) * np.minimum(size, eased), np.float32)


def _between(a: Neutral, b: Neutral, share: float) -> Neutral:
    return Neutral(
        a.face + np.float32(share) * (b.face - a.face),
        a.centre_px + np.float32(share) * (b.centre_px - a.centre_px),
        a.scale_px + share * (b.scale_px - a.scale_px),
    )


def gains(controls: Controls) -> F32:
    """(478, 1) how much of each landmark's offset is kept."""
    parts = face_regions.regions()
    gain = (
        1
        + parts.mouth * (controls.mouth - 1)
        + parts.brows * (controls.brows - 1)
        + parts.lids * (controls.blink - 1)
        + parts.irises * (controls.gaze - 1)
    )
    return np.asarray(controls.expression * gain, np.float32)[:, None]


def _soft_limit(offsets: F32) -> F32:
    """Offsets whose length approaches _MAX_OFFSET instead of passing it."""
    length = np.linalg.norm(offsets, axis=1, keepdims=True)
    return np.asarray(offsets / (1 + (length / _MAX_OFFSET) ** 4) ** 0.25, np.float32)


def _coefficients(neutral: F32, expression: F32, openness: F32) -> dict[str, float]:
    """The named coefficients, as performed (before any gain)."""
    face = neutral + expression
    jaw = float(face_regions.lip_gaps(face).max())
    smile = _smile(face) - _smile(neutral)
    brows = -float(expression[[107, 336, 105, 334], 1].mean())
    named = {
        "jawOpen": jaw / _JAW_OPEN,
        "eyeBlinkLeft": 1 - float(openness[1]),
        "eyeBlinkRight": 1 - float(openness[0]),
        "mouthSmile": smile / _SMILE,
        "browInnerUp": brows / _BROW_UP,
    }
    return {name: min(max(value, 0.0), 1.0) for name, value in named.items()}


def _smile(face: F32) -> float:
    """How far the mouth's corners lie above its middle, and a little of how wide it is."""
    corners, middle = face[[61, 291]], face[[13, 14]]
    lifted = middle[:, 1].mean() - corners[:, 1].mean()
    return float(lifted + 0.25 * np.linalg.norm(corners[0] - corners[1]))
