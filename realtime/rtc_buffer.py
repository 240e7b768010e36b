"""Packets of video put together to frames, in aiortc 1.16's buffer, mended for live video.

Upstream keeps every frame until the next one begins. Here a frame leaves with its marker packet
(RFC 3550 section 5.1), and a hole can be given up. Used by `rtc_receive.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket

from realtime.clock import Clock, MonotonicClock

MAX_TIMED = 64
"""frames whose first packet's time is kept; what was lost must not pile up"""

_START_CODE = b"\x00\x00\x01"
_H264_SLICE, _H264_IDR, _H264_SPS = 1, 5, 7


def is_key_frame(data: bytes) -> bool:
    """Whether depayloaded data begins a key frame: VP8 by RFC 6386 section 9.1, else H.264 Annex B.

    The two cannot be mistaken for each other: VP8's key frames carry the code 9d 01 2a at byte 3.
    """
    if len(data) > 5 and data[3:6] == b"\x9d\x01\x2a" and not data[0] & 1:
        return True
    if not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return False
    at = data.find(_START_CODE)
    while at != -1 and at + 3 < len(data):
        nal_type = data[at + 3] & 0x1F
        if nal_type in (_H264_IDR, _H264_SPS):
            return True
        if nal_type == _H264_SLICE:
            return False
        at = data.find(_START_CODE, at + 3)
    return False


class TimedFrame(JitterFrame):
    """A frame to decode that knows when its first packet came."""

    def __init__(self, data: bytes, timestamp: int, first_ns: int) -> None:
        super().__init__(data, timestamp)
        self.first_ns = first_ns


class PromptJitterBuffer(JitterBuffer):
    """A video frame leaves when its marker packet is contiguous. Sound never comes in here.

    While `awaiting_key`, frames that the decoder could only smear are dropped.
    """

    def __init__(
        self,
        capacity: int,
        prefetch: int = 0,
        is_video: bool = False,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(capacity, prefetch, is_video)
        self.awaiting_key = is_video
        self.dropped: Counter[str] = Counter()
        """pictures, by the names of `Reception`"""
        self._awaits_for: Literal["key", "backlog"] = "key"
        self._clock = clock or MonotonicClock()
        self._first_ns: dict[int, int] = {}
        """RTP timestamp -> when its first packet came"""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        if not self._is_video:
            return False, None  # upstream would wait for four packets, or sixteen after a lost one
        if packet.timestamp not in self._first_ns:
            self._first_ns[packet.timestamp] = self._clock.now_ns()
            if len(self._first_ns) > MAX_TIMED:
                del self._first_ns[next(iter(self._first_ns))]
        overflowed, frame = super().add(packet)
        if overflowed:
            self.dropped["lost"] += 1
            self.skip_to_key()
            if frame is not None and not is_key_frame(frame.data):
                frame = None
        return overflowed, frame

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        while True:
            frame = self._next_complete()
            if frame is None:
                return None
            if self.awaiting_key and not is_key_frame(frame.data):
                self.dropped[self._awaits_for] += bool(frame.data)
                continue
            if frame.data:  # padding packets make empty frames, which a decoder takes for the end
                self.awaiting_key = False
                return frame

    def _next_complete(self) -> TimedFrame | None:
        if self._origin is None:
            return None
        parts: list[bytes] = []
        timestamp: int | None = None
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                return None
            if timestamp is None:
                timestamp = packet.timestamp
            elif packet.timestamp != timestamp:  # a sender without markers: upstream's rule
                self.remove(count)
                return self._timed(parts, timestamp)
            parts.append(packet._data)  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return self._timed(parts, timestamp)
        return None

    def _timed(self, parts: list[bytes], timestamp: int) -> TimedFrame:
        first_ns = self._first_ns.pop(timestamp, None)
        if first_ns is None:  # of a stream far behind: it was forgotten
            first_ns = self._clock.now_ns()
        return TimedFrame(b"".join(parts), timestamp, first_ns)

    def skip_to_key(self, reason: Literal["key", "backlog"] = "key") -> None:
        """Give out nothing before the next key frame."""
        if not self.awaiting_key:
            self.awaiting_key, self._awaits_for = True, reason

    def has_hole(self) -> bool:
        """Whether packets wait behind a missing one."""
        if self._origin is None:
            return False
        missing = False
        for count in range(self.capacity):
            if self._packets[(self._origin + count) % self.capacity] is None:
                missing = True
            elif missing:
                return True
        return False

    def give_up(self) -> None:
        """Drop what waits behind the hole: up to the next key frame held, else everything."""
        if self._origin is None:
            return
        missing, last_held, pictures = False, -1, set[int]()
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                missing = True
                continue
            last_held = count
            if missing and is_key_frame(packet._data):  # type: ignore[attr-defined]
                self.dropped["lost"] += max(len(pictures), 1)
                self.remove(count)
                return
            pictures.add(packet.timestamp)
        # The origin moves on instead of being forgotten, so that late packets stay late.
        self.remove(last_held + 1)
        self.dropped["lost"] += max(len(pictures), 1)
        self.skip_to_key()
