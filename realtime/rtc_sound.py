"""The voice's two ends at aiortc: packets as they come, packets as they go. None is decoded.

What is changed inside aiortc for it stands in `rtc_receive.py` (packets are handed over as they
come) and `rtc_reports.py` (sender reports that tell the truth). Knows no sessions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.stream import Stream

from realtime.clock import SOUND_CLOCK_HZ
from realtime.frames import Voice
from realtime.rtc_receive import HeardPacket

MAX_QUEUED = 50
"""packets that a sender has not taken; it takes each at once unless the connection stands still,
and then the oldest go"""


async def hear(track: MediaStreamTrack, hand_over: Callable[[HeardPacket], None]) -> None:
    """Hand over every packet of a microphone until its track ends."""
    while True:
        try:
            packet: object = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(packet, HeardPacket)
        hand_over(packet)


class SoundTrack(MediaStreamTrack):
    """What an aiortc sender pulls; one for each connection, a listener of `Sound`.

    Time stamps are the microphone's own.

    Args:
        ticks_at: what the microphone's clock reads at a moment of ours, for sender reports; without
            it they tell when each packet was sent.
    """

    kind = "audio"

    def __init__(self, ticks_at: Callable[[int], int | None] = lambda now_ns: None) -> None:
        super().__init__()
        self.ticks_at = ticks_at
        self.on_first: Callable[[], None] = lambda: None
        """is told when the first packet goes out"""
        self.dropped = 0
        """packets that were not taken in time"""
        self._silent = True
        self._queue: deque[Voice] = deque(maxlen=MAX_QUEUED)
        self._came = asyncio.Event()

    def put(self, voice: Voice) -> None:
        """The next packet; never blocks."""
        self.dropped += len(self._queue) == MAX_QUEUED
        self._queue.append(voice)
        self._came.set()

    async def recv(self) -> av.Packet[Stream]:
        """The next packet; aiortc's sender takes packets as well as frames."""
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._came.clear()
            await self._came.wait()
        if self._silent:
            self._silent = False
            self.on_first()
        voice = self._queue.popleft()
        packet = av.Packet(voice.opus)
        packet.pts, packet.time_base = voice.ticks, Fraction(1, SOUND_CLOCK_HZ)
        return packet

    def stop(self) -> None:
        super().stop()
        self._came.set()
