from __future__ import annotations

import numpy as np
import pytest

from engines.liveportrait import openings
from tests.engines import faces


def test_openings_are_shares_of_widths_and_blind_to_size_place_and_tilt() -> None:
    landmarks = faces.landmarks()
    landmarks[[33, 133], :2] = [[100, 100], [140, 100]]
    landmarks[[159, 145], :2] = [[120, 95], [120, 105]]
    landmarks[[362, 263], :2] = [[200, 100], [250, 100]]
    landmarks[[386, 374], :2] = [[225, 99], [225, 104]]
    landmarks[[61, 291], :2] = [[130, 200], [210, 200]]
    landmarks[[13, 14], :2] = [[170, 190], [170, 214]]
    turn = 2 * np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]], np.float32)
    for each in (landmarks, landmarks @ turn + np.float32(7)):
        np.testing.assert_allclose(openings.of_eyes(each), [10 / 40, 5 / 50], rtol=1e-5)
        assert openings.of_lips(each) == pytest.approx(24 / 80, rel=1e-5)


def test_closed_is_zero() -> None:
    landmarks = faces.landmarks()
    landmarks[[145, 374, 14]] = landmarks[[159, 386, 13]]
    assert openings.of_lips(landmarks) == 0
    assert not openings.of_eyes(landmarks).any()
