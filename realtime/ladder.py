"""The quality ladder, decided purely: state, what was seen and time in; state out.

    640x480 -> 480x360 -> 320x240 -> at most 20 fps -> at most 15 fps

One rung down when the machine has not kept up with the camera for `hold_s` without a break; or to
the largest canvas that still looks well with what the link carries, when that has been too little
for as long. One up when all has been well for four times as long and there would be room to spare.
Fewer pictures are no relief for a link: each would get more bits. A climb that fails doubles
the wait for the next, so that a load which lies between two rungs does not make a session go up
and down. There is no rung of a smaller network: its size is a setting. Never sleeps, never reads a
clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from realtime.clock import NS_PER_S
from realtime.link import LinkState, bitrate_for

SCALES = (0.75, 0.5)
"""of the configured canvas' edges"""
RATES_FPS = (20.0, 15.0)
"""at the smallest canvas; one that the camera does not reach is stepped over"""
SMALLEST_PX = (160, 120)
"""width and height: as of `video.width_px` and `video.height_px`"""
POOR_SHARE = 0.2
"""of the wanted frames; more were not taken in time: the machine does not keep up"""
FINE_SHARE = 0.05
LATE_MS, IN_TIME_MS = 150.0, 100.0
"""median from decoded to handed to the encoder; above the first is poor, below the second fine"""
ROOM = 0.8
"""a busier render thread has no room for more"""
CLIMB_AFTER = 4
"""times `hold_s`: how long it must be fine"""
LINK_ROOM = 1.25
"""times what a larger canvas needs, so that it is tried on a link that was too narrow"""
MOST_PATIENCE = 16
"""a failed climb doubles the wait, up to this factor"""

Cause = Literal["", "cpu", "link"]
"""what does not carry more; empty at the top"""


@dataclass(frozen=True, slots=True)
class Rung:
    width_px: int
    height_px: int
    max_fps: float | None = None
    """None: as fast as the camera"""

    @property
    def canvas_hw(self) -> tuple[int, int]:
        return self.height_px, self.width_px

    @property
    def least_bps(self) -> int:
        """What a link must carry for pictures of this size."""
        return bitrate_for(self.width_px, self.height_px)

    def __str__(self) -> str:
        size = f"{self.width_px}x{self.height_px}"
        return size if self.max_fps is None else f"{size}, at most {self.max_fps:g} fps"


def rungs_of(width_px: int, height_px: int) -> tuple[Rung, ...]:
    """From the best down: smaller canvases of the same shape with even sides, then lower rates."""
    smaller = [Rung(width, height) for height, width in smaller_canvases(width_px, height_px)]
    rungs = (Rung(width_px, height_px), *smaller)
    return (*rungs, *(replace(rungs[-1], max_fps=fps) for fps in RATES_FPS))


def smaller_canvases(width_px: int, height_px: int) -> tuple[tuple[int, int], ...]:
    """(height, width) of those below the configured one."""
    sizes = [(_even(scale * height_px), _even(scale * width_px)) for scale in SCALES]
    least_width, least_height = SMALLEST_PX
    return tuple(
        (height, width)
        for height, width in sizes
        if height >= least_height and width >= least_width
    )


def _even(length_px: float) -> int:
    return 2 * round(length_px / 2)


@dataclass(frozen=True, slots=True)
class Seen:
    """The last seconds of one session."""

    camera_fps: float
    shed_fps: float
    """frames that a newer one replaced before the machine took them"""
    avatar_fps: float
    latency_ms: float
    """median; meaningless without avatar frames"""
    busy: float
    """share of the time in which the render thread worked, for all sessions"""
    link: LinkState = LinkState()
    """to whom the pictures go"""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a session stands, and since when it has been how."""

    step: int = 0
    """index into the rungs"""
    reason: str = ""
    """why not at the top"""
    cause: Cause = ""
    poor_since_ns: int | None = None
    fine_since_ns: int | None = None
    climbed_ns: int | None = None
    """when it last went up, until that has proved right or wrong"""
    patience: int = 1


def decide(stand: Stand, seen: Seen, now_ns: int, hold_ns: int, rungs: Sequence[Rung]) -> Stand:
    """The next state; a change of `step` is the decision."""
    rung = rungs[stand.step]
    reasons: dict[Cause, str] = {"cpu": _overload(seen, rung), "link": _narrowness(seen, rung)}
    for cause, reason in reasons.items():
        if reason:
            trouble = _Trouble(cause, reason, _lower(cause, stand.step, seen, rungs))
            return _on_poor(stand, trouble, now_ns, hold_ns)
    if not _is_fine(seen, rung):
        return replace(stand, poor_since_ns=None, fine_since_ns=None)
    return _on_fine(stand, seen, now_ns, hold_ns, rungs)


@dataclass(frozen=True, slots=True)
class _Trouble:
    cause: Cause
    reason: str
    """in words"""
    step: int | None
    """which would relieve it; None where none would"""


def _wanted_fps(seen: Seen, rung: Rung) -> float:
    return seen.camera_fps if rung.max_fps is None else min(seen.camera_fps, rung.max_fps)


def _overload(seen: Seen, rung: Rung) -> str:
    """What the machine does not manage, in words; empty if it does."""
    wanted_fps = _wanted_fps(seen, rung)
    if seen.shed_fps > POOR_SHARE * wanted_fps:
        kept_fps = max(wanted_fps - seen.shed_fps, 0.0)
        return f"the machine keeps up with {kept_fps:.0f} of {wanted_fps:.0f} fps"
    if seen.avatar_fps > 0 and seen.latency_ms > LATE_MS:
        return f"a frame takes {seen.latency_ms:.0f} ms"
    return ""


def _narrowness(seen: Seen, rung: Rung) -> str:
    """What the link does not carry, in words; empty if it does, or is not known not to."""
    bound_bps = seen.link.bound_bps
    if bound_bps is None or bound_bps >= rung.least_bps:
        return ""
    return f"the link carries {bound_bps / 1e3:.0f} kbit/s"


def _lower(cause: Cause, step: int, seen: Seen, rungs: Sequence[Rung]) -> int | None:
    """The next step that would relieve it."""
    below = range(step + 1, len(rungs))
    if cause == "cpu":
        return next((lower for lower in below if _relieves(rungs[lower], seen)), None)
    carried_bps = seen.link.bound_bps or 0
    smaller = [lower for lower in below if rungs[lower].canvas_hw < rungs[step].canvas_hw]
    fitting = (lower for lower in smaller if rungs[lower].least_bps <= carried_bps)
    smallest = min(smaller, key=lambda lower: rungs[lower].canvas_hw, default=None)
    return next(fitting, smallest)


def _is_fine(seen: Seen, rung: Rung) -> bool:
    """Whether it keeps up, with an avatar to show: without a face there is little to do."""
    in_time = seen.latency_ms < IN_TIME_MS and seen.avatar_fps > 0
    return in_time and seen.shed_fps <= FINE_SHARE * _wanted_fps(seen, rung)


def _on_poor(stand: Stand, trouble: _Trouble, now_ns: int, hold_ns: int) -> Stand:
    since_ns = now_ns if stand.poor_since_ns is None else stand.poor_since_ns
    if now_ns - since_ns < hold_ns or trouble.step is None:
        return replace(stand, poor_since_ns=since_ns, fine_since_ns=None)
    failed = stand.climbed_ns is not None
    patience = min(2 * stand.patience, MOST_PATIENCE) if failed else stand.patience
    return Stand(trouble.step, trouble.reason, trouble.cause, patience=patience)


def _relieves(rung: Rung, seen: Seen) -> bool:
    return rung.max_fps is None or rung.max_fps < 0.95 * seen.camera_fps


def _on_fine(stand: Stand, seen: Seen, now_ns: int, hold_ns: int, rungs: Sequence[Rung]) -> Stand:
    since_ns = now_ns if stand.fine_since_ns is None else stand.fine_since_ns
    stand = replace(stand, poor_since_ns=None, fine_since_ns=since_ns)
    if now_ns - since_ns < CLIMB_AFTER * stand.patience * hold_ns:
        return stand
    if stand.climbed_ns is not None:  # the last climb was right
        stand = replace(stand, climbed_ns=None, patience=max(stand.patience // 2, 1))
    if stand.step == 0 or not _has_room(stand, seen, rungs):
        return stand
    above = Stand(stand.step - 1, climbed_ns=now_ns, patience=stand.patience)
    return above if above.step == 0 else replace(above, reason=stand.reason, cause=stand.cause)


def _has_room(stand: Stand, seen: Seen, rungs: Sequence[Rung]) -> bool:
    """For the next rung up."""
    above, bound_bps = rungs[stand.step - 1], seen.link.bound_bps
    larger = above.canvas_hw > rungs[stand.step].canvas_hw
    narrow = larger and bound_bps is not None and bound_bps < LINK_ROOM * above.least_bps
    return seen.busy <= ROOM and not narrow


class Thinning:
    """Which camera frames are taken where fewer are wanted than come. One thread takes them."""

    def __init__(self) -> None:
        self.thinned = 0
        """frames that were let go"""
        self._max_fps: float | None = None
        self._due_ns = 0

    def limit(self, max_fps: float | None) -> None:
        self._max_fps = max_fps

    def takes(self, arrived_ns: int) -> bool:
        """Whether this frame is one of them; the others are let go as they come."""
        if self._max_fps is None:
            return True
        interval_ns = round(NS_PER_S / self._max_fps)
        early_ns = self._due_ns - arrived_ns
        if early_ns > interval_ns // 4:
            self.thinned += 1
            return False
        # Late by more than a frame is a pause, which is not made up for.
        on_time = early_ns > -interval_ns
        self._due_ns = (self._due_ns if on_time else arrived_ns) + interval_ns
        return True
