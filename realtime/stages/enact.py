"""Enact: coefficients that another tracker measured -> Motion. Knows no pictures and no landmarks.

What `retarget.py` is for a camera: the performer's gains and rest pose are applied here, and limits
of pose, so that what comes out is fit to drive any identity. There is no neutral to learn, for
coefficients are 0 at rest already; only how the head is held can be taken as its rest.
"""

from __future__ import annotations

import numpy as np

from realtime import face_shapes
from realtime.config import Retarget as Settings
from realtime.errors import FrameError
from realtime.frames import F32, Controls, Motion, Performed
from realtime.stages.retarget import euler_rad, gains, limited, rotation_of

_MAX_OPENNESS = 1.6


class Enact:
    """Turns one performer's coefficients into Motion. One object per session."""

    def __init__(self, config: Settings) -> None:
        self._limits_rad = np.radians([config.max_yaw_deg, config.max_pitch_deg])
        self._rest: F32 = np.eye(3, dtype=np.float32)
        self._take_rest = False

    def calibrate(self) -> None:
        """Take the head as it is held in the next frame as its rest."""
        self._take_rest = True

    def __call__(self, performed: Performed, controls: Controls) -> Motion:
        """
        Raises:
            FrameError: a number is not finite.
        """
        given = performed.coefficients
        if not (np.isfinite(performed.rotation).all() and np.isfinite(list(given.values())).all()):
            raise FrameError("the tracker sent a number that is not finite; the frame was skipped")
        if self._take_rest:
            self._rest, self._take_rest = performed.rotation, False
        turned = performed.rotation @ self._rest.T
        shaped = face_shapes.shape(given)
        blink = controls.blink * controls.expression
        openness = 1 + (shaped.eye_openness - 1) * blink
        angles = euler_rad(turned) * controls.head
        return Motion(
            rotation=rotation_of(limited(angles, self._limits_rad)),
            translation=np.zeros(2, np.float32),
            scale=1.0,
            expression=shaped.expression * gains(controls),
            eye_openness=np.clip(openness, 0, _MAX_OPENNESS).astype(np.float32),
            coefficients=given,
        )
