"""A portrait on its canvas, and the square in it that is painted anew."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import PortraitError
from engines.liveportrait.alignment import source_crop
from engines.liveportrait.portrait import Stage, mask_of, stage_of
from engines.placing import PlacedPortrait, place
from tests.engines import faces

U8 = NDArray[np.uint8]

CANVAS = (480, 640)
PX = 512


def placed() -> PlacedPortrait:
    rgba = faces.portrait()
    rgba[..., :3] = cv2.GaussianBlur(rgba[..., :3], (0, 0), 4)
    return place(rgba, faces.landmarks(), CANVAS)


def square_of(stage: Stage) -> NDArray[np.bool_]:
    """(H, W) where the generated crop lies, border included."""
    corners = np.array([[0, 0, 1], [PX, 0, 1], [PX, PX, 1], [0, PX, 1]]) @ stage.canvas_from_crop.T
    inside = np.zeros(CANVAS, np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners).astype(np.int32), (1,))
    return np.asarray(cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0)


def middle_of(stage: Stage) -> NDArray[np.int64]:
    middle = stage.canvas_from_crop @ np.array([PX / 2, PX / 2, 1], np.float32)
    return np.asarray(np.round(middle), np.int64)


def test_the_portrait_s_own_crop_pasted_back_is_the_portrait() -> None:
    portrait = placed()
    stage = stage_of(portrait, CANVAS, PX)
    own = source_crop(portrait.landmarks).cut(np.ascontiguousarray(portrait.rgba[..., :3]), PX)
    own_share = np.abs(stage.paste(own).astype(int) - stage.rgb).mean()
    aside = np.abs(stage.paste(np.roll(own, 1, axis=1)).astype(int) - stage.rgb).mean()
    assert own_share < 0.4 * aside, "a pixel aside would show"
    assert own_share < 0.2


def test_beyond_the_square_every_pixel_stays() -> None:
    stage = stage_of(placed(), CANVAS, PX)
    green = stage.paste(np.full((PX, PX, 3), (0, 255, 0), np.uint8))
    square = square_of(stage)
    assert 0.2 < square.mean() < 0.95, "the test's own picture"
    np.testing.assert_array_equal(green[~square], stage.rgb[~square])
    x, y = middle_of(stage).tolist()
    assert green[y, x].tolist() == [0, 255, 0], "in its middle nothing of the portrait is left"


def test_the_paste_leaves_no_edge() -> None:
    stage = stage_of(placed(), CANVAS, PX)
    plain = Stage(
        np.zeros_like(stage.rgb), stage.alpha, stage.canvas_from_crop, stage.left_top, stage.mask
    )
    white = plain.paste(np.full((PX, PX, 3), 255, np.uint8))[..., 0].astype(int)
    for axis in (0, 1):
        assert np.abs(np.diff(white, axis=axis)).max() < 18


def test_what_is_shown_of_the_canvas_is_the_portrait_s_outline() -> None:
    portrait = placed()
    stage = stage_of(portrait, CANVAS, PX)
    assert stage.alpha.shape == CANVAS and stage.alpha.dtype == np.uint8
    x, y = middle_of(stage)
    assert stage.alpha[y, x] == 255 and stage.alpha[0, 0] == 0


def test_a_mask_is_one_in_the_middle_and_nothing_at_the_border() -> None:
    mask = mask_of(100)
    assert mask[50, 50] == 1 and mask[15, 80] == 1
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert not border.any()
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)


def test_a_face_beyond_the_canvas_is_refused() -> None:
    portrait = placed()
    away = PlacedPortrait(
        portrait.rgba, portrait.landmarks, portrait.canvas_from_portrait + np.float32(5000)
    )
    with pytest.raises(PortraitError, match="the face lies beyond the canvas"):
        stage_of(away, CANVAS, PX)
