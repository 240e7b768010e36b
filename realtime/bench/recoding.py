"""What happens to a video between a daemon and whoever checks it: codecs, scaling, crops, mirrors.

A treatment takes pictures in order and gives the changed ones; a chain of them is a likely way
through the world. Knows no marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext

from realtime.frames import U8

Pictures = Sequence[U8]
"""(H, W, 3) RGB each"""
Treatment = Callable[[Pictures], list[U8]]

_OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libvpx": {"deadline": "realtime", "cpu-used": "6"},
}


@dataclass(frozen=True, slots=True)
class Recode:
    """Through a codec at a constant rate of bits, and back."""

    codec: str
    bitrate_bps: int
    fps: int = 25

    def __call__(self, pictures: Pictures) -> list[U8]:
        encoder = cast(VideoCodecContext, av.CodecContext.create(self.codec, "w"))
        height, width = pictures[0].shape[:2]
        encoder.width, encoder.height = width, height
        encoder.pix_fmt, encoder.bit_rate = "yuv420p", self.bitrate_bps
        encoder.time_base = encoder.framerate = Fraction(1, self.fps)
        encoder.framerate = Fraction(self.fps)
        encoder.gop_size = 10 * self.fps
        encoder.options = _OPTIONS[self.codec] | {
            "maxrate": str(self.bitrate_bps),
            "bufsize": str(self.bitrate_bps // 2),
        }
        name = {"libx264": "h264", "libvpx": "vp8"}[self.codec]
        decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
        made: list[U8] = []
        packets = []
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, self.fps)
            packets.extend(encoder.encode(frame))
        packets.extend(encoder.encode(None))
        for packet in (*packets, None):
            made.extend(
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                for frame in decoder.decode(packet)
            )
        return made


def scaled(pictures: Pictures, share: float) -> list[U8]:
    """Smaller or larger; sides stay even."""
    height, width = (round(side * share / 2) * 2 for side in pictures[0].shape[:2])
    how = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    return [np.asarray(cv2.resize(one, (width, height), interpolation=how)) for one in pictures]


def cropped(pictures: Pictures, share: float) -> list[U8]:
    """Without `share` of either side, half of it at each end; sides stay even."""
    height, width = pictures[0].shape[:2]
    top, left = (round(side * share / 2) for side in (height, width))
    rows, columns = ((side - 2 * cut) // 2 * 2 for side, cut in ((height, top), (width, left)))
    return [np.ascontiguousarray(one[top : top + rows, left : left + columns]) for one in pictures]


def mirrored(pictures: Pictures) -> list[U8]:
    return [np.asarray(cv2.flip(one, 1), np.uint8) for one in pictures]


def filmed_off(pictures: Pictures) -> list[U8]:
    """As a screen recorder has it: larger, between bars, another gamma, noise."""
    height, width = pictures[0].shape[:2]
    noise = np.random.default_rng(0)
    curve = (255 * (np.arange(256) / 255) ** 1.1).astype(np.uint8)
    made = []
    for one in scaled(pictures, 1.37):
        grown = np.pad(cv2.LUT(one, curve), ((40, 40), (60, 60), (0, 0)))
        grown = grown + noise.normal(0, 2, grown.shape)
        made.append(np.clip(np.rint(grown), 0, 255).astype(np.uint8))
    return made
