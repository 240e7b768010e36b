"""The head network's door: what it is shown, and how its field is laid over map and picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import crop, face_mesh, head
from engines.models import EncodedIdentity, geometry_only
from engines.raster import NOWHERE
from engines.rigid import Similarity
from engines.specs import LITE
from engines.warp import Placement, SourceMap
from tests.engines import faces

F32 = NDArray[np.float32]
Pose = Callable[[EncodedIdentity], Placement]

CANVAS = (480, 640)
HEAD_PX, TEXTURE_PX = LITE.head_px, LITE.texture_px
FIELD_CELLS = HEAD_PX // head.FIELD_STRIDE
CENTRE = (slice(230, 250), slice(310, 330))
"""of the canvas: the face"""
ASIDE = (slice(None), slice(0, 40))
"""of the canvas: beyond what the network sees"""
OVAL = list(face_mesh.FACE_OVAL)
FEATURES = (face_mesh.LIPS, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE)
SHARE = 0.4
"""of a way, that counts on the face"""
ELSEWHERE = np.full((face_mesh.LANDMARKS, 3), -10_000, np.float32)
"""landmarks of a face that is not in the picture: all of a field's way counts"""
FARTHEST = 0.25
"""face units: farther than any way of the network"""
EVERY_THIRD = (slice(None, None, 3), slice(None, None, 3))
"""of a map's pixels: each of them is measured against the outline"""


@pytest.fixture(scope="module")
def identity() -> EncodedIdentity:
    return geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


def still(identity: EncodedIdentity) -> Placement:
    return identity.target.place(faces.still())


def roll(degrees: float) -> F32:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)


def pitch(degrees: float) -> F32:
    """(3, 3) a head that looks up."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)


def tilted(identity: EncodedIdentity) -> Placement:
    """A head that has turned and leans, so that quarters of pixels lie at folds."""
    rotation = (roll(20) @ faces.yaw(30)).astype(np.float32)
    return identity.target.place(replace(faces.still(), rotation=rotation))


def turned_far(identity: EncodedIdentity) -> Placement:
    """As far as heads are turned, and lying on its side."""
    rotation = (roll(75) @ faces.yaw(-40) @ pitch(10)).astype(np.float32)
    return identity.target.place(replace(faces.still(), rotation=rotation))


POSES = pytest.mark.parametrize(
    "pose", [still, tilted, turned_far], ids=["still", "tilted", "turned far"]
)


def moved(placement: Placement, matrix: F32) -> Placement:
    """All of it moved by a similarity (2, 3) of the canvas."""
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    turn = np.eye(3, dtype=np.float32)
    turn[:2, :2] = matrix[:, :2] / scale
    by = Similarity(turn, scale, np.array([*matrix[:, 2], 0], np.float32))
    before = placement.head
    after = Similarity(
        turn @ before.rotation, scale * before.scale, by.apply(before.translation[None])[0]
    )
    torso = matrix[:, :2] @ placement.torso
    torso[:, 2] += matrix[:, 2]
    return Placement(by.apply(placement.landmarks), after, torso.astype(np.float32))


def seen(identity: EncodedIdentity, placement: Placement) -> tuple[SourceMap, crop.Patch]:
    unit = face_mesh.face_unit(identity.landmarks)
    patch = crop.place(head.REGION, HEAD_PX, placement.landmarks, placement.head, unit)
    return identity.mesh.source_map(placement, CANVAS), patch


def empty_field() -> F32:
    return np.zeros((head.FIELD_CHANNELS, FIELD_CELLS, FIELD_CELLS), np.float32)


def cells_of(patch: crop.Patch, x: F32, y: F32) -> F32:
    """(N, 2) column and row of the field at canvas pixels: the outer borders of both are one."""
    in_patch = patch.points(np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32))
    cells: F32 = (in_patch + 0.5) * (FIELD_CELLS / patch.px) - 0.5
    return cells


def inside(cells: F32, by: float = 1.1) -> NDArray[np.bool_]:
    """(N,) so many cells inside of the field."""
    last = FIELD_CELLS - 1
    within: NDArray[np.bool_] = ((cells > by) & (cells < last - by)).all(axis=-1)
    return within


def places_of(source: SourceMap) -> tuple[F32, F32]:
    """x and y on the canvas, (h, w) each, of the pixels of a map."""
    y, x = np.mgrid[: source.xy.shape[0], : source.xy.shape[1]].astype(np.float32)
    return x + source.left, y + source.top


def on_face(placement: Placement, identity: EncodedIdentity, x: F32, y: F32) -> F32:
    """(...) face units from the face's outline to pixels of the canvas: below 0 beyond it."""
    return within(OVAL, placement, identity, x, y)


def on_features(placement: Placement, identity: EncodedIdentity, x: F32, y: F32) -> F32:
    """The same of lips and eyes."""
    depths = [within(list(outline), placement, identity, x, y) for outline in FEATURES]
    return cast(F32, np.maximum.reduce(depths))


def within(
    outline: list[int], placement: Placement, identity: EncodedIdentity, x: F32, y: F32
) -> F32:
    points = np.stack([x, y], axis=-1).reshape(-1, 2).tolist()
    at = placement.landmarks[outline, :2]
    depths = [cv2.pointPolygonTest(at, point, True) for point in points]
    unit = face_mesh.face_unit(identity.landmarks) * placement.head.scale
    return np.array(depths, np.float32).reshape(x.shape) / np.float32(unit)


def cells_on_canvas(patch: crop.Patch) -> tuple[F32, F32]:
    """x and y on the canvas, (cells, cells) each, of the middle of each cell."""
    canvas_from_patch = cv2.invertAffineTransform(patch.patch_from_canvas)
    in_patch = (np.arange(FIELD_CELLS) + 0.5) * (patch.px / FIELD_CELLS) - 0.5
    x, y = np.meshgrid(in_patch, in_patch)
    at = np.stack([x, y, np.ones_like(x)], axis=-1) @ canvas_from_patch.T
    return at[..., 0], at[..., 1]


def round_face(middle: F32, radius: float) -> F32:
    """(478, 3) landmarks whose oval is a circle."""
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    landmarks = np.zeros((face_mesh.LANDMARKS, 3), np.float32)
    landmarks[OVAL, :2] = middle + radius * np.column_stack([np.cos(angles), np.sin(angles)])
    return landmarks


def ways_of_any_kind() -> list[F32]:
    """Fields that move everything as far as they may: all one way, and each cell its own."""
    right, down = empty_field(), empty_field()
    right[3], down[4] = FARTHEST, FARTHEST
    wild = np.random.default_rng(0).choice([-FARTHEST, FARTHEST], right.shape).astype(np.float32)
    return [right, -right, down, -down, wild]


def quarters_at_folds(source: SourceMap) -> tuple[NDArray[np.intp], NDArray[np.intp], F32, F32]:
    """Row and column of each quarter that is sampled by itself, and its x and y on the canvas."""
    face = source.face
    row, column = (2 * face.folds[:, None] + [[0, 0], [0, 1], [1, 0], [1, 1]]).reshape(-1, 2).T
    x = source.left + face.left + (column + 0.5) / 2 - 0.5
    y = source.top + face.top + (row + 0.5) / 2 - 0.5
    return row, column, x, y


def ramp() -> F32:
    """A way that is its own place: as many thousandths of a unit as there are cells before it."""
    field = empty_field()
    steps = np.arange(FIELD_CELLS, dtype=np.float32) / 1000
    field[3], field[4] = np.broadcast_to(steps, field[3].shape), steps[:, None]
    return field


def test_a_field_of_zeros_changes_nothing(identity: EncodedIdentity) -> None:
    placement = tilted(identity)
    source, patch = seen(identity, placement)
    xy, quarters = source.xy.copy(), source.face.quarters.copy()
    head.displace(empty_field(), patch, source, placement.landmarks, 130.0)
    np.testing.assert_array_equal(source.xy, xy)
    np.testing.assert_array_equal(source.face.quarters, quarters)
    picture = np.random.default_rng(0).integers(0, 256, (*CANVAS, 3)).astype(np.uint8)
    shaded = picture.copy()
    head.shade(empty_field(), patch, shaded)
    np.testing.assert_array_equal(shaded, picture)


def test_a_gain_in_the_middle_of_the_field_multiplies_colours_there(
    identity: EncodedIdentity,
) -> None:
    _, patch = seen(identity, still(identity))
    field, rgb = empty_field(), np.full((*CANVAS, 3), 100, np.uint8)
    field[:3, 12:36, 12:36] = np.log([[[1.5]], [[1.0]], [[0.5]]])
    head.shade(field, patch, rgb)
    np.testing.assert_array_equal(rgb[CENTRE], np.broadcast_to((150, 100, 50), (20, 20, 3)))
    np.testing.assert_array_equal(rgb[ASIDE], 100)


def test_light_beyond_white_is_white(identity: EncodedIdentity) -> None:
    """And what is no light at all is black: bytes do not wrap around."""
    _, patch = seen(identity, still(identity))
    field, rgb = empty_field(), np.zeros((*CANVAS, 3), np.uint8)
    rgb[:] = (100, 200, 255)
    field[:3, 12:36, 12:36] = np.array([1.0, np.log(1.5), 1.0])[:, None, None]
    head.shade(field, patch, rgb)
    np.testing.assert_array_equal(rgb[CENTRE], 255)
    assert (rgb.astype(int) - (100, 200, 255)).min() >= 0, "nothing is darker, at no border either"
    field[:3] = -100.0
    head.shade(field, patch, rgb)
    np.testing.assert_array_equal(rgb[CENTRE], 0)


@pytest.mark.parametrize("pose", [still, tilted], ids=["still", "tilted"])
def test_light_falls_where_its_cells_lie(identity: EncodedIdentity, pose: Pose) -> None:
    _, patch = seen(identity, pose(identity))
    field, rgb = empty_field(), np.full((*CANVAS, 3), 100, np.uint8)
    field[:3, 10:14, 30:36] = 0.5
    head.shade(field, patch, rgb)
    y, x = np.mgrid[: CANVAS[0], : CANVAS[1]]
    weights = rgb[..., 0].ravel() - 100.0
    cells = cells_of(patch, x, y)
    middle = (cells * weights[:, None]).sum(axis=0) / weights.sum()
    assert middle == pytest.approx([32.5, 11.5], abs=0.1)


@POSES
def test_a_way_well_beyond_the_face_moves_sources_by_as_many_face_units(
    identity: EncodedIdentity, pose: Pose
) -> None:
    unit = face_mesh.face_unit(identity.landmarks)
    placement = pose(identity)
    source, patch = seen(identity, placement)
    before, field = source.xy.copy(), empty_field()
    field[3, 1:-1, 1:-1], field[4, 1:-1, 1:-1] = 0.1, -0.05
    head.displace(field, patch, source, placement.landmarks, unit)
    x, y = places_of(source)
    cells = cells_of(patch, x, y).reshape(*x.shape, 2)
    nowhere = before[..., 0] == NOWHERE
    way = source.xy - before
    counts = inside(cells, by=2.1) & ~nowhere
    far = on_face(placement, identity, x[EVERY_THIRD], y[EVERY_THIRD]) < -0.5
    there = way[EVERY_THIRD][counts[EVERY_THIRD] & far]
    assert len(there) > 1000
    assert there == pytest.approx(np.broadcast_to([0.1 * unit, -0.05 * unit], there.shape), abs=0.1)
    np.testing.assert_array_equal(way[~inside(cells, by=-1.1)], 0)
    assert source.xy[nowhere].max() < 0.9 * NOWHERE, "who is nowhere stays there"


@pytest.mark.parametrize("pose", [still, tilted], ids=["still", "tilted"])
def test_a_way_acts_where_its_cells_lie(identity: EncodedIdentity, pose: Pose) -> None:
    source, patch = seen(identity, pose(identity))
    before = source.xy.copy()
    head.displace(ramp(), patch, source, ELSEWHERE, 1000.0)
    y, x = np.mgrid[: before.shape[0], : before.shape[1]]
    cells = cells_of(patch, x + source.left, y + source.top).reshape(*x.shape, 2)
    there = inside(cells) & (before[..., 0] != NOWHERE)
    there[[0, 1, -2, -1]] = False  # a coarse field ends in the middle of its first cell
    assert (source.xy - before)[there] == pytest.approx(cells[there], abs=0.1)


def test_quarters_at_folds_move_as_the_map_does(identity: EncodedIdentity) -> None:
    """Where their own cells lie, to a quarter of a pixel."""
    source, patch = seen(identity, tilted(identity))
    face, before = source.face, source.face.quarters.copy()
    head.displace(ramp(), patch, source, ELSEWHERE, 1000.0)
    row, column, x, y = quarters_at_folds(source)
    cells = cells_of(patch, x, y)
    there = inside(cells) & (before[row, column, 0] != NOWHERE)
    assert there.sum() > 100, "the test's own picture has folds"
    way = face.quarters[row, column] - before[row, column]
    assert way[there] == pytest.approx(cells[there], abs=0.1)
    at_folds = np.zeros(before.shape[:2], bool)
    at_folds[row, column] = True
    np.testing.assert_array_equal(face.quarters[~at_folds], before[~at_folds])


@POSES
def test_a_field_moves_a_face_by_a_share_of_its_way_and_lips_and_eyes_not(
    identity: EncodedIdentity, pose: Pose
) -> None:
    unit = face_mesh.face_unit(identity.landmarks)
    placement = pose(identity)
    source, patch = seen(identity, placement)
    before, (x, y) = source.xy.copy(), places_of(source)
    x, y = x[EVERY_THIRD], y[EVERY_THIRD]
    depth = on_face(placement, identity, x, y)
    features = on_features(placement, identity, x, y) > 0
    face = (depth > 0.1) & (before[EVERY_THIRD][..., 0] != NOWHERE)
    assert face.sum() > 500 and features.sum() > 50, "the test's own picture"
    for field in ways_of_any_kind():
        source.xy[:] = before
        head.displace(field, patch, source, placement.landmarks, unit)
        way = np.abs(source.xy - before).max(axis=-1)[EVERY_THIRD]
        assert way[features].max() < 0.03 * FARTHEST * unit
        assert way[face].max() < 1.02 * SHARE * FARTHEST * unit
        assert way[face].max() > 0.9 * SHARE * FARTHEST * unit, "the field does something"
        assert way[depth < -0.3].max() > 0.5 * FARTHEST * unit


@pytest.mark.parametrize("pose", [tilted, turned_far], ids=["tilted", "turned far"])
def test_a_fold_on_the_face_moves_no_farther(identity: EncodedIdentity, pose: Pose) -> None:
    """As beside a nose that hides a cheek: its quarters move as the map does."""
    unit = face_mesh.face_unit(identity.landmarks)
    placement = pose(identity)
    source, patch = seen(identity, placement)
    before = source.face.quarters.copy()
    row, column, x, y = quarters_at_folds(source)
    depth = on_face(placement, identity, x, y)
    features = on_features(placement, identity, x, y) > 0
    assert (depth > 0.1).sum() > 100 and features.sum() > 10, "the test's own picture has folds"
    for field in ways_of_any_kind():
        source.face.quarters[:] = before
        head.displace(field, patch, source, placement.landmarks, unit)
        way = np.abs(source.face.quarters - before).max(axis=-1)[row, column]
        assert way[depth > 0.1].max() < 1.02 * SHARE * FARTHEST * unit
        assert way[features].max() < 0.03 * FARTHEST * unit


@POSES
def test_a_way_counts_by_a_share_on_the_face_nothing_at_lips_and_eyes_and_wholly_well_beyond(
    identity: EncodedIdentity, pose: Pose
) -> None:
    """By how far from the outlines each cell's middle lies."""
    placement = pose(identity)
    _, patch = seen(identity, placement)
    share = head.movable(patch, placement.landmarks)
    at = cells_on_canvas(patch)
    depth = on_face(placement, identity, *at)
    features = on_features(placement, identity, *at)
    assert share.shape == (FIELD_CELLS, FIELD_CELLS) and share.dtype == np.float32
    assert share[depth > 0.1].max() == pytest.approx(SHARE, abs=0.005) and share.min() == 0
    assert share[(depth > 0.1) & (features < -0.35)].min() > 0.95 * SHARE
    assert share[features > 0].max() < 0.03
    assert share[depth < -0.5].min() > 0.99 and share.max() <= 1
    between = share[(depth < -0.15) & (depth > -0.2) & (features < -0.35)]
    assert 0.35 < between.min() and between.max() < 0.85, "rising softly"


@POSES
def test_what_counts_of_a_way_rises_softly_from_cell_to_cell(
    identity: EncodedIdentity, pose: Pose
) -> None:
    placement = pose(identity)
    _, patch = seen(identity, placement)
    share = head.movable(patch, placement.landmarks)
    assert max(np.abs(np.diff(share, axis=axis)).max() for axis in (0, 1)) < 0.5


@POSES
def test_a_face_that_moves_by_a_tenth_of_a_pixel_changes_little_of_what_counts(
    identity: EncodedIdentity, pose: Pose
) -> None:
    """Tracking trembles so: hair beside a face that is still must not jump."""
    placement = pose(identity)
    _, patch = seen(identity, placement)
    right, down = np.array([[0.1, 0, 0], [0, 0.1, 0]], np.float32)
    path = [placement.landmarks + i * right for i in range(120)]
    path += [path[-1] + i * down for i in range(1, 120)]
    rng = np.random.default_rng(0)
    trembling = [path[-1] + rng.uniform(-0.05, 0.05, path[-1].shape) for _ in range(40)]
    found = np.stack([head.movable(patch, landmarks) for landmarks in path + trembling])
    assert np.abs(found[-1] - found[0]).max() > 0.3, "it has moved"
    assert float(np.abs(np.diff(found, axis=0)).max()) < 0.05


def test_a_face_is_where_its_outline_is() -> None:
    """Of a round one the middle is known; so it is kept to a tenth of a cell."""
    patch = crop.Patch(np.eye(2, 3, dtype=np.float32), HEAD_PX)
    middles = np.random.default_rng(0).uniform(40, 55, (20, 2)).astype(np.float32)
    row, column = np.mgrid[:FIELD_CELLS, :FIELD_CELLS]
    misses = []
    for middle in middles:
        face = 1 - head.movable(patch, round_face(middle, 18.0))
        found = np.array([(column * face).sum(), (row * face).sum()]) / face.sum()
        misses.append(found - cells_of(patch, middle[:1], middle[1:])[0])
    assert np.abs(np.mean(misses, axis=0)).max() < 0.1


def test_a_head_that_leans_comes_nearer_and_moves_looks_the_same(identity: EncodedIdentity) -> None:
    start = identity.target.place(replace(faces.still(), rotation=faces.yaw(12), scale=0.8))
    angle, grow = math.radians(25), 1.2
    linear = grow * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    middle = start.landmarks[:, :2].mean(axis=0)
    matrix = np.column_stack([linear, middle + (15, 10) - linear @ middle]).astype(np.float32)
    views = []
    for placement in (start, moved(start, matrix)):
        source, patch = seen(identity, placement)
        views.append(head.look(identity.head, source, patch, placement.head)[0])
    # of what lies on both canvases
    difference = np.abs(views[0] - views[1])[:, 16:80, 16:80]
    assert np.std(views[0][:3]) > 0.1, "the test's own picture"
    assert difference[:4].mean() < 0.02
    assert np.quantile(difference[4:6], 0.95) < 0.02
    assert difference[6:].max() < 1e-5


def test_at_rest_the_network_sees_the_portrait_and_no_way(identity: EncodedIdentity) -> None:
    """The driven patch shows the middle of the texture, at its own scale."""
    placement = still(identity)
    source, patch = seen(identity, placement)
    view = head.look(identity.head, source, patch, placement.head)[0]
    assert view.shape == (head.VIEW_CHANNELS, HEAD_PX, HEAD_PX)
    assert np.abs(view[4:6, 24:72, 24:72]).max() < 0.03
    np.testing.assert_allclose(view[6:], 0, atol=1e-5)
    own = head.in_texture(identity.head, identity.landmarks[None, [1], :2])[0, 0]
    at = (head.own_places(HEAD_PX) - own).astype(np.float32)
    row, column = np.unravel_index((at**2).sum(axis=-1).argmin(), at.shape[:2])
    nose = np.round((own / head.TEXTURE.side + 0.5) * TEXTURE_PX - 0.5).astype(int)
    texture = identity.head.rgba[nose[1] - 3 : nose[1] + 4, nose[0] - 3 : nose[0] + 4] / 255
    shown = view[:4, row - 2 : row + 3, column - 2 : column + 3]
    assert shown.mean(axis=(1, 2)) == pytest.approx(texture.mean(axis=(0, 1)), abs=0.05)


def test_a_turn_is_the_way_that_z_points() -> None:
    """z points away from the camera: who looks to the right of the picture turns it to the left."""
    stay = np.zeros(3, np.float32)
    right = head.turn_of(Similarity(faces.yaw(20), 1.0, stay))
    up = head.turn_of(Similarity(pitch(15), 1.0, stay))
    assert right == pytest.approx((-math.sin(math.radians(20)), 0), abs=1e-6)
    assert up == pytest.approx((0, math.sin(math.radians(15))), abs=1e-6)
    nose = face_mesh.load().mean_shape[[1]] - face_mesh.load().mean_shape[[168]]
    assert (nose @ faces.yaw(20).T)[0, 0] > 0.05, "yaw() turns the nose to the right"
    assert (nose @ pitch(15).T)[0, 1] < nose[0, 1] - 0.03, "pitch() turns it up"


@pytest.mark.parametrize("rotation", [np.eye(3), faces.yaw(-30), pitch(20)])
@pytest.mark.parametrize("degrees", [-60, 35])
def test_a_turn_knows_no_roll_nor_size_nor_place(rotation: F32, degrees: float) -> None:
    upright = head.turn_of(Similarity(rotation.astype(np.float32), 1.0, np.zeros(3, np.float32)))
    leaning = (roll(degrees) @ rotation).astype(np.float32)
    place = np.array([300, -50, 20], np.float32)
    assert head.turn_of(Similarity(leaning, 3.0, place)) == pytest.approx(upright, abs=1e-6)


def test_a_texture_is_premultiplied() -> None:
    """The colours of who is not there do not count, and do not bleed into who is."""
    portrait = np.zeros((512, 512, 4), np.uint8)
    portrait[:] = (255, 0, 0, 0)
    portrait[:, 200:300] = (0, 200, 100, 128)
    rgba = head.Texture.of(portrait, faces.landmarks(), TEXTURE_PX).rgba
    assert rgba.shape == (TEXTURE_PX, TEXTURE_PX, 4)
    assert rgba[..., 0].max() == 0
    middle = rgba[TEXTURE_PX // 2, TEXTURE_PX // 2 - 2]
    assert middle.tolist() == pytest.approx([0, 100, 50, 128], abs=1)


def test_a_texture_is_transparent_beyond_the_portrait() -> None:
    portrait = np.full((512, 512, 4), 255, np.uint8)
    texture = head.Texture.of(portrait, faces.landmarks(unit_px=180.0), TEXTURE_PX)
    corners = texture.patch.points(np.array([[0, 0], [511, 511]], np.float32))
    assert (corners[0] > 2).all()
    assert texture.rgba[0].max() == 0 and texture.rgba[:, 0].max() == 0


def test_fine_stripes_are_grey_in_a_texture_not_bands() -> None:
    portrait = np.full((512, 512, 4), 255, np.uint8)
    portrait[:, ::2, :3] = 0
    texture = head.Texture.of(portrait, faces.landmarks(), TEXTURE_PX).rgba[40:140, 40:184, 0]
    assert texture.mean() == pytest.approx(127, abs=2) and np.ptp(texture) < 12


def test_the_picture_for_encode_head_is_the_texture_at_half_its_size() -> None:
    texture = head.Texture.of(faces.portrait(), faces.landmarks(), TEXTURE_PX)
    picture = texture.picture()
    px = TEXTURE_PX // 2
    assert picture.shape == (1, 4, px, px) and picture.dtype == np.float32
    means = texture.rgba.reshape(px, 2, px, 2, 4).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(picture[0] * 255, means, atol=0.51)


@pytest.mark.parametrize("way", [(10_000, 0), (-10_000, 0), (0, 10_000), (0, -10_000)])
def test_a_head_beyond_the_canvas_changes_nothing(
    identity: EncodedIdentity, way: tuple[int, int]
) -> None:
    source, _ = seen(identity, still(identity))
    away = moved(still(identity), np.array([[1, 0, way[0]], [0, 1, way[1]]], np.float32))
    unit = face_mesh.face_unit(identity.landmarks)
    patch = crop.place(head.REGION, HEAD_PX, away.landmarks, away.head, unit)
    view = head.look(identity.head, source, patch, away.head)
    assert np.isfinite(view).all()
    field, before = np.ones_like(empty_field()), source.xy.copy()
    head.displace(field, patch, source, away.landmarks, unit)
    np.testing.assert_array_equal(source.xy, before)
    rgb = np.full((*CANVAS, 3), 100, np.uint8)
    head.shade(field, patch, rgb)
    np.testing.assert_array_equal(rgb, 100)


@pytest.mark.parametrize("way", [(300, 0), (-300, 0), (0, 220), (0, -220)])
def test_a_head_half_beyond_the_canvas_is_lit_on_its_other_half(
    identity: EncodedIdentity, way: tuple[int, int]
) -> None:
    away = moved(still(identity), np.array([[1, 0, way[0]], [0, 1, way[1]]], np.float32))
    source, patch = seen(identity, away)
    field, rgb = np.full_like(empty_field(), np.log(2)), np.full((*CANVAS, 3), 100, np.uint8)
    head.displace(field, patch, source, away.landmarks, 1.0)
    head.shade(field, patch, rgb)
    y, x = np.mgrid[: CANVAS[0], : CANVAS[1]]
    lit = inside(cells_of(patch, x, y)).reshape(CANVAS)
    assert 0.05 < lit.mean() < 0.6, "the test's own picture"
    np.testing.assert_array_equal(rgb[lit], 200)
