from __future__ import annotations

import hashlib

import numpy as np
import pytest

from realtime.frames import U8
from realtime.watermark import (
    FAINTEST,
    SHIFT,
    STEPS,
    STRONGEST,
    Payload,
    Watermark,
    draw_pattern,
)
from realtime.watermark_code import CODED_BITS
from realtime.watermark_field import FIELD
from tests import performers
from tests.marks import mark_score

PAYLOAD = Payload(0xC0FFEE42)


def filmed() -> U8:
    return np.ascontiguousarray(performers.pictures("performer1")[0][:, :, 1])


def embedded(luma: U8, payload: Payload = PAYLOAD) -> U8:
    marked = luma.copy()
    Watermark(payload).embed(marked)
    return marked


def psnr_db(before: U8, after: U8) -> float:
    return float(10 * np.log10(255**2 / np.mean((before.astype(float) - after) ** 2)))


def test_the_field_is_the_same_for_ever() -> None:
    """What was marked yesterday is to be found tomorrow: this digest never changes."""
    digest = hashlib.sha256(FIELD.signs.tobytes() + FIELD.places.tobytes()).hexdigest()
    assert digest == "6c0a8bb8935f87b1e0aa9b5923b8267cf184650f7325e8926173af3abcb051e7"


def test_every_coded_bit_has_as_many_cells() -> None:
    counts = np.bincount(FIELD.places[FIELD.places >= 0], minlength=CODED_BITS)
    assert counts.max() - counts.min() <= 1
    assert abs((FIELD.places < 0).mean() - 1 / 3) < 1e-3
    assert abs(FIELD.signs.mean()) < 0.02


def test_payloads_are_random_and_have_8_digits() -> None:
    drawn = {Payload.random().id for _ in range(50)}
    assert len(drawn) == 50
    assert str(Payload(0xBEEF)) == "0000beef"


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (322, 242), (480, 640), (1920, 120)])
def test_a_marked_picture_agrees_with_its_session_only(size: tuple[int, int]) -> None:
    luma = np.full(size[::-1], 120, np.uint8)
    marked = embedded(luma)
    assert mark_score(marked, PAYLOAD) > 20
    assert mark_score(marked, Payload(0x12345678)) < 0.7 * mark_score(marked, PAYLOAD)


def test_the_mark_of_a_filmed_picture_is_found_and_is_not_there_before() -> None:
    assert mark_score(embedded(filmed()), PAYLOAD) > 20
    assert abs(mark_score(filmed(), PAYLOAD)) < 5


def test_it_is_too_faint_to_be_seen() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640)).astype(np.uint8)
    for luma, least_db in ((filmed(), 46), (np.full_like(noise, 128), 50), (noise, 40)):
        assert psnr_db(luma, embedded(luma)) > least_db
    faintest = np.abs(embedded(np.full_like(noise, 128)).astype(int) - 128)
    assert faintest.max() <= 1


def test_where_there_is_more_detail_there_is_more_of_it() -> None:
    luma = np.full((480, 640), 128, np.uint8)
    luma[:, ::2][:, 160:] = 90
    change = np.abs(embedded(luma).astype(int) - luma)
    assert change[:, 328:].mean() > 2 * change[:, :312].mean()


def test_black_and_white_do_not_wrap_around() -> None:
    for level in (0, 255):
        marked = embedded(np.full((480, 640), level, np.uint8))
        assert np.abs(marked.astype(int) - level).max() <= 2


def test_a_pattern_fits_its_type_and_follows_the_picture_size() -> None:
    assert STRONGEST * 127 < 1 << 15
    assert FAINTEST * STEPS > 1 << (SHIFT - 1)  # a smooth picture is changed at all
    for width, height in ((640, 480), (1280, 720)):
        pattern = draw_pattern(PAYLOAD, width, height)
        assert pattern.shape == (height, width)
        assert 1.0 < np.abs(pattern).max() / STEPS < 3.9
    watermark = Watermark(PAYLOAD)
    for size in ((480, 640), (240, 320), (480, 640)):
        luma = np.full(size, 128, np.uint8)
        watermark.embed(luma)
        np.testing.assert_array_equal(luma, embedded(np.full(size, 128, np.uint8)))
