"""Made-up people before a made-up camera: landmarks over time, as a tracker would give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engines import face_mesh
from realtime import face_regions
from realtime.challenge import Step
from realtime.clock import NS_PER_S
from realtime.frames import F32
from realtime.stages.retarget import rotation_of

FPS = 25
FACE_PX = 110.0
"""pixels per face unit"""
POSES: dict[Step, tuple[float, float]] = {
    "left": (-24.0, 0.0),
    "right": (24.0, 0.0),
    "up": (0.0, -17.0),
    "down": (0.0, 17.0),
    "blink": (0.0, 0.0),
}
"""yaw and pitch in degrees"""


@dataclass(frozen=True)
class Shown:
    """What the camera sees in one moment."""

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    opening: float = 1.0
    """of the eyes"""
    there: bool = True


def shape(person: int) -> F32:
    """(478, 3) somebody's face at rest; 0 is the mean one."""
    mean: F32 = face_mesh.load().mean_shape
    if person == 0:
        return mean
    random = np.random.default_rng(person)
    middle = mean[: face_mesh.SKIN_LANDMARKS].mean(axis=0)
    # longer, broader, flatter, and crooked a little: what no turn and no scale undoes
    change = np.eye(3) + random.normal(0, 0.06, (3, 3)) * (0.4 + 0.6 * np.eye(3))
    return np.asarray((mean - middle) @ change.T + middle, np.float32)


def landmarks(shown: Shown, face: F32) -> F32 | None:
    """(478, 3) pixels of a picture of 640x480; None where nobody is there."""
    if not shown.there:
        return None
    posed = face.copy()
    for upper, lower, _ in face_regions.EYES:
        posed[list(upper)] = posed[list(lower)] + shown.opening * (
            posed[list(upper)] - posed[list(lower)]
        )
    angles = np.radians(np.array([shown.yaw_deg, shown.pitch_deg, 0], np.float32))
    turned = (posed - posed.mean(axis=0)) @ rotation_of(angles).T * FACE_PX
    turned[:, :2] += (320, 240)
    return np.asarray(turned, np.float32)


def rest(seconds: float = 1.6) -> list[Shown]:
    return [Shown()] * round(seconds * FPS)


def step(name: Step, way_s: float = 0.5, held_s: float = 0.4) -> list[Shown]:
    """A movement from rest to rest."""
    if name == "blink":
        return [Shown(opening=opening) for opening in (0.9, 0.5, 0.3, 0.25, 0.3, 0.6, 0.95)]
    yaw_deg, pitch_deg = POSES[name]
    count = round(way_s * FPS)
    way = [0.5 - 0.5 * np.cos(np.pi * (at + 1) / count) for at in range(count)]
    shares = [*way, *[1.0] * round(held_s * FPS), *way[::-1]]
    return [Shown(yaw_deg * share, pitch_deg * share) for share in shares]


def performance(steps: Sequence[Step], between_s: float = 0.6) -> list[Shown]:
    """Look ahead for a while, then all steps."""
    shown = rest()
    for name in steps:
        shown += [*step(name), *rest(between_s)]
    return shown


def without_blinking(shown: Sequence[Shown]) -> list[Shown]:
    return [replace(one, opening=1.0) for one in shown]


def filmed(
    shown: Sequence[Shown], person: int = 1, fps: float = FPS, noise: float = 0.003
) -> Iterator[tuple[F32 | None, int]]:
    """Landmarks and when they were seen, in nanoseconds from 0 on.

    Args:
        noise: of the tracker, in face units.
    """
    face, random = shape(person), np.random.default_rng(person)
    for number, one in enumerate(shown):
        found = landmarks(one, face)
        if found is not None:
            found = (found + random.normal(0, noise * FACE_PX, found.shape)).astype(np.float32)
        yield found, round(number * NS_PER_S / fps)
