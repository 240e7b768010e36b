"""Somebody in the manner of an anime, drawn here: flat colours, long hair, large irises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 768
_FINE = 3
_SKIN, _SHADE, _INK = (255, 226, 208), (240, 190, 175), (60, 35, 45)
_HAIR, _HAIR_BEHIND, _SHIRT = (92, 70, 140), (68, 50, 110), (245, 245, 250)
BACKGROUND = (200, 222, 240)

Point = tuple[float, float]


def portrait() -> NDArray[np.uint8]:
    """(768, 768, 4) opaque."""
    image = Image.new("RGB", (SIZE * _FINE, SIZE * _FINE), BACKGROUND)
    draw = ImageDraw.Draw(image)
    _ellipse(draw, (384, 330), (225, 260), _HAIR_BEHIND)
    _polygon(draw, [(169, 330), (599, 330), (599, 700), (169, 700)], _HAIR_BEHIND)
    _polygon(draw, [(324, 560), (444, 560), (454, 640), (684, 768), (84, 768), (314, 640)], _SKIN)
    _polygon(draw, [(324, 575), (444, 575), (424, 630), (334, 620)], _SHADE)
    _polygon(draw, [(274, 655), (384, 720), (494, 655), (694, 768), (74, 768)], _SHIRT)
    jaw = _curve((219, 330), (219, 500), (314, 575)) + _curve((314, 575), (384, 630), (454, 575))
    jaw += _curve((454, 575), (549, 500), (549, 330)) + _curve((549, 330), (384, 60), (219, 330))
    _polygon(draw, jaw, _SKIN)
    for side in (-1, 1):
        _eye(draw, 384 + 80 * side)
    _line(draw, [(382, 455), (392, 488), (380, 492)], _SHADE, 3)
    _line(draw, _curve((346, 532), (384, 546), (422, 532)), (170, 70, 80), 4)
    for left, right, tip in (
        (169, 264, (214, 400)),
        (314, 424, (364, 330)),
        (464, 599, (554, 400)),
    ):
        _polygon(draw, [(left, 180), tip, (right, 175)], _HAIR)
    _polygon(draw, _curve((166, 250), (384, -90), (602, 250)), _HAIR)
    rgb = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    return np.dstack([rgb, np.full((SIZE, SIZE), 255, np.uint8)])


def _eye(draw: ImageDraw.ImageDraw, x: float) -> None:
    _ellipse(draw, (x, 400), (42, 34), (255, 255, 255))
    _ellipse(draw, (x, 402), (24, 30), (60, 120, 190))
    _ellipse(draw, (x, 398), (12, 16), (20, 25, 60))
    _ellipse(draw, (x - 8, 388), (8, 9), (255, 255, 255))
    _line(draw, _curve((x - 46, 396), (x, 335), (x + 46, 396)), _INK, 7)
    _line(draw, _curve((x - 29, 426), (x, 439), (x + 29, 426)), (150, 100, 100), 2)
    _line(draw, _curve((x - 46, 326), (x, 308), (x + 46, 330)), _HAIR_BEHIND, 6)


def _curve(start: Point, towards: Point, end: Point) -> list[Point]:
    """A quadratic Bézier curve."""
    t = np.linspace(0, 1, 30)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * np.array(towards) + t**2 * np.array(end)
    return [(float(x), float(y)) for x, y in points]


def _scaled(points: list[Point]) -> list[Point]:
    return [(x * _FINE, y * _FINE) for x, y in points]


def _polygon(draw: ImageDraw.ImageDraw, points: list[Point], rgb: tuple[int, int, int]) -> None:
    draw.polygon(_scaled(points), fill=rgb)


def _line(
    draw: ImageDraw.ImageDraw, points: list[Point], rgb: tuple[int, int, int], width: int
) -> None:
    draw.line(_scaled(points), fill=rgb, width=width * _FINE, joint="curve")


def _ellipse(
    draw: ImageDraw.ImageDraw, centre: Point, radii: Point, rgb: tuple[int, int, int]
) -> None:
    (x, y), (right, down) = centre, radii
    draw.ellipse(_scaled([(x - right, y - down), (x + right, y + down)]), fill=rgb)
