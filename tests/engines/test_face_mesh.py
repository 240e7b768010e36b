"""The shipped topology is a mesh of a face, with holes where a face has holes."""

from __future__ import annotations

import numpy as np
import pytest

from engines import face_mesh

HOLES = (face_mesh.MOUTH_HOLE, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE)


def edges() -> dict[tuple[int, int], int]:
    """How many triangles share each edge."""
    counts: dict[tuple[int, int], int] = {}
    for a, b, c in face_mesh.load().triangles.tolist():
        for edge in ((a, b), (b, c), (a, c)):
            key = (min(edge), max(edge))
            counts[key] = counts.get(key, 0) + 1
    return counts


def test_every_skin_landmark_is_used() -> None:
    assert set(face_mesh.load().triangles.ravel().tolist()) == set(range(face_mesh.SKIN_LANDMARKS))


@pytest.mark.parametrize("hole", HOLES, ids=["mouth", "right eye", "left eye"])
def test_contours_are_edges_with_a_hole_on_one_side(hole: np.ndarray) -> None:
    counts = edges()
    for a, b in zip(hole.tolist(), np.roll(hole, -1).tolist(), strict=True):
        assert counts[(min(a, b), max(a, b))] == 1


def test_no_edge_belongs_to_more_than_two_triangles() -> None:
    assert max(edges().values()) == 2


def test_mean_shape_is_frontal_upright_and_of_unit_size() -> None:
    mean = face_mesh.load().mean_shape
    assert face_mesh.face_unit(mean) == pytest.approx(1, abs=1e-4)
    assert mean[face_mesh.CHIN, 1] > mean[face_mesh.FOREHEAD, 1]
    assert abs(mean[4, 0]) < 0.01, "the nose tip lies in the middle"
    assert mean[4, 2] < mean[234, 2], "the nose is nearer than the ear"
