"""Composite: the driven foreground over a background. Knows no faces and no networks.

The background is the identity's own, a solid colour, or, only where the performer chose it, the
real room, sharp or blurred, from which the performer is removed (`realtime/backdrop.py`). Nothing
else of the camera's picture comes through here: while there is no matte to remove the performer
with, the identity's own background stands in, and `substituted` counts it.

An avatar that lies on a GPU is put before its own background or a colour there. For the real room
and for a cutout it is fetched, and goes on here: these are made on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import cv2
import numpy as np

from realtime.backdrop import RealBackdrop, blend
from realtime.clock import NS_PER_S
from realtime.config import Video
from realtime.errors import FrameError
from realtime.frames import (
    F32,
    U8,
    Composited,
    CompositedOnGpu,
    Controls,
    Rendered,
    RenderedOnGpu,
    Tracked,
)
from realtime.stages.cutout import cut_out

if TYPE_CHECKING:
    from realtime.identity import Identity

_SPARSE = (slice(None, None, 8), slice(None, None, 8))
"""pixels enough for statistics"""
_MATCH_S = 1.0
"""time constant of the colour match: light changes slowly, a performer's sleeve does not matter"""
_MATCH_SHARE = 0.2
_MAX_SHIFT_LAB = np.array([8.0, 3.5, 3.5], np.float32)
_GAIN_RANGE = (0.85, 1.15)


class Composite:
    """Puts the avatar in front of the chosen background. One object per session."""

    def __init__(self, config: Video) -> None:
        self._size = (config.width_px, config.height_px)
        self._backdrop: RealBackdrop | None = None
        self._match: _ColourMatch | None = None
        self._solid: tuple[str, U8] | None = None
        self.cuts_out = False
        """whether somebody watches the avatar without a background"""
        self.substituted = 0
        """frames that showed the identity's background because the performer had no matte yet"""

    @overload
    def __call__(
        self, rendered: Rendered, identity: Identity, controls: Controls, tracked: Tracked
    ) -> Composited: ...
    @overload
    def __call__(
        self, rendered: RenderedOnGpu, identity: Identity, controls: Controls, tracked: Tracked
    ) -> Composited | CompositedOnGpu: ...
    def __call__(
        self,
        rendered: Rendered | RenderedOnGpu,
        identity: Identity,
        controls: Controls,
        tracked: Tracked,
    ) -> Composited | CompositedOnGpu:
        """
        Raises:
            FrameError: the pictures do not have the canvas' size, or the colour is no #rrggbb.
            EngineError: the GPU failed.
        """
        if isinstance(rendered, RenderedOnGpu):
            if not (self.cuts_out or controls.background in ("blur", "camera")):
                return self._on_gpu(rendered, identity, controls)
            fetched = rendered.picture.fetch()
            rendered = Rendered(fetched.rgb, fetched.alpha)
        return self._of_arrays(rendered, identity, controls, tracked)

    def _on_gpu(
        self, rendered: RenderedOnGpu, identity: Identity, controls: Controls
    ) -> CompositedOnGpu:
        picture, (width, height) = rendered.picture, self._size
        if picture.canvas_hw != (height, width):
            raise FrameError(
                f"rendered picture is {picture.canvas_hw}, the canvas is ({height}, {width}); "
                "encode the identity for this canvas"
            )
        self._forget_room()
        picture.blend(self._still(identity, controls), controls.mirror)
        return CompositedOnGpu(picture)

    def _of_arrays(
        self, rendered: Rendered, identity: Identity, controls: Controls, tracked: Tracked
    ) -> Composited:
        self._check("rendered picture", rendered.rgb)
        if rendered.alpha.shape != rendered.rgb.shape[:2] or rendered.alpha.dtype != np.uint8:
            raise FrameError(
                f"rendered alpha is {rendered.alpha.shape} {rendered.alpha.dtype}, not one uint8 "
                "for each pixel of its picture"
            )
        rgb = rendered.rgb
        if controls.background in ("blur", "camera"):
            back, rgb = self._in_the_room(rendered, identity, controls, tracked)
        else:
            self._forget_room()
            back = self._still(identity, controls)
        out = blend(rgb, rendered.alpha, back)
        turned = _mirrored if controls.mirror else _as_it_is
        cutout = None
        if self.cuts_out:
            cutout = cut_out(turned(rgb), turned(rendered.alpha))
        return Composited(turned(out), cutout)

    def _in_the_room(
        self, rendered: Rendered, identity: Identity, controls: Controls, tracked: Tracked
    ) -> tuple[U8, U8]:
        """The room without the performer, and the foreground in its light."""
        if tracked.person_alpha is None:
            self.substituted += 1
            return self._own(identity), rendered.rgb
        if self._backdrop is None or self._match is None:
            self._backdrop, self._match = RealBackdrop(*self._size), _ColourMatch()
        back = self._backdrop(tracked, tracked.person_alpha, controls.background == "blur")
        return back, self._match(rendered, back, tracked.source.arrived_ns)

    def _forget_room(self) -> None:
        """What was seen of the room is kept no longer than it is shown."""
        self._backdrop = self._match = None

    def _still(self, identity: Identity, controls: Controls) -> U8:
        """The background that does not come from the camera; the same array for the same one."""
        if controls.background == "color":
            return self._color(controls.color)
        return self._own(identity)

    def _own(self, identity: Identity) -> U8:
        self._check(f"background of identity {identity.id!r}", identity.background_rgb)
        return identity.background_rgb

    def _color(self, color: str) -> U8:
        if self._solid is None or self._solid[0] != color:
            width, height = self._size
            self._solid = (color, np.full((height, width, 3), _rgb_of(color), np.uint8))
        return self._solid[1]

    def _check(self, what: str, rgb: U8) -> None:
        width, height = self._size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise FrameError(
                f"{what} is {rgb.shape} {rgb.dtype}, the canvas is ({height}, {width}, 3) uint8; "
                "encode the identity for this canvas"
            )


def _mirrored(picture: U8) -> U8:
    return np.asarray(cv2.flip(picture, 1), np.uint8)


def _as_it_is(picture: U8) -> U8:
    return picture


@dataclass(frozen=True, slots=True)
class _Tone:
    """Colour statistics in Lab, where luma and tint can be moved apart."""

    mean: F32
    """(3,)"""
    contrast: float
    """standard deviation of L"""

    @classmethod
    def of(cls, rgb: U8, weight: U8) -> _Tone:
        lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        mean, spread = cv2.meanStdDev(lab, mask=weight)
        return cls(mean[:, 0].astype(np.float32), float(spread[0, 0]))


class _ColourMatch:
    """Moves the avatar's colours part of the way to the room's, slowly.

    After Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001, with both the
    shift and the gain held within narrow limits: a face must stay a face.
    """

    def __init__(self) -> None:
        self._shift: F32 = np.zeros(3, np.float32)
        self._gain = 1.0
        self._time_ns: int | None = None

    def __call__(self, rendered: Rendered, room: U8, now_ns: int) -> U8:
        person = np.where(rendered.alpha[_SPARSE] > 200, np.uint8(255), np.uint8(0))
        if not person.any():
            return rendered.rgb
        avatar = _Tone.of(rendered.rgb[_SPARSE], person)
        around = _Tone.of(room[_SPARSE], np.full_like(person, 255))
        shift = _MATCH_SHARE * (around.mean - avatar.mean)
        shift = np.clip(shift, -_MAX_SHIFT_LAB, _MAX_SHIFT_LAB)
        ratio = (around.contrast + 5) / (avatar.contrast + 5)
        gain = float(np.clip(ratio**_MATCH_SHARE, *_GAIN_RANGE))
        step = 1.0
        if self._time_ns is not None:
            step -= math.exp(-max(now_ns - self._time_ns, 0) / NS_PER_S / _MATCH_S)
        self._time_ns = now_ns
        self._shift = np.asarray(self._shift + step * (shift - self._shift), np.float32)
        self._gain += step * (gain - self._gain)
        return self._apply(rendered, avatar.mean)

    def _apply(self, rendered: Rendered, pivot: F32) -> U8:
        """One curve per channel: the shift at the avatar's mean colour, the gain around it."""
        ends = np.stack([pivot, pivot + self._shift])[None]
        before, after = cv2.cvtColor(ends.astype(np.float32), cv2.COLOR_LAB2RGB)[0] * 255
        levels = np.arange(256, dtype=np.float32)[:, None]
        curve = (levels - before) * self._gain + after
        # ends stay ends: black and white keep most of their place
        weight = np.clip(4 * levels * (255 - levels) / 255**2 + 0.25, 0, 1)
        mixed = levels + weight * (curve - levels)
        table = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
        left, top, width, height = cv2.boundingRect(rendered.alpha)
        visible = (slice(top, top + height), slice(left, left + width))
        matched = rendered.rgb.copy()
        matched[visible] = cv2.LUT(matched[visible], table)
        return matched


def _rgb_of(color: str) -> tuple[int, int, int]:
    digits = color.removeprefix("#")
    try:
        if len(digits) != 6 or not color.startswith("#"):
            raise ValueError
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise FrameError(f"controls.color = {color!r}: must be #rrggbb, as in #00b140") from None
    return red, green, blue
