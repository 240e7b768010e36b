"""The light and the camera of one person's frames: values only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_DISTANCE_DM = 9.5
"""camera to eyes"""
_FIELD_DEG = 16.5
"""field of view at zoom 1"""
_BELOW_EYES_DM = 0.35
"""where the camera looks"""
_NEAR_DM, _FAR_DM = 4.0, 20.0
_SHADOW_HALF_DM = 2.6
"""half the side of the square that the shadow map covers"""


@dataclass(frozen=True)
class Light:
    """Key, fill and rim light, and the sky; colours are linear, y is up."""

    directions: F32
    """(3, 3) unit vectors towards the lights"""
    colours: F32
    """(3, 3) linear RGB; only the first light casts shadows"""
    sky: F32
    """(3,) ambient colour from above"""
    ground: F32
    """(3,) and from below"""
    exposure: float


@dataclass(frozen=True)
class Camera:
    eye: F32
    """(3,) dm"""
    clip_from_world: F32
    """(4, 4)"""


def draw_light(rng: Generator) -> Light:
    """A key light from one side, a fill from the other, a rim from behind."""
    azimuth, elevation = np.deg2rad([rng.uniform(-65, 65), rng.uniform(10, 55)])
    across = -azimuth + np.deg2rad(rng.uniform(-25, 25))
    warmth = rng.uniform(-0.12, 0.12)
    warm, cold = np.array([1 + warmth, 1, 1 - warmth]), np.array([1 - warmth, 1, 1 + warmth])
    fill = np.array([np.sin(across), 0.15, np.cos(across)])
    rim = np.array([-0.8 * np.sign(azimuth), 0.5, -0.6])
    directions = [_direction(azimuth, elevation), fill, rim]
    colours = [
        warm * rng.uniform(1.1, 1.8),
        cold * rng.uniform(0.2, 0.7),
        np.ones(3) * rng.uniform(0, 1.3),
    ]
    return Light(
        np.array([v / np.linalg.norm(v) for v in directions], np.float32),
        np.array(colours, np.float32),
        (np.array([0.9, 0.97, 1.05]) * rng.uniform(0.25, 0.6)).astype(np.float32),
        (np.array([0.5, 0.42, 0.36]) * rng.uniform(0.3, 0.6)).astype(np.float32),
        float(rng.uniform(0.45, 0.68)),
    )


def portrait_camera(eyes: F32, zoom: float, shift: tuple[float, float]) -> Camera:
    """Straight before the face.

    Args:
        eyes: (3,) dm, the middle between both eyes of the head at rest.
        zoom: 1 shows head and collar.
        shift: of camera and aim, right and up, in dm.
    """
    aim = eyes + np.array([shift[0], shift[1] - _BELOW_EYES_DM, 0])
    eye = (aim + [0, 0, _DISTANCE_DM]).astype(np.float32)
    field_rad = np.deg2rad(_FIELD_DEG) / zoom
    return Camera(eye, (_perspective(field_rad) @ look_at(eye, aim)).astype(np.float32))


def shadow_camera(light: Light, aim: F32) -> F32:
    """(4, 4) clip_from_world of the key light's parallel rays."""
    eye = aim + light.directions[0] * 10
    scale = np.diag([1 / _SHADOW_HALF_DM, 1 / _SHADOW_HALF_DM, -2 / 19, 1])
    scale[2, 3] = -21 / 19  # depth from 1 to 20 dm
    return (scale @ look_at(eye, aim)).astype(np.float32)


def look_at(eye: F32, aim: F32) -> F32:
    """(4, 4) camera_from_world; the camera looks along its negative z, up is y."""
    back = (eye - aim) / np.linalg.norm(eye - aim)
    right = np.cross([0, 1, 0], back)
    right = right / np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back])
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = axes
    matrix[:3, 3] = -axes @ eye
    return matrix


def _perspective(field_rad: float) -> F32:
    """(4, 4) of a square picture."""
    size = 1 / np.tan(field_rad / 2)
    span = _NEAR_DM - _FAR_DM
    matrix = np.diag([size, size, (_FAR_DM + _NEAR_DM) / span, 0])
    matrix[2, 3], matrix[3, 2] = 2 * _FAR_DM * _NEAR_DM / span, -1
    return matrix.astype(np.float32)


def _direction(azimuth_rad: float, elevation_rad: float) -> F32:
    flat = np.cos(elevation_rad)
    direction = [np.sin(azimuth_rad) * flat, np.sin(elevation_rad), np.cos(azimuth_rad) * flat]
    return np.array(direction, np.float32)
