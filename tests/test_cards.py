from __future__ import annotations

import numpy as np
import pytest

from realtime.cards import draw_card


@pytest.mark.parametrize("canvas_hw", [(480, 640), (720, 1280), (120, 160)])
def test_a_card_fills_the_canvas(canvas_hw: tuple[int, int]) -> None:
    card = draw_card("Camera paused", canvas_hw)
    assert card.shape == (*canvas_hw, 3)
    assert card.dtype == np.uint8


def test_the_text_is_legible_and_stays_inside() -> None:
    text = "A rather long text that would not fit into one line at its full size, and so shrinks"
    bare, card = draw_card("", (480, 640)), draw_card(text, (480, 640))
    written = np.abs(card.astype(int) - bare).max(axis=2) > 60
    columns = np.nonzero(written.any(axis=0))[0]
    assert 0.05 * 640 < columns.min() < columns.max() < 0.95 * 640
    assert card[written].mean() > 120


def test_different_texts_give_different_cards() -> None:
    assert (draw_card("Starting", (240, 320)) != draw_card("Paused", (240, 320))).any()
