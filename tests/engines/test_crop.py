"""How what a network says of a patch is laid over the canvas."""

from __future__ import annotations

import numpy as np
import pytest

from engines.crop import Patch

PX = 32
CANVAS = (60, 80)


def patch(left: float, top: float, zoom: float = 2.0) -> Patch:
    """Of `PX / zoom` canvas pixels, the first of which is (left, top)."""
    return Patch(np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]], np.float32), PX)


def canvas(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(10, 120, (*CANVAS, 3)).astype(np.uint8)


def test_light_multiplies_what_the_patch_covers_and_nothing_else() -> None:
    before, after = canvas(), canvas()
    patch(20, 10).light(np.full((PX, PX), 1.5, np.float32), after)
    inside = (slice(11, 24), slice(21, 34))
    np.testing.assert_allclose(after[inside], 1.5 * before[inside], atol=0.51)
    changed = (after != before).any(axis=2)
    assert changed[9:27, 19:37].any() and not np.delete(changed, np.s_[9:27], 0).any()
    assert not np.delete(changed, np.s_[19:37], 1).any()


def test_light_keeps_detail_that_the_patch_cannot_have() -> None:
    before = np.zeros((*CANVAS, 3), np.uint8)
    before[::2] = 80  # lines of a pixel, of which a patch sees every fourth pixel
    after = before.copy()
    patch(0, 0, zoom=0.25).light(np.full((PX, PX), 2.0, np.float32), after)
    np.testing.assert_array_equal(after[2:-2, 2:-2], 2 * before[2:-2, 2:-2])


@pytest.mark.parametrize("gain, expected", [(10.0, 255), (0.0, 0)])
def test_light_saturates(gain: float, expected: int) -> None:
    after = canvas() + np.uint8(60)
    patch(20, 10).light(np.full((PX, PX), gain, np.float32), after)
    assert (after[11:24, 21:34] == expected).all()


@pytest.mark.parametrize("left, top", [(-500, 0), (0, -500), (500, 0), (0, 500)])
def test_a_patch_outside_the_canvas_changes_nothing(left: float, top: float) -> None:
    after = canvas()
    patch(left, top).light(np.full((PX, PX), 2.0, np.float32), after)
    patch(left, top).add(np.ones((PX, PX, 3), np.float32), after)
    np.testing.assert_array_equal(after, canvas())


@pytest.mark.parametrize("left, top", [(-8, 20), (70, 20), (30, -8), (30, 52)])
def test_a_patch_half_outside_lights_its_other_half(left: float, top: float) -> None:
    before, after = canvas(), canvas()
    patch(left, top).light(np.full((PX, PX), 1.5, np.float32), after)
    rows = slice(max(int(top), 0) + 1, min(int(top) + 15, CANVAS[0]))
    columns = slice(max(int(left), 0) + 1, min(int(left) + 15, CANVAS[1]))
    np.testing.assert_allclose(after[rows, columns], 1.5 * before[rows, columns], atol=0.51)
    assert before[rows, columns].size > 100


def test_a_change_is_added_in_full_scale() -> None:
    before, after = canvas(), canvas()
    patch(20, 10).add(np.full((PX, PX, 3), 0.1, np.float32), after)
    inside = (slice(11, 24), slice(21, 34))
    np.testing.assert_allclose(after[inside], before[inside] + 25.5, atol=0.51)
