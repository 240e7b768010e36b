"""Slopes and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from realtime.bench.trends import slope, student_quantile


@pytest.mark.parametrize("freedom", [3, 4.5, 10, 100])
@pytest.mark.parametrize("probability", [0.9, 0.975])
def test_the_quantile_is_students(freedom: float, probability: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(
        stats.t.ppf(probability, freedom), rel=0.01
    )


def test_a_line_is_found_exactly() -> None:
    found = slope([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [7.0, 9.0, 11.0, 13.0, 15.0, 17.0])
    assert found is not None
    assert found == pytest.approx((2.0, 2.0, 2.0))
    assert not found.is_flat


def test_of_independent_values_the_interval_is_the_textbooks() -> None:
    """Alternating residuals: no correlation that would make it wider."""
    times = np.arange(20.0)
    values = 0.3 * times + np.where(times % 2 == 0, 1.0, -1.0)
    found = slope(times.tolist(), values.tolist())
    textbook = stats.linregress(times, values)
    reach = stats.t.ppf(0.975, 18) * textbook.stderr
    assert found is not None
    assert found.estimate == pytest.approx(textbook.slope)
    assert found.high - found.estimate == pytest.approx(reach, rel=0.01)


def test_what_drifts_to_and_fro_is_seldom_taken_for_growth() -> None:
    """Values that hang together, as latencies of a shared machine do."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(300):
        noise = rng.normal(size=60)
        values = [noise[0]]
        for shock in noise[1:]:
            values.append(0.6 * values[-1] + shock)
        found = slope(list(range(60)), values)
        wrong += found is not None and not found.is_flat
    assert wrong / 300 < 0.12


def test_growth_within_noise_is_found() -> None:
    rng = np.random.default_rng(4)
    times = np.arange(60) / 6
    found = slope(times.tolist(), (20 + 0.5 * times + rng.normal(0, 1, 60)).tolist())
    assert found is not None and found.low > 0
    assert found.low < 0.5 < found.high


def test_too_few_values_have_no_slope() -> None:
    assert slope([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) is None
    assert slope(range(8), [1.0, 1.1, 1.2, 1.3, 1.3, 1.2, 1.1, 1.0]) is None
