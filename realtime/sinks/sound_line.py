"""A voice for a film: packets of Opus in, gapless blocks of samples out, each with its time.

A microphone's clock runs a little faster or slower than the film's. Samples stay as they are; a
block's time is moved by single ticks instead. Where there is no voice there is silence. Knows no
files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from realtime.clock import SOUND_CLOCK_HZ
from realtime.frames import F32

BLOCK = 1024
"""samples of a frame of AAC"""
CHANNELS = 2
LOOK_AHEAD = 312
"""samples by which libopus delays what it encodes (RFC 7845 section 4.2 tells decoders to skip
them; a packet on its own does not say)"""
_STRAY = SOUND_CLOCK_HZ * 30 // 1000
"""a voice that strays further from its time is cut, or silence goes before it"""


class SoundLine:
    """Times are in 1/48000 s since the film's beginning.

    Args:
        began: nothing is laid before that.
    """

    def __init__(self, began: int = 0) -> None:
        self.damaged = 0
        """packets that are no Opus"""
        self._decoder: Any = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate, self._decoder.layout = SOUND_CLOCK_HZ, "stereo"
        self._next = began
        """the time of the next sample"""
        self._speaks = False
        """whether the last sample was of a voice, which the next then follows without a gap"""
        self._held: F32 = np.zeros((CHANNELS, 0), np.float32)

    def add(self, opus: bytes, at: int) -> None:
        """Lay a packet that was heard then; what is older than what is laid already is cut."""
        try:
            frames = self._decoder.decode(av.Packet(opus))
        except av.FFmpegError:
            self.damaged += 1
            return
        samples = np.concatenate([_samples(frame) for frame in frames], axis=1)
        late = at - LOOK_AHEAD - self._next
        if self._speaks and abs(late) <= _STRAY:
            self._next += (late > 0) - (late < 0)
        else:
            self.fill(at - LOOK_AHEAD)
            samples = samples[:, max(0, -late) :]
        self._lay(samples)
        self._speaks = bool(samples.shape[1])

    def fill(self, until: int) -> None:
        """Silence up to that time, if there is nothing yet."""
        if until > self._next:
            self._lay(np.zeros((CHANNELS, until - self._next), np.float32))
            self._speaks = False

    def blocks(self) -> Iterator[tuple[int, F32]]:
        """Whole blocks and their times; each is given once."""
        while self._held.shape[1] >= BLOCK:
            at = self._next - self._held.shape[1]
            block, self._held = self._held[:, :BLOCK], self._held[:, BLOCK:]
            yield at, block

    def _lay(self, samples: F32) -> None:
        self._held = np.concatenate([self._held, samples], axis=1)
        self._next += samples.shape[1]


def _samples(frame: av.AudioFrame) -> F32:
    """(2, n), -1 to 1; libopus gives 16 bits, both channels in turn."""
    samples = frame.to_ndarray().reshape(-1, CHANNELS).T
    return np.asarray(samples / 32768, np.float32)
