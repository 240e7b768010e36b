"""What is worn turns with the head; what is changed holds for both pictures of a pair."""

from __future__ import annotations

import numpy as np
import pytest

from engines import face_mesh
from engines.training import augment
from engines.training.augment import NO_CHANGE, Change, Shape, compress

SIZE = 200
UNIT = 70.0


def face(rotation: np.ndarray | None = None) -> np.ndarray:
    """(478, 3) the mean face in the middle of a picture, turned about its own origin."""
    turned = face_mesh.load().mean_shape @ (np.eye(3) if rotation is None else rotation).T
    placed: np.ndarray = turned * UNIT + np.array([SIZE / 2, SIZE / 2, 0])
    return placed.astype(np.float32)


def grey() -> np.ndarray:
    picture = np.full((SIZE, SIZE, 4), 128, np.uint8)
    picture[..., 3] = np.arange(SIZE)
    return picture


def yaw(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def middle_of(changed: np.ndarray) -> np.ndarray:
    y, x = np.nonzero((changed[..., :3] != 128).any(axis=2))
    return np.array([x.mean(), y.mean()])


def test_no_change_is_none() -> None:
    np.testing.assert_array_equal(NO_CHANGE.apply(grey(), face()), grey())


def test_what_is_worn_turns_with_the_head() -> None:
    nose = face_mesh.load().mean_shape[1]
    patch = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]]) + nose
    change = Change((Shape(patch.astype(np.float32), (255, 0, 0), 1.0, 0),), (0.0, 0.0), 0.0)
    for degrees in (-30, 0, 30):
        landmarks = face(yaw(degrees))
        worn = middle_of(change.apply(grey(), landmarks))
        assert np.abs(worn - landmarks[1, :2]).max() < 1.0, f"at {degrees} degrees"


def test_glasses_lie_around_the_eyes() -> None:
    shapes = augment._glasses(np.random.default_rng(0))
    changed = Change(tuple(shapes), (0.0, 0.0), 0.0).apply(grey(), face())
    painted = (changed[..., :3] != 128).any(axis=2)
    eyes = face()[[33, 133, 263, 362], :2].mean(axis=0)
    assert np.abs(middle_of(changed) - eyes).max() < 0.2 * UNIT
    mouth = face()[face_mesh.MOUTH_HOLE, :2].round().astype(int)
    assert not painted[mouth[:, 1], mouth[:, 0]].any()


def test_side_light_brightens_one_side_and_darkens_the_other() -> None:
    lit = Change((), (0.5, 0.0), 0.0).apply(grey(), face())
    assert lit[100, 180, 0] > 150 and lit[100, 20, 0] < 100
    np.testing.assert_array_equal(lit[..., 3], grey()[..., 3])


@pytest.mark.parametrize("seed", range(8))
def test_the_same_draw_gives_the_same_pictures(seed: int) -> None:
    first, second = (Change.draw(np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first.apply(grey(), face()), second.apply(grey(), face()))


def test_everything_is_drawn_sometimes_and_not_always() -> None:
    rng = np.random.default_rng(1)
    changes = [Change.draw(rng) for _ in range(200)]
    assert 0.2 < np.mean([bool(change.shapes) for change in changes]) < 0.6
    assert 0.1 < np.mean([change.light[0] > 0 for change in changes]) < 0.6
    assert 0.1 < np.mean([change.blur_px > 0 for change in changes]) < 0.6


def test_without_side_light_all_else_is_drawn_as_with_it() -> None:
    changes = [
        [Change.draw(np.random.default_rng(seed), side_light=on) for on in (True, False)]
        for seed in range(40)
    ]
    assert any(lit.light[0] > 0 for lit, _ in changes)
    for lit, unlit in changes:
        assert unlit.light[0] == 0
        assert unlit.blur_px == lit.blur_px and len(unlit.shapes) == len(lit.shapes)


def test_compressing_changes_some_pictures_a_little_and_never_the_alpha() -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (SIZE, SIZE, 4)).astype(np.uint8)
    pictures = [compress(texture, rng) for _ in range(20)]
    assert all((p[..., 3] == texture[..., 3]).all() for p in pictures)
    assert 3 < sum((p != texture).any() for p in pictures) < 17
