"""Every measure on cases whose answer is known without running it."""

from __future__ import annotations

import importlib

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import face_mesh
from engines.training import measures
from tests.engines import faces

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

HW = (512, 512)


def texture(seed: int = 0, size: int = 128) -> U8:
    coarse = np.random.default_rng(seed).uniform(40, 215, (size // 4, size // 4, 3))
    return cv2.resize(coarse.astype(np.float32), (size, size)).astype(np.uint8)


def noisy(picture: U8, sigma: float) -> U8:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def test_equal_pictures_are_perfect() -> None:
    picture = texture()
    boxes = measures.regions(faces.landmarks(120.0) / 4, (128, 128))
    found = measures.compare(picture, picture, boxes)
    assert {name: found[f"{name}_psnr_db"] for name in boxes} == dict.fromkeys(boxes, 100.0)
    assert all(found[f"{name}_ssim"] == pytest.approx(1, abs=1e-5) for name in boxes)
    assert all(found[f"{name}_gmsd"] == pytest.approx(0, abs=1e-6) for name in boxes)


@pytest.mark.parametrize("levels", [1, 5, 20])
def test_psnr_of_a_constant_error_is_its_formula(levels: int) -> None:
    picture = texture()
    expected = 20 * np.log10(255 / levels)
    assert measures.psnr_db(picture + np.uint8(levels), picture) == pytest.approx(expected)


def test_psnr_of_noise_is_that_of_its_variance() -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    # rounding adds the variance of a uniform error, 1/12
    expected = 10 * np.log10(255**2 / (8**2 + 1 / 12))
    assert measures.psnr_db(noisy(grey, 8), grey) == pytest.approx(expected, abs=0.05)


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = (np.full((32, 32, 3), level, np.uint8) for level in (100, 150))
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    assert measures.ssim_map(a, b) == pytest.approx(np.full((32, 32), expected), abs=1e-4)


def test_ssim_is_that_of_scikit_image() -> None:
    metrics = importlib.import_module("skimage.metrics")  # it has no types

    a, b = texture(0), noisy(texture(0), 12)
    expected = metrics.structural_similarity(
        measures.luma(a),
        measures.luma(b),
        data_range=255,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )[1]
    inner = (slice(8, -8), slice(8, -8))  # borders are continued differently
    assert measures.ssim_map(a, b)[inner] == pytest.approx(expected[inner], abs=2e-3)


def test_gmsd_of_gradients_that_differ_in_half_of_the_picture() -> None:
    """1 where both are flat, c / (g^2 + c) where only one has a ramp of gradient g."""
    flat = np.full((128, 128, 3), 100, np.uint8)
    ramp = flat.copy()
    ramp[:, 64:] = (100 + 2 * np.arange(64))[None, :, None]
    similarity = measures.gradient_similarity(ramp, flat)
    # a step of 4 levels per pixel at half size, and Prewitt spans two of them
    low = 170 / (8.0**2 + 170)
    assert similarity[10, 10] == pytest.approx(1)
    assert similarity[10, 50] == pytest.approx(low, abs=1e-3)
    assert measures.gmsd(ramp, flat) == pytest.approx((1 - low) / 2, abs=0.01)


def test_gmsd_grows_with_noise_and_does_not_see_brightness() -> None:
    picture = texture()
    few, many = (measures.gmsd(noisy(picture, sigma), picture) for sigma in (5, 20))
    assert 0 < few < many
    assert measures.gmsd(picture + np.uint8(20), picture) == pytest.approx(0, abs=1e-6)


def test_regions_hold_their_contours_and_lie_within_the_picture() -> None:
    landmarks = faces.landmarks()
    found = measures.regions(landmarks, HW)
    assert [len(found[name]) for name in ("whole", "mouth", "eyes")] == [1, 1, 2]
    rows, columns = found["mouth"][0]
    for x, y in landmarks[list(face_mesh.LIPS_OUTER_UPPER), :2]:
        assert columns.start <= x <= columns.stop and rows.start <= y <= rows.stop
    right_eye, left_eye = (columns for _, columns in found["eyes"])
    assert right_eye.start < right_eye.stop < left_eye.start < left_eye.stop


def test_a_region_outside_the_picture_is_not_empty() -> None:
    away = faces.landmarks()
    away[:, :2] += 5000
    for rows, columns in measures.regions(away, HW)["eyes"]:
        assert 0 < rows.stop - rows.start and rows.stop <= HW[0] and columns.stop <= HW[1]


@pytest.mark.parametrize("shift_px", [0.0, 1.3, 13.0])
def test_akd_of_a_shift_is_the_shift(shift_px: float) -> None:
    wanted = faces.landmarks(unit_px=130.0)
    found = wanted + np.array([0.6 * shift_px, -0.8 * shift_px, 99], np.float32)
    percent = 100 * shift_px / face_mesh.face_unit(wanted)
    assert measures.akd_percent(found, wanted) == pytest.approx(percent, rel=1e-3, abs=1e-6)


def test_lip_gap_and_eye_aspect_are_shares_of_the_face() -> None:
    face = faces.landmarks(unit_px=100.0)
    face[14] = face[13] + [0, 25, 0]
    unit = face_mesh.face_unit(face)
    assert measures.lip_gap(face) == pytest.approx(25 / unit)
    assert measures.lip_gap(3 * face) == pytest.approx(25 / unit)
    for upper, lower in (
        (face_mesh.RIGHT_EYE_UPPER, face_mesh.RIGHT_EYE_LOWER),
        (face_mesh.LEFT_EYE_UPPER, face_mesh.LEFT_EYE_LOWER),
    ):
        width = float(np.linalg.norm(face[upper[0]] - face[upper[-1]]))
        for i in (3, 5):
            face[lower[i]] = face[upper[i]] + [0, 0.3 * width, 0]
    assert measures.eye_aspect(face) == pytest.approx(0.3, rel=1e-4)


def test_correlation() -> None:
    t = np.linspace(0, 6 * np.pi, 200)
    assert measures.correlation(np.sin(t), 3 * np.sin(t) + 7) == pytest.approx(1)
    assert measures.correlation(np.sin(t), -np.sin(t)) == pytest.approx(-1)
    assert measures.correlation(np.sin(t), np.cos(t)) == pytest.approx(0, abs=0.01)
    assert measures.correlation(np.sin(t), np.full(200, 0.5)) == 0
    assert measures.correlation([1.0], [2.0]) == 0


def test_landmarks_are_still_while_their_speed_is_below_the_limit() -> None:
    at_rest = faces.landmarks(unit_px=100.0)
    film = np.repeat(at_rest[None], 5, axis=0)
    film[:, 1, 0] += [0, 0, 5, 5, 5]  # one landmark jumps from the second to the third frame
    still = measures.still_landmarks(film)
    assert still.shape == (3, face_mesh.LANDMARKS)
    assert still[:, 1].tolist() == [False, False, True]
    assert still[:, 4].all() and not still[:, face_mesh.FOREHEAD].any()


def test_flicker_of_motionless_and_of_blinking_pictures() -> None:
    film = np.repeat(faces.landmarks()[None], 6, axis=0)
    still = measures.still_landmarks(film)
    constant = [np.full(HW, 90, np.uint8)] * 6
    rising = [np.full(HW, 90 + 3 * i, np.uint8) for i in range(6)]
    blinking = [np.full(HW, 90 + 2 * (i % 2), np.uint8) for i in range(6)]
    assert measures.flicker(constant, film, still) == 0
    assert measures.flicker(rising, film, still) == 0
    assert measures.flicker(blinking, film, still) == 4
    assert np.isnan(measures.flicker(blinking, film, np.zeros_like(still)))


def test_flicker_of_noise_is_that_of_its_variance() -> None:
    """x1 - 2 x2 + x3 of independent noise has six times its variance."""
    random, count = np.random.default_rng(0), 40
    film = np.repeat(faces.landmarks()[None], count, axis=0)
    pictures = [np.rint(random.normal(128, 5, HW)).astype(np.uint8) for _ in range(count)]
    expected = np.sqrt(6) * 5 * np.sqrt(2 / np.pi)
    found = measures.flicker(pictures, film, measures.still_landmarks(film))
    assert found == pytest.approx(expected, rel=0.03)


def test_shape_distance_forgives_pose_and_size() -> None:
    own = faces.landmarks()
    posed = (1.3 * own @ faces.yaw(20).T + np.array([40, -10, 3])).astype(np.float32)
    assert measures.shape_distance_percent(posed, own) == pytest.approx(0, abs=0.01)
    other = own.copy()
    other[::2, 0] *= 1.1
    assert measures.shape_distance_percent(other, own) > 1


def test_colour_distance_of_equal_and_disjoint_faces() -> None:
    landmarks = faces.landmarks()
    dark, light = (np.full((*HW, 3), level, np.uint8) for level in (40, 200))
    assert measures.colour_distance(dark, dark, landmarks) == pytest.approx(0, abs=1e-6)
    assert measures.colour_distance(dark, light, landmarks) == pytest.approx(1)
    outside = dark.copy()
    outside[:20] = 255
    assert measures.colour_distance(outside, dark, landmarks) == pytest.approx(0, abs=1e-6)


def test_colour_distance_of_a_half_changed_face_is_its_formula() -> None:
    """Half of the colours shared: the Bhattacharyya coefficient is sqrt(1 / 2)."""
    landmarks = faces.landmarks()
    dark = np.full((*HW, 3), 40, np.uint8)
    outline = landmarks[list(face_mesh.FACE_OVAL), 0]
    changed = dark.copy()
    changed[:, round(float(outline.min() + outline.max()) / 2) :] = 200
    expected = np.sqrt(1 - np.sqrt(0.5))
    assert measures.colour_distance(changed, dark, landmarks) == pytest.approx(expected, abs=0.01)
