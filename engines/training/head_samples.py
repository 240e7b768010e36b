"""What the head network learns from: the map of a driven head, and what the head looks like.

A sample holds no warped picture: the loss warps the identity's texture itself, by the geometry's
map and the field that the network adds to it.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import crop, face_mesh, head
from engines.models import geometry_only
from engines.raster import NOWHERE
from engines.specs import Size
from engines.training.samples import F32, U8, Fields, Kind, Pair

FINER = 2
"""what is compared has so many times the resolution of what the network sees"""
FIELDS = ("texture", "map", "turn", "movable", "target", "counts")
"""`map` in face units from the texture's middle; `movable` is of `head.movable`; `target`
premultiplied; `counts` is 0 where eyeballs and the mouth's inside are seen, which others paint, and
beyond the driving frame"""

_FARTHEST = 6.0
"""face units: nobody is there"""
_HOLES = (face_mesh.MOUTH_HOLE, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE)
_SHIFT_BITS = 4


def fields(size: Size) -> Fields:
    """Shape and dtype of each."""
    px, texture = FINER * size.head_px, size.texture_px
    cells = size.head_px // head.FIELD_STRIDE
    seen = (texture, texture, 4), (px, px, 2), (2,), (cells, cells, 1)
    shapes = *seen, (px, px, 4), (px, px, 1)
    dtypes = "uint8", "float16", "float32", "float16", "uint8", "uint8"
    return dict(zip(FIELDS, zip(shapes, dtypes, strict=True), strict=True))


def kind(size: Size) -> Kind:
    return Kind(
        fields(size), lambda pair: _make(pair, size), geometry_only(size=size), side_light=False
    )


def _make(pair: Pair, size: Size) -> dict[str, NDArray[np.generic]]:
    identity, placement = pair.identity, pair.placement
    source = identity.mesh.source_map(placement, identity.canvas_hw)
    unit_px = face_mesh.face_unit(identity.landmarks)
    fine, patch = (
        crop.place(head.REGION, px, placement.landmarks, placement.head, unit_px)
        for px in (FINER * size.head_px, size.head_px)
    )
    at = head.in_texture(identity.head, crop.sources(fine, source, fine.px, float(NOWHERE)))
    return {
        "texture": identity.head.rgba,
        "map": np.clip(at, -_FARTHEST, _FARTHEST).astype(np.float16),
        "turn": np.array(head.turn_of(placement.head), np.float32),
        "movable": head.movable(patch, placement.landmarks).astype(np.float16)[..., None],
        "target": _target(pair.target, fine),
        "counts": _counts(placement.landmarks, fine, identity.canvas_hw)[..., None],
    }


def _target(rgba: U8, patch: crop.Patch) -> U8:
    """(px, px, 4) premultiplied."""
    whole = head.premultiplied(rgba)
    shrink = 1 / float(np.sqrt(abs(np.linalg.det(patch.patch_from_canvas[:, :2]))))
    whole = head.without_aliasing(whole, shrink)
    return cast(U8, cv2.warpAffine(whole, patch.patch_from_canvas, (patch.px, patch.px)))


def _counts(landmarks: F32, patch: crop.Patch, hw: tuple[int, int]) -> U8:
    size = patch.px, patch.px
    whole = np.full(hw, 255, np.uint8)
    mask = cast(U8, cv2.warpAffine(whole, patch.patch_from_canvas, size))
    for hole in _HOLES:
        points = np.round(patch.points(landmarks[hole]) * (1 << _SHIFT_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [points], (0,), cv2.LINE_AA, _SHIFT_BITS)
    return mask
