"""The geometry: still where nothing moves, smooth where something does, no holes in a face."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engines import face_mesh, rim
from engines.models import EncodedIdentity, geometry_only
from engines.pose import MotionTensors
from engines.warp import SourceMap, delaunay, sample
from tests.engines import faces

CANVAS = (480, 640)


@pytest.fixture(scope="module")
def identity() -> EncodedIdentity:
    return geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


def source_map(identity: EncodedIdentity, motion: MotionTensors) -> np.ndarray:
    return on_canvas(identity.mesh.source_map(identity.target.place(motion), CANVAS))


def on_canvas(source: SourceMap) -> np.ndarray:
    whole = np.full((*CANVAS, 2), -1e5, np.float32)
    height, width = source.xy.shape[:2]
    whole[source.top : source.top + height, source.left : source.left + width] = source.xy
    return whole


def test_no_motion_is_the_portrait_itself(identity: EncodedIdentity) -> None:
    placement = identity.target.place(faces.still())
    source = on_canvas(identity.mesh.source_map(placement, CANVAS))
    y, x = np.mgrid[: CANVAS[0], : CANVAS[1]].astype(np.float32)
    expected = (np.stack([x, y], axis=-1) - placement.torso[:, 2]) / placement.torso[0, 0]
    person = cv2.remap(identity.portrait_rgba[..., 3], expected, np.empty(0), cv2.INTER_NEAREST) > 0
    error = np.abs(source - expected).max(axis=2)[person]
    assert error.size > 0.3 * person.size
    assert np.percentile(error, 99) < 1.5, "portrait pixels"


def test_shoulders_stay_when_the_head_turns(identity: EncodedIdentity) -> None:
    still = source_map(identity, faces.still())
    joint = np.array([0, 0], np.float32)
    turned = MotionTensors(
        faces.yaw(25), joint, 1.0, faces.still().expression, np.ones(2, np.float32)
    )
    moved = np.abs(source_map(identity, turned) - still).max(axis=2)
    face_rows, shoulder_rows = slice(150, 250), slice(455, 480)
    assert np.median(moved[face_rows, 280:360]) > 10
    # the neck joint moves a little when the head's middle is held; shoulders follow it in part
    assert np.ptp(moved[shoulder_rows]) < 2, "as one piece"


def test_every_pixel_of_the_face_has_a_source(identity: EncodedIdentity) -> None:
    for degrees in (-35, -15, 15, 35):
        motion = MotionTensors(
            faces.yaw(degrees),
            np.zeros(2, np.float32),
            1.0,
            faces.still().expression,
            np.ones(2, np.float32),
        )
        source = source_map(identity, motion)
        outline = identity.target.place(motion).landmarks[list(face_mesh.FACE_OVAL), :2]
        face = cv2.fillConvexPoly(
            np.zeros(CANVAS, np.uint8), cv2.convexHull(outline).astype(np.int32), (1,)
        )
        assert source[face > 0].min() > 0, f"a hole at {degrees} degrees"


def test_lids_close(identity: EncodedIdentity) -> None:
    still = faces.still()
    shut = MotionTensors(
        still.rotation, still.translation, 1.0, still.expression, np.zeros(2, np.float32)
    )
    landmarks = identity.target.place(shut).landmarks
    for upper, lower in ((159, 145), (386, 374)):
        assert abs(landmarks[upper, 1] - landmarks[lower, 1]) < 0.5, "pixels"


def test_lips_meet_but_never_cross(identity: EncodedIdentity) -> None:
    still = faces.still()
    pressed = still.expression.copy()
    pressed[list(face_mesh.LIPS_INNER_UPPER), 1] += 0.2
    motion = MotionTensors(still.rotation, still.translation, 1.0, pressed, still.eye_openness)
    landmarks = identity.target.place(motion).landmarks
    gaps = (
        landmarks[list(face_mesh.LIPS_INNER_LOWER), 1]
        - landmarks[list(face_mesh.LIPS_INNER_UPPER), 1]
    )
    assert gaps.min() > -0.01


def test_far_translation_is_eased_back(identity: EncodedIdentity) -> None:
    still = faces.still()
    far = MotionTensors(
        still.rotation, np.array([50, -50], np.float32), 9.0, still.expression, still.eye_openness
    )
    landmarks = identity.target.place(far).landmarks
    assert 0 < landmarks[:, 0].mean() < CANVAS[1]
    assert np.isfinite(landmarks).all()


def test_delaunay_covers_a_square() -> None:
    points = np.array([[0, 0], [10, 0], [10, 10], [0, 10], [5, 5]], np.float32)
    triangles = delaunay(points)
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert area == pytest.approx(100)


def test_nothing_is_seen_beyond_the_portrait(identity: EncodedIdentity) -> None:
    joint = np.array([9, 0], np.float32)
    far = MotionTensors(faces.yaw(0), joint, 0.2, faces.still().expression, np.ones(2, np.float32))
    source = identity.mesh.source_map(identity.target.place(far), CANVAS)
    seen = sample(identity.portrait_rgba, source, CANVAS)
    outside = on_canvas(source)[..., 0] < -1
    assert outside.any()
    assert seen[outside].max() == 0


@pytest.mark.parametrize("degrees", [0, 25])
def test_the_map_goes_on_beside_the_person(identity: EncodedIdentity, degrees: int) -> None:
    placement = identity.target.place(replace(faces.still(), rotation=faces.yaw(degrees)))
    source = identity.mesh.source_map(placement, CANVAS)
    person = sample(identity.portrait_rgba, source, CANVAS)[..., 3]
    reach = round(0.12 * face_mesh.face_unit(placement.landmarks))
    beside = cv2.dilate(person, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    assert (on_canvas(source)[beside, 0] > -1e4).all(), "hair can be moved outwards"


def test_bands_hold_all_that_is_seen(identity: EncodedIdentity) -> None:
    for degrees in (-30, 0, 30):
        motion = MotionTensors(
            faces.yaw(degrees),
            np.array([degrees / 30, 0.2], np.float32),
            1.0,
            faces.still().expression,
            np.ones(2, np.float32),
        )
        source = identity.mesh.source_map(identity.target.place(motion), CANVAS)
        covered = source.xy[..., 0] > -1e5
        for band in source.bands:
            covered[band] = False
        assert not covered.any()


@pytest.mark.parametrize("degrees", [-20.0, 20.0])
def test_what_lies_beside_a_face_turns_with_the_skull(
    identity: EncodedIdentity, degrees: float
) -> None:
    """An ear is far behind the face's outline: it comes out on one side, and hides on the other."""
    unit, sides = face_mesh.face_unit(identity.landmarks), (234, 454)
    beside = np.round(identity.landmarks[sides, :2] + [(-0.3 * unit, 0), (0.3 * unit, 0)])
    gaps = []
    for motion in (faces.still(), turned_by(degrees)):
        placement = identity.target.place(motion)
        source = identity.mesh.source_map(placement, CANVAS)
        for side, (x, y) in zip(sides, beside.astype(int), strict=True):
            mark = np.zeros_like(identity.portrait_rgba)
            mark[y - 4 : y + 5, x - 4 : x + 5] = 255
            seen = sample(mark, source, CANVAS)[..., 0].astype(float)
            at = (seen.sum(axis=0) @ np.arange(CANVAS[1])) / max(seen.sum(), 1)
            edge = placement.landmarks[side, 0]
            gaps.append(abs(at - edge) / (unit * placement.head.scale) if seen.any() else 0.0)
    still, turned = np.array(gaps).reshape(2, 2)
    assert still == pytest.approx([0.3, 0.3], abs=0.05)
    nose, outline = (placement.landmarks[part, 0] for part in ([1], list(sides)))
    near, far = turned if nose[0] > outline.mean() else turned[::-1]
    assert near > 0.4 and far < 0.25


def test_the_near_rim_of_a_turned_face_does_not_wave(identity: EncodedIdentity) -> None:
    """The portrait's hair begins a little inside of the tracker's outline, as it does in photos."""
    landmarks = identity.landmarks
    outline = landmarks[list(face_mesh.FACE_OVAL), :2]
    middle = outline.mean(axis=0)
    skin = np.round(middle + 0.95 * (outline - middle)).astype(np.int32)
    dark = np.zeros_like(identity.portrait_rgba)
    dark[..., 3] = 255
    painted = cv2.fillPoly(dark, [skin], (255, 255, 255, 255)).astype(np.uint8)
    for degrees in (-25.0, 25.0):
        placement = identity.target.place(turned_by(degrees))
        picture = sample(painted, identity.mesh.source_map(placement, CANVAS), CANVAS)[..., 0]
        edge = placement.landmarks[list(face_mesh.FACE_OVAL), :2]
        rows = np.arange(*np.percentile(edge[:, 1], (30, 75)).astype(int))
        white = picture[rows] > 127
        near = np.argmax(white, axis=1) if degrees > 0 else np.argmax(white[:, ::-1], axis=1)
        smooth = np.polyval(np.polyfit(rows, near, 4), rows)
        assert np.ptp(near) > 3, "an edge was found"
        assert np.abs(near - smooth).max() < 1.5, f"pixels, at {degrees} degrees"


def test_only_the_rim_that_widens_gives_way(identity: EncodedIdentity) -> None:
    inner = rim.inner_neighbours(face_mesh.load().triangles)
    tested, unit = rim.Rim(identity.landmarks, inner), face_mesh.face_unit(identity.landmarks)
    still = identity.target.place(faces.still())
    inwards, outwards = tested.give_way(still.landmarks, still.head)
    assert not inwards.any() and not outwards.any()
    turned = identity.target.place(turned_by(25))
    inwards, outwards = tested.give_way(turned.landmarks, turned.head)
    length = np.linalg.norm(inwards, axis=1) / unit
    outline = np.array(face_mesh.FACE_OVAL)
    left = identity.landmarks[outline, 0] < identity.landmarks[outline, 0].mean()
    near, far = length[outline[left]].max(), length[outline[~left]].max()
    assert max(near, far) > 0.03 and min(near, far) < 0.6 * max(near, far)
    assert length[[1, 33, 263, 61, 291]].max() < 0.35 * max(near, far), "nose, eyes, mouth stay"
    assert np.linalg.norm(outwards[:36], axis=1).argmax() in np.flatnonzero(left == (near > far))


def turned_by(degrees: float) -> MotionTensors:
    return replace(faces.still(), rotation=faces.yaw(degrees))
