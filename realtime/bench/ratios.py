"""Two versions measured in pairs: by what factor the second differs, and how sure that is. Pure.

The estimate is that of Hodges and Lehmann (1963): the median of the means of every two log ratios.
Its interval comes from the exact distribution of Wilcoxon's signed ranks (Conover, Practical
Nonparametric Statistics, section 5.7). Both ask only that log ratios spread evenly about their
middle, which turns in the order ABBA give; a turn that the machine spent elsewhere is one rank,
where it would drag a mean and widen Student's interval.

What is better follows from a metric's name, because names carry their unit.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Better = Literal["smaller", "larger"]

CONFIDENCE = 0.95
"""of an interval's two sides together; each side alone is missed with half of the rest"""

_RULES: tuple[tuple[str, Better | None], ...] = (
    (r".*(_per_\w+|_ratio|_floor_ms|_sent)", None),  # slopes, shares of others, what is only said
    (r"(.*_)?fps|(live|kept)_pct", "larger"),
    (
        r".*(_ms|_s|_mib)|(.*_)?(dropped|frozen|lost)_\w+|leaked_\w+|errors|freezes|empty_minutes",
        "smaller",
    ),
)
_UNIT = re.compile(r"(?:^|_)(ms|s|mib|pct|fps|px|db)$")


class Interval(NamedTuple):
    """From base to head, a factor or a difference, and the bounds that it is within."""

    estimate: float
    low: float
    high: float

    def inverted(self) -> Interval:
        return Interval(1 / self.estimate, 1 / self.high, 1 / self.low)


def better_of(name: str) -> Better | None:
    """Which way a metric is better; None when its name does not say."""
    return next((better for rule, better in _RULES if re.fullmatch(rule, name)), None)


def unit_of(name: str) -> str:
    """The unit that a metric's name ends with, or an empty text."""
    found = _UNIT.search(name)
    return found[1] if found else ""


def least_pairs(confidence: float = CONFIDENCE) -> int:
    """The fewest pairs that have an interval: all of one sign must be rare enough."""
    return math.ceil(-math.log2((1 - confidence) / 2))


def ratio(
    base: Sequence[float], head: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """Factor from base to head over pairs of runs; None where there is no ratio, or no interval.

    Args:
        base, head: one figure per run, of the same length; run `i` of both is one pair.
    """
    if len(base) < least_pairs(confidence) or min(*base, *head) <= 0:
        return None
    logs = np.log(np.asarray(head, np.float64) / np.asarray(base, np.float64))
    return Interval(*(math.exp(value) for value in _middle(logs, confidence)))


def difference(
    base: Sequence[float], head: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """What head has more than base over pairs of runs; None where there is no interval."""
    if len(base) < least_pairs(confidence):
        return None
    return _middle(np.asarray(head, np.float64) - np.asarray(base, np.float64), confidence)


def _middle(values: NDArray[np.float64], confidence: float) -> Interval:
    """Hodges and Lehmann's estimate of the middle, and its bounds."""
    first, second = np.triu_indices(len(values))
    means = np.sort((values[first] + values[second]) / 2)
    outside = _outside(len(values), (1 - confidence) / 2)
    return Interval(float(np.median(means)), float(means[outside]), float(means[-1 - outside]))


@functools.lru_cache
def _outside(pairs: int, chance: float) -> int:
    """The largest sum of signed ranks that, with all sums below it, comes up by that chance at
    most: as many of the sorted means lie outside the interval on either side."""
    highest = pairs * (pairs + 1) // 2
    chances = np.zeros(highest + 1)  # that some of the ranks 1..n add up to the index
    chances[0] = 1.0
    for rank in range(1, pairs + 1):
        chances[rank:] += chances[: highest + 1 - rank].copy()
        chances /= 2
    return int(np.searchsorted(np.cumsum(chances), chance, side="right")) - 1
