"""Scores of several contestants over the same samples, and what can be said of them.

Every interval is a bootstrap over identities (Efron, 1979), not over frames: frames of one face are
alike, and it is new faces that are asked about. An identity's score is the mean of its samples; the
identities are drawn with replacement. Knows neither measures nor contestants, only their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
SEED = 0
LEVEL = 95.0
"""percent"""


class Interval(NamedTuple):
    """A mean over identities, and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    identities: int
    samples: int


class Sample(NamedTuple):
    """What was shown: one frame or clip of one identity."""

    identity: str
    frame: str


class Scores:
    """Values by measure, contestant and sample."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[Sample, float]] = {}
        self.missing: dict[tuple[str, str], int] = {}
        """(trial, contestant) -> samples in whose output no face was found"""
        self.shown: dict[tuple[str, str], int] = {}
        """(trial, contestant) -> samples in whose output a face was looked for"""

    def add(self, measure: str, contestant: str, sample: Sample, value: float) -> None:
        if np.isfinite(value):
            self._values.setdefault((measure, contestant), {})[sample] = value

    def add_all(self, contestant: str, sample: Sample, values: Mapping[str, float]) -> None:
        for measure, value in values.items():
            self.add(measure, contestant, sample, value)

    def looked_for_face(self, trial: str, contestant: str, found: bool) -> None:
        """Count a sample, and whether its output shows a face."""
        key = trial, contestant
        self.shown[key] = self.shown.get(key, 0) + 1
        self.missing[key] = self.missing.get(key, 0) + (not found)

    def values_of(self, measure: str, contestant: str) -> Mapping[Sample, float]:
        """By sample; empty where nothing was measured."""
        return self._values.get((measure, contestant), {})

    def interval(self, measure: str, contestant: str) -> Interval | None:
        """None where nothing was measured."""
        return bootstrap(self._values.get((measure, contestant), {}))

    def gain(self, measure: str, contestant: str, baseline: str) -> Interval | None:
        """How much a contestant scores above a baseline, over the samples that both have."""
        own = self._values.get((measure, contestant), {})
        other = self._values.get((measure, baseline), {})
        return bootstrap({sample: own[sample] - other[sample] for sample in own if sample in other})


def bootstrap(values: Mapping[Sample, float]) -> Interval | None:
    """Mean over identities with its 95 % percentile interval; None of no values."""
    people: dict[str, list[float]] = {}
    for sample, value in values.items():
        people.setdefault(sample.identity, []).append(value)
    if not people:
        return None
    means = np.array([np.mean(people[name]) for name in sorted(people)])
    drawn = np.random.default_rng(SEED).integers(0, len(means), (RESAMPLES, len(means)))
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(means[drawn].mean(axis=1), (tail, 100 - tail))
    return Interval(float(means.mean()), float(low), float(high), len(means), len(values))
