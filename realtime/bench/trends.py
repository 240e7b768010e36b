"""Whether something grows: the slope of a series and how sure it is. Pure.

Ordinary least squares. What is measured every few seconds on a shared machine hangs together from
one value to the next, which would make a plain interval far too narrow; so the number of values is
cut to that of independent ones, by the lag-1 correlation of what the line leaves over (Santer et
al. 2000, Statistical significance of trends, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np

from realtime.clock import NS_PER_S

CONFIDENCE = 0.95
LEAST_FREEDOM = 3
BIN_S = 10.0
"""what a slope is fitted to: medians over so long"""


def bins(
    stamped: Sequence[tuple[int, float]], began_ns: int, minute_s: float
) -> tuple[list[float], list[float]]:
    """Medians of values over `BIN_S`; times are the bins' middles in minutes since `began_ns`."""
    width_ns = round(BIN_S * NS_PER_S)
    grouped: dict[int, list[float]] = {}
    for at_ns, value in stamped:
        if at_ns >= began_ns:
            grouped.setdefault((at_ns - began_ns) // width_ns, []).append(value)
    times = [(index + 0.5) * BIN_S / minute_s for index in sorted(grouped)]
    return times, [median(grouped[index]) for index in sorted(grouped)]


class Slope(NamedTuple):
    """Per unit of time, and the bounds that it is within."""

    estimate: float
    low: float
    high: float

    @property
    def is_flat(self) -> bool:
        """Not to be told from zero."""
        return self.low <= 0 <= self.high


def slope(times: Sequence[float], values: Sequence[float]) -> Slope | None:
    """None where there are too few values, or too few independent ones, to be sure of anything."""
    count = len(values)
    if count < 4:
        return None
    at = np.asarray(times, np.float64) - np.mean(times)
    value = np.asarray(values, np.float64) - np.mean(values)
    rise = float(at @ value / (at @ at))
    left = value - rise * at
    noise = float(left @ left)
    correlation = float(left[1:] @ left[:-1]) / noise if noise > 0 else 0.0
    correlation = max(correlation, 0.0)
    independent = count * (1 - correlation) / (1 + correlation)
    freedom = independent - 2
    if freedom < LEAST_FREEDOM:
        return None
    error = (noise / freedom / float(at @ at)) ** 0.5
    reach = student_quantile((1 + CONFIDENCE) / 2, freedom) * error
    return Slope(rise, rise - reach, rise + reach)


def student_quantile(probability: float, freedom: float) -> float:
    """Of Student's distribution, from the normal one (Abramowitz and Stegun, 26.7.5): within 1 %
    from 3 degrees of freedom on."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))
