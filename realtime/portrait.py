"""Portraits: decoded, cut out, and given a background. Knows no identities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.frames import F32, U8
from realtime.picture_file import upright

_OPAQUE_SHARE = 0.995  # an alpha channel that is solid nearly everywhere says nothing
_PLAIN_LEVELS = 10
"""a drawing's background: each channel no further than this from one colour"""
_PLAIN_SHARE = 0.98
"""so much of the upper border is of that colour"""
_PLAIN_TAKES = 0.01
"""at most this share of those who are surely a person may be of it"""
_PLAIN_FINDS = 0.03
"""at least this share of who is drawn must be missing from the matte: its soft hair is finer"""
_SURELY, _HARDLY = 0.9, 0.35


def decode(data: bytes, path: Path) -> U8:
    """(H, W, 4) RGBA, upright, its longer edge at most 2048 px. `path` is for messages only.

    Raises:
        IdentityError: not one of the formats, too large, too small, or damaged.
    """
    return np.asarray(upright(data, str(path)), np.uint8).copy()


def has_cutout(rgba: U8) -> bool:
    """Whether the alpha channel separates somebody from something."""
    return bool((rgba[:, :, 3] > 250).mean() < _OPAQUE_SHARE)


def cut_out(rgba: U8, matte: Callable[[U8], F32]) -> U8:
    """The portrait with the person's matte, slightly sharpened, as its alpha.

    Who is drawn on one colour is told from it instead: `matte` knows photographs, and leaves long
    drawn hair to the background.
    """
    rgb = np.ascontiguousarray(rgba[:, :, :3])
    alpha = matte(rgb)
    drawn = _drawn_on_one_colour(rgb, alpha)
    if drawn is not None:
        return np.dstack([rgb, drawn])
    # the model's edge is several pixels wide and begins outside the person
    alpha = np.clip((alpha - _HARDLY) / 0.5, 0, 1)
    return np.dstack([rgb, np.rint(alpha * 255).astype(np.uint8)])


def _drawn_on_one_colour(rgb: U8, matte: F32) -> U8 | None:
    """(H, W) 255 on what is drawn; None where the background is of more than one colour, where
    `matte` misses little, or where who it surely sees, in white before white, would be lost."""
    height = rgb.shape[0]
    sides = rgb[: height // 2, [0, -1]].reshape(-1, 3)
    border = np.concatenate([rgb[0], sides]).astype(np.int16)
    colour = np.median(border, axis=0).astype(np.int16)
    if (np.abs(border - colour).max(axis=1) <= _PLAIN_LEVELS).mean() < _PLAIN_SHARE:
        return None
    off = np.abs(rgb.astype(np.int16) - colour).max(axis=2)
    alike = np.where(off <= _PLAIN_LEVELS, np.uint8(255), np.uint8(0))
    # one pixel more around it, so that all that touches a border hangs together
    framed = cv2.copyMakeBorder(alike, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255,))
    _, parts = cv2.connectedComponents(framed, connectivity=4)
    drawn = np.where(parts[1:-1, 1:-1] == parts[0, 0], np.uint8(0), np.uint8(255))
    lost = _share(drawn[matte > _SURELY] == 0)
    found = _share(matte[drawn > 0] < _HARDLY)
    if lost > _PLAIN_TAKES or found < _PLAIN_FINDS:
        return None
    # the rim is mixed with the background, and JPEG scatters around it
    radius = max(round(0.002 * height), 1)
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.blur(cv2.erode(drawn, pen), (3, 3)), np.uint8)


def _share(of: NDArray[np.bool_]) -> float:
    """How much is true; 0 of nothing."""
    return float(of.mean()) if of.size else 0.0


def own_background(rgba: U8, alpha: U8, canvas_hw: tuple[int, int]) -> U8:
    """(H, W, 3) the portrait's surroundings without the person, out of focus, over the canvas."""
    height, width = canvas_hw
    small_size = (96, max(round(96 * rgba.shape[0] / rgba.shape[1]), 2))
    small = cv2.resize(rgba[:, :, :3], small_size, interpolation=cv2.INTER_AREA)
    person = cv2.resize(alpha, small_size, interpolation=cv2.INTER_AREA)
    hole = cv2.dilate((person > 20).astype(np.uint8), np.ones((7, 7), np.uint8))
    if hole.all():
        hole[:1] = 0  # nothing but the person: continue the upper edge
    filled = cv2.inpaint(small, hole, 5, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(filled, (0, 0), 2.5)
    scale = max(width / small_size[0], height / small_size[1])
    size = (max(round(small_size[0] * scale), width), max(round(small_size[1] * scale), height))
    large = cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def over(rgba: U8, grey: int = 128) -> U8:
    """(H, W, 3) the portrait over plain grey, for what cannot read alpha."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    mixed = (rgba[:, :, :3] * alpha + np.uint16(grey) * (255 - alpha)) // 255
    return mixed.astype(np.uint8)


def studio(tint_rgb: tuple[int, int, int], seed: int, canvas_hw: tuple[int, int]) -> U8:
    """(H, W, 3) a softly lit wall in one tint with lights out of focus, different for each seed."""
    height, width = canvas_hw
    random = np.random.default_rng(seed)
    tint = np.array(tint_rgb, np.float32)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height
    aspect = width / height
    # a lamp above one shoulder, falling off to the corners
    lamp_x = aspect * (0.30 if seed % 2 else 0.70)
    distance = np.hypot((columns - lamp_x) / 0.9, (rows - 0.30) / 0.8)
    light = 0.30 + 0.80 * np.exp(-((distance / 0.75) ** 2)) - 0.10 * rows
    wall = tint * light[:, :, None]
    glow = np.zeros((height, width, 3), np.float32)
    for _ in range(14):
        x, y = random.uniform(0, aspect), random.uniform(0, 0.75)
        radius = random.uniform(0.03, 0.10)
        colour = tint * random.uniform(0.6, 1.0) + random.uniform(10, 70) + random.normal(0, 12, 3)
        disc = np.zeros((height, width), np.float32)
        centre = (round(x * height), round(y * height))
        cv2.circle(disc, centre, max(round(radius * height), 2), (random.uniform(0.06, 0.22),), -1)
        soft = cv2.GaussianBlur(disc, (0, 0), random.uniform(0.010, 0.025) * height)
        glow += soft[:, :, None] * np.clip(colour, 0, 255)
    grain = random.normal(0, 0.7, (height, width, 1))  # dither: a smooth gradient bands in 8 bits
    return np.asarray(np.clip(np.rint(wall + glow + grain), 0, 255), np.uint8)
