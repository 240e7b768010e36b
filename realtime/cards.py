"""Cards: the still pictures that a viewer sees while there is no avatar. Knows no sessions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from realtime.frames import U8

_UPPER = np.array([44, 49, 64], np.float32)
_LOWER = np.array([19, 21, 30], np.float32)
_GLOW = np.array([34, 40, 62], np.float32)
_TEXT = (236, 239, 246)
_SIGN = (132, 142, 168)
_SUPERSAMPLING = 3


@lru_cache(maxsize=32)
def draw_card(text: str, canvas_hw: tuple[int, int]) -> U8:
    """(H, W, 3) a calm dark card: a sign of somebody, and below it the text in one line.

    Args:
        text: shrunk until it fits the width.
    """
    height, width = canvas_hw
    picture = Image.fromarray(_background(height, width))
    big = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    layer = Image.new("RGBA", big, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    _draw_sign(pen, big[0] / 2, 0.40 * big[1], 0.13 * big[1])
    font = _font_for(text, big)
    pen.text((big[0] / 2, 0.70 * big[1]), text, font=font, fill=(*_TEXT, 255), anchor="mm")
    small = layer.resize((width, height), Image.Resampling.LANCZOS)
    picture.paste(small, (0, 0), small)
    return np.asarray(picture, np.uint8).copy()


@lru_cache(maxsize=32)
def card_matte(text: str, canvas_hw: tuple[int, int]) -> U8:
    """(H, W) what remains of the card where there is no background: a panel around its contents."""
    height, width = canvas_hw
    big = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    half = max(_font_for(text, big).getlength(text) / 2, 0.17 * big[1]) + 0.05 * big[1]
    layer = Image.new("L", big, 0)
    box = (big[0] / 2 - half, 0.20 * big[1], big[0] / 2 + half, 0.80 * big[1])
    ImageDraw.Draw(layer).rounded_rectangle(box, radius=0.05 * big[1], fill=255)
    return np.asarray(layer.resize((width, height), Image.Resampling.LANCZOS), np.uint8).copy()


def _font_for(text: str, canvas_px: tuple[int, int]) -> ImageFont.FreeTypeFont:
    """In which the text fits the width."""
    size = 0.075 * canvas_px[1]
    font = _font(size)
    wide = font.getlength(text)
    return font if wide <= 0.86 * canvas_px[0] else _font(size * 0.86 * canvas_px[0] / wide)


def _font(size_px: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow without FreeType has a bitmap font
    return font


def _background(height: int, width: int) -> U8:
    """A vertical gradient with a soft light behind the sign, dithered against banding."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height
    distance = np.hypot(columns - 0.5 * width / height, rows - 0.40)
    light = np.exp(-((distance / 0.45) ** 2))[:, :, None]
    grain = np.random.default_rng(0).normal(0, 0.6, (height, width, 1))
    wall = _UPPER + down * (_LOWER - _UPPER) + light * _GLOW + grain
    return np.asarray(np.clip(np.rint(wall), 0, 255), np.uint8)


def _draw_sign(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    """Head and shoulders in a ring: somebody is here, but not shown."""
    line = max(round(radius * 0.07), 1)
    ring = (x - radius, y - radius, x + radius, y + radius)
    pen.ellipse(ring, outline=(*_SIGN, 255), width=line)
    head = 0.30 * radius
    pen.ellipse((x - head, y - 0.52 * radius, x + head, y - 0.52 * radius + 2 * head), fill=_SIGN)
    shoulders = (x - 0.56 * radius, y + 0.20 * radius, x + 0.56 * radius, y + 1.32 * radius)
    pen.pieslice(shoulders, 180, 360, fill=_SIGN)
