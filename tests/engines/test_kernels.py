"""Every kernel gives what the CPU's path gives, of which it is to take the place."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import crop, face_mesh, head, kernels, raster, steady
from engines.eyes import eyes_of, lay
from engines.gpu import steps
from engines.gpu.steps import MeshAt, Texture
from engines.liveportrait.portrait import Stage
from engines.models import EncodedIdentity, Unpainted, geometry_only, picture_in
from engines.pose import MotionTensors
from engines.specs import LITE
from engines.warp import Placement, SourceMap
from engines.warp import sample as warp_sample
from realtime.backdrop import blend
from realtime.config import Output, Video
from realtime.frames import Arrived, Composited, Timings
from realtime.stages.emit import Emit
from realtime.stages.ingest import Ingest
from realtime.stages.mark import Mark
from realtime.watermark import Payload, Watermark
from tests.conftest import PERFORMERS
from tests.engines import faces
from tests.engines.kernel_steps import (
    add,
    cut,
    displaced,
    embedded,
    grid_of,
    held,
    lay_eye,
    lay_mouth,
    light,
    mapped,
    picture_of,
    sampled,
    shaded,
)
from tests.engines.launching import Launch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

SIZES = [(2, 2), (34, 18), (322, 242), (640, 480)]
"""columns and rows; of the two in the middle, blocks of threads reach beyond the picture"""
CANVAS = (482, 642)
WIDTH, HEIGHT = CANVAS[1], CANVAS[0]
PAYLOAD = Payload(0xC0FFEE42)


def random_pixels(width: int, height: int, seed: int = 0, channels: int = 4) -> U8:
    """Noise: two pixels next to each other have nothing in common."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return noise.astype(np.uint8)


def with_alpha(rgb: U8, alpha: U8 | int = 255) -> U8:
    whole = np.broadcast_to(np.asarray(alpha, np.uint8), rgb.shape[:2])
    return np.dstack([rgb, whole])


def assert_alike(found: U8, expected: U8, differing: float = 0.001) -> None:
    """No byte is off by more than a level, and few are at all."""
    assert found.shape == expected.shape
    off = np.abs(found.astype(int) - expected)
    assert off.max() <= 1, f"by {off.max()} at {np.argwhere(off > 1)[:3].tolist()}"
    assert (off > 0).mean() <= differing


# Colours


def ingested(i420: U8) -> U8:
    frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
    return Ingest(Video())(Arrived(frame, 0), 0).rgb


def filmed() -> U8:
    """(720, 640) I420 of a performer's clip, as it is decoded."""
    with av.open(str(PERFORMERS / "performer1.mp4")) as clip:
        frame = next(clip.decode(video=0))
    assert frame.format.name == "yuv420p"
    return cast(U8, frame.to_ndarray(format="yuv420p"))


@pytest.mark.parametrize("size", SIZES)
def test_i420_becomes_the_rgb_that_tracking_sees(launch: Launch, size: tuple[int, int]) -> None:
    width, height = size
    i420 = random_pixels(width, height * 3 // 2, channels=1)[..., 0]
    picture = np.zeros((height, width, 4), np.uint8)
    launch(kernels.I420_TO_RGB, width // 2, height // 2, i420, picture)
    assert_alike(picture, with_alpha(ingested(i420)))


def test_a_filmed_picture_becomes_the_rgb_that_tracking_sees(launch: Launch) -> None:
    i420, picture = filmed(), np.zeros((480, 640, 4), np.uint8)
    launch(kernels.I420_TO_RGB, 320, 240, i420, picture)
    assert_alike(picture, with_alpha(ingested(i420)))


@pytest.mark.parametrize("size", [size for size in SIZES if size[0] >= 322])
def test_rgb_becomes_the_i420_that_is_emitted(launch: Launch, size: tuple[int, int]) -> None:
    width, height = size
    marked = Mark(Output(), PAYLOAD)(Composited(random_pixels(width, height, channels=3)))
    i420 = np.zeros((height * 3 // 2, width), np.uint8)
    launch(kernels.RGB_TO_I420, width // 2, height // 2, with_alpha(marked.rgb), i420)
    embedded(launch, i420[:height], PAYLOAD)
    assert_alike(i420, Emit()(marked, 0, 0, "LIVE", Timings(0)).i420)


@pytest.mark.parametrize("size", [*SIZES, (1280, 720), (330, 250)])
@pytest.mark.parametrize("smooth", [False, True])
def test_the_invisible_mark_is_embedded_alike(
    launch: Launch, size: tuple[int, int], smooth: bool
) -> None:
    luma = random_pixels(*size, channels=1)[..., 0]
    if smooth:  # down to the faintest gain, and black and white
        luma = np.ascontiguousarray(
            np.linspace(0, 255, luma.size).astype(np.uint8).reshape(luma.shape)
        )
    expected = luma.copy()
    Watermark(PAYLOAD).embed(expected)
    assert (expected != luma).any() or luma.size < 64
    embedded(launch, luma, PAYLOAD)
    assert_alike(luma, expected, 0.0)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)])
def test_the_darkest_and_brightest_colours_are_those_of_opencv(
    launch: Launch, colour: tuple[int, int, int]
) -> None:
    rgb = np.full((18, 34, 3), colour, np.uint8)
    i420 = np.zeros((27, 34), np.uint8)
    launch(kernels.RGB_TO_I420, 17, 9, with_alpha(rgb), i420)
    assert_alike(i420, cast(U8, cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)))


# Warp


@pytest.fixture(scope="module")
def identity() -> EncodedIdentity:
    return geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


def rolled(degrees: float) -> F32:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)


def aside(rotation: F32, x: float, y: float, scale: float = 1.0) -> MotionTensors:
    at = np.array([x, y], np.float32)
    return replace(faces.still(), rotation=rotation, translation=at, scale=scale)


MOTIONS = {
    "still": faces.still(),
    "turned and leaning": aside((rolled(20) @ faces.yaw(30)).astype(np.float32), 0, 0),
    "at the left edge": aside(faces.yaw(-25), -5.0, 0.3),
    "at the lower right": aside(rolled(-35), 5.0, 5.0, 1.3),
}
POSES = pytest.mark.parametrize("motion", MOTIONS.values(), ids=list(MOTIONS))


def placed(identity: EncodedIdentity, motion: MotionTensors) -> Placement:
    return identity.target.place(motion)


@POSES
def test_a_map_is_drawn_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors
) -> None:
    """To the last bits of a float, of tens of pixels at a triangle's edge."""
    source = identity.mesh.source_map(placed(identity, motion), CANVAS)
    found = mapped(launch, source)
    assert (source.xy[..., 0] < -9e4).any() and len(source.moved) > 100
    np.testing.assert_allclose(found, source.xy, rtol=0, atol=2e-3)
    assert (np.abs(found - source.xy) > 1e-4).mean() < 1e-3


def test_triangles_without_area_or_beyond_the_map_are_drawn_alike(
    launch: Launch, identity: EncodedIdentity
) -> None:
    known = identity.mesh.source_map(placed(identity, faces.still()), CANVAS)
    rng = np.random.default_rng(5)
    moved = rng.uniform((-60, -60), (130, 130), (90, 3, 2)).astype(np.float32)
    moved[::9, 2], moved[1::9] = moved[::9, 1], np.round(moved[1::9])
    moved[2::9, :, 1] = np.round(moved[2::9, :1, 1])
    rest = rng.uniform((0, 0), (400, 400), (90, 3, 2)).astype(np.float32)
    expected = raster.nothing((81, 73))
    raster.draw_sources(moved, rest, expected, 1.0)
    found, shown = np.full_like(expected, 9), np.zeros((81, 73), np.int32)
    face = replace(known.face, left=0, top=0, quarters=np.zeros((2, 2, 2), np.float32))
    source = replace(known, xy=expected, moved=moved, face=face)
    corner = np.ascontiguousarray(expected[:1, :1])
    steps.draw_map(launch, source, MeshAt(moved, rest, corner, shown), found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@POSES
def test_a_driven_portrait_is_sampled_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors
) -> None:
    source = identity.mesh.source_map(placed(identity, motion), CANVAS)
    assert len(source.face.folds) > 0
    expected = warp_sample(identity.portrait_rgba, source, CANVAS)
    assert_alike(sampled(launch, identity.portrait_rgba, source, CANVAS), expected)


def scattered(identity: EncodedIdentity, picture: U8, hw: tuple[int, int]) -> SourceMap:
    """A map of a part of the canvas whose pixels come from anywhere, in the picture and beyond."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng(3)
    xy = rng.uniform((-3, -3), (width + 2, height + 2), (*hw, 2)).astype(np.float32)
    xy[::7] = np.round(xy[::7])
    xy[3::7] = np.round(xy[3::7] * 64) / 64  # between two steps of OpenCV's
    xy[5::7, ::2] = -1e5
    known = identity.mesh.source_map(placed(identity, faces.still()), CANVAS)
    face = replace(known.face, folds=np.empty((0, 2), np.int32))
    whole = ((slice(0, hw[0]), slice(0, hw[1])),)
    return replace(known, xy=xy, left=5, top=3, bands=whole, face=face)


def test_a_map_to_anywhere_is_sampled_alike(launch: Launch, identity: EncodedIdentity) -> None:
    picture = random_pixels(61, 47)
    source = scattered(identity, picture, (101, 83))
    expected = warp_sample(picture, source, (110, 90))
    assert (expected == 0).mean() > 0.05
    assert_alike(sampled(launch, picture, source, (110, 90)), expected)


def test_folds_in_noise_are_sampled_alike(launch: Launch, identity: EncodedIdentity) -> None:
    """And at the picture's borders, where a quarter may show nothing."""
    picture = random_pixels(61, 47)
    picture[::3] = 0
    source = scattered(identity, picture, (60, 40))
    rng = np.random.default_rng(4)
    folds = np.ascontiguousarray(np.argwhere(rng.random((41, 31)) < 0.5), np.int32)
    quarters = rng.uniform((-5, -5), (65, 51), (82, 62, 2)).astype(np.float32)
    face = replace(source.face, left=4, top=7, quarters=quarters, folds=folds)
    source = replace(source, face=face)
    expected = warp_sample(picture, source, (70, 50))
    assert_alike(sampled(launch, picture, source, (70, 50)), expected, 0.01)


# The head's field


def region(identity: EncodedIdentity, placement: Placement) -> crop.Patch:
    unit = face_mesh.face_unit(identity.landmarks)
    return crop.place(head.REGION, LITE.head_px, placement.landmarks, placement.head, unit)


def random_field(seed: int = 0) -> F32:
    cells = LITE.head_px // head.FIELD_STRIDE
    shape = head.FIELD_CHANNELS, cells, cells
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def assert_close_where_seen(found: F32, expected: F32) -> None:
    """Of maps; where nothing is seen, floats are far apart."""
    seen = expected[..., 0] > -1e4
    np.testing.assert_allclose(found[seen], expected[seen], atol=1e-4, rtol=0)
    assert (found[~seen] < -9e4).all()


@POSES
def test_sources_are_displaced_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors
) -> None:
    placement, unit = placed(identity, motion), face_mesh.face_unit(identity.landmarks)
    field, patch = random_field(), region(identity, placement)
    found = identity.mesh.source_map(placement, CANVAS)
    expected = identity.mesh.source_map(placement, CANVAS)
    before = expected.xy.copy()
    head.displace(field, patch, expected, placement.landmarks, unit)
    displaced(launch, field, patch, found, placement, unit)
    assert np.abs(expected.xy - before).max() > 10
    assert_close_where_seen(found.xy, expected.xy)
    assert_close_where_seen(found.face.quarters, expected.face.quarters)


@pytest.mark.parametrize("x, y", [(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5), (3, 0)])
def test_a_field_that_ends_in_the_face_displaces_alike(
    launch: Launch, identity: EncodedIdentity, x: float, y: float
) -> None:
    """There are folds inside of it and outside; the last lies beyond the canvas."""
    placement = placed(identity, MOTIONS["turned and leaning"])
    matrix = region(identity, placement).patch_from_canvas.copy()
    matrix[:, 2] += np.array([x, y], np.float32) * LITE.head_px
    patch, field = crop.Patch(matrix, LITE.head_px), random_field()
    found = identity.mesh.source_map(placement, CANVAS)
    expected = identity.mesh.source_map(placement, CANVAS)
    elsewhere = replace(placement, landmarks=np.full_like(placement.landmarks, -1e4))
    head.displace(field, patch, expected, elsewhere.landmarks, 130.0)
    displaced(launch, field, patch, found, elsewhere, 130.0)
    assert_close_where_seen(found.xy, expected.xy)
    assert_close_where_seen(found.face.quarters, expected.face.quarters)


@POSES
def test_a_picture_is_lit_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors
) -> None:
    field, patch = random_field(), region(identity, placed(identity, motion))
    found = random_pixels(WIDTH, HEIGHT)
    expected = found.copy()
    rgb = np.ascontiguousarray(expected[..., :3])
    head.shade(field, patch, rgb)
    assert (rgb != expected[..., :3]).mean() > 0.1
    expected[..., :3] = rgb
    shaded(launch, field, patch, found)
    assert_alike(found, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_none_is_found(launch: Launch, value: float) -> None:
    numbers = np.zeros((5, 77), np.float32)
    numbers[0, 0], numbers[1, 1] = np.finfo(np.float32).max, np.finfo(np.float32).min
    found = np.zeros(1, np.int32)
    launch(kernels.FIND_NOT_FINITE, 77, 5, numbers, found)
    assert found[0] == 0
    numbers[4, 76] = value
    launch(kernels.FIND_NOT_FINITE, 77, 5, numbers, found)
    assert found[0] == 1


# Layers


def opened(jaw: float) -> MotionTensors:
    """Lips apart, and eyes looking aside."""
    expression = np.zeros((face_mesh.LANDMARKS, 3), np.float32)
    expression[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] = jaw
    expression[list((*face_mesh.RIGHT_IRIS, *face_mesh.LEFT_IRIS)), 0] = 0.03
    return replace(MOTIONS["turned and leaning"], expression=expression)


@pytest.fixture(scope="module")
def person(identity: EncodedIdentity) -> EncodedIdentity:
    """One whose eyes have been taken apart."""
    rgba = faces.portrait()
    landmarks = faces.landmarks()
    for ring, hole in (
        (face_mesh.RIGHT_IRIS, face_mesh.RIGHT_EYE_HOLE),
        (face_mesh.LEFT_IRIS, face_mesh.LEFT_EYE_HOLE),
    ):
        points = np.round(landmarks[list(hole), :2]).astype(np.int32)
        opening = np.zeros(rgba.shape[:2], np.uint8)
        cv2.fillPoly(opening, [points], (255,))
        eyeball = np.full_like(rgba[..., :3], (230, 225, 220))
        x, y = np.round(landmarks[ring[0], :2]).astype(int).tolist()
        cv2.circle(eyeball, (x, y), 9, (70, 110, 60), -1)
        rgba[..., :3][opening > 0] = eyeball[opening > 0]
    return replace(identity, eyes=eyes_of(rgba, landmarks))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("motion", [faces.still(), opened(0.3)], ids=["still", "turned"])
def test_an_eyeball_is_laid_alike(
    launch: Launch, person: EncodedIdentity, motion: MotionTensors, side: int
) -> None:
    placement, eye = placed(person, motion), person.eyes[side]
    found = random_pixels(WIDTH, HEIGHT)
    rgb = np.ascontiguousarray(found[..., :3])
    eye.draw(rgb, placement.landmarks, placement.head)
    expected = with_alpha(rgb, found[..., 3])
    assert (expected != found).any(axis=2).sum() > 200
    lay_eye(launch, eye, placement, found)
    assert_alike(found, expected)


def test_layers_that_end_within_the_lids_are_laid_alike(launch: Launch) -> None:
    """Each by its own offset; they go on beyond their borders, on every side."""
    found, rng = random_pixels(90, 70), np.random.default_rng(5)
    lids = rng.integers(0, 256, (50, 66)).astype(np.uint8)
    layers = rng.uniform(0, 1, (2, 23, 31, 4)).astype(np.float32)
    layers[..., :3] *= 255
    back = np.array([[0.9, 0.3], [-0.3, 0.9]], np.float32)
    offsets = np.array([[-12.3, 4.1], [-20.2, -7.7]], np.float32)
    rgb = np.ascontiguousarray(found[..., :3])
    lay(rgb[9:59, 13:79], lids, layers, back, offsets)
    expected = with_alpha(rgb, found[..., 3])
    matrix = [*back.ravel().tolist(), *offsets.ravel().tolist()]
    launch(kernels.LAY_EYE, 66, 50, lids, layers, 31, 23, *matrix, found, 90, 13, 9)
    assert_alike(found, expected)


@pytest.mark.parametrize("jaw", [0.08, 0.5])
def test_a_mouth_is_laid_alike(launch: Launch, person: EncodedIdentity, jaw: float) -> None:
    placement = placed(person, opened(jaw))
    seen = person.mouth.look(CANVAS, placement.landmarks, placement.head)
    assert seen is not None
    found = random_pixels(WIDTH, HEIGHT)
    rgb = np.ascontiguousarray(found[..., :3])
    person.mouth.draw(rgb, placement.landmarks, placement.head)
    expected = with_alpha(rgb, found[..., 3])
    assert (expected != found).any(axis=2).sum() > 200
    lay_mouth(launch, person.mouth, placement, found)
    box = seen.rows, seen.columns
    assert_alike(found[box], expected[box])
    assert_alike(found, expected)


# Patches

PX = 96
PLACES = {
    "inside": (25.0, 1.3, 320.0, 240.0),
    "minified": (-80.0, 0.4, 300.0, 250.0),
    "beyond the upper left": (140.0, 0.8, 4.0, -10.0),
    "beyond the lower right": (-33.0, 2.1, 640.0, 475.0),
}
"""degrees, patch pixels for one of the canvas, and where on the canvas its middle is"""
PATCHES = pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))


def patch_at(place: tuple[float, float, float, float]) -> crop.Patch:
    degrees, zoom, x, y = place
    linear = rolled(degrees)[:2, :2] * np.float32(zoom)
    offset = (PX - 1) / 2 - linear @ np.array([x, y], np.float32)
    return crop.Patch(np.column_stack([linear, offset]).astype(np.float32), PX)


@PATCHES
def test_a_patch_is_cut_alike(launch: Launch, place: tuple[float, float, float, float]) -> None:
    canvas, patch = random_pixels(WIDTH, HEIGHT), patch_at(place)
    canvas[:, ::5, 3], canvas[:, 1::5, 3] = 0, 255
    nothing = cast(SourceMap, None)
    rgb, alpha = (np.ascontiguousarray(part) for part in (canvas[..., :3], canvas[..., 3]))
    planes, coverage = picture_in(patch, Unpainted(rgb, alpha, nothing))
    seen, person = cut(launch, patch, canvas)
    np.testing.assert_allclose(seen, crop.as_tensor([planes])[0], atol=1.01 / 255)
    np.testing.assert_allclose(person, crop.as_tensor([coverage])[0], atol=1.01 / 255)
    assert (seen != crop.as_tensor([planes])[0]).mean() < 0.001
    assert (person != crop.as_tensor([coverage])[0]).mean() < 0.001


@PATCHES
@pytest.mark.parametrize("share", [1.0, 0.35])
def test_a_change_is_added_alike(
    launch: Launch, place: tuple[float, float, float, float], share: float
) -> None:
    patch, found = patch_at(place), random_pixels(WIDTH, HEIGHT)
    change = np.random.default_rng(1).uniform(-0.6, 0.6, (3, PX, PX)).astype(np.float32)
    expected = np.ascontiguousarray(found[..., :3])
    patch.add(change.transpose(1, 2, 0) * np.float32(share), expected)
    assert (expected != found[..., :3]).any()
    whole = with_alpha(expected, found[..., 3])
    add(launch, patch, change, share, found)
    assert_alike(found, whole)


@PATCHES
def test_a_gain_is_laid_over_alike(
    launch: Launch, place: tuple[float, float, float, float]
) -> None:
    patch, found = patch_at(place), random_pixels(WIDTH, HEIGHT)
    gain = np.random.default_rng(1).uniform(0.2, 2.5, (PX, PX)).astype(np.float32)
    expected = np.ascontiguousarray(found[..., :3])
    patch.light(gain, expected)
    whole = with_alpha(expected, found[..., 3])
    light(launch, patch, gain, found)
    assert_alike(found, whole)


@POSES
@pytest.mark.parametrize("px", [96, 160])
def test_features_are_found_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors, px: int
) -> None:
    placement, unit = placed(identity, motion), face_mesh.face_unit(identity.landmarks)
    source = identity.mesh.source_map(placement, CANVAS)
    upright = identity.portrait_patches[0]
    leaning = (rolled(12)[:2, :2] @ upright.patch_from_canvas).astype(np.float32)
    at_rest = crop.Patch(leaning, upright.px)
    for patch in crop.patches(px, placement.landmarks, placement.head, unit):
        found = grid_of(launch, patch, source, at_rest)
        np.testing.assert_allclose(found, crop.feature_grid(patch, source, at_rest), atol=1e-5)


@PATCHES
def test_features_of_a_patch_beyond_the_map_are_found_alike(
    launch: Launch, identity: EncodedIdentity, place: tuple[float, float, float, float]
) -> None:
    source = scattered(identity, random_pixels(61, 47), CANVAS)
    source = replace(source, xy=np.maximum(source.xy, -3))
    at_rest, patch = crop.Patch(np.eye(2, 3, dtype=np.float32), 64), patch_at(place)
    found = grid_of(launch, patch, source, at_rest)
    np.testing.assert_allclose(found, crop.feature_grid(patch, source, at_rest), atol=1e-5)


@pytest.mark.parametrize("left_top", [(0, 0), (37, 11)])
def test_a_generated_picture_is_pasted_alike(launch: Launch, left_top: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    generated = rng.uniform(-0.2, 1.2, (3, PX, PX)).astype(np.float32)
    base, mask = random_pixels(WIDTH, HEIGHT), rng.uniform(0, 1, (90, 70)).astype(np.float32)
    mask[:9], mask[9:30] = 0, 1
    turned = np.array([[0.8, -0.3, 40.2], [0.25, 0.9, 3.7]], np.float32)
    rgb = np.ascontiguousarray(base[..., :3])
    stage = Stage(rgb, np.ascontiguousarray(base[..., 3]), turned, left_top, mask)
    crop = np.round(np.clip(generated, 0, 1) * np.float32(255)).astype(np.uint8)
    expected = stage.paste(np.ascontiguousarray(crop.transpose(1, 2, 0)))
    assert (expected != rgb).mean() > 0.01
    whole = with_alpha(expected, base[..., 3])
    steps.paste(launch, stage, Texture(generated, PX, PX), mask, picture_of(base))
    assert_alike(base, whole)


# What holds still


@pytest.mark.parametrize("levels", [2, 12, 60])
@POSES
def test_what_holds_still_is_held_alike(
    launch: Launch, identity: EncodedIdentity, motion: MotionTensors, levels: int
) -> None:
    landmarks = placed(identity, motion).landmarks
    before = random_pixels(WIDTH, HEIGHT)
    noise = np.random.default_rng(2).integers(-levels, levels + 1, before.shape)
    found = np.clip(before + noise, 0, 255).astype(np.uint8)
    rgb = np.ascontiguousarray(found[..., :3])
    hold = steady.Steady()
    hold(np.ascontiguousarray(before[..., :3]), landmarks)
    hold(rgb, landmarks)
    expected = with_alpha(rgb, found[..., 3])
    held(launch, before, found, steady.held_box(landmarks, CANVAS))
    assert_alike(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 5), (21, 17), (40, 1)])
def test_a_small_box_is_held_alike(launch: Launch, size: tuple[int, int]) -> None:
    """Of a face at the picture's edge little may be left: less than the window."""
    before = random_pixels(61, 47)
    noise = np.random.default_rng(2).integers(-9, 10, before.shape)
    found = np.clip(before + noise, 0, 255).astype(np.uint8)
    box = slice(47 - size[1], 47), slice(61 - size[0], 61)
    new, old = (np.ascontiguousarray(part[box][..., :3]) for part in (found, before))
    grey = cv2.cvtColor(cv2.absdiff(new, old), cv2.COLOR_RGB2GRAY)
    mean = cv2.blur(grey, (steady.WINDOW, steady.WINDOW)).reshape(grey.shape)
    down, along = (
        np.minimum(np.minimum(np.arange(n) + 1, n - np.arange(n)) / steady.FADE_PX, 1)
        for n in grey.shape
    )
    kept = np.clip(1 - mean / steady.CHANGES, 0, 1 - steady.LEAST) * down[:, None] * along
    mixed = new + kept[..., None] * (old.astype(float) - new)
    expected = found.copy()
    expected[box][..., :3] = np.floor(mixed + 0.5)
    held(launch, before, found, box)
    assert_alike(found[box], expected[box], 0.0)
    assert_alike(found, expected)


# The finished picture


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_person_stands_before_the_background_alike(
    launch: Launch, size: tuple[int, int], mirrored: bool
) -> None:
    front, back = random_pixels(*size), random_pixels(*size, seed=1)
    front[: size[1] // 2, ::3, 3], front[: size[1] // 2, 1::3, 3] = 0, 255
    expected = blend(*map(np.ascontiguousarray, (front[..., :3], front[..., 3], back[..., :3])))
    picture = np.zeros_like(front)
    launch(kernels.BLEND, *size, front, back, int(mirrored), picture)
    assert_alike(picture, with_alpha(expected[:, ::-1] if mirrored else expected), 0.0)


def drawn_mark(width: int, height: int) -> tuple[U8, int, int]:
    """The mark as the kernel takes it, and where it lies: what it makes of black and of white."""
    burn = Mark(Output(), PAYLOAD)
    black, white = (
        burn(Composited(np.full((height, width, 3), level, np.uint8))).rgb for level in (0, 255)
    )
    remains = 255 - (white.astype(int) - black).max(axis=2)
    rows, columns = np.nonzero(remains)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    patch = with_alpha(black[box], (255 - remains[box]).astype(np.uint8))
    return np.ascontiguousarray(patch), int(columns.min()), int(rows.min())


def test_the_mark_is_burned_in_alike(launch: Launch) -> None:
    picture = random_pixels(WIDTH, HEIGHT)
    marked = Mark(Output(), PAYLOAD)(Composited(np.ascontiguousarray(picture[..., :3]))).rgb
    expected = with_alpha(marked, picture[..., 3])
    patch, left, top = drawn_mark(WIDTH, HEIGHT)
    launch(kernels.MARK, patch.shape[1], patch.shape[0], patch, left, top, picture, WIDTH)
    assert_alike(picture, expected, 0.0)
