"""What waits for a recorder: pictures and sound in order, from the event loop to its thread.

What waits is lost in a crash: where it is long, pictures are left out, more of them the longer it
is, and counted. Sound is small and is kept. Knows no files.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from realtime.clock import VIDEO_CLOCK_HZ
from realtime.drafts import Credit
from realtime.frames import OutputFrame

QUEUE_BYTES = 48 * 2**20
"""of pictures that wait for a slow disk or processor: 3.5 s at 640x480, a good half at 1080p"""
LONG_QUEUE = VIDEO_CLOCK_HZ * 3 // 4
"""from the oldest picture that waits to the newest"""
THINNING = 2
"""half of what it is longer by is at least between two pictures: 10 a second at 0.95 s"""
QUEUE_VOICES = 500


@dataclass(frozen=True, slots=True)
class Picture:
    output: OutputFrame
    stamp: int
    credit: Credit | None


@dataclass(frozen=True, slots=True)
class Heard:
    opus: bytes
    stamp: int


class FilmQueue:
    """In order, bounded, from the event loop to the recorder's thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: deque[Picture | Heard] = deque()
        self._stamps: deque[int] = deque()
        """of the pictures that wait"""
        self._bytes = self._voices = 0
        self._closed = False
        self.dropped = 0

    def put(self, item: Picture | Heard) -> None:
        """Never blocks for longer than the other side takes to move one item."""
        with self._condition:
            if self._closed:
                return
            if isinstance(item, Heard):
                if self._voices >= QUEUE_VOICES:
                    return
                self._voices += 1
            elif self._is_too_much(item):
                self.dropped += 1
                return
            else:
                self._bytes += item.output.i420.nbytes
                self._stamps.append(item.stamp)
            self._items.append(item)
            self._condition.notify()

    def _is_too_much(self, picture: Picture) -> bool:
        if not self._stamps:
            return picture.output.i420.nbytes > QUEUE_BYTES
        longer = self._stamps[-1] - self._stamps[0] - LONG_QUEUE
        gap = picture.stamp - self._stamps[-1]
        return gap * THINNING < longer or self._bytes + picture.output.i420.nbytes > QUEUE_BYTES

    def take(self) -> Picture | Heard | None:
        """The oldest; None once it is closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._items) or self._closed)
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, Picture):
                self._bytes -= item.output.i420.nbytes
                self._stamps.popleft()
            else:
                self._voices -= 1
            return item

    def close(self, *, keep: bool = True) -> None:
        with self._condition:
            self._closed = True
            if not keep:
                self._items.clear()
            self._condition.notify()
