"""The bench of narrow links: what is compared with what, and how it becomes figures."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.bench.film_daemon import shown_at
from realtime.bench.narrow import Turn, score, summarise
from tests.pictures import i420_of, texture


def test_a_film_goes_forth_and_back_for_ever() -> None:
    assert [shown_at(number, 4) for number in range(13)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert [shown_at(number, 2) for number in range(4)] == [0, 1, 0, 1]


def test_an_equal_picture_has_the_best_score_and_a_smaller_one_loses_detail() -> None:
    luma = texture()
    film = i420_of(luma)
    decibels, similar = score(luma, film)
    assert decibels == 100 and similar == pytest.approx(1)
    half_decibels, half_similar = score(np.ascontiguousarray(luma[::2, ::2]), film)
    assert 10 < half_decibels < 60 and 0 < half_similar < 0.999
    noisy = np.clip(luma + np.random.default_rng(0).normal(0, 40, luma.shape), 0, 255)
    assert score(noisy.astype(np.uint8), film)[0] < half_decibels


def test_the_mark_and_the_number_are_not_compared() -> None:
    luma = texture()
    changed = luma.copy()
    rows = len(luma)
    changed[: rows // 10] = 0
    changed[-rows // 10 :] = 255
    decibels, similar = score(changed, i420_of(luma))
    assert decibels == 100 and similar > 0.99


def test_freezes_and_sizes_are_counted() -> None:
    ms = 1_000_000
    turn = Turn(
        [30, 40],
        [0.8, 0.9],
        [33 * ms, 250 * ms, 400 * ms],
        2,
        [(640, 480), (320, 240)],
        7,
        ["link", "", "cpu", ""],
    )
    found = summarise(turn, "x")
    assert found["x_psnr_db"] == 35 and found["x_ssim"] == pytest.approx(0.85)
    assert found["x_freezes"] == 2 and found["x_frozen_s"] == pytest.approx(0.65)
    assert found["x_shown_fps"] == 1 and found["x_mean_width_px"] == 480
    assert found["x_last_width_px"] == 320 and found["x_lost_packets"] == 7
    assert found["x_by_machine_pct"] == 25
