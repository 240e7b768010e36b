"""Somebody who is drawn, with the real tracker and the real matte: hair stays, eyes stay whole."""

from __future__ import annotations

import numpy as np
import pytest

from engines.models import EncodedIdentity, geometry_only
from engines.rigid import Similarity
from realtime import portrait
from realtime.drivers import camera
from realtime.frames import U8
from tests import drawn

AT_REST = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@pytest.fixture(scope="module")
def cut_out() -> U8:
    return portrait.cut_out(drawn.portrait(), camera.person_matte)


@pytest.fixture(scope="module")
def identity(cut_out: U8) -> EncodedIdentity:
    (face,) = camera.find_faces(portrait.over(cut_out))
    return geometry_only().encode_identity(cut_out, face.landmarks_px, (480, 640))


def test_long_hair_is_of_the_person_and_the_background_is_not(cut_out: U8) -> None:
    alpha = cut_out[..., 3]
    for x, y in ((200, 640), (570, 640), (384, 100), (384, 700)):
        assert alpha[y, x] == 255, (x, y)
    for x, y in ((20, 20), (740, 400), (384, 40), (100, 600)):
        assert alpha[y, x] == 0, (x, y)


def test_its_background_is_the_drawings_own(cut_out: U8) -> None:
    background = portrait.own_background(cut_out, cut_out[..., 3], (480, 640))
    assert abs(background.astype(int) - drawn.BACKGROUND).max() <= 4


def test_its_eyes_are_neither_taken_apart_nor_painted(identity: EncodedIdentity) -> None:
    for eye in identity.eyes:
        assert eye.layers is None
        assert eye.needs_paint(identity.landmarks * 0.5, AT_REST) == 0
