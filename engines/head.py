"""The head as a whole: what turning does to its light, and where the geometry is off.

A mesh moves pixels and keeps their colours; but a head that turns below a lamp is lit anew, and a
mesh of a face knows little of ears, hair and jaw. So a small network sees the driven head at low
resolution, and gives a field of two smooth corrections: how much lighter or darker each place has
become, and how far from the mesh's answer in the portrait its pixels lie. Both are laid over the
picture at full resolution, which so stays as sharp as the portrait. On the face the mesh is at
home: what a turn does to cheeks and chin is mended by a share of the way. Lips and eyes, whose
places the tracker knows best, are lit anew and not moved. Numpy and OpenCV only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import crop, face_mesh
from engines.fields import enlarge
from engines.raster import NOWHERE
from engines.rigid import Similarity
from engines.warp import SourceMap

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

REGION = crop.Region(face_mesh.RIGID, 3.4)
"""what the network sees"""
TEXTURE = crop.Region(face_mesh.RIGID, 4.4)
"""what it knows of the portrait"""
FIELD_STRIDE = 2
"""pixels of what the network sees for a cell of its field"""
FEATURE_STRIDE = 4
"""pixels of `Texture.picture` for a cell of the identity's features"""
VIEW_CHANNELS = 8
"""red, green, blue, alpha, way to the source (x, y), turn (x, y)"""
FIELD_CHANNELS = 5
"""logarithm of the gain of red, green and blue; way (x, y) in face units"""
FARTHEST = 1.0
"""way to a pixel's source that the network is told, in face units"""
_FACE_ENDS = 0.15
"""sigma of the blur over which a face's outline gives way to what is moved, in face units"""
_FEATURES_END, _FEATURES_MARGIN = 0.1, 0.05
"""the same of lips and eyes, and how far beyond their outlines they reach, in face units"""
_IN_FACE = 0.4
"""share of the way that counts on the face, beside lips and eyes"""
_FINER = 8
"""times finer than the field a face is drawn: inside, OpenCV fills whole rows, which would jump"""
_SHIFT_BITS = 4
_OVAL = (face_mesh.FACE_OVAL,)
_FEATURES = (face_mesh.LIPS, face_mesh.RIGHT_EYE_SOCKET, face_mesh.LEFT_EYE_SOCKET)
"""closed eyes have sockets too"""
_BLUR = 0.4
"""sigma before shrinking, in pixels of the smaller picture"""
_STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@dataclass(frozen=True, slots=True)
class Texture:
    """An identity's head at low resolution."""

    patch: crop.Patch
    """in the portrait"""
    rgba: U8
    """(px, px, 4) premultiplied"""

    @classmethod
    def of(cls, rgba: U8, landmarks: F32, px: int) -> Texture:
        """
        Args:
            rgba: (H, W, 4) the portrait, not premultiplied.
            landmarks: (478, 3) in it.
            px: side of the texture.
        """
        unit = face_mesh.face_unit(landmarks)
        patch = crop.place(TEXTURE, px, landmarks, _STAY, unit)
        # bilinear sampling alone would alias
        whole = without_aliasing(premultiplied(rgba), TEXTURE.side * unit / px)
        shrunk = cv2.warpAffine(whole, patch.patch_from_canvas, (px, px))
        return cls(patch, cast(U8, shrunk))

    def picture(self) -> F32:
        """(1, 4, px / 2, px / 2) 0..1: what `encode_head` takes."""
        half = cast(U8, cv2.resize(self.rgba, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        return crop.as_tensor([half.transpose(2, 0, 1)])


def premultiplied(rgba: U8) -> U8:
    """(H, W, 4) with colours times alpha."""
    alpha = rgba[..., 3:]
    rgb: U8 = ((rgba[..., :3].astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return np.dstack([rgb, alpha])


def without_aliasing(picture: U8, shrink: float) -> U8:
    """Blurred as far as a picture must be that is shrunk by this factor, sample by sample."""
    if shrink <= 1:
        return picture
    return cast(U8, cv2.GaussianBlur(picture, (0, 0), _BLUR * shrink))


def turn_of(head: Similarity) -> tuple[float, float]:
    """How the head has turned from the portrait, without roll: x and y of where its z points."""
    roll = head.roll
    x, y = head.rotation[:2, 2].tolist()
    return math.cos(roll) * x + math.sin(roll) * y, math.cos(roll) * y - math.sin(roll) * x


def in_texture(texture: Texture, portrait_xy: F32) -> F32:
    """(..., 2) portrait pixels as face units from the texture's middle."""
    pixels = texture.patch.points(portrait_xy.reshape(-1, 2)).reshape(portrait_xy.shape)
    px = texture.patch.px
    units: F32 = (pixels - (px - 1) / 2) * np.float32(TEXTURE.side / px)
    return units


@cache
def own_places(cells: int) -> F32:
    """(cells, cells, 2) face units from the middle of what the network sees, of each cell."""
    steps = ((np.arange(cells) + 0.5) / cells - 0.5) * REGION.side
    places: F32 = np.stack(np.meshgrid(steps, steps), axis=-1).astype(np.float32)
    return places


def look(texture: Texture, source: SourceMap, patch: crop.Patch, head: Similarity) -> F32:
    """(1, VIEW_CHANNELS, px, px) what the network sees of a driven head.

    Args:
        source: the portrait pixel of each canvas pixel.
        patch: `REGION` on the canvas.
        head: canvas from portrait.
    """
    at = in_texture(texture, crop.sources(patch, source, patch.px, float(NOWHERE)))
    px = texture.patch.px
    pixels = at * np.float32(px / TEXTURE.side) + np.float32((px - 1) / 2)
    warped = cv2.remap(texture.rgba, pixels, np.empty(0), cv2.INTER_LINEAR)
    view = np.empty((1, VIEW_CHANNELS, patch.px, patch.px), np.float32)
    view[0, :4] = warped.transpose(2, 0, 1)
    view[0, :4] *= np.float32(1 / 255)
    way = np.clip(at - own_places(patch.px), -FARTHEST, FARTHEST)
    view[0, 4:6] = way.transpose(2, 0, 1)
    view[0, 6:] = np.array(turn_of(head), np.float32)[:, None, None]
    return view


def movable(patch: crop.Patch, landmarks: F32) -> F32:
    """(cells, cells) how much of the field's way counts: 0 at lips and eyes, 1 beyond the face.

    Args:
        patch: `REGION` on the canvas.
        landmarks: (478, 3) on the canvas.
    """
    of_face = np.maximum(_outside(patch, landmarks, _OVAL, _FACE_ENDS), np.float32(_IN_FACE))
    of_features = _outside(patch, landmarks, _FEATURES, _FEATURES_END, _FEATURES_MARGIN)
    return cast(F32, of_face * of_features)


def _outside(
    patch: crop.Patch,
    landmarks: F32,
    outlines: Iterable[Iterable[int]],
    sigma: float,
    margin: float = 0.0,
) -> F32:
    """(cells, cells) 0 within these outlines and a little beyond them, softly rising to 1."""
    cells = patch.px // FIELD_STRIDE
    drawn = np.zeros((cells * _FINER, cells * _FINER), np.uint8)
    for outline in outlines:
        at = patch.points(landmarks[list(outline)])
        from_middle = at - at.mean(axis=0)
        away = np.linalg.norm(from_middle, axis=1, keepdims=True) + np.float32(1e-3)
        at += from_middle * (np.float32(margin * patch.px / REGION.side) / away)
        at = (at + 0.5) * (_FINER / FIELD_STRIDE) - 0.5
        points = np.round(at * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(drawn, [points], (255,), cv2.LINE_AA, _SHIFT_BITS)
    inside = cv2.resize(drawn, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.float32)
    inside *= np.float32(1 / 255)
    blurred = cast(F32, cv2.GaussianBlur(inside, (0, 0), sigma * cells / REGION.side))
    # blurred, a shape is a half at a straight edge and a third where it bends: not yet beyond it
    return np.maximum(1 - 3 * blurred, 0)


def displace(
    field: F32, patch: crop.Patch, source: SourceMap, landmarks: F32, unit_px: float
) -> None:
    """Move the sources of a map, in place, as far as the field says and `movable` lets them.

    Args:
        field: (FIELD_CHANNELS, cells, cells).
        patch: `REGION` on the canvas.
        landmarks: (478, 3) on the canvas.
        unit_px: the face unit in the portrait.
    """
    share = movable(patch, landmarks) * np.float32(unit_px)
    way = np.ascontiguousarray((field[3:] * share).transpose(1, 2, 0))
    (rows, columns), ways = enlarge(
        way, field_from_canvas(patch, source.left, source.top), source.xy.shape
    )
    part = source.xy[rows, columns]
    cv2.add(part, ways, dst=part)  # what shows nothing goes on to show nothing
    face = source.face
    at = face.folds + (face.top - rows.start, face.left - columns.start)
    inside = ((at >= 0) & (at < ways.shape[:2])).all(axis=1)
    of_folds = ways[at[inside, 0], at[inside, 1]]
    for down, along in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = (2 * face.folds[inside] + (down, along)).T
        face.quarters[row, column] += of_folds


def shade(field: F32, patch: crop.Patch, rgb: U8) -> None:
    """Light a picture anew, in place, as the field says.

    Args:
        field, patch: as of `displace`.
        rgb: (H, W, 3) the canvas.
    """
    gain = np.ascontiguousarray(np.exp(field[:3]).transpose(1, 2, 0))
    part, gains = enlarge(gain, field_from_canvas(patch, 0, 0), rgb.shape)
    if gains.size:
        cv2.multiply(rgb[part], gains, dst=rgb[part], dtype=cv2.CV_8U)


def field_from_canvas(patch: crop.Patch, left: float, top: float) -> F64:
    """(2, 3) a cell of the field for a pixel of a part of the canvas that begins there."""
    matrix = patch.patch_from_canvas.astype(np.float64) / FIELD_STRIDE
    matrix[:, 2] += (1 / FIELD_STRIDE - 1) / 2 + matrix[:, :2] @ (left, top)
    return matrix
