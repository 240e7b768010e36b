"""When the camera took what is sent: pictures' times on this side's clock. Pure.

What happens to a picture here takes longer or shorter with every frame; stamped when it is sent, it
would tell a player or a recorder to repeat that unevenness for ever. Knows no network and no files.
"""

from __future__ import annotations

from realtime.clock import VIDEO_CLOCK_HZ, pts_from_ns
from realtime.frames import OutputFrame

_OLDEST = VIDEO_CLOCK_HZ // 2
"""a picture that seems older when it is sent, or not yet taken: the camera's clock has jumped"""


class CameraClock:
    """A camera's clock against this side's; one for all that is sent of a session.

    It runs a little faster or slower than this one (100 ppm: 180 ms in half an hour). It is
    followed by one tick a picture at most, 11 microseconds, which no eye and no player sees.
    """

    def __init__(self) -> None:
        self._offset: int | None = None
        """of this side's time over the camera's"""
        self._seq = -1

    def follow(self, output: OutputFrame, now_ns: int) -> int:
        """When a camera's picture that is sent now was taken, in 1/90000 s of this side's clock.

        Whoever sends it asks; one that is known moves nothing.
        """
        if self._offset is None or output.source_seq != self._seq:
            self._seq = output.source_seq
            self._offset = self._followed(output, pts_from_ns(now_ns))
        return output.pts + self._offset

    def ours(self, camera_pts: int) -> int | None:
        """When the camera's clock read that, on this side's; None before its first picture."""
        return None if self._offset is None else camera_pts + self._offset

    def reads(self, now_ns: int) -> int | None:
        """What the camera's clock reads, in its own 1/90000 s; None before its first picture."""
        return None if self._offset is None else pts_from_ns(now_ns) - self._offset

    def _followed(self, output: OutputFrame, now: int) -> int:
        arrived = pts_from_ns(output.timings.arrived_ns)
        offset = self._offset
        if offset is None or not 0 <= now - output.pts - offset <= _OLDEST:
            return arrived - output.pts
        late = arrived - output.pts - offset
        # a median: one late picture moves it no further
        return offset + (late > 0) - (late < 0)


class CaptureTimes:
    """Time stamps of outgoing pictures: when the camera took them (RFC 3550 section 5.1).

    Args:
        started_ns: when the stamps' clock began, on this side's.
        camera: shared by all whose pictures must fit each other, and one voice.
    """

    def __init__(self, started_ns: int, camera: CameraClock | None = None) -> None:
        self._started = pts_from_ns(started_ns)
        self._camera = camera or CameraClock()
        self._behind = 0
        """how old the last camera picture was when it was sent"""
        self._seq = -1
        self._last = -1

    def stamp(self, output: OutputFrame, now_ns: int) -> int:
        """In 1/90000 s since the start, always increasing.

        A card, or a picture that is shown again, counts as taken as long ago as the one before it.
        """
        if output.source_seq not in (-1, self._seq):
            self._seq = output.source_seq
            self._behind = pts_from_ns(now_ns) - self._camera.follow(output, now_ns)
        self._last = max(self.at(now_ns) - self._behind, self._last + 1)
        return self._last

    def at(self, now_ns: int) -> int:
        """What this side's clock reads, in 1/90000 s since the start."""
        return pts_from_ns(now_ns) - self._started

    def of(self, camera_pts: int) -> int | None:
        """When the camera's clock read that, on this side's; None before its first picture."""
        ours = self._camera.ours(camera_pts)
        return None if ours is None else ours - self._started
