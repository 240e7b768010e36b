from __future__ import annotations

import numpy as np

from engines import face_mesh
from realtime import face_regions

SHAPE = face_mesh.load().mean_shape


def test_weights_are_a_partition() -> None:
    parts = face_regions.regions()
    total = parts.mouth + parts.brows + parts.lids + parts.irises
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-6
    assert all(part.shape == (478,) for part in parts)


def test_each_part_owns_its_middle_and_nothing_far_away() -> None:
    parts = face_regions.regions()
    assert parts.mouth[[13, 14, 61, 291, 17]].min() > 0.95
    assert parts.brows[[105, 334]].min() > 0.9
    assert parts.lids[[159, 386]].min() > 0.7
    assert parts.irises[[468, 473]].min() == 1
    assert parts.mouth[[10, 33, 263, 168]].max() == 0
    assert parts.brows[[152, 13]].max() == 0


def test_the_skull_is_free_of_the_jaw_and_the_lips() -> None:
    parts = face_regions.regions()
    jaw = [13, 14, 17, 61, 291, 152, 148, 377, 199]
    assert parts.skull[jaw].max() == 0
    assert (parts.skull > 0).sum() > 40


def test_the_jaw_moves_the_chin_and_not_the_upper_lip() -> None:
    jaw = face_regions.regions().jaw
    assert jaw[152] > 0.9
    assert jaw[[0, 13, 1]].max() < 0.05


def test_gaps_measure_what_was_opened() -> None:
    opened = SHAPE.copy()
    before = face_regions.lip_gaps(SHAPE)
    opened[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] += 0.1
    np.testing.assert_allclose(face_regions.lip_gaps(opened)[1:-1] - before[1:-1], 0.1, atol=1e-5)
    shut = SHAPE.copy()
    shut[list(face_mesh.LEFT_EYE_UPPER)] = shut[list(face_mesh.LEFT_EYE_LOWER)]
    assert face_regions.lid_gap(shut, 1) < 1e-6
    assert face_regions.lid_gap(shut, 0) > 0.05
