"""The encoders of aiortc 1.16, set for the lowest delay. Used by `rtc_internals.install` only.

Upstream runs libx264 at its medium preset and VP8 with its denoiser, and makes a new encoder (a
key frame and a stall) whenever the receiver's bandwidth estimate moves. Knows no sessions.
"""

from __future__ import annotations

import fractions
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import av
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase
from av.frame import Frame
from av.video.frame import PictureType

from realtime.clock import NS_PER_MS, NS_PER_S, VIDEO_CLOCK_HZ, Clock, MonotonicClock
from realtime.errors import StartupError
from realtime.link import LEAST_BPS, PICTURES_PER_S, bitrate_for

logger = logging.getLogger(__name__)

PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
"""the header extension that asks a player not to hold pictures back"""
KEY_FRAME_INTERVAL = 3000
"""frames; key frames are sent when the receiver asks for one"""
MIN_BITRATE_BPS = LEAST_BPS
"""what is sent at least, whatever is told of the link"""
HEADROOM = 2
"""times the bitrate at which an encoder for a narrow link begins, that it can be raised to"""
SLOWEST_PER_S = 8.0
"""pictures that come more slowly than this get no more bits each"""
SHARE_OF_NEWEST = 0.05
"""in the mean time between two pictures"""
KEY_FRAME_PAUSE_NS = 250 * NS_PER_MS
"""between two key frames that a receiver asks for, at least"""
KEY_FRAME_SHARE = 0.5
"""of a narrow link; a pause is long enough for that"""
H264_OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "h264_nvenc": {
        "preset": "p1",
        "tune": "ull",
        "rc": "cbr",
        "profile": "baseline",
        "zerolatency": "1",
        "delay": "0",
        "forced-idr": "1",
    },
}
"""NVENC's: NVIDIA Video Codec SDK, "Recommended NVENC settings" for low latency; never run here"""
H264_STEP = 0.05
VP8_STEP = 0.4
LEVEL_31_MAX_MACROBLOCKS = 3600
"""H.264 table A-1: 1280x720 is the largest picture of level 3.1"""


@dataclass(frozen=True, slots=True)
class Bitrates:
    start_bps: int
    max_bps: int

    def clamp(self, bitrate_bps: int, least_bps: int = MIN_BITRATE_BPS) -> int:
        """
        Args:
            least_bps: holds unless the settings are below it.
        """
        floor_bps = min(least_bps, self.start_bps, self.max_bps)
        return max(floor_bps, min(bitrate_bps, self.max_bps))


def bitrate_moved(current_bps: int, target_bps: int, step: float) -> bool:
    """Whether a target is far enough from what runs to be worth a change."""
    return abs(target_bps - current_bps) > step * current_bps


@dataclass
class KeyFrames:
    """When a key frame asked for is made: at once, but not again within a pause.

    A receiver that has lost one repeats its PLI until it has one. A key frame for each would fill
    the link that lost the first; none is forgotten, the next comes when the pause is over.
    """

    clock: Clock
    _asked: bool = False
    _made_ns: int | None = None

    def due(self, asked: bool, pause_ns: int = KEY_FRAME_PAUSE_NS) -> bool:
        """Whether the coming picture must be one."""
        self._asked |= asked
        now_ns = self.clock.now_ns()
        paused = self._made_ns is not None and now_ns - self._made_ns < pause_ns
        if paused or not self._asked:
            return False
        self._asked, self._made_ns = False, now_ns
        return True

    def made(self) -> None:
        """A new encoder begins with a key frame, asked for or not."""
        self._asked, self._made_ns = False, self.clock.now_ns()


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture that was coded and packetized elsewhere, on its way through aiortc's sender."""

    payloads: list[bytes]
    timestamp: int
    """1/90000 s"""
    told: Callable[[int, int | None], None]
    """is told the receiver's estimate, and what its link can be trusted to carry, in bits per
    second; None where nothing bad is known of it"""


class Steered:
    """Takes the receiver's estimate as its target, within the configured bitrates.

    One that is too low for the picture's size is not obeyed; the link's own bound is: `link.py`.
    """

    def __init__(self, bitrates: Bitrates, clock: Clock | None = None) -> None:
        super().__init__()
        self._bitrates = bitrates
        self._target_bps = bitrates.clamp(bitrates.start_bps)
        self._key_frames = KeyFrames(clock or MonotonicClock())
        self.bound_bps: int | None = None
        """what the link can be trusted to carry, where it is known to be narrow"""
        self._key_bits = 0
        """of the last key frame"""
        self.made_key_frame = False
        """whether the picture that was coded last is one"""

    @property
    def target_bitrate(self) -> int:
        return self._target_bps

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._target_bps = self._bitrates.clamp(bitrate)

    def _wanted_bps(self, frame: av.VideoFrame) -> int:
        """What pictures of this size are coded with."""
        wanted_bps = self._bitrates.clamp(self._target_bps, bitrate_for(frame.width, frame.height))
        return wanted_bps if self.bound_bps is None else min(wanted_bps, self.bound_bps)

    def pack(self, packet: Any | Ready) -> tuple[list[bytes], int]:
        """What aiortc calls for all that is no picture."""
        if isinstance(packet, Ready):
            packet.told(self._target_bps, self.bound_bps)
            return packet.payloads, packet.timestamp
        packed: tuple[list[bytes], int] = super().pack(packet)  # type: ignore[misc]
        return packed

    def _is_due(self, frame: av.VideoFrame, asked: bool) -> bool:
        """Whether a key frame that was asked for is to be made now."""
        pause_ns = KEY_FRAME_PAUSE_NS
        if self.bound_bps is not None:
            spent_s = self._key_bits / (KEY_FRAME_SHARE * self._wanted_bps(frame))
            pause_ns = max(pause_ns, round(spent_s * NS_PER_S))
        return self._key_frames.due(asked, pause_ns)

    def _mark(self, frame: av.VideoFrame, *, key: bool, fresh: bool) -> None:
        """Have a picture coded as a key frame; the first one of an encoder is one anyway."""
        if fresh:
            self._key_frames.made()
        frame.pict_type = PictureType.I if key and not fresh else PictureType.NONE

    def _coded(self, codec: Any, frame: av.VideoFrame) -> bytes:
        packets = codec.encode(frame)
        self.made_key_frame = any(packet.is_keyframe for packet in packets)
        data = b"".join(bytes(packet) for packet in packets)
        if self.made_key_frame:
            self._key_bits = 8 * len(data)
        return data


@dataclass(frozen=True, slots=True)
class H264Choice:
    """Which H.264 encoder runs, and why."""

    name: Literal["libx264", "h264_nvenc"]
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def choose_h264(wanted: Literal["auto", "libx264", "h264_nvenc"]) -> H264Choice:
    """The GPU's encoder where it can be opened, unless another is wanted.

    Raises:
        StartupError: NVENC is wanted and cannot be opened.
    """
    if wanted == "libx264":
        return H264Choice("libx264", "as configured")
    try:
        opened_h264("h264_nvenc", 640, 480, 4_000_000)
    except (av.FFmpegError, ValueError) as exc:
        why = f"NVENC cannot be opened ({_short(exc)})"
        if wanted == "h264_nvenc":
            raise StartupError(
                f"rtc.h264_encoder = h264_nvenc: {why}; it needs an NVIDIA GPU with an encoder and "
                "its driver; set it to auto or libx264"
            ) from exc
        return H264Choice("libx264", why)
    return H264Choice("h264_nvenc", "the GPU encodes")


def _short(error: Exception) -> str:
    """Without what FFmpeg was called with."""
    return getattr(error, "strerror", None) or str(error)


def opened_h264(name: str, width_px: int, height_px: int, max_bps: int) -> Any:
    """A constant-rate encoder at its highest bitrate, for the lowest delay.

    Raises:
        FFmpegError, ValueError: there is no such encoder here.
    """
    macroblocks = -(-width_px // 16) * -(-height_px // 16)
    codec: Any = av.CodecContext.create(name, "w")
    codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
    codec.bit_rate = max_bps
    codec.framerate = fractions.Fraction(PICTURES_PER_S, 1)
    codec.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
    codec.thread_count = 1
    codec.options = {
        **H264_OPTIONS[name],
        "level": "31" if macroblocks <= LEVEL_31_MAX_MACROBLOCKS else "40",
        "g": str(KEY_FRAME_INTERVAL),
        "maxrate": str(max_bps),
        "bufsize": str(max_bps // 4),
    }
    if name == "libx264":
        codec.profile = "Baseline"
    codec.open()
    return codec


class FastH264Encoder(Steered, H264Encoder):
    """libx264 ultrafast, zero latency, one thread: 3 ms instead of 49 ms at 640x480. Or NVENC,
    as `choose_h264` found; if that fails later (a card allows few sessions), libx264 takes over."""

    def __init__(
        self,
        bitrates: Bitrates,
        choice: H264Choice = H264Choice("libx264", "the default"),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(bitrates, clock)
        self._choice = choice
        self._interval_s = 1 / PICTURES_PER_S
        """between two pictures, as a mean"""
        self._last_s: float | None = None
        self._ceiling_bps = bitrates.max_bps
        """what the encoder was opened with"""

    def _encode_frame(self, frame: av.VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        codec: Any = self.codec
        wanted_bps, key = self._at_its_rate(frame), self._is_due(frame, force_keyframe)
        narrow = self.bound_bps is not None and wanted_bps >= self.bound_bps
        much_lower = narrow and self._ceiling_bps > 2 * HEADROOM * wanted_bps
        fresh = (
            codec is None
            or (frame.width, frame.height) != (codec.width, codec.height)
            or wanted_bps > self._ceiling_bps
            or (key and much_lower)  # a new encoder's key frame is half as large
        )
        if fresh:
            max_bps = self._bitrates.max_bps
            self._ceiling_bps = min(HEADROOM * wanted_bps, max_bps) if narrow else max_bps
            codec = self.codec = self._opened(frame.width, frame.height)
        if bitrate_moved(codec.bit_rate, wanted_bps, H264_STEP):
            codec.bit_rate = wanted_bps  # taken over at the next frame
        self._mark(frame, key=key, fresh=fresh)
        data = self._coded(codec, frame)
        if data:
            yield from self._split_bitstream(data)

    def _opened(self, width_px: int, height_px: int) -> Any:
        """Opened at the highest bitrate, then turned down: libx264 can change the rate below its
        first one in place, but never raise it. Its first picture has the size that befits that
        one: too large for a link that is known to be narrow, where it is opened lower."""
        try:
            codec = opened_h264(self._choice.name, width_px, height_px, self._ceiling_bps)
        except av.FFmpegError as exc:
            if self._choice.name == "libx264":
                raise
            self._choice = H264Choice("libx264", f"NVENC failed ({_short(exc)})")
            logger.warning("this session's encoder is %s", self._choice)
            codec = opened_h264(self._choice.name, width_px, height_px, self._ceiling_bps)
        return codec

    def _at_its_rate(self, frame: av.VideoFrame) -> int:
        """The bitrate to set so that the wanted one is spent at the pictures' own rate.

        The encoder gives each a thirtieth of a second's bits. Fewer pictures would leave the link
        half empty, and the receiver's estimate, which grows with what arrives, where it is.
        """
        assert frame.pts is not None and frame.time_base is not None
        now_s = float(frame.pts * frame.time_base)
        if self._last_s is not None:
            passed_s = min(max(now_s - self._last_s, 1 / PICTURES_PER_S), 1 / SLOWEST_PER_S)
            self._interval_s += SHARE_OF_NEWEST * (passed_s - self._interval_s)
        self._last_s = now_s
        wanted_bps = self._wanted_bps(frame) * self._interval_s * PICTURES_PER_S
        return min(round(wanted_bps), self._bitrates.max_bps)


class CalmVp8Encoder(Steered, Vp8Encoder):
    """libvpx without its denoiser, re-created only when the bitrate moves far: FFmpeg cannot
    change it in place, so each change costs a key frame."""

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert isinstance(frame, av.VideoFrame) and frame.format.name == "yuv420p"
        assert frame.pts is not None and frame.time_base is not None
        codec: Any = self.codec
        wanted_bps, key = self._wanted_bps(frame), self._is_due(frame, force_keyframe)
        fresh = (
            codec is None
            or (frame.width, frame.height) != (codec.width, codec.height)
            or bitrate_moved(codec.bit_rate, wanted_bps, VP8_STEP)
        )
        if fresh:
            codec = self.codec = self._created(frame.width, frame.height, wanted_bps)
        self._mark(frame, key=key, fresh=fresh)
        data = self._coded(codec, frame)
        payloads = self._packetize(data, self.picture_id)
        self.picture_id = (self.picture_id + 1) % (1 << 15)
        return payloads, convert_timebase(frame.pts, frame.time_base, VIDEO_TIME_BASE)

    def _created(self, width_px: int, height_px: int, bitrate_bps: int) -> Any:
        bitrate = str(bitrate_bps)
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = width_px, height_px, "yuv420p"
        codec.bit_rate = bitrate_bps
        codec.framerate = fractions.Fraction(PICTURES_PER_S, 1)
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
