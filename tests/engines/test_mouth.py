"""Teeth are seen where lips part, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from engines import face_mesh
from engines.models import EncodedIdentity, geometry_only
from engines.mouth import Mouth
from engines.pose import MotionTensors
from engines.rigid import Similarity
from tests.engines import faces

CANVAS = (480, 640)
SKIN = np.full(3, 165, np.float32)
STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@pytest.fixture(scope="module")
def identity() -> EncodedIdentity:
    return geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


def opened(by: float) -> MotionTensors:
    """The lower lip and the chin dropped by so many face units."""
    still = faces.still()
    expression = still.expression.copy()
    lower = list(face_mesh.LIPS_INNER_LOWER[1:-1]) + list(face_mesh.LIPS_OUTER_LOWER[1:-1])
    expression[[*lower, face_mesh.CHIN], 1] += by
    return MotionTensors(still.rotation, still.translation, 1.0, expression, still.eye_openness)


def drawn(identity: EncodedIdentity, by: float) -> np.ndarray:
    """(H, W, 3) what the mouth adds to a grey canvas."""
    placement = identity.target.place(opened(by))
    canvas = np.full((*CANVAS, 3), 120, np.uint8)
    identity.mouth.draw(canvas, placement.landmarks, placement.head)
    return canvas


def test_closed_lips_show_nothing(identity: EncodedIdentity) -> None:
    assert np.ptp(drawn(identity, 0.0)) == 0


def test_an_open_mouth_shows_teeth_and_dark(identity: EncodedIdentity) -> None:
    changed = drawn(identity, 0.3)
    luma = changed.mean(axis=2)
    assert luma.max() > 150, "teeth are brighter than the skin"
    assert luma.min() < 60, "and the mouth behind them is dark"


def test_only_the_opening_is_painted(identity: EncodedIdentity) -> None:
    landmarks = identity.target.place(opened(0.3)).landmarks
    changed = np.argwhere((drawn(identity, 0.3) != 120).any(axis=2))[:, ::-1]
    polygon = landmarks[face_mesh.MOUTH_HOLE, :2]
    assert (changed >= polygon.min(axis=0) - 2).all()
    assert (changed <= polygon.max(axis=0) + 2).all()


def test_upper_teeth_stay_with_the_skull(identity: EncodedIdentity) -> None:
    little, wide = (drawn(identity, by).mean(axis=2) for by in (0.2, 0.35))
    rows = [np.flatnonzero((image > 140).any(axis=1))[0] for image in (little, wide)]
    assert abs(int(rows[0]) - int(rows[1])) <= 2, "the first row of bright pixels does not sink"


def test_lower_teeth_go_with_the_jaw(identity: EncodedIdentity) -> None:
    for by in (0.25, 0.35):
        placement = identity.target.place(opened(by))
        unit = face_mesh.face_unit(identity.landmarks) * placement.head.scale
        column, lip = (round(value) for value in placement.landmarks[14, :2].tolist())
        red, _, blue = drawn(identity, by)[:, column].astype(float).T
        redness = (red - blue) / red
        assert redness[lip - round(0.02 * unit) : lip].max() < 0.3, "enamel above the lip"
        assert redness[lip - round(0.10 * unit)] > 0.4, "and the tongue behind it"


def test_teeth_are_lit_as_the_skin_is() -> None:
    identity = geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    placement = identity.target.place(opened(0.3))
    peaks = []
    for skin in (SKIN, SKIN * 0.5):
        canvas = np.zeros((*CANVAS, 3), np.uint8)
        Mouth(identity.landmarks, skin).draw(canvas, placement.landmarks, placement.head)
        peaks.append(int(canvas.max()))
    assert peaks[0] > 1.5 * peaks[1]


def test_a_portrait_that_shows_its_teeth_keeps_them_until_it_opens_wider() -> None:
    landmarks, lower = faces.landmarks(), list(face_mesh.LIPS_INNER_LOWER[1:-1])
    landmarks[lower, 1] += 20
    mouth = Mouth(landmarks, SKIN)
    wider = landmarks.copy()
    wider[lower, 1] += 20
    for driven, changes in ((landmarks, False), (wider, True)):
        canvas = np.full((*CANVAS, 3), 120, np.uint8)
        mouth.draw(canvas, driven, STAY)
        assert bool(np.ptp(canvas)) is changes


def seen_in(mouth: Mouth) -> np.ndarray:
    """(3,) the brightest colour inside of it, open."""
    landmarks = faces.landmarks()
    landmarks[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] += 40
    canvas = np.zeros((*CANVAS, 3), np.uint8)
    mouth.draw(canvas, landmarks, STAY)
    return np.asarray(canvas.reshape(-1, 3).max(axis=0))


def test_teeth_are_as_bright_as_the_ones_the_portrait_shows() -> None:
    dim, bright = (
        seen_in(Mouth(faces.landmarks(), SKIN * 0.5, teeth_rgb=np.full(3, teeth, np.float32)))
        for teeth in (150, 240)
    )
    assert bright.max() > 1.3 * dim.max()


@pytest.mark.parametrize("shown", ["white_rgb", "teeth_rgb"])
def test_teeth_have_the_tint_of_what_is_white_in_the_portrait(shown: str) -> None:
    colour = {shown: np.array([180, 150, 120], np.float32)}
    neutral, warm = (
        seen_in(Mouth(faces.landmarks(), SKIN * 0.3, **light)) for light in ({}, colour)
    )
    assert warm[0] / warm[2] > 1.15 * neutral[0] / neutral[2]


def test_dark_skin_does_not_darken_teeth_where_the_eyes_show_the_light() -> None:
    white = np.full(3, 150, np.float32)
    dark, pale = (seen_in(Mouth(faces.landmarks(), SKIN * k, white)) for k in (0.3, 1))
    np.testing.assert_array_equal(dark, pale)


def test_a_mouth_outside_the_picture_is_no_error(identity: EncodedIdentity) -> None:
    placement = identity.target.place(opened(0.3))
    away = placement.landmarks + np.array([5000, 0, 0], np.float32)
    canvas = np.full((*CANVAS, 3), 120, np.uint8)
    identity.mouth.draw(canvas, away, placement.head)
    assert np.ptp(canvas) == 0
