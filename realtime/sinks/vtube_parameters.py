"""What VTube Studio is told of a motion: its own parameters, and the 52 of ARKit as custom ones.

A plugin may make 100 custom parameters, of all plugins together there are 300; names are 4 to 32
letters and digits, and nobody else's. Pure; knows no connection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from realtime import arkit
from realtime.frames import Motion
from realtime.stages.retarget import euler_rad


def custom_name(coefficient: str) -> str:
    """What one of ARKit's is called there: ReenactdJawOpen, so that no other plugin has it."""
    return f"Reenactd{coefficient[0].upper()}{coefficient[1:]}"


CUSTOM = {custom_name(coefficient): coefficient for coefficient in arkit.NAMES}


def description(name: str) -> Mapping[str, Any]:
    """Of a custom parameter, as a ParameterCreationRequest has it."""
    coefficient = CUSTOM[name]
    shown = coefficient in arkit.MEASURED or coefficient in arkit.DERIVED
    absent = "" if shown else "; a camera does not show it: always 0"
    return {
        "parameterName": name,
        "explanation": f"ARKit's {coefficient}, by reenactd{absent}",
        "min": 0,
        "max": 1,
        "defaultValue": 0,
    }


def parameters(motion: Motion, custom: Collection[str] = ()) -> dict[str, float]:
    """VTube Studio's own tracking parameters, as far as landmarks show them; in its ranges.

    Args:
        custom: names of `CUSTOM` that it knows by now, which are told as well.
    """
    seen = arkit.measure(motion)
    yaw, pitch, roll = np.degrees(euler_rad(motion.rotation)).tolist()

    def mean(name: str) -> float:
        return (seen[f"{name}Left"] + seen[f"{name}Right"]) / 2

    found = {
        "FaceAngleX": -yaw,
        "FaceAngleY": -pitch,
        "FaceAngleZ": roll,
        "MouthOpen": seen["jawOpen"],
        "MouthSmile": 0.5 + (mean("mouthSmile") - mean("mouthFrown")) / 2,
        "MouthX": seen["mouthLeft"] - seen["mouthRight"],
        "Brows": 0.5 + (seen["browInnerUp"] - mean("browDown")) / 2,
    }
    for side in ("Left", "Right"):
        inwards = seen[f"eyeLookIn{side}"] - seen[f"eyeLookOut{side}"]
        found |= {
            f"EyeOpen{side}": 1 - seen[f"eyeBlink{side}"],
            f"Eye{side}X": inwards if side == "Right" else -inwards,
            f"Eye{side}Y": seen[f"eyeLookUp{side}"] - seen[f"eyeLookDown{side}"],
            f"Brow{side}Y": 0.5 + (seen[f"browOuterUp{side}"] - seen[f"browDown{side}"]) / 2,
        }
    return found | {name: seen[CUSTOM[name]] for name in custom}
