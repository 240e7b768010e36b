"""The 52 face coefficients that ARKit named, measured from a Motion. Pure; knows no protocol.

Their names are those of Apple's ARFaceAnchor.BlendShapeLocation; most tools of VTubers speak them.
478 landmarks in one picture do not show all of them:

    MEASURED   a landmark or a lid shows it directly
    DERIVED    a guess from measured ones: which of two causes moved the lips is not seen
    all others 0, for landmarks do not show them: cheeks, nose, tongue, lips rolled or pressed, the
               jaw behind closed lips or moved aside (a turned head seems to do that too)

The sides are the subject's own, as everywhere here. Scales are in face units: what MediaPipe's mesh
moves by when the rendered performers of our tests perform a coefficient fully.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engines import face_mesh
from realtime.face_regions import lip_gaps
from realtime.frames import F32, Motion

# fmt: off
NAMES: Final = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)
MEASURED: Final = frozenset((
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeWideLeft", "eyeWideRight",
    "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft",
    "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "jawOpen", "mouthLeft", "mouthRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
))
DERIVED: Final = frozenset((
    "mouthFunnel", "mouthPucker", "mouthStretchLeft", "mouthStretchRight",
))
# fmt: on

JAW_OPEN = 0.31
"""between the inner lips; the other lengths too are in face units"""
CORNER_DROP, CORNER_DRAW = 0.25, 0.13
"""how far a jaw that opens takes the corners of the mouth down and in, as shares of the gap"""
SMILE_UP, SMILE_OUT, FROWN_DOWN = 0.07, 0.05, 0.06
ROUNDED, STRETCHED = 0.10, 0.06
MOUTH_ASIDE, JAW_ASIDE = 0.08, 0.06
UPPER_UP = 0.05
BROW_INNER_UP, BROW_OUTER_UP, BROW_DOWN = 0.11, 0.07, 0.06
GAZE_ASIDE, GAZE_UP = 0.06, 0.04
EYE_WIDE = 0.35
"""of an eye's opening in the neutral"""
_TURNED = 0.35
"""of what shifts the mouth: so much a head that turns does too, and is not believed"""
_DROOPED = 0.30
"""of a frown: so much a neutral that was taken smiling does too"""
_PARTED = 0.10
"""lips this far apart are rounded by a funnel, not by a pucker"""

_CORNERS = {"Right": 61, "Left": 291}
_UPPER_LIPS = {"Right": 81, "Left": 311}
_INNER_BROWS = {"Right": 107, "Left": 336}
_OUTER_BROWS = {"Right": 63, "Left": 293}
_IRISES = {"Right": face_mesh.RIGHT_IRIS[0], "Left": face_mesh.LEFT_IRIS[0]}
_OUTWARDS = {"Right": -1.0, "Left": 1.0}
"""along x: the picture's right is the subject's left"""


def measure(motion: Motion) -> dict[str, float]:
    """All 52, each 0..1, in the order of `NAMES`."""
    moved = motion.expression
    found = {**_jaw_and_lips(moved), **_brows(moved), **_eyes(moved, motion.eye_openness)}
    return {name: min(max(found.get(name, 0.0), 0.0), 1.0) for name in NAMES}


def _jaw_and_lips(moved: F32) -> Mapping[str, float]:
    gap = max(float(lip_gaps(moved).max()), 0.0)
    found: dict[str, float] = {"jawOpen": gap / JAW_OPEN}
    shift = float(moved[list(_CORNERS.values()), 0].mean())
    found["mouthLeft"] = _beyond(_TURNED, shift / MOUTH_ASIDE)
    found["mouthRight"] = _beyond(_TURNED, -shift / MOUTH_ASIDE)
    outwards = []
    for side, corner in _CORNERS.items():
        lifted = CORNER_DROP * gap - float(moved[corner, 1])
        smile = lifted / SMILE_UP
        found[f"mouthSmile{side}"] = smile
        found[f"mouthFrown{side}"] = _beyond(_DROOPED, -lifted / FROWN_DOWN)
        outwards.append(_OUTWARDS[side] * (float(moved[corner, 0]) - shift) + CORNER_DRAW * gap)
        beyond = outwards[-1] - SMILE_OUT * min(max(smile, 0), 1)
        found[f"mouthStretch{side}"] = beyond / STRETCHED
        found[f"mouthUpperUp{side}"] = -float(moved[_UPPER_LIPS[side], 1]) / UPPER_UP
    rounded, parted = -sum(outwards) / 2 / ROUNDED, min(gap / _PARTED, 1.0)
    found["mouthFunnel"], found["mouthPucker"] = parted * rounded, (1 - parted) * rounded
    return found


def _beyond(dead: float, value: float) -> float:
    """0 up to there, then rising to 1 at 1."""
    return (value - dead) / (1 - dead)


def _brows(moved: F32) -> Mapping[str, float]:
    inner = -float(moved[list(_INNER_BROWS.values()), 1].mean())
    found = {"browInnerUp": inner / BROW_INNER_UP}
    for side in ("Left", "Right"):
        found[f"browOuterUp{side}"] = -float(moved[_OUTER_BROWS[side], 1]) / BROW_OUTER_UP
        found[f"browDown{side}"] = float(moved[_INNER_BROWS[side], 1]) / BROW_DOWN
    return found


def _eyes(moved: F32, openness: F32) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for eye, side in enumerate(("Right", "Left")):
        found[f"eyeBlink{side}"] = 1 - float(openness[eye])
        found[f"eyeWide{side}"] = (float(openness[eye]) - 1) / EYE_WIDE
        x, y = moved[_IRISES[side], :2].tolist()
        aside = _OUTWARDS[side] * x / GAZE_ASIDE
        found[f"eyeLookOut{side}"], found[f"eyeLookIn{side}"] = aside, -aside
        found[f"eyeLookUp{side}"], found[f"eyeLookDown{side}"] = -y / GAZE_UP, y / GAZE_UP
    return found
