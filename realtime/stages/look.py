"""Look: the camera's picture -> Seen, for a network that has to see the performer.

What comes out is numbers: how the network reads the face now, and how it read it at rest. Those at
rest are of the same frames from which `retarget` takes the neutral. Both are smoothed over time as
landmarks are. Knows no key points: which gain acts on what is the network's affair.
"""

from __future__ import annotations

import math

import numpy as np

from engines.avatar import AnyReenactor
from engines.errors import EngineError
from engines.pose import Gains, Seen, Sight
from realtime.config import Tracking
from realtime.errors import FrameError
from realtime.frames import F32, Controls, FaceTrack, Rest, SourceFrame
from realtime.smoothing import FALLBACK_STEP_S, OneEuro, Steps, ease

_GLIDE_S = 0.15
"""time constant with which a better rest replaces the one in use; as of the neutral"""
_CALMER = 0.8
"""a first rest gives way to a frame with less than this share of its agitation"""
_SHARE_CALM, _FEWEST_CALM, _MOST_SAMPLES = 0.25, 3, 300
_PICTURE_UNITS = np.array([1, 1, 1, 4, 4, 1], np.float32)
"""places count in heights of the picture, of which a face unit is a quarter or so"""
_HEAD_QUICKNESS = 30.0
_EXPRESSION_CALM, _EXPRESSION_QUICKNESS = 3.0, 40.0
"""cutoffs at rest and their rise, relative to the settings; as of landmarks, but that a face unit
is half a unit of key points. Not yet tried with numbers from published weights."""


class Look:
    """One performer, as one network sees them. One object per session."""

    def __init__(self, reenactor: AnyReenactor, config: Tracking) -> None:
        self._reenactor = reenactor
        self._smooth = _Smoother(config)
        self._steps = Steps()
        self._at_rest = _AtRest()

    def __call__(
        self, source: SourceFrame, face: FaceTrack, rest: Rest | None, controls: Controls
    ) -> Seen:
        """
        Args:
            rest: of this frame's `Motion`.

        Raises:
            FrameError: the network gave NaN or infinity.
        """
        try:
            sight = self._reenactor.look(source.rgb, face.landmarks_px)
        except EngineError as error:
            raise FrameError(str(error)) from error
        step_s = self._steps(source.arrived_ns)
        if step_s is None or controls.smoothing <= 0:
            self._smooth.reset()
        step_s = step_s or FALLBACK_STEP_S
        now = self._smooth(sight, step_s, controls.smoothing)
        gains = Gains(
            expression=controls.expression,
            mouth=controls.mouth,
            blink=controls.blink,
            gaze=controls.gaze,
            head=controls.head,
        )
        return Seen(now, self._at_rest(now, rest, step_s), gains)


class _Smoother:
    def __init__(self, config: Tracking) -> None:
        self._min_cutoff_hz = config.one_euro_min_cutoff_hz
        self._beta = config.one_euro_beta
        self.reset()

    def reset(self) -> None:
        self._head, self._expression = OneEuro(joint=True), OneEuro()

    def __call__(self, sight: Sight, step_s: float, strength: float) -> Sight:
        calm, quick = self._min_cutoff_hz * ease(strength), self._beta * ease(strength)
        head = self._head(sight.head * _PICTURE_UNITS, step_s, calm, _HEAD_QUICKNESS * quick)
        expression = self._expression(
            sight.expression, step_s, _EXPRESSION_CALM * calm, _EXPRESSION_QUICKNESS * quick
        )
        return Sight(_f32(head / _PICTURE_UNITS), _f32(expression), sight.offset, sight.reach)


class _AtRest:
    """What the network saw in the calmest frames of a calibration."""

    def __init__(self) -> None:
        self._take = -1
        self._samples: list[tuple[float, Sight]] = []
        self._calmest = math.inf
        self._is_taken = False
        self._used: Sight | None = None
        self._wanted: Sight | None = None

    def __call__(self, now: Sight, rest: Rest | None, step_s: float) -> Sight:
        """The rest in use, on its way to the one that is wanted."""
        if rest is not None:
            self._collect(now, rest)
        elif self._samples:
            calm = sorted(self._samples, key=lambda sample: sample[0])
            count = max(_FEWEST_CALM, round(_SHARE_CALM * len(calm)))
            self._wanted, self._is_taken = _middle([each for _, each in calm[:count]]), True
            self._samples = []
        wanted = now if self._wanted is None else self._wanted
        if self._used is None:
            self._used = wanted
        share = 1 - math.exp(-step_s / _GLIDE_S)
        self._used = _between(self._used, wanted, share)
        return self._used

    def _collect(self, now: Sight, rest: Rest) -> None:
        if rest.take != self._take:
            self._take, self._samples = rest.take, []
        if math.isinf(rest.agitation):
            return
        if not self._is_taken and rest.agitation < _CALMER * self._calmest:
            self._wanted, self._calmest = now, rest.agitation
        self._samples.append((rest.agitation, now))
        if len(self._samples) > _MOST_SAMPLES:
            worst = max(range(len(self._samples)), key=lambda at: self._samples[at][0])
            del self._samples[worst]


def _middle(sights: list[Sight]) -> Sight:
    return Sight(
        _f32(np.median([each.head for each in sights], axis=0)),
        _f32(np.median([each.expression for each in sights], axis=0)),
        _f32(np.median([each.offset for each in sights], axis=0)),
        float(np.median([each.reach for each in sights])),
    )


def _between(a: Sight, b: Sight, share: float) -> Sight:
    if a is b:
        return a
    part = np.float32(share)
    return Sight(
        a.head + part * (b.head - a.head),
        a.expression + part * (b.expression - a.expression),
        a.offset + part * (b.offset - a.offset),
        a.reach + share * (b.reach - a.reach),
    )


def _f32(values: object) -> F32:
    return np.asarray(values, np.float32)
