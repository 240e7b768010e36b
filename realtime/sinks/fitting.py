"""Which size a viewer gets whose link does not carry the whole picture, decided purely: state, what
its link carries and time in; state out.

One size down when the link has been too narrow for a while, to the largest that still looks well
there; one up when there has been room for longer. A climb that fails doubles the wait for the next,
as on the performer's ladder. Never reads a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from realtime.clock import NS_PER_S
from realtime.link import bitrate_for
from realtime.sinks.sizes import DIVISOR, Size, scaled_wh

NARROW_NS = 3 * NS_PER_S
"""so long it is too much before less is sent; the others of its size get less meanwhile"""
ROOMY_NS = 12 * NS_PER_S
"""so long there must be room before more is sent"""
ROOM = 1.25
"""times what the larger size needs"""
MOST_PATIENCE = 16
"""a failed climb doubles the wait, up to this factor"""
_SIZES: Sequence[Size] = tuple(DIVISOR)


@dataclass(frozen=True, slots=True)
class Fit:
    """What one viewer gets, and since when that has been too much or too little."""

    size: Size = "full"
    narrow_since_ns: int | None = None
    roomy_since_ns: int | None = None
    has_climbed: bool = False
    """and it is not known yet whether that was right"""
    patience: int = 1


def least_bps(picture_wh: tuple[int, int], size: Size) -> int:
    """What a link must carry for pictures made so small."""
    return bitrate_for(*scaled_wh(*picture_wh, size))


def refitted(
    fit: Fit, bound_bps: int | None, picture_wh: tuple[int, int], now_ns: int, parts: int = 1
) -> Fit:
    """The next state; a change of `size` is the decision.

    Args:
        bound_bps: what the link can be trusted to carry; None where nothing bad is known of it.
        picture_wh: of the whole picture.
        parts: 2 for one above its matte.
    """
    if bound_bps is not None:
        bound_bps //= parts
    if bound_bps is not None and bound_bps < least_bps(picture_wh, fit.size):
        return _narrow(fit, bound_bps, picture_wh, now_ns)
    larger = _larger(fit.size, picture_wh)
    needed_bps = 0.0 if larger is None else ROOM * least_bps(picture_wh, larger)
    roomy = bound_bps is None or bound_bps >= needed_bps
    since_ns = now_ns if fit.roomy_since_ns is None else fit.roomy_since_ns
    fit = replace(fit, narrow_since_ns=None, roomy_since_ns=since_ns if roomy else None)
    if not roomy or now_ns - since_ns < fit.patience * ROOMY_NS:
        return fit
    patience = max(fit.patience // 2, 1) if fit.has_climbed else fit.patience  # it was right
    if larger is None:
        return Fit(fit.size, patience=patience)
    return Fit(larger, has_climbed=True, patience=patience)


def _narrow(fit: Fit, bound_bps: int, picture_wh: tuple[int, int], now_ns: int) -> Fit:
    since_ns = now_ns if fit.narrow_since_ns is None else fit.narrow_since_ns
    smaller = _smaller(fit.size, picture_wh)
    if now_ns - since_ns < NARROW_NS or not smaller:
        return replace(fit, narrow_since_ns=since_ns, roomy_since_ns=None)
    fitting = (size for size in smaller if least_bps(picture_wh, size) <= bound_bps)
    patience = min(2 * fit.patience, MOST_PATIENCE) if fit.has_climbed else fit.patience
    return Fit(next(fitting, smaller[-1]), patience=patience)


def _smaller(size: Size, picture_wh: tuple[int, int]) -> list[Size]:
    """The largest first; without those that are no smaller, as a small picture stays as it is."""
    found: list[Size] = []
    last = scaled_wh(*picture_wh, size)
    for each in _SIZES[_SIZES.index(size) + 1 :]:
        if (wh := scaled_wh(*picture_wh, each)) != last:
            found.append(each)
            last = wh
    return found


def _larger(size: Size, picture_wh: tuple[int, int]) -> Size | None:
    """The next one up that is larger; the whole picture where none is, for it costs the same."""
    here = scaled_wh(*picture_wh, size)
    above = _SIZES[: _SIZES.index(size)]
    larger = (each for each in reversed(above) if scaled_wh(*picture_wh, each) != here)
    return next(larger, above[0] if above else None)
