"""Which picture belongs to which sound, and when that picture leaves. Pure.

A camera and a microphone have a clock each. The performer's RTCP sender reports tell both against
one wall clock (RFC 3550 section 6.4.1); until they have come, and where they make no sense, what
arrives together counts as taken together. Nothing is resampled: a clock that runs fast is followed
in the time stamps. Knows no network and no audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.clock import NS_PER_S, SOUND_CLOCK_HZ, VIDEO_CLOCK_HZ

_PTS_PER_TICK = VIDEO_CLOCK_HZ / SOUND_CLOCK_HZ
_WEIGHT = 1 / 16
"""of the newest picture or packet in a running mean: half a second of either"""
_REPORT_WEIGHT = 1 / 4
_JUMP = VIDEO_CLOCK_HZ // 5
"""a mean is moved by 0.2 s only where a clock was set anew"""
_PATIENCE = 8
"""pictures or packets in a row that say so; fewer are late ones"""
_TRUSTED = VIDEO_CLOCK_HZ
"""reports that put a voice a second from where it arrives are of clocks that are not the same"""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What one stream's clock read at a moment of its sender's wall clock."""

    ntp_ns: int
    ticks: int
    """of the stream's own clock, unwrapped"""


@dataclass(slots=True)
class Unwrapped:
    """RTP time stamps of 32 bits as numbers that go on rising; late packets come out lower."""

    newest: int | None = None

    def __call__(self, stamp: int) -> int:
        if self.newest is None:
            self.newest = stamp
        value = self.near(stamp)
        assert value is not None
        self.newest = max(self.newest, value)
        return value

    def near(self, stamp: int) -> int | None:
        """One that is only looked at; None before the first."""
        if self.newest is None:
            return None
        step = (stamp - self.newest) % _WRAP
        return self.newest + (step if step < _WRAP // 2 else step - _WRAP)


@dataclass(slots=True)
class _Mean:
    """A running mean that takes a jump at once, when it has been said often enough."""

    weight: float
    jump: float
    patience: int = 1
    value: float | None = None
    _strays: int = 0

    def add(self, value: float) -> None:
        if self.value is None:
            self.value = value
        elif abs(value - self.value) <= self.jump:
            self.value += (value - self.value) * self.weight
            self._strays = 0
        else:
            self._strays += 1
            if self._strays >= self.patience:
                self.value, self._strays = value, 0


@dataclass(slots=True)
class Lips:
    """The camera's time is the measure: `pts`, in 1/90000 s, as of SourceFrame."""

    _came: _Mean = field(default_factory=lambda: _Mean(_WEIGHT, _JUMP, _PATIENCE))
    """arrival of a picture's first packet on this side's clock, over its pts"""
    _left: _Mean = field(default_factory=lambda: _Mean(_WEIGHT, _JUMP, _PATIENCE))
    """when its answer's last packet went out, over its pts"""
    _met: _Mean = field(default_factory=lambda: _Mean(_WEIGHT, _JUMP, _PATIENCE))
    """pts over the microphone's ticks, by arrivals"""
    _told: _Mean = field(default_factory=lambda: _Mean(_REPORT_WEIGHT, _JUMP))
    """the same by the sender's reports"""
    _reports: tuple[SenderReport, SenderReport] | None = None

    def picture_arrived(self, pts: int, first_packet_ns: int) -> None:
        self._came.add(_ticks(first_packet_ns) - pts)

    def picture_left(self, pts: int, left_ns: int) -> None:
        """A camera picture's answer was sent, all of it."""
        self._left.add(_ticks(left_ns) - pts)

    def reported(self, camera: SenderReport | None, microphone: SenderReport | None) -> None:
        """The newest report of each stream; both are of one sender."""
        if camera is None or microphone is None or self._reports == (camera, microphone):
            return
        self._reports = camera, microphone
        apart = (microphone.ntp_ns - camera.ntp_ns) * VIDEO_CLOCK_HZ / NS_PER_S
        self._told.add(camera.ticks + apart - microphone.ticks * _PTS_PER_TICK)

    def heard(self, ticks: int, length_ticks: int, arrived_ns: int) -> int | None:
        """The pts of what the camera saw when these ticks were heard; None before any picture.

        A packet leaves the microphone when its last sample is in, so it arrives that much later.
        """
        if self._came.value is None:
            return None
        pts = _ticks(arrived_ns) - length_ticks * _PTS_PER_TICK - self._came.value
        self._met.add(pts - ticks * _PTS_PER_TICK)
        over = self._over
        return None if over is None else round(ticks * _PTS_PER_TICK + over)

    def leaves_ns(self, pts: int) -> int | None:
        """When the picture of that pts leaves, or did; None before any has."""
        if self._left.value is None:
            return None
        return round((pts + self._left.value) * NS_PER_S / VIDEO_CLOCK_HZ)

    def ticks_at(self, pts: int) -> int | None:
        """What the microphone's clock read when the camera's read `pts`; None before any sound."""
        over = self._over
        return None if over is None else round((pts - over) / _PTS_PER_TICK)

    @property
    def _over(self) -> float | None:
        met, told = self._met.value, self._told.value
        if told is None or (met is not None and abs(told - met) > _TRUSTED):
            return met
        return told


def _ticks(now_ns: int) -> float:
    return now_ns * VIDEO_CLOCK_HZ / NS_PER_S
