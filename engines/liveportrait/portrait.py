"""A portrait as LivePortrait is driven from it: what is computed once, and where it is pasted back.

The crop that is generated lies on the canvas where the crop of the portrait lay, under a mask that
fades towards its border; around it the portrait itself is seen. The outline is the portrait's own:
a head that turns far is cut along it. Of what depends on the portrait alone, the four channels that
W tries its motions on are not kept: they are 8 of the 171,000 million multiplications of each call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import PortraitError
from engines.liveportrait import openings
from engines.liveportrait.alignment import FaceCrop, shrunk, source_crop
from engines.liveportrait.networks import Networks
from engines.nets.liveportrait import keypoints
from engines.nets.liveportrait.keypoints import Pose
from engines.placing import PlacedPortrait
from engines.pose import MotionTensors, TargetFace, still

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_FADE = 0.12
"""of the crop's side, over which the mask falls from 1 to 0 at its border"""
_CLOSED = 0.03
"""lips further open than this are closed in the portrait, before they are driven"""


@dataclass(frozen=True, slots=True)
class Code:
    """What the networks made of a portrait: all of it that is worth keeping on disk."""

    volume: F32
    """(1, 32, 16, 64, 64) f_s"""
    pose: Pose
    """without a batch axis"""
    lip_shift: F32
    """(K, 3) by which R_lip closes the portrait's lips; zeros where they are closed"""

    def arrays(self) -> dict[str, F32]:
        """As they are kept; `of` reads them."""
        pose = {field.name: getattr(self.pose, field.name) for field in fields(self.pose)}
        return {"volume": self.volume, "lip_shift": self.lip_shift, **pose}

    @classmethod
    def of(cls, arrays: Mapping[str, F32]) -> Code:
        pose = Pose(**{field.name: arrays[field.name] for field in fields(Pose)})
        return cls(arrays["volume"], pose, arrays["lip_shift"])


@dataclass(frozen=True, slots=True)
class Stage:
    """The canvas with the portrait on it, and the square that is painted anew in each frame."""

    rgb: U8
    """(H, W, 3)"""
    alpha: U8
    """(H, W)"""
    canvas_from_crop: F32
    """(2, 3) pixels to pixels of what G gives"""
    left_top: tuple[int, int]
    """of the square's bounding box on the canvas"""
    mask: F32
    """(h, w) 0..1 in that box: how much of the square is seen"""

    def paste(self, crop: U8) -> U8:
        """(H, W, 3): the canvas with a generated crop (px, px, 3) in its place."""
        out = self.rgb.copy()
        (x, y), (height, width) = self.left_top, self.mask.shape[:2]
        if not self.mask.size:
            return out
        here = self.canvas_from_crop.copy()
        here[:, 2] -= self.left_top
        moved = cv2.warpAffine(crop, here, (width, height), borderMode=cv2.BORDER_REPLICATE)
        box = out[y : y + height, x : x + width]
        cv2.blendLinear(moved, box, self.mask, 1 - self.mask, dst=box)
        return out


@dataclass(frozen=True, slots=True)
class Portrait:
    """An identity, encoded for one canvas."""

    canvas_hw: tuple[int, int]
    code: Code
    stage: Stage
    eye_openings: F32
    """(2,) in the picture"""
    lip_opening: float
    target: TargetFace
    """as warp-refine would drive it: says how far lids and lips should be open"""

    def wanted_openings(self, motion: MotionTensors) -> tuple[float, float]:
        """Of the lids (both eyes' mean) and the lips, under `motion`."""
        now, rest = (
            self.target.place(replace(each, rotation=np.eye(3, dtype=np.float32))).landmarks
            for each in (motion, still())
        )
        lids = self.eye_openings + openings.of_eyes(now) - openings.of_eyes(rest)
        lips = self.lip_opening + openings.of_lips(now) - openings.of_lips(rest)
        return max(float(lids.mean()), 0.0), max(lips, 0.0)


def shown(networks: Networks, portrait: PlacedPortrait) -> dict[str, F32]:
    """All of a portrait that `encode` depends on: what F and M see, how far the lips are open."""
    crop = source_crop(portrait.landmarks)
    seen = as_picture(crop.cut(portrait.rgba[..., :3], networks.sizes.rendered), networks)
    opening = np.array([openings.of_lips(portrait.landmarks)], np.float32)
    return {"seen": seen, "opening": opening}


def encode(networks: Networks, portrait: Mapping[str, F32]) -> Code:
    """
    Args:
        portrait: as `shown`.

    Raises:
        EngineError: a network gave NaN or infinity.
    """
    seen, opening = portrait["seen"], float(portrait["opening"][0])
    volume = networks.run_one("appearance", seen)
    pose = single(keypoints.decode(networks.run("motion", seen)))
    lip_shift = np.zeros_like(pose.expression)
    if opening > _CLOSED:
        asked = np.concatenate([pose.points.ravel(), [opening, 0.0]]).astype(np.float32)
        lip_shift = networks.run_one("lip_retargeting", asked[None]).reshape(-1, 3)
    return Code(volume, pose, lip_shift)


def assemble(
    code: Code, portrait: PlacedPortrait, canvas_hw: tuple[int, int], rendered_px: int
) -> Portrait:
    landmarks = portrait.landmarks
    return Portrait(
        canvas_hw=canvas_hw,
        code=code,
        stage=stage_of(portrait, canvas_hw, rendered_px),
        eye_openings=openings.of_eyes(landmarks),
        lip_opening=openings.of_lips(landmarks),
        target=TargetFace(landmarks, portrait.canvas_from_portrait, canvas_hw),
    )


def stage_of(portrait: PlacedPortrait, canvas_hw: tuple[int, int], px: int) -> Stage:
    """
    Args:
        px: side of what is generated.

    Raises:
        PortraitError: no pixel of the face's crop lies on the canvas.
    """
    height, width = canvas_hw
    on_canvas = cv2.warpAffine(
        portrait.rgba, portrait.canvas_from_portrait, (width, height), flags=cv2.INTER_LINEAR
    )
    canvas_from_crop = _canvas_from_crop(source_crop(portrait.landmarks), portrait, px)
    mask = cv2.warpAffine(mask_of(px), canvas_from_crop, (width, height))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise PortraitError(
            "the face lies beyond the canvas; use a portrait with the face in its upper half"
        )
    left, top = int(columns[0]), int(rows[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    alpha = np.ascontiguousarray(on_canvas[..., 3])
    rgb = np.ascontiguousarray(on_canvas[..., :3])
    return Stage(
        cast(U8, rgb), cast(U8, alpha), canvas_from_crop, (left, top), inside.astype(np.float32)
    )


def mask_of(px: int) -> F32:
    """(px, px) 1 in the middle, falling smoothly to 0 at the border."""
    inward = np.minimum(np.arange(px), np.arange(px)[::-1]) / (px - 1)
    share = np.clip(inward / _FADE, 0, 1)
    ramp = share * share * (3 - 2 * share)
    return np.outer(ramp, ramp).astype(np.float32)


def as_picture(crop: U8, networks: Networks) -> F32:
    """(1, 3, px, px) 0..1 as F and M take it, of a crop (n, n, 3)."""
    small = shrunk(crop, networks.sizes.picture)
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def single(pose: Pose) -> Pose:
    """The first of a batch of poses."""
    return Pose(
        pose.canonical[0],
        pose.rotation[0],
        pose.expression[0],
        pose.scale[0],
        pose.translation[0],
    )


def _canvas_from_crop(crop: FaceCrop, portrait: PlacedPortrait, px: int) -> F32:
    """(2, 3) of crops of `px` a side."""
    portrait_from_crop = cv2.invertAffineTransform(crop.crop_from_picture(px).astype(np.float64))
    whole = np.vstack([portrait_from_crop, [0, 0, 1]])
    return np.asarray(portrait.canvas_from_portrait @ whole, np.float32)
