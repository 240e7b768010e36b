"""Mark: burns the visible mark of synthesis into the picture. The only maker of Marked.

A cutout gets it too, in its matte as well: it stands in front of whatever a viewer puts behind.

The mark is white text on a dark rounded pill, top right, which stays legible on any background
(the place and the wording follow the EU Code of Practice on marking AI content, 2026). It is drawn
once per size and blended into its corner, so that it costs next to nothing per frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from realtime.config import Output
from realtime.errors import FrameError
from realtime.frames import U8, Composited, Cutout, Marked, MarkedCutout

_SUPERSAMPLING = 4
_MIN_HEIGHT_PX = 16  # below it the letters are no longer legible after a video codec
_PILL_RGBA = (12, 14, 20, 205)


class _Patch(NamedTuple):
    """The mark for one picture size, at its place."""

    top_px: int
    left_px: int
    premultiplied: U8
    """(h, w, 3) text and pill, times their opacity"""
    transparency: NDArray[np.uint16]
    """(h, w, 1) 0..255, what remains of the picture below"""


class Mark:
    """Composited to Marked; keeps the drawn mark for the size that it saw last."""

    def __init__(self, config: Output) -> None:
        self._label = config.label
        self._share = config.label_height
        self._size_px = (0, 0)
        self._patch: _Patch | None = None

    def __call__(self, composited: Composited) -> Marked:
        """A marked copy; the given picture is not touched.

        Raises:
            FrameError: the picture has odd sides, or is too small to carry the mark.
        """
        height, width = composited.rgb.shape[:2]
        if self._patch is None or self._size_px != (width, height):
            self._patch = _draw(self._label, self._share, width, height)
            self._size_px = (width, height)
        rgb = composited.rgb.copy()
        patch = self._patch
        rows, columns = patch.premultiplied.shape[:2]
        corner = rgb[patch.top_px : patch.top_px + rows, patch.left_px : patch.left_px + columns]
        corner[...] = patch.premultiplied + (corner * patch.transparency // 255).astype(np.uint8)
        cutout = None if composited.cutout is None else _marked(composited.cutout, patch)
        return Marked(rgb, self._label, cutout)


def _marked(cutout: Cutout, patch: _Patch) -> MarkedCutout:
    """The mark over the cutout (Porter and Duff, "Compositing digital images", 1984)."""
    rows, columns = patch.premultiplied.shape[:2]
    place = (
        slice(patch.top_px, patch.top_px + rows),
        slice(patch.left_px, patch.left_px + columns),
    )
    rgb, alpha = cutout.rgb.copy(), cutout.alpha.copy()
    below = alpha[place][:, :, None] / 255.0 * patch.transparency  # (h, w, 1) 0..255
    both = 255.0 - patch.transparency + below
    mixed = (patch.premultiplied * 255.0 + rgb[place] * below) / np.maximum(both, 1)
    # Where neither shows, the colour of the mark goes on, as the cutout's does at its edge.
    rgb[place] = np.where(both < 1, _PILL_RGBA[:3], np.clip(np.rint(mixed), 0, 255))
    alpha[place] = np.rint(both[:, :, 0])
    return MarkedCutout(rgb, alpha)


def _draw(label: str, share: float, width: int, height: int) -> _Patch:
    """The pill for a picture of `width` x `height`, `share` of its height tall."""
    if height % 2 or width % 2:
        raise FrameError(f"picture of {width}x{height}: both sides must be even for I420")
    tall = max(round(share * height), _MIN_HEIGHT_PX)
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
    pen.rounded_rectangle((0, 0, pill.width - 1, big - 1), radius=big * 0.5, fill=_PILL_RGBA)
    centre = ((pill.width - left - right) / 2, (big - top - bottom) / 2)
    pen.text(centre, label, font=font, fill=(255, 255, 255, 255), stroke_width=big // 48)
    rgba = np.asarray(pill.resize((long, tall), Image.Resampling.LANCZOS), np.uint16)
    alpha = rgba[:, :, 3:]
    premultiplied = (rgba[:, :, :3] * alpha // 255).astype(np.uint8)
    return _Patch(margin, width - margin - long, premultiplied, np.uint16(255) - alpha)
