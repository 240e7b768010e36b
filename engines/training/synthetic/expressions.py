"""What a person does in frame k: face, gaze and head. Frames 0 to 3 are fixed in kind.

0 is frontal and near neutral, 1 a blink, 2 a wide jaw, 3 an open smile; the rest is random. A
frame depends on its identity and number alone, so a run can begin anywhere.

An expression maps names to weights: pose units of the rig, and targets, marked by "T:".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from engines.training.synthetic.people import BROWS as BROW_LIFTS
from engines.training.synthetic.people import Person, stream

Expression = dict[str, float]

LARGEST = 1.1
"""weight of a unit; 1 = as MakeHuman drew it"""


def _both(**units: float) -> Expression:
    """The same weight on the left and on the right."""
    return {f"{side}{unit}": weight for unit, weight in units.items() for side in ("Left", "Right")}


BLINK = _both(UpperLidClosed=1.0, LowerLidUp=0.25)
OPEN_SMILE = {
    "T:mouth-upward-retraction": 0.75,
    "T:mouth-corner-puller": 0.6,
    "JawDrop": 0.12,
    **_both(CheekUp=0.6, LowerLidUp=0.4),
}
MOUTHS: dict[str, tuple[float, Expression]] = {
    "smile": (
        0.16,
        {
            "T:mouth-corner-puller": 0.85,
            "MouthLeftPullUp": 0.25,
            "MouthRightPullUp": 0.25,
            **_both(CheekUp=0.5, LowerLidUp=0.3),
        },
    ),
    "open smile": (0.16, OPEN_SMILE),
    "open jaw": (0.2, {"JawDrop": 0.9}),
    "pucker": (0.12, {"T:mouth-pursing": 1.0, "LipsKiss": 0.35}),
    "frown": (0.1, {"T:mouth-depression": 0.7, "NoseWrinkler": 0.3, **_both(BrowDown=0.8)}),
    "oh": (0.12, {"JawDrop": 0.35, "LipsKiss": 0.8, "T:mouth-pursing": 0.4}),
    "tongue": (0.02, {"JawDrop": 0.5, "TongueOut": 1.0}),
    "viseme": (0.12, {}),
}
"""name -> share, and the expression; of a viseme one of `VISEMES` is drawn"""
VISEMES = (
    "T:mouth-parling",
    "T:mouth-part-later",
    "T:mouth-compression",
    "T:mouth-retraction",
    "T:mouth-elevation",
    "T:mouth-depression-retraction",
    "MouthMoveLeft",
    "MouthMoveRight",
    "MouthLeftPullSide",
    "MouthRightPullSide",
    "ChinLeft",
    "ChinRight",
    "CheeksPump",
    "UpperLipUp",
    "lowerLipDown",
    "NasolabialDeepener",
)
BROWS = (
    _both(InnerBrowUp=0.8, OuterBrowUp=0.8),
    _both(BrowDown=0.9),
    _both(InnerBrowUp=1.0),
)


@dataclass(frozen=True)
class Shot:
    """One frame of a person."""

    expression: Expression
    yaw_deg: float
    """positive turns the person's face to the picture's right"""
    pitch_deg: float
    """positive looks down"""
    roll_deg: float
    shift: tuple[float, float]
    """of the camera, dm"""


def shot(person: Person, frame: int) -> Shot:
    """What a person does in `frame`, counted from 0."""
    rest = resting(stream(person.number, "manner"), BROW_LIFTS[person.brow])
    if frame == 0:
        return Shot(rest, 0, 0, 0, (0, 0))
    rng = stream(person.number, "manner", frame)
    if frame == 1:
        expression = add(rest, BLINK)
    elif frame == 2:
        expression = add(rest, {"JawDrop": float(rng.uniform(0.55, 1))})
    elif frame == 3:
        expression = add(rest, OPEN_SMILE)
    else:
        expression = add(drawn(rng), rest, 0.8)
    yaw, pitch, roll = np.clip(rng.normal(0, (18, 8, 7)), (-45, -22, -20), (45, 22, 20))
    x, y = rng.normal(0, 0.05, 2)
    return Shot(expression, float(yaw), float(pitch), float(roll), (float(x), float(y)))


def add(base: Expression, more: Expression, weight: float = 1) -> Expression:
    """The sum, each unit within 0 and `LARGEST`."""
    names = [*base, *(name for name in more if name not in base)]
    summed = {name: base.get(name, 0) + weight * more.get(name, 0) for name in names}
    return {name: float(np.clip(value, 0, LARGEST)) for name, value in summed.items()}


def resting(rng: Generator, brow_lift: float) -> Expression:
    """A person's face at rest: brows that are not stern, closed lips, a hint of a smile.

    Args:
        brow_lift: what the shape of the person's brows asks for.
    """
    brow, smile = float(rng.uniform(0, 0.2)), float(rng.uniform(0.1, 0.45))
    return {
        **_both(InnerBrowUp=brow_lift + brow, OuterBrowUp=brow),
        "lowerLipUp": 0.2,  # else teeth shine through between the lips
        "T:mouth-corner-puller": 0.6 * smile,
        "MouthLeftPullUp": 0.25 * smile,
        "MouthRightPullUp": 0.25 * smile,
    }


def drawn(rng: Generator) -> Expression:
    """A random mixture: usually one mouth shape, and lids, brows and gaze of their own."""
    expression: Expression = {}
    if rng.random() < 0.85:
        for _ in range(1 if rng.random() < 0.6 else 2):
            expression = add(expression, _mouth(rng), float(rng.uniform(0.2, 1.05)))
    expression = add(expression, _lids(rng))
    if rng.random() < 0.4:
        expression = add(expression, _brows(rng), float(rng.uniform(0.2, 1)))
    if rng.random() < 0.7:
        expression = add(expression, _gaze(rng))
    if rng.random() < 0.12:
        expression = add(expression, BLINK)
    return expression


def _mouth(rng: Generator) -> Expression:
    name = str(rng.choice(list(MOUTHS), p=[share for share, _ in MOUTHS.values()]))
    return {str(rng.choice(VISEMES)): 1.0} if name == "viseme" else MOUTHS[name][1]


def _lids(rng: Generator) -> Expression:
    """Both partly closed, now and then one; or wide open."""
    closed = float(rng.beta(0.5, 1.2)) if rng.random() < 0.45 else 0.0
    right = closed if rng.random() < 0.85 else float(rng.random())
    lids: Expression = {}
    for side, amount in (("Left", closed), ("Right", right)):
        if amount:
            lids |= {f"{side}UpperLidClosed": amount, f"{side}LowerLidUp": amount / 4}
        elif rng.random() < 0.15:
            lids[f"{side}UpperLidOpen"] = 0.7 * float(rng.random())
    return lids


def _brows(rng: Generator) -> Expression:
    chosen = BROWS[rng.integers(len(BROWS))]
    if rng.random() < 0.85:
        return chosen
    return {name: weight for name, weight in chosen.items() if name.startswith("Left")}


def _gaze(rng: Generator) -> Expression:
    x, y = np.clip(rng.normal(0, 0.35, 2), -0.9, 0.9)
    sideways = "EyeturnLeft" if x > 0 else "EyeturnRight"
    upright = "EyeUp" if y > 0 else "EyeDown"
    return _both(**{sideways: abs(float(x)), upright: abs(float(y))})
