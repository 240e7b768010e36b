"""The squares in which faces are shown to the networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import face_mesh
from engines.liveportrait.alignment import FaceCrop, driving_crop, source_crop
from engines.placing import place
from realtime import portrait
from realtime.drivers import camera
from tests import performers
from tests.engines import faces

F32 = NDArray[np.float32]

IDENTITIES = Path(__file__).parents[3] / "realtime" / "identities"
EITHER = pytest.mark.parametrize("crop_of", [source_crop, driving_crop])


def changed(landmarks: F32, zoom: float, angle_rad: float, shift: tuple[float, float]) -> F32:
    """Landmarks turned clockwise in the picture, enlarged, moved."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    out = zoom * landmarks
    out[:, :2] = out[:, :2] @ np.array([[cos, sin], [-sin, cos]]) + shift
    return out.astype(np.float32)


def in_crop(crop: FaceCrop, points: F32, px: int = 256) -> F32:
    matrix = crop.crop_from_picture(px)
    return np.asarray(points[:, :2] @ matrix[:, :2].T + matrix[:, 2], np.float32)


def test_on_the_mean_face_the_published_numbers_give_this_square() -> None:
    """Side 1.52 face units times 2.3, its middle an eighth of that above the square's."""
    mean = face_mesh.load().mean_shape
    crop = source_crop(mean)
    top, bottom = mean[105, 1], mean[face_mesh.CHIN, 1]
    width = mean[356, 0] - mean[127, 0]
    assert crop.side_px == pytest.approx(2.3 * max(bottom - top, width), rel=1e-3)
    assert crop.centre[1] == pytest.approx((top + bottom) / 2 - 0.125 * crop.side_px, abs=1e-3)
    assert crop.centre[0] == pytest.approx(0, abs=2e-3) and abs(crop.angle_rad) < 2e-3
    wider = driving_crop(mean)
    assert wider.side_px == pytest.approx(crop.side_px * 2.2 / 2.3)
    assert wider.centre[1] == pytest.approx((top + bottom) / 2 - 0.1 * wider.side_px, abs=1e-3)


@EITHER
def test_a_face_that_is_turned_enlarged_and_moved_takes_its_square_along(
    crop_of: Callable[[F32], FaceCrop],
) -> None:
    landmarks = faces.landmarks()
    angle = math.radians(25)
    before, after = crop_of(landmarks), crop_of(changed(landmarks, 1.7, angle, (40, -30)))
    expected = changed(np.array([[*before.centre, 0]], np.float32), 1.7, angle, (40, -30))
    np.testing.assert_allclose(after.centre, expected[0, :2], atol=0.05)
    assert after.side_px == pytest.approx(1.7 * before.side_px, rel=1e-4)
    turned = angle if crop_of is source_crop else 0.0
    assert after.angle_rad - before.angle_rad == pytest.approx(turned, abs=1e-4)


def test_a_portrait_is_seen_upright_whichever_way_it_is_tilted() -> None:
    landmarks = faces.landmarks()
    upright = in_crop(source_crop(landmarks), landmarks)
    tilted = changed(landmarks, 0.8, math.radians(-35), (10, 200))
    np.testing.assert_allclose(in_crop(source_crop(tilted), tilted), upright, atol=0.05)


def test_a_crop_shows_what_lies_in_its_square() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(picture, (250, 120), 6, (255, 255, 255), -1)
    for side, px in ((100, 100), (200, 50), (40, 80)):
        crop = FaceCrop(np.array([240.0, 130.0], np.float32), side, math.radians(30))
        found = crop.cut(picture, px)
        assert found.shape == (px, px, 3)
        rows, columns = np.nonzero(found[..., 0] > 127)
        spot = in_crop(crop, np.array([[250, 120]], np.float32), px)[0]
        assert math.hypot(columns.mean() - spot[0], rows.mean() - spot[1]) < 0.6


def test_a_larger_square_is_averaged_down() -> None:
    """Every second column white: sampled it would be stripes, averaged it is grey."""
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:, ::2] = 255
    crop = FaceCrop(np.array([128.0, 128.0], np.float32), 128.0, 0.0)
    assert np.ptp(crop.cut(picture, 32)[4:-4, 4:-4]) <= 2


def test_beyond_the_picture_its_border_goes_on() -> None:
    picture = np.full((50, 50, 3), 90, np.uint8)
    crop = FaceCrop(np.array([0.0, 0.0], np.float32), 100.0, 0.0)
    assert (crop.cut(picture, 64) == 90).all()


@pytest.mark.parametrize("name", performers.NAMES)
def test_the_square_follows_a_performer_without_jumps(name: str) -> None:
    landmarks = performers.landmarks(name)
    crops = [driving_crop(each) for each in landmarks]
    side = np.array([crop.side_px for crop in crops])
    centres = np.stack([crop.centre for crop in crops])
    head = landmarks[:, list(face_mesh.RIGID), :2].mean(axis=1)
    way, own_way = (np.linalg.norm(np.diff(p, axis=0), axis=1) / side[1:] for p in (centres, head))
    assert (way - own_way).max() < 0.01, "a hundredth of its side more than the head moves"
    assert np.abs(np.diff(np.log(side))).max() < 0.06
    for crop, each in zip(crops, landmarks, strict=True):
        inside = in_crop(crop, each)
        assert inside.min() > 256 * 0.2 and inside.max() < 256 * 0.9, "the face with room for hair"
        eyes = inside[[33, 263]].mean(axis=0)
        assert np.abs(eyes - [128, 118]).max() < 24


@pytest.mark.parametrize("name", ["cobalt", "coral", "juniper", "slate"])
def test_a_portrait_s_square_holds_the_whole_head(name: str) -> None:
    path = IDENTITIES / name / "portrait.png"
    rgba = portrait.decode(path.read_bytes(), path)
    (face,) = camera.find_faces(portrait.over(rgba))
    placed = place(rgba, face.landmarks_px, (480, 640))
    crop = source_crop(placed.landmarks)
    person = crop.cut(placed.rgba, 256)[..., 3] > 127
    chin = round(float(in_crop(crop, placed.landmarks[[face_mesh.CHIN]])[0, 1]))
    assert not person[:10].any(), "hair ends below the upper border"
    assert not person[: chin - 20, :10].any() and not person[: chin - 20, -10:].any()
    assert person[chin - 60, 128] and chin < 240
