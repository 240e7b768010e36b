"""`bench lipsync`: the figures it makes of claps, and the microphone whose crystal runs fast."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.bench.clap import ClapMicrophone, Clicks, samples_of
from realtime.bench.lipsync import Fit
from realtime.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from realtime.errors import ReenactdError


def test_a_drift_is_told_over_the_whole_run() -> None:
    flashes = [second * NS_PER_S for second in range(1000)]
    noise = np.random.default_rng(4).normal(0, 1, len(flashes))
    clicks = [
        round(flash + (5 + 0.02 * index + noise[index]) * NS_PER_MS)
        for index, flash in enumerate(flashes)
    ]
    fit = Fit.of(flashes, clicks)
    assert fit.claps == 1000 and fit.within_40_pct == 100
    assert fit.drift_ms is not None and fit.drift_low_ms is not None
    assert fit.drift_ms == pytest.approx(20, abs=1) and fit.drift_low_ms > 18
    assert fit.last_fifth_ms - fit.first_fifth_ms == pytest.approx(16, abs=1)
    assert fit.median_ms == pytest.approx(15, abs=1) and 24 < fit.worst_ms < 30


def test_claps_that_do_not_come_are_no_figures() -> None:
    with pytest.raises(ReenactdError, match="2 flashes, 0 clicks"):
        Fit.of([0, NS_PER_S], [])


@pytest.mark.parametrize("fast_ppm", [-1000, 0, 1000])
async def test_a_fast_crystal_counts_more_samples_between_claps(fast_ppm: int) -> None:
    microphone = ClapMicrophone(MonotonicClock().now_ns() - 10 * NS_PER_S, fast_ppm)
    finder, heard = Clicks(), list[int]()
    for _ in range(50 * 4 - 10):
        block = await microphone.recv()
        at = finder.find(samples_of(block))
        if at is not None:
            heard.append((block.pts or 0) + at)
    second = 48 * (1000 + fast_ppm / 1000)
    assert heard == pytest.approx([second, 2 * second, 3 * second], abs=2)
