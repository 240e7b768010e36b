"""Similarity fits recover what was done to the points."""

from __future__ import annotations

import numpy as np

from engines.rigid import F32, Similarity, fit_similarity


def random_rotation(rng: np.random.Generator) -> F32:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    rotation: F32 = (q * np.sign(np.linalg.det(q))).astype(np.float32)
    return rotation


def test_fit_recovers_a_random_similarity() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = rng.normal(size=(30, 3)).astype(np.float32)
        truth = Similarity(
            random_rotation(rng), float(rng.uniform(0.3, 3)), rng.normal(size=3).astype(np.float32)
        )
        found = fit_similarity(points, truth.apply(points))
        np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-4)
        assert abs(found.scale - truth.scale) < 1e-4
        np.testing.assert_allclose(found.translation, truth.translation, atol=1e-4)


def test_fit_never_reflects() -> None:
    rng = np.random.default_rng(2)
    points = rng.normal(size=(20, 3)).astype(np.float32)
    found = fit_similarity(points, points * [-1, 1, 1])
    assert np.linalg.det(found.rotation) > 0.99


def test_points_without_weight_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(20, 3)).astype(np.float32)
    moved = points + np.array([1, 2, 3], np.float32)
    moved[:5] += 10
    weights = np.ones(20, np.float32)
    weights[:5] = 0
    found = fit_similarity(points, moved, weights)
    np.testing.assert_allclose(found.translation, [1, 2, 3], atol=1e-4)


def test_invert_undoes_apply() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(size=(20, 3)).astype(np.float32)
    similarity = Similarity(random_rotation(rng), 2.5, np.array([1, -2, 3], np.float32))
    np.testing.assert_allclose(similarity.invert(similarity.apply(points)), points, atol=1e-5)
