"""What portraits have and rendered faces do not: spectacles, microphones, hands, hard light, JPEG.

    change = Change.draw(rng)
    portrait = change.apply(portrait, its_landmarks)
    driving = change.apply(driving, its_landmarks)

One change holds for both pictures of a pair, so that the network learns to keep what it sees. What
is worn is drawn in the head's own frame and turns with it. Lost quality is the exception: the
portrait alone is compressed (`compress`), because nobody wants its blocks repeated.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines import face_mesh
from engines.rigid import Similarity, fit_similarity

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_RIGID = list(face_mesh.RIGID)
_SHIFT_BITS = 4
_GLASSES, _MICROPHONE, _HAND, _SIDE_LIGHT, _BLUR, _COMPRESSED = 0.25, 0.06, 0.08, 0.3, 0.3, 0.4
"""how often each appears"""


@dataclass(frozen=True, slots=True)
class Shape:
    """A flat, soft-edged thing in the head's frame."""

    outline: F32
    """(N, 3) in face units, as the mean face of the mesh; negative z is in front of it"""
    rgb: tuple[int, int, int]
    opacity: float
    width: float
    """of a line along the outline, in face units; 0 fills it"""


@dataclass(frozen=True, slots=True)
class Change:
    """One draw of everything that happens to both pictures of a pair."""

    shapes: tuple[Shape, ...]
    light: tuple[float, float]
    """strength of the side light and its direction in radians; 0 is none"""
    blur_px: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, side_light: bool = True) -> Change:
        shapes: list[Shape] = []
        for share, make in ((_GLASSES, _glasses), (_MICROPHONE, _microphone), (_HAND, _hand)):
            if rng.random() < share:
                shapes += make(rng)
        strength = rng.uniform(0.2, 0.75) if rng.random() < _SIDE_LIGHT else 0.0
        if not side_light:
            strength = 0.0
        blur_px = rng.uniform(0.4, 1.3) if rng.random() < _BLUR else 0.0
        return cls(tuple(shapes), (strength, rng.uniform(0, 2 * np.pi)), blur_px)

    def apply(self, rgba: U8, landmarks: F32) -> U8:
        """A changed copy of an (H, W, 4) picture with its (478, 3) landmarks; alpha stays."""
        if self == NO_CHANGE:
            return rgba
        head = fit_similarity(face_mesh.load().mean_shape[_RIGID], landmarks[_RIGID])
        rgb = np.ascontiguousarray(rgba[..., :3])
        if self.light[0] > 0:
            rgb = _lit(rgb, head, *self.light)
        for shape in self.shapes:
            rgb = _drawn(rgb, shape, head)
        if self.blur_px > 0:
            rgb = cast(U8, cv2.GaussianBlur(rgb, (0, 0), self.blur_px))
        return np.dstack([rgb, rgba[..., 3]])


NO_CHANGE = Change((), (0.0, 0.0), 0.0)


def compress(rgba: U8, rng: np.random.Generator) -> U8:
    """Some of the pictures as JPEG or WebP give them back, at a quality of 30 to 95."""
    if rng.random() >= _COMPRESSED:
        return rgba
    held = io.BytesIO()
    kind = "JPEG" if rng.random() < 0.5 else "WEBP"
    Image.fromarray(rgba[..., :3]).save(held, kind, quality=int(rng.integers(30, 96)))
    return np.dstack([np.asarray(Image.open(held).convert("RGB")), rgba[..., 3]])


def _lit(rgb: U8, head: Similarity, strength: float, direction: float) -> U8:
    """Bright on one side of the face, dark on the other."""
    height, width = rgb.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across = (x - head.translation[0]) * np.cos(direction)
    across += (y - head.translation[1]) * np.sin(direction)
    gain = 1 + strength * np.tanh(across / head.scale)
    lit: U8 = np.clip(rgb * gain[..., None], 0, 255).astype(np.uint8)
    return lit


def _drawn(rgb: U8, shape: Shape, head: Similarity) -> U8:
    points = head.apply(shape.outline)[:, :2]
    fixed = [np.round(points * (1 << _SHIFT_BITS)).astype(np.int32)]
    cover = np.zeros(rgb.shape[:2], np.uint8)
    if shape.width > 0:
        thickness = max(round(shape.width * head.scale), 1)
        cv2.polylines(cover, fixed, False, (255,), thickness, cv2.LINE_AA, _SHIFT_BITS)
    else:
        cv2.fillPoly(cover, fixed, (255,), cv2.LINE_AA, _SHIFT_BITS)
    share = cover[..., None] * np.float32(shape.opacity / 255)
    mixed: U8 = (rgb + share * (np.array(shape.rgb, np.float32) - rgb)).astype(np.uint8)
    return mixed


def _eyes() -> tuple[F32, F32]:
    """(3,) the middle of the right and of the left eye of the mean face."""
    shape = face_mesh.load().mean_shape
    holes = face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE
    return cast(tuple[F32, F32], tuple(shape[hole].mean(axis=0) for hole in holes))


def _ring(centre: F32, half_width: float, half_height: float, squareness: float) -> F32:
    """(49, 3) a closed superellipse around `centre`, parallel to the picture of the mean face."""
    angle = np.linspace(0, 2 * np.pi, 49)
    power = 2 / squareness
    x = half_width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = half_height * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    offsets = np.stack([x, y, np.zeros_like(x)], axis=1)
    return np.asarray(centre + offsets, np.float32)


def _glasses(rng: np.random.Generator) -> list[Shape]:
    """Frame, bridge, temples as far as the ears, and lenses that may be tinted."""
    shade = int(rng.integers(10, 90))
    rgb = (shade, int(shade * rng.uniform(0.6, 1)), int(shade * rng.uniform(0.4, 1)))
    width = float(rng.uniform(0.015, 0.055))
    half_width, half_height = rng.uniform(0.21, 0.27), rng.uniform(0.14, 0.23)
    squareness = float(rng.uniform(2, 4))
    front = np.array([0, 0.02, -0.16], np.float32)
    tint = float(rng.choice([0.0, 0.0, 0.12, 0.35]))
    shapes, rims = [], []
    for eye in _eyes():
        rim = _ring(eye + front, half_width, half_height, squareness)
        rims.append(rim)
        if tint:
            shapes.append(Shape(rim, (30, 32, 40), tint, 0))
        shapes.append(Shape(rim, rgb, 1.0, width))
    (right_inner, left_inner) = rims[0][0], rims[1][24]
    shapes.append(Shape(np.stack([right_inner, left_inner]), rgb, 1.0, width))
    shape = face_mesh.load().mean_shape
    for rim, side, ear in ((rims[0], 24, 234), (rims[1], 0, 454)):
        shapes.append(Shape(np.stack([rim[side], shape[ear]]), rgb, 1.0, width))
    return shapes


def _microphone(rng: np.random.Generator) -> list[Shape]:
    """A round head on a stick, before the chin or a corner of the mouth."""
    mouth = face_mesh.load().mean_shape[[61, 291, 0, 17]].mean(axis=0)
    place = np.array([rng.uniform(-0.4, 0.4), rng.uniform(0.15, 0.45), -0.5])
    shade = int(rng.integers(20, 110))
    radius = float(rng.uniform(0.12, 0.22))
    head = _ring(np.asarray(mouth + place, np.float32), radius, radius * 1.2, 2)
    stick = np.stack([head.mean(axis=0), head.mean(axis=0) + (rng.uniform(-0.3, 0.3), 2, 0)])
    grey = (shade, shade, shade + 4)
    return [Shape(stick.astype(np.float32), grey, 1.0, radius), Shape(head, grey, 1.0, 0)]


def _hand(rng: np.random.Generator) -> list[Shape]:
    """Fingers of some skin colour that lie over a cheek, the chin or the forehead."""
    tone = rng.uniform(0.35, 1.0)
    rgb = (int(225 * tone), int(172 * tone), int(140 * tone))
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle), 0])
    beside = np.array([-np.sin(angle), np.cos(angle), 0])
    tip = face_mesh.load().mean_shape[_RIGID].mean(axis=0) + along * rng.uniform(0.35, 0.7)
    tip = tip + np.array([0, 0.3, -0.4])
    shapes = []
    for finger in range(4):
        start = tip + beside * (finger - 1.5) * 0.17 + along * rng.uniform(-0.08, 0.08)
        line = np.stack([start, start + along * 1.6]).astype(np.float32)
        shade = cast(tuple[int, int, int], tuple(int(v * rng.uniform(0.9, 1)) for v in rgb))
        shapes.append(Shape(line, shade, 1.0, 0.16))
    return shapes
