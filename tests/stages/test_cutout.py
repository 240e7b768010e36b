"""The avatar without a background, from the composite to the stacked picture that leaves."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import pytest

from realtime.cards import card_matte
from realtime.config import Output, Video
from realtime.frames import Composited, Controls, Cutout, Marked, Rendered, Timings
from realtime.stages.composite import Composite
from realtime.stages.cutout import cut_out
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests import fakes
from tests.fakes import AVATAR_RGB, HEIGHT, WIDTH

GREEN = (0, 255, 0)

PAYLOAD = Payload(0xFEED)


def on_a_green_screen() -> Rendered:
    """A disc in the avatar's colour whose half-covered rim holds the green behind it."""
    arrays = fakes.disc(0.0)
    soft = cv2.GaussianBlur(arrays.alpha, (0, 0), 2)
    share = soft[:, :, None] / 255
    rgb = np.rint(np.array(AVATAR_RGB) * share + np.array(GREEN) * (1 - share)).astype(np.uint8)
    return Rendered(rgb, np.asarray(soft, np.uint8))


def test_the_avatars_colour_goes_on_under_what_is_transparent() -> None:
    rendered = on_a_green_screen()
    cutout = cut_out(rendered.rgb, rendered.alpha)
    near = (rendered.alpha < 128) & (cv2.dilate(rendered.alpha, np.ones((17, 17))) > 200)
    assert near.sum() > 500
    off = np.abs(cutout.rgb[near].astype(int) - AVATAR_RGB)
    spilt = np.abs(rendered.rgb[near].astype(int) - AVATAR_RGB)
    assert off.mean() < 0.25 * spilt.mean(), "no green behind the rim"
    sure = rendered.alpha >= 128
    np.testing.assert_array_equal(cutout.rgb[sure], rendered.rgb[sure])
    np.testing.assert_array_equal(cutout.alpha, rendered.alpha)


def test_nothing_to_see_is_no_error() -> None:
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert not cut_out(np.zeros((HEIGHT, WIDTH, 3), np.uint8), empty).alpha.any()


@pytest.mark.parametrize("mirror", [False, True])
def test_it_is_made_only_when_wanted_and_mirrored_with_the_picture(mirror: bool) -> None:
    stage = Composite(Video(width_px=WIDTH, height_px=HEIGHT))
    arrays = fakes.disc(0.3)
    rendered, controls = Rendered(arrays.rgb, arrays.alpha), Controls(mirror=mirror)
    identity, nobody = fakes.identity(), cast(Any, None)
    assert stage(rendered, identity, controls, nobody).cutout is None
    stage.cuts_out = True
    cutout = stage(rendered, identity, controls, nobody).cutout
    assert cutout is not None
    expected = arrays.alpha[:, ::-1] if mirror else arrays.alpha
    np.testing.assert_array_equal(cutout.alpha, expected)


def test_the_mark_is_in_the_matte_too() -> None:
    clear = np.zeros((480, 640), np.uint8)
    picture = np.full((480, 640, 3), 90, np.uint8)
    marked = Mark(Output(), PAYLOAD)(Composited(picture, Cutout(picture, clear))).cutout
    assert marked is not None and not clear.any()
    rows, columns = np.nonzero(marked.alpha)
    assert rows.max() < 60 and columns.min() > 0.8 * 640, "there and nowhere else"
    assert marked.alpha.max() == 255
    for level in (0, 90, 255):  # over any background it looks as it does in the whole picture
        whole = Mark(Output(), PAYLOAD)(Composited(np.full((480, 640, 3), level, np.uint8))).rgb
        share = marked.alpha[:, :, None] / 255
        over = marked.rgb * share + level * (1 - share)
        assert np.abs(over - whole).max() <= 3


def test_colour_is_above_and_the_matte_below() -> None:
    rng = np.random.default_rng(0)
    alpha = cv2.resize(rng.integers(0, 256, (6, 8)).astype(np.uint8), (64, 48))
    picture = np.full((48, 64, 3), (200, 90, 40), np.uint8)
    big = Output(label="AI", label_height=0.2)
    marked = Mark(big, PAYLOAD)(Composited(picture, Cutout(picture, np.asarray(alpha, np.uint8))))
    output = Emit()(marked, 0, 0, "LIVE", Timings(0))
    assert output.stacked_i420 is not None and output.stacked_i420.shape == (48 * 3, 64)
    rgb = cv2.cvtColor(output.stacked_i420, cv2.COLOR_YUV2RGB_I420)
    assert marked.cutout is not None
    assert np.abs(rgb[24:46, :].astype(int) - picture[24:46]).max() <= 3
    assert np.abs(rgb[48:].astype(int) - marked.cutout.alpha[:, :, None]).max() <= 2


def test_an_unmarked_cutout_does_not_leave() -> None:
    picture, alpha = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    forged = Marked(picture, "AI", PAYLOAD.id, cast(Any, Cutout(picture, alpha)))
    with pytest.raises(TypeError, match="not marked"):
        Emit()(forged, 0, 0, "LIVE", Timings(0))


def test_a_card_keeps_a_panel_of_its_own() -> None:
    matte = card_matte("No face in view", (480, 640))
    assert matte[240, 320] == 255 and not matte[:, :20].any() and not matte[:40].any()
