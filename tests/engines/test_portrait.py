"""Portraits go on beyond their borders without a seam, and without a second head."""

from __future__ import annotations

import numpy as np

from engines.portrait import bleed, extend


def portrait(size: int = 200) -> np.ndarray:
    """A head that the upper border cuts, on shoulders that fall towards both sides."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    head = (x - 100) ** 2 + (y - 60) ** 2 < 65**2
    shoulders = y > 140 + 0.3 * np.abs(x - 100)
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., 0] = 180
    rgba[..., 3] = np.where(head | shoulders, 255, 0)
    return rgba


def test_the_original_is_kept() -> None:
    source = portrait()
    extended = extend(source)
    x, y = extended.origin.astype(int)
    np.testing.assert_array_equal(extended.rgba[y : y + 200, x : x + 200, 3], source[..., 3])


def test_shoulders_keep_falling_beyond_the_sides() -> None:
    extended = extend(portrait())
    x, y = extended.origin.astype(int)
    solid = extended.rgba[..., 3] > 127
    at_border, beyond = solid[:, x + 2], solid[:, x - 30]
    fall = int(beyond.argmax()) - int(at_border.argmax())
    assert 5 < fall < 15, "about 0.3 rows per column"


def test_no_second_head_beside_the_first() -> None:
    extended = extend(portrait())
    x, y = extended.origin.astype(int)
    assert extended.rgba[y : y + 120, :x, 3].max() == 0


def test_a_cut_head_is_closed_by_a_cap() -> None:
    extended = extend(portrait())
    x, y = extended.origin.astype(int)
    rows = (extended.rgba[:y, :, 3] > 127).sum(axis=1)
    assert rows[-1] > rows[-3] > 0, "narrower row by row"
    assert rows[0] == 0, "closed below the upper edge"


def test_colours_go_on_under_transparent_pixels() -> None:
    source = portrait()
    source[source[..., 3] == 0, :3] = (0, 255, 0)  # what an encoder may leave there
    filled = bleed(source)
    assert filled[..., 1].max() < 10
    np.testing.assert_array_equal(filled[..., 3], source[..., 3])
