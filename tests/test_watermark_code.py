from __future__ import annotations

import numpy as np
import pytest

from realtime.watermark_code import CODED_BITS, decode, encode

IDS = [0, 1, 0xFFFFFFFF, 0x80000000, 0xC0FFEE42]


def heard(session_id: int, noise: float, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return (encode(session_id) + chance.normal(0, noise, CODED_BITS)).astype(np.float32)


@pytest.mark.parametrize("session_id", IDS)
def test_an_id_comes_back(session_id: int) -> None:
    signs = encode(session_id)
    assert signs.shape == (CODED_BITS,)
    assert set(np.unique(signs)) <= {-1, 1}
    assert decode(signs.astype(np.float32)) == session_id
    assert decode(signs.astype(np.float32) * 1e-6) == session_id


def test_an_id_comes_back_when_a_fifth_of_the_signs_is_wrong() -> None:
    for seed in range(20):
        signs = heard(IDS[4], 1.0, seed)
        wrong = int((np.sign(signs) != encode(IDS[4])).sum())
        assert 10 < wrong < 45
        assert decode(signs) == IDS[4]


def test_what_cannot_be_heard_is_not_guessed() -> None:
    """Noise passes the check once in 65536: in 400 trials, as good as never."""
    chance = np.random.default_rng(1)
    trials = [decode(chance.normal(size=CODED_BITS).astype(np.float32)) for _ in range(400)]
    assert trials.count(None) >= 399


def test_all_wrong_is_no_other_id() -> None:
    assert decode(-encode(IDS[4]).astype(np.float32)) != IDS[4]


@pytest.mark.parametrize("session_id", [-1, 1 << 32])
def test_an_id_of_more_bits_is_refused(session_id: int) -> None:
    with pytest.raises(ValueError, match="take its low bits"):
        encode(session_id)
