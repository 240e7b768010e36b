"""An identity number is a person; a frame's number says what that person does."""

from __future__ import annotations

import numpy as np
import pytest

from engines.training.synthetic import expressions, people
from engines.training.synthetic.expressions import shot
from engines.training.synthetic.people import Person, detail_weights, macro_targets, person

TARGETS = {
    "nose": ["nose-hump-decr", "nose-hump-incr", "nose-curve-convex"],
    "cheek": ["l-cheek-bones-decr", "l-cheek-bones-incr", "r-cheek-bones-decr"]
    + ["r-cheek-bones-incr"],
}
MANY = range(20000, 20200)


def made(number: int) -> Person:
    return person(number, TARGETS)


def test_the_same_number_is_the_same_person() -> None:
    assert [made(n) for n in MANY[:20]] == [made(n) for n in MANY[:20]]
    assert len({str(made(n).shape) for n in MANY}) == len(MANY)


def test_a_new_detail_changes_no_looks() -> None:
    richer = person(20000, TARGETS | {"chin": ["chin-width-incr", "chin-width-decr"]})
    assert richer.skin == made(20000).skin
    assert richer.hair_tint == made(20000).hair_tint


def test_everybody_is_drawable() -> None:
    everybody = [made(n) for n in MANY]
    for someone in everybody:
        assert sum(someone.ancestry.values()) == pytest.approx(1)
        assert 0 <= someone.age <= 0.7
        assert all(0 <= weight <= 1.5 for weight in someone.shape.values())
        assert all(0 <= channel <= 1 for channel in someone.shirt)
    men = sum(someone.male for someone in everybody)
    assert 0.35 * len(everybody) < men < 0.65 * len(everybody)
    assert len({someone.hair for someone in everybody}) == 8, "seven styles, and bald"


def test_macro_weights_sum_to_one_shape_and_one_build() -> None:
    ancestry = {"african": 0.2, "asian": 0.3, "caucasian": 0.5}
    weights = macro_targets(ancestry, 0.9, 0.3, 0.2, 0.8)
    build = sum(weight for name, weight in weights.items() if "universal" in name)
    assert build == pytest.approx(1)
    assert sum(weights.values()) == pytest.approx(2)


def test_opposite_targets_are_one_axis_and_sides_go_together() -> None:
    for seed in range(50):
        weights = detail_weights(np.random.default_rng(seed), TARGETS, 1)
        assert len({"nose/nose-hump-decr", "nose/nose-hump-incr"} & weights.keys()) <= 1
        left = {name[8:] for name in weights if name.startswith("cheek/l-")}
        right = {name[8:] for name in weights if name.startswith("cheek/r-")}
        assert left == right and len(left) == 1


def test_a_target_without_opposite_has_one_direction() -> None:
    drawn = [detail_weights(np.random.default_rng(s), TARGETS, 1) for s in range(50)]
    with_it = sum("nose/nose-curve-convex" in weights for weights in drawn)
    assert 10 < with_it < 40, "half of all draws point the other way"


def test_the_first_four_frames_are_fixed_in_kind() -> None:
    for number in MANY[:30]:
        someone = made(number)
        neutral, blink, jaw, smile = (shot(someone, frame) for frame in range(4))
        assert (neutral.yaw_deg, neutral.pitch_deg, neutral.roll_deg) == (0, 0, 0)
        assert "JawDrop" not in neutral.expression
        assert blink.expression["LeftUpperLidClosed"] == 1
        assert jaw.expression["JawDrop"] >= 0.55
        assert smile.expression["T:mouth-upward-retraction"] == 0.75


def test_a_frame_depends_on_identity_and_number_alone() -> None:
    someone = made(20001)
    late = shot(someone, 17)
    for frame in range(17):
        shot(someone, frame)
    assert shot(someone, 17) == late != shot(someone, 16)
    assert shot(made(20002), 17) != late


def test_poses_and_weights_stay_within_bounds() -> None:
    for frame in range(4, 300):
        taken = shot(made(20003), frame)
        assert abs(taken.yaw_deg) <= 45 and abs(taken.pitch_deg) <= 22
        assert all(0 <= w <= expressions.LARGEST for w in taken.expression.values())


def test_sloping_brows_are_raised_at_rest() -> None:
    rest = {
        brow: expressions.resting(np.random.default_rng(0), lift)["LeftInnerBrowUp"]
        for brow, lift in people.BROWS.items()
    }
    assert rest["eyebrow005"] > rest["eyebrow006"] + 0.3
