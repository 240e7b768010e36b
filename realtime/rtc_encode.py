"""The encoders of aiortc 1.16, set for the lowest delay. Used by `rtc_internals.install` only.

Upstream runs libx264 at its medium preset and VP8 with its denoiser, and makes a new encoder (a
key frame and a stall) whenever the receiver's bandwidth estimate moves. Knows no sessions.
"""

from __future__ import annotations

import fractions
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase
from av.frame import Frame
from av.video.frame import PictureType

from realtime.clock import VIDEO_CLOCK_HZ

FRAME_RATE = 30
"""what the rate control counts on; slower pictures use less than the target"""
KEY_FRAME_INTERVAL = 3000
"""frames; key frames are sent when the receiver asks for one"""
MIN_BITRATE_BPS = 800_000
"""a browser's first estimates, and those of a busy machine, are far below what the link carries; a
picture of less than this falls apart"""
H264_STEP = 0.05
VP8_STEP = 0.4
LEVEL_31_MAX_MACROBLOCKS = 3600
"""H.264 table A-1: 1280x720 is the largest picture of level 3.1"""


@dataclass(frozen=True, slots=True)
class Bitrates:
    start_bps: int
    max_bps: int

    def clamp(self, bitrate_bps: int) -> int:
        floor_bps = min(MIN_BITRATE_BPS, self.start_bps, self.max_bps)
        return max(floor_bps, min(bitrate_bps, self.max_bps))


def bitrate_moved(current_bps: int, target_bps: int, step: float) -> bool:
    """Whether a target is far enough from what runs to be worth a change."""
    return abs(target_bps - current_bps) > step * current_bps


class _Steered:
    """Takes the receiver's estimate as its target, within the configured bitrates."""

    def __init__(self, bitrates: Bitrates) -> None:
        super().__init__()
        self._bitrates = bitrates
        self._target_bps = bitrates.clamp(bitrates.start_bps)

    @property
    def target_bitrate(self) -> int:
        return self._target_bps

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._target_bps = self._bitrates.clamp(bitrate)


class FastH264Encoder(_Steered, H264Encoder):
    """libx264 ultrafast, zero latency, one thread: 3 ms instead of 49 ms at 640x480."""

    def _encode_frame(self, frame: av.VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        codec: Any = self.codec
        if codec is None or (frame.width, frame.height) != (codec.width, codec.height):
            codec = self.codec = self._opened(frame.width, frame.height)
        if bitrate_moved(codec.bit_rate, self._target_bps, H264_STEP):
            codec.bit_rate = self._target_bps  # libx264 takes it over at the next frame
        frame.pict_type = PictureType.I if force_keyframe else PictureType.NONE
        data = b"".join(bytes(packet) for packet in codec.encode(frame))
        if data:
            yield from self._split_bitstream(data)

    def _opened(self, width_px: int, height_px: int) -> Any:
        """A constant-rate encoder at the highest bitrate, then turned down: libx264 can change the
        rate below its first maximum in place, but never raise that maximum."""
        macroblocks = -(-width_px // 16) * -(-height_px // 16)
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
        codec.bit_rate = self._bitrates.max_bps
        codec.framerate = fractions.Fraction(FRAME_RATE, 1)
        codec.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
        codec.thread_count = 1
        codec.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "level": "31" if macroblocks <= LEVEL_31_MAX_MACROBLOCKS else "40",
            "g": str(KEY_FRAME_INTERVAL),
            "maxrate": str(self._bitrates.max_bps),
            "bufsize": str(self._bitrates.max_bps // 4),
        }
        codec.profile = "Baseline"
        codec.open()
        codec.bit_rate = self._target_bps
        return codec


class CalmVp8Encoder(_Steered, Vp8Encoder):
    """libvpx without its denoiser, re-created only when the bitrate moves far: FFmpeg cannot
    change it in place, so each change costs a key frame."""

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert isinstance(frame, av.VideoFrame) and frame.format.name == "yuv420p"
        assert frame.pts is not None and frame.time_base is not None
        codec: Any = self.codec
        if (
            codec is None
            or (frame.width, frame.height) != (codec.width, codec.height)
            or bitrate_moved(codec.bit_rate, self._target_bps, VP8_STEP)
        ):
            codec = self.codec = self._created(frame.width, frame.height)
        frame.pict_type = PictureType.I if force_keyframe else PictureType.NONE
        data = b"".join(bytes(packet) for packet in codec.encode(frame))
        payloads = self._packetize(data, self.picture_id)
        self.picture_id = (self.picture_id + 1) % (1 << 15)
        return payloads, convert_timebase(frame.pts, frame.time_base, VIDEO_TIME_BASE)

    def _created(self, width_px: int, height_px: int) -> Any:
        bitrate = str(self._target_bps)
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
        codec.bit_rate = self._target_bps
        codec.framerate = fractions.Fraction(FRAME_RATE, 1)
        codec.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
        codec.thread_count = 1
        codec.gop_size = KEY_FRAME_INTERVAL
        codec.qmin, codec.qmax = 2, 56  # libvpx's own range for real-time use
        codec.options = {
            "deadline": "realtime",
            "cpu-used": "-12",
            "lag-in-frames": "0",
            "noise-sensitivity": "0",
            "static-thresh": "1",
            "minrate": bitrate,  # equal bounds turn on the constant rate
            "maxrate": bitrate,
            "bufsize": bitrate,
            "undershoot-pct": "100",
            "overshoot-pct": "15",
        }
        return codec
