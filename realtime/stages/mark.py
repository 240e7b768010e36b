"""Mark: burns the visible mark of synthesis into the picture. The only maker of Marked, here and
on a GPU.

The mark is text on a rounded pill in a corner, which stays legible on any background (the default
place and the wording follow the EU Code of Practice on marking AI content, 2026). A cutout gets it
too, in its matte as well: it stands in front of whatever a viewer puts behind. The mark is drawn
once per size and blended into its corner, so that it costs next to nothing per frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from realtime.config import LABEL_OFF, Output
from realtime.errors import FrameError
from realtime.frames import (
    U8,
    Composited,
    CompositedOnGpu,
    Cutout,
    Marked,
    MarkedCutout,
    MarkedOnGpu,
)
from realtime.watermark import Payload

_SUPERSAMPLING = 4
_MIN_HEIGHT_PX = 16  # below it the letters are no longer legible after a video codec
_PILL_OPACITY = 205
_STYLES = {
    "dark": ((255, 255, 255), (12, 14, 20)),
    "light": ((12, 14, 20), (255, 255, 255)),
}
"""letters and pill"""


@dataclass(frozen=True, slots=True)
class Marks:
    """How the pictures of one session are marked."""

    payload: Payload
    label: str
    """as it stands in them; empty while it is off"""
    label_off_reason: str | None
    """why it is, or why it does not tell that the picture is synthetic"""

    @property
    def warning(self) -> str | None:
        """For people: what is missing from the visible mark, and why; None where nothing is."""
        if self.label_off_reason is None:
            return None
        without = f"with the label {self.label!r}, which discloses nothing"
        return f"{without if self.label else 'without the visible mark'}: {self.label_off_reason}"


class _Patch(NamedTuple):
    """The mark for one picture size, at its place."""

    place: tuple[slice, slice]
    """rows and columns"""
    ground: tuple[int, int, int]
    """colour of the pill"""
    premultiplied: U8
    """(h, w, 3) text and pill, times their opacity"""
    transparency: NDArray[np.uint16]
    """(h, w, 1) 0..255, what remains of the picture below"""
    joined: U8
    """(h, w, 4) both, as a GPU takes them"""


class Mark:
    """Composited to Marked; keeps the drawn mark for the size that it saw last.

    Args:
        payload: what the invisible mark is to say, which `emit` adds.
    """

    def __init__(self, config: Output, payload: Payload) -> None:
        label = "" if config.label == LABEL_OFF else config.label
        self.marks = Marks(payload, label, config.label_off_reason)
        self._config = config
        self._size_px = (0, 0)
        self._patch: _Patch | None = None

    @overload
    def __call__(self, composited: Composited) -> Marked: ...
    @overload
    def __call__(self, composited: CompositedOnGpu) -> MarkedOnGpu: ...
    def __call__(self, composited: Composited | CompositedOnGpu) -> Marked | MarkedOnGpu:
        """A marked copy; the given picture is not touched, but for one on a GPU.

        Raises:
            FrameError: the picture has odd sides, or is too small to carry the mark.
            EngineError: the GPU failed.
        """
        if isinstance(composited, CompositedOnGpu):
            return self._on_gpu(composited)
        height, width = composited.rgb.shape[:2]
        _require_even(width, height)
        marks, rgb, cutout = self.marks, composited.rgb.copy(), composited.cutout
        if not marks.label:
            plain = None if cutout is None else MarkedCutout(cutout.rgb, cutout.alpha)
            return Marked(rgb, marks.label, marks.payload.id, plain)
        patch = self._patch_for(width, height)
        corner = rgb[patch.place]
        corner[...] = patch.premultiplied + (corner * patch.transparency // 255).astype(np.uint8)
        marked = None if cutout is None else _marked(cutout, patch)
        return Marked(rgb, marks.label, marks.payload.id, marked)

    def _on_gpu(self, composited: CompositedOnGpu) -> MarkedOnGpu:
        picture, marks = composited.picture, self.marks
        height, width = picture.canvas_hw
        _require_even(width, height)
        if marks.label:
            patch = self._patch_for(width, height)
            rows, columns = patch.place
            picture.mark(patch.joined, columns.start, rows.start)
        else:
            picture.mark(None, 0, 0)
        return MarkedOnGpu(picture, marks.label, marks.payload.id)

    def _patch_for(self, width: int, height: int) -> _Patch:
        if self._patch is None or self._size_px != (width, height):
            self._patch = _draw(self._config, width, height)
            self._size_px = (width, height)
        return self._patch


def _require_even(width: int, height: int) -> None:
    if height % 2 or width % 2:
        raise FrameError(f"picture of {width}x{height}: both sides must be even for I420")


def _marked(cutout: Cutout, patch: _Patch) -> MarkedCutout:
    """The mark over the cutout (Porter and Duff, "Compositing digital images", 1984)."""
    place = patch.place
    rgb, alpha = cutout.rgb.copy(), cutout.alpha.copy()
    below = alpha[place][:, :, None] / 255.0 * patch.transparency  # (h, w, 1) 0..255
    both = 255.0 - patch.transparency + below
    mixed = (patch.premultiplied * 255.0 + rgb[place] * below) / np.maximum(both, 1)
    # Where neither shows, the colour of the mark goes on, as the cutout's does at its edge.
    rgb[place] = np.where(both < 1, patch.ground, np.clip(np.rint(mixed), 0, 255))
    alpha[place] = np.rint(both[:, :, 0])
    return MarkedCutout(rgb, alpha)


def _draw(config: Output, width: int, height: int) -> _Patch:
    """The pill for a picture of `width` x `height`."""
    label, (letters, ground) = config.label, _STYLES[config.label_style]
    tall = max(math.ceil(config.label_height * height), _MIN_HEIGHT_PX)
    big = tall * _SUPERSAMPLING
    font = ImageFont.load_default(size=big * 0.68)
    left, top, right, bottom = font.getbbox(label)
    long = (round(right - left) + round(big * 0.8)) // _SUPERSAMPLING
    margin = max(round(0.025 * height), 4)
    if long + 2 * margin > width or tall + 2 * margin > height:
        raise FrameError(
            f"picture of {width}x{height}: too small for the mark {label!r} of {long}x{tall}; "
            "shorten output.label or enlarge video.width_px"
        )
    pill = Image.new("RGBA", (long * _SUPERSAMPLING, big), (0, 0, 0, 0))
    pen = ImageDraw.Draw(pill)
    pen.rounded_rectangle(
        (0, 0, pill.width - 1, big - 1), radius=big * 0.5, fill=(*ground, _PILL_OPACITY)
    )
    centre = ((pill.width - left - right) / 2, (big - top - bottom) / 2)
    pen.text(centre, label, font=font, fill=(*letters, 255), stroke_width=big // 48)
    rgba = np.asarray(pill.resize((long, tall), Image.Resampling.LANCZOS), np.uint16)
    alpha = rgba[:, :, 3:]
    premultiplied = (rgba[:, :, :3] * alpha // 255).astype(np.uint8)
    at_top, at_left = "top" in config.label_position, "left" in config.label_position
    top_px = margin if at_top else height - margin - tall
    left_px = margin if at_left else width - margin - long
    place = slice(top_px, top_px + tall), slice(left_px, left_px + long)
    remains = np.uint16(255) - alpha
    joined = np.dstack([premultiplied, remains.astype(np.uint8)])
    return _Patch(place, ground, premultiplied, remains, joined)
