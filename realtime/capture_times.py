"""When the camera took what is sent: pictures' times on this side's clock. Pure.

What happens to a picture here takes longer or shorter with every frame; stamped when it is sent, it
would tell a player or a recorder to repeat that unevenness for ever. Knows no network and no files.
"""

from __future__ import annotations

from realtime.clock import VIDEO_CLOCK_HZ, pts_from_ns
from realtime.frames import OutputFrame

_OLDEST = VIDEO_CLOCK_HZ // 2
"""a picture that seems older when it is sent, or not yet taken: the camera's clock has jumped"""


class CaptureTimes:
    """Time stamps of outgoing pictures: when the camera took them (RFC 3550 section 5.1).

    A camera's clock runs a little faster or slower than this one (100 ppm: 180 ms in half an hour).
    It is followed by one tick a picture at most, 11 microseconds, which no eye and no player sees.
    """

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns
        self._offset: int | None = None
        """of this side's time over the camera's"""
        self._behind = 0
        """how old the last camera picture was when it was sent"""
        self._seq = -1
        self._last = -1

    def stamp(self, output: OutputFrame, now_ns: int) -> int:
        """In 1/90000 s since the start, always increasing.

        A card, or a picture that is shown again, counts as taken as long ago as the one before it.
        """
        now = self.at(now_ns)
        if output.source_seq not in (-1, self._seq):
            self._seq = output.source_seq
            self._behind = now - output.pts - self._followed(output, now)
        self._last = max(now - self._behind, self._last + 1)
        return self._last

    def at(self, now_ns: int) -> int:
        """What this side's clock reads, in 1/90000 s since the start."""
        return pts_from_ns(now_ns - self._started_ns)

    def of(self, camera_pts: int) -> int | None:
        """When the camera's clock read that, on this side's; None before its first picture."""
        return None if self._offset is None else camera_pts + self._offset

    def camera_at(self, now_ns: int) -> int | None:
        """What the camera's clock reads, in its own 1/90000 s; None before its first picture."""
        return None if self._offset is None else self.at(now_ns) - self._offset

    def _followed(self, output: OutputFrame, now: int) -> int:
        arrived = self.at(output.timings.arrived_ns)
        offset = self._offset
        if offset is None or not 0 <= now - output.pts - offset <= _OLDEST:
            offset = arrived - output.pts
        else:
            late = arrived - output.pts - offset
            offset += (late > 0) - (late < 0)  # a median: one late picture moves it no further
        self._offset = offset
        return offset
