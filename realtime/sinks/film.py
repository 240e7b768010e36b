"""One film on the disk: H.264 and AAC in fragmented MP4, each picture at the camera's own time.

Four fragments a second, and with every fourth a key frame: a process that is killed loses the
fragment that it was at, and what waits for a voice that may still come. Pictures come as they come:
the rate varies with the camera's. Knows no threads.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from realtime.clock import SOUND_CLOCK_HZ, VIDEO_CLOCK_HZ
from realtime.frames import F32, OutputFrame
from realtime.sinks.fragments import FilmFile
from realtime.sinks.sizes import resized, same_shape
from realtime.sinks.sound_line import BLOCK, SoundLine

KEY_INTERVAL = VIDEO_CLOCK_HZ
FRAGMENT = VIDEO_CLOCK_HZ // 4
"""what a crash costs; each takes 200 bytes or so more"""
SOUND_PATIENCE = VIDEO_CLOCK_HZ * 3 // 10
"""a voice that comes this late after its picture finds silence in its place"""
SOUND_BPS = 128_000
_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "crf": "20"}
_BT601 = 6
"""SMPTE 170M: code point of ITU-T H.273 for matrix, primaries and transfer"""
_LIMITED = 1


class Film:
    """Pictures and voice into one file, until `close`. All pictures have the first one's size: a
    player that is told of another one in the middle shows the rest stretched, or nothing.

    Args:
        began: the time of the first picture, as those of all others in 1/90000 s of one clock.

    Raises:
        OSError: as `picture`.
    """

    def __init__(self, file: FilmFile, width_px: int, height_px: int, began: int) -> None:
        self.file = file
        self.size_px = (width_px, height_px)
        self.pictures = 0
        self._began = began
        # AAC begins a block earlier than what it is given, and no time may be below 0.
        self._line = SoundLine(BLOCK)
        self._last = self._key = -1
        flags = "frag_keyframe+empty_moov+default_base_moof"
        often = str(FRAGMENT * 1_000_000 // VIDEO_CLOCK_HZ)  # in microseconds
        options = {"movflags": flags, "frag_duration": often, "flush_packets": "1"}
        self._container: Any = av.open(file, "w", format="mp4", options=options)
        self._container.metadata["comment"] = "Synthetic video: an avatar drawn by reenactd"
        self._video = self._container.add_stream("libx264", rate=30)
        self._video.width, self._video.height, self._video.pix_fmt = width_px, height_px, "yuv420p"
        self._video.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        codec = self._video.codec_context
        codec.time_base, codec.thread_count = Fraction(1, VIDEO_CLOCK_HZ), 1
        codec.gop_size = 10_000  # key frames are asked for, by time
        codec.colorspace = codec.color_primaries = codec.color_trc = _BT601
        codec.color_range = _LIMITED
        codec.options = _OPTIONS
        self._sound = self._container.add_stream("aac", rate=SOUND_CLOCK_HZ, layout="stereo")
        self._sound.bit_rate = SOUND_BPS

    def takes(self, output: OutputFrame) -> bool:
        """Whether a picture can be shown in it, if larger or smaller."""
        return same_shape((output.width_px, output.height_px), self.size_px)

    @property
    def seconds(self) -> float:
        return max(0, self._last) / VIDEO_CLOCK_HZ

    def picture(self, output: OutputFrame, stamp: int) -> None:
        """Append a picture; its stamp is higher than the last one's.

        Raises:
            OSError: the disk does not take it; the film can only be closed.
        """
        at = stamp - self._began
        self._line.fill(_sound_ticks(at - SOUND_PATIENCE))
        self._lay_sound()
        # Scaled with its marks: the invisible one's cells are a share of the height.
        fits = (output.width_px, output.height_px) == self.size_px
        i420 = output.i420 if fits else resized(output.i420, self.size_px)
        frame = av.VideoFrame.from_numpy_buffer(i420, format="yuv420p")
        frame.pts, frame.time_base = at, Fraction(1, VIDEO_CLOCK_HZ)
        if self._key < 0 or at - self._key >= KEY_INTERVAL:
            frame.pict_type, self._key = PictureType.I, at
        self._mux(self._video.encode(frame))
        self.pictures += 1
        self._last = at

    def voice(self, opus: bytes, stamp: int) -> None:
        """Append a packet that was heard when a picture of that stamp was seen.

        Raises:
            OSError: as `picture`.
        """
        self._line.add(opus, _sound_ticks(stamp - self._began))
        self._lay_sound()

    def close(self) -> None:
        """End the film; what is there afterwards plays, whatever happened before."""
        try:
            if self.file.error is None and self.pictures:
                self._line.fill(_sound_ticks(self._last))
                self._lay_sound()
                self._mux(self._video.encode(None))
                self._mux(self._sound.encode(None))
        except (OSError, av.FFmpegError):
            pass  # known to the file, which now cuts off what is not whole
        finally:
            try:
                self._container.close()
            finally:
                self.file.close()

    def _lay_sound(self) -> None:
        for at, block in self._line.blocks():
            self._mux(self._sound.encode(_audio_frame(at, block)))

    def _mux(self, packets: list[Any]) -> None:
        self._container.mux(packets)
        if self.file.error is not None:
            raise self.file.error


def _sound_ticks(at: int) -> int:
    return at * SOUND_CLOCK_HZ // VIDEO_CLOCK_HZ


def _audio_frame(at: int, block: F32) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = SOUND_CLOCK_HZ, at
    frame.time_base = Fraction(1, SOUND_CLOCK_HZ)
    return frame
