from __future__ import annotations

import numpy as np

from realtime.backdrop import RealBackdrop, blend
from tests import fakes
from tests.fakes import HEIGHT, WIDTH


def gradient() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    ramp = np.linspace(40, 220, WIDTH)
    return np.repeat(np.tile(ramp, (HEIGHT, 1))[:, :, None], 3, axis=2).astype(np.uint8)


def test_blending_is_exact_at_the_ends_and_linear_between() -> None:
    front, back = np.full((4, 4, 3), 200, np.uint8), np.full((4, 4, 3), 100, np.uint8)
    levels = [
        int(blend(front, np.full((4, 4), a, np.uint8), back)[0, 0, 0]) for a in (0, 51, 204, 255)
    ]
    assert levels[0] == 100 and levels[-1] == 200
    np.testing.assert_allclose(levels, [100, 120, 180, 200], atol=1)


def test_what_was_never_seen_continues_its_surroundings() -> None:
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[80:160, 120:200] = 1
    rgb = gradient()
    expected = rgb.astype(int)
    rgb[80:160, 120:200] = 255
    made = RealBackdrop(WIDTH, HEIGHT)(fakes.tracked(rgb, matte), matte, blurred=False)
    assert np.abs(made.astype(int) - expected)[80:160, 120:200].mean() < 12
    assert made[80:160, 120:200].max() < 200


def test_blurring_leaves_no_detail() -> None:
    checks = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((8, 8))) * 255
    rgb = np.repeat(checks[:, :, None], 3, axis=2).astype(np.uint8)
    nobody = np.zeros((HEIGHT, WIDTH), np.float32)
    backdrop = RealBackdrop(WIDTH, HEIGHT)
    plain = backdrop(fakes.tracked(rgb, nobody), nobody, blurred=False)
    blurred = backdrop(fakes.tracked(rgb, nobody), nobody, blurred=True)
    # the face in the middle is always taken for the performer
    assert plain[:60].std() > 100
    assert blurred[:60].std() < 12


def test_a_picture_that_is_all_performer_gives_no_pixel_of_it() -> None:
    everywhere = np.ones((HEIGHT, WIDTH), np.float32)
    tracked = fakes.tracked(gradient(), everywhere)
    made = RealBackdrop(WIDTH, HEIGHT)(tracked, everywhere, blurred=False)
    assert made.std() == 0


def test_the_hole_lasts_one_frame_longer_than_the_matte() -> None:
    """A matte that flickers off for a frame must not flash the performer."""
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[80:160, 20:80] = 1
    rgb = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    rgb[80:160, 20:80] = 250
    backdrop = RealBackdrop(WIDTH, HEIGHT)
    backdrop(fakes.tracked(rgb, matte), matte, blurred=False)
    made = backdrop(fakes.tracked(rgb, matte * 0), matte * 0, blurred=False)
    assert made[90:150, 30:70].max() < 100
