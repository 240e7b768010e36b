"""Factors between two versions: what is estimated, how sure, and which way is better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from realtime.bench.ratios import Interval, better_of, least_pairs, ratio, unit_of


def test_the_factor_of_equal_pairs_is_exact() -> None:
    base = [20.0, 30.0, 25.0, 40.0, 22.0, 27.0, 31.0]
    found = ratio(base, [1.5 * value for value in base])
    assert found == pytest.approx(Interval(1.5, 1.5, 1.5))


def test_a_slow_minute_of_both_sides_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    base = 25 * np.exp(rng.normal(0, 0.02, 12))
    head = 25 * np.exp(rng.normal(0, 0.02, 12))
    slow = np.where(np.arange(12) < 6, 3.0, 1.0)
    assert ratio(base * slow, head * slow) == pytest.approx(ratio(base, head))


@pytest.mark.parametrize("outlier", [0.05, 20.0])
def test_one_wild_pair_of_twelve_hardly_moves_the_bounds(outlier: float) -> None:
    base = [25.0] * 12
    head = [35.0 + 0.1 * index for index in range(12)]
    calm, wild = ratio(base, head), ratio(base, [*head[:-1], head[-1] * outlier])
    assert calm is not None and wild is not None
    assert wild.estimate == pytest.approx(calm.estimate, rel=0.02)
    assert wild.low > 1.3 and wild.high < 1.6


@pytest.mark.parametrize("pairs", [6, 8, 12, 40])
@pytest.mark.parametrize("confidence", [0.95, 0.9])
def test_bounds_are_those_that_the_signed_rank_test_would_not_reject(
    pairs: int, confidence: float
) -> None:
    """By its own door: a shift to just inside is not significant, to just outside it is."""
    logs = np.random.default_rng(pairs).normal(0.1, 0.2, pairs)
    found = ratio([1.0] * pairs, list(np.exp(logs)), confidence)
    assert found is not None
    for bound, inwards in ((found.low, 1e-9), (found.high, -1e-9)):
        inside = stats.wilcoxon(logs - math.log(bound) - inwards, method="exact").pvalue
        outside = stats.wilcoxon(logs - math.log(bound) + inwards, method="exact").pvalue
        assert outside <= 1 - confidence < inside


def test_intervals_of_identical_versions_hold_one_as_often_as_they_say() -> None:
    """Heavy tails, as on a machine that others use."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(600):
        noise = 0.1 * rng.standard_t(1.5, (2, 10))
        found = ratio(np.exp(noise[0]).tolist(), np.exp(noise[1]).tolist())
        assert found is not None
        held += found.low <= 1 <= found.high
    assert 0.93 <= held / 600 <= 0.985


def test_too_few_pairs_have_no_interval() -> None:
    assert least_pairs(0.95) == 6
    assert ratio([1.0] * 5, [1.0] * 5) is None
    assert ratio([1.0] * 6, [1.0] * 6) is not None


def test_a_figure_of_zero_has_no_ratio() -> None:
    assert ratio([0.0] + [1.0] * 9, [1.0] * 10) is None
    assert ratio([1.0] * 10, [1.0] * 9 + [-1.0]) is None


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("frame_p50_ms", "smaller"),
        ("stage_track_p95_ms", "smaller"),
        ("glass_p50_ms", "smaller"),
        ("dropped_pct", "smaller"),
        ("dropped_frames", "smaller"),
        ("leaked_fds", "smaller"),
        ("rss_last_minute_mib", "smaller"),
        ("frozen_s", "smaller"),
        ("fps", "larger"),
        ("delivered_fps", "larger"),
        ("live_pct", "larger"),
        ("stolen_pct", None),
        ("frames", None),
        ("latency_slope_ms_per_min", None),
        ("warp-refine_drive_onnx_floor_ms", None),
        ("warp-refine_drive_onnx_roofline_ratio", None),
    ],
)
def test_what_is_better_follows_from_the_name(name: str, better: str | None) -> None:
    assert better_of(name) == better


def test_the_unit_is_the_end_of_the_name() -> None:
    assert unit_of("frame_p50_ms") == "ms"
    assert unit_of("fps") == "fps"
    assert unit_of("dropped_frames") == ""
