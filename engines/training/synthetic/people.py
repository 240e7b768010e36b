"""Who an identity number is: the same number is the same person, always.

Everything about a person comes from random streams that belong to the number alone. Knows nothing
of frames (`expressions.py`) or of how a person is drawn (`scene.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from engines.training.synthetic.makehuman import mirrored

Colour = tuple[float, float, float]

_STREAMS = ("character", "shape", "looks", "light", "manner")
_SPREAD = {
    "head": 0.22,
    "nose": 0.3,
    "mouth": 0.27,
    "eyes": 0.22,
    "chin": 0.27,
    "cheek": 0.25,
    "ears": 0.25,
    "forehead": 0.25,
    "neck": 0.2,
    "eyebrows": 0.15,
}
"""folder of targets -> standard deviation of their weights, for variety 1"""
_LARGEST = 0.8
"""weight of a target; beyond it faces become caricatures"""
_LEFT_OUT = (
    "head-age",  # age comes from the macro targets
    "head-angle",
    "head-trans",
    "mouth-trans-in",  # a face that is crooked as a whole
    "mouth-trans-out",
    "neck-scale-vert",
    "neck-trans",
    "nose-trans-in",
    "nose-trans-out",
    "shape-pointed",  # ears of an elf
)
_OPPOSITES = (
    ("incr", "decr"),
    ("up", "down"),
    ("in", "out"),
    ("forward", "backward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
_SKINS = {
    "female light young": (
        "young_lightskinned_female_diffuse2",
        "young_lightskinned_female_diffuse3",
    ),
    "female light middle": ("middleage_lightskinned_female_diffuse2",),
    "female light old": ("middleage_lightskinned_female_diffuse2",),
    "female dark young": ("middleage_darkskinned_female_diffuse",),
    "female dark middle": ("middleage_darkskinned_female_diffuse",),
    "female dark old": ("old_darkskinned_female_diffuse",),
    "male light young": (
        "young_lightskinned_male_diffuse",
        "young_lightskinned_male_diffuse2",
        "young_lightskinned_male_diffuse3",
    ),
    "male light middle": (
        "middleage_lightskinned_male_diffuse",
        "middleage_lightskinned_male_diffuse2",
    ),
    "male light old": ("old_lightskinned_male_diffuse2",),
    "male dark young": ("young_darkskinned_male_diffuse",),
    "male dark middle": ("middleage_darkskinned_male_diffuse",),
    "male dark old": ("old_darkskinned_male_diffuse",),
}
_TOO_RED = {
    "middleage_darkskinned_female_diffuse": 0.8,
    "old_darkskinned_female_diffuse": 0.5,
    "old_darkskinned_male_diffuse": 0.78,
}
"""texture -> factor on linear red: these have 1.75 to 2.3 times as much red as green, others 1.6"""
_HAIR_TINTS: dict[str, Colour] = {
    "black": (0.10, 0.09, 0.09),
    "dark": (0.28, 0.22, 0.18),
    "brown": (0.75, 0.60, 0.50),
    "light brown": (1.25, 0.95, 0.70),
    "blond": (2.2, 1.7, 1.0),
    "red": (1.3, 0.55, 0.28),
    "grey": (1.9, 1.9, 1.95),
}
_HAIR_SHARES = {
    "black": 0.18,
    "dark": 0.24,
    "brown": 0.24,
    "light brown": 0.14,
    "blond": 0.14,
    "red": 0.06,
}
_MALE_HAIR = {"short01": 0.3, "short02": 0.3, "short04": 0.25, "": 0.15}
_FEMALE_HAIR = {"long01": 0.38, "ponytail01": 0.42, "braid01": 0.1, "bob02": 0.04, "short04": 0.06}
"""few of bob02: it hides an eye"""
EYES = ("blue", "bluegreen", "brownlight", "deepblue", "green", "grey", "ice", "lightblue")
BROWS = {
    "eyebrow001": 0.1,
    "eyebrow002": 0.3,
    "eyebrow003": 0.35,
    "eyebrow004": 0.45,
    "eyebrow005": 0.5,
    "eyebrow006": 0.05,
    "eyebrow007": 0.45,
    "eyebrow008": 0.25,
    "eyebrow009": 0.1,
    "eyebrow010": 0.25,
    "eyebrow011": 0.35,
}
"""name -> how far its inner end is raised at rest: most slope to the nose and look stern (judged
by eye); MakeHuman's twelfth differs left and right"""
LASHES = tuple(f"eyelashes{i:02d}" for i in range(1, 5))
COLLARS = ("crew", "vneck", "high")


@dataclass(frozen=True)
class Person:
    """What stays the same in all of a person's frames."""

    number: int
    male: bool
    age: float
    """0 = 25 years, 1 = 90 years"""
    ancestry: dict[str, float]
    """MakeHuman's three shape families, summing to 1"""
    shape: dict[str, float]
    """target -> weight"""
    skin: str
    skin_tint: Colour
    hair: str
    """empty = bald"""
    hair_tint: Colour
    eyes: str
    brow: str
    lash: str
    collar: str
    shirt: Colour


def stream(number: int, topic: str, *more: int) -> Generator:
    """A generator of its own per person and topic: a new draw in one changes no other."""
    return np.random.default_rng([number, _STREAMS.index(topic), *more])


def person(number: int, targets: Mapping[str, Iterable[str]]) -> Person:
    """
    Args:
        number: identity, 0 or more.
        targets: folder -> names of the detail targets in it (`detail_targets`).
    """
    rng = stream(number, "character")
    male = bool(rng.random() < 0.5)
    age = _age(rng)
    shares = rng.dirichlet([0.45] * 3)
    ancestry = dict(zip(("african", "asian", "caucasian"), map(float, shares), strict=True))
    femininity = float(np.clip(rng.normal(0.08, 0.1), 0, 0.4))
    muscle = float(np.clip(rng.normal(0.5, 0.15), 0.1, 0.9))
    weight = float(np.clip(rng.normal(0.5, 0.17), 0.1, 0.95))
    manhood = 1 - femininity if male else femininity
    shape = macro_targets(ancestry, manhood, age, muscle, weight)
    shape |= detail_weights(stream(number, "shape"), targets, float(rng.uniform(0.4, 0.75)))
    return _dressed(number, male, age, ancestry, shape)


def detail_targets(assets: Path) -> dict[str, list[str]]:
    """Folder -> names of the targets that tell one face from another."""
    return {
        folder: sorted(
            path.stem
            for path in (assets / "targets" / folder).glob("*.target")
            if not any(part in path.stem for part in _LEFT_OUT)
        )
        for folder in _SPREAD
    }


def macro_targets(
    ancestry: Mapping[str, float], manhood: float, age: float, muscle: float, weight: float
) -> dict[str, float]:
    """Weights of the targets at the corners of sex, age, ancestry, muscle and weight (all 0..1)."""
    build = {
        f"{m}muscle-{w}weight": share_m * share_w
        for m, share_m in _three(muscle).items()
        for w, share_w in _three(weight).items()
    }
    targets = {}
    for sex, share_sex in (("male", manhood), ("female", 1 - manhood)):
        for time, share_time in (("young", 1 - age), ("old", age)):
            corner = share_sex * share_time
            for name, share in ancestry.items():
                targets[f"macrodetails/{name}-{sex}-{time}"] = corner * share
            for name, share in build.items():
                targets[f"macrodetails/universal-{sex}-{time}-{name}"] = corner * share
    return {name: share for name, share in targets.items() if share > 0}


def detail_weights(
    rng: Generator, targets: Mapping[str, Iterable[str]], variety: float
) -> dict[str, float]:
    """Random weights of the detail targets; both sides of a face differ a little."""
    weights = {}
    for folder, names in targets.items():
        right_of = mirrored(names)
        for one, other in _axes(names):
            drawn = float(np.clip(rng.normal(0, _SPREAD[folder] * variety), -_LARGEST, _LARGEST))
            asymmetry = float(np.clip(rng.normal(1, 0.12), 0.5, 1.5))
            name = one if drawn > 0 else other
            if name:
                weights[f"{folder}/{name}"] = abs(drawn)
            if name in right_of:
                weights[f"{folder}/{right_of[name]}"] = abs(drawn) * asymmetry
    return weights


def _axes(names: Iterable[str]) -> list[tuple[str, str]]:
    """(target, its opposite or ""), each pair once, without the right sides of left ones."""
    known = set(names)
    rights = set(mirrored(known).values())
    axes, done = [], set(rights)
    for name in sorted(known - rights):
        if name not in done:
            opposite = _opposite(name)
            axes.append((name, opposite if opposite in known else ""))
            done |= {name, opposite}
    return axes


def _opposite(name: str) -> str:
    """The name of the target that would move the other way."""
    stem, _, end = name.rpartition("-")
    swap = dict(_OPPOSITES) | {b: a for a, b in _OPPOSITES}
    return f"{stem}-{swap[end]}" if end in swap else ""


def _three(value: float) -> dict[str, float]:
    """Shares of min, average and max for a value 0..1."""
    low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
    return {"min": low, "average": 1 - low - high, "max": high}


def _age(rng: Generator) -> float:
    low, high = ((0, 0.12), (0.1, 0.35), (0.35, 0.7))[rng.choice(3, p=[0.55, 0.3, 0.15])]
    return float(rng.uniform(low, high))


def _dressed(
    number: int, male: bool, age: float, ancestry: dict[str, float], shape: dict[str, float]
) -> Person:
    rng = stream(number, "looks")
    skin, tint = _skin(rng, male, age, ancestry)
    caucasian = ancestry["caucasian"] > 0.5
    brown = bool(rng.random() < 0.35) or not caucasian
    eyes = str(rng.choice(EYES))
    return Person(
        number,
        male,
        age,
        ancestry,
        shape,
        skin,
        tint,
        hair=_draw(rng, _MALE_HAIR if male else _FEMALE_HAIR),
        hair_tint=_hair_tint(rng, age, caucasian),
        eyes="brown" if brown else eyes,
        brow=str(rng.choice(list(BROWS))),
        lash=LASHES[0] if male else str(rng.choice(LASHES)),
        collar=str(rng.choice(COLLARS)),
        shirt=_shirt(rng),
    )


def _skin(
    rng: Generator, male: bool, age: float, ancestry: Mapping[str, float]
) -> tuple[str, Colour]:
    """Texture, and the factor on its linear colour."""
    dark = ancestry["african"] > 0.5
    time = "young" if age < 0.18 else "middle" if age < 0.42 else "old"
    family = f"{'male' if male else 'female'} {'dark' if dark else 'light'} {time}"
    skin = str(rng.choice(_SKINS[family]))
    if dark:
        tint = (1 + 0.45 * (1 - ancestry["african"])) * np.array([0.86, 0.98, 1.04])
        tint[0] *= _TOO_RED.get(skin, 1)
    else:
        yellow = ancestry["asian"]
        tint = np.array([1, 1 - 0.06 * yellow, 1 - 0.14 * yellow])
        tint *= (1 - 0.45 * ancestry["african"]) * rng.uniform(0.66, 0.86)
    return skin, _colour(tint * rng.uniform(0.85, 1.1) * rng.normal(1, 0.025, 3))


def _hair_tint(rng: Generator, age: float, caucasian: bool) -> Colour:
    name = _draw(rng, _HAIR_SHARES if caucasian else {"black": 0.7, "dark": 0.3})
    if age > 0.45 and rng.random() < 0.6:
        name = "grey"
    return _colour(np.array(_HAIR_TINTS[name]) * rng.uniform(0.8, 1.2))


def _shirt(rng: Generator) -> Colour:
    """sRGB 0..1: any hue, seldom bright and pure at once."""
    hue, saturation, value = rng.uniform(0, 6), rng.uniform(0, 0.5), rng.uniform(0.08, 0.78)
    wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return _colour(value * (1 - saturation * (1 - wheel)))


def _draw(rng: Generator, shares: Mapping[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = map(float, values)
    return red, green, blue
