"""Whether one more session can be served, decided purely: what was measured in, an answer out.

Three bounds, the lowest counts:

    rendering    one thread draws for all in turn: everybody gets 1 / (their times and the new one)
    processors   what a frame costs on all threads, on as many cores as there are
    as it is     sessions that already lose frames share what there is with one more

Each is of medians over the last seconds, so that one slow second refuses nobody; and who was
refused once is let in only when there is clearly room, or one session less. Where several processes
share the performers, each has a render thread of its own, and the processors are shared by all of
them: the first bound is of the process that is asked about, the second of all, and the third of
both. Knows no sessions, no threads and no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

MEMORY = 10
"""seconds that are remembered"""
MARGIN = 1.1
"""after a refusal, so many times `min_fps` must be in sight"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame of one session."""

    render_ms: float
    """on the render thread, by the clock"""
    cpu_ms: float
    """of processor time, on all threads that are known"""


def alone_fps(cost: Cost, cores: int) -> float:
    """What one session would get for itself, whose frames cost so much: what all have to share."""
    return min(1000 / max(cost.render_ms, 1e-3), 1000 * cores / max(cost.cpu_ms, 1e-3))


@dataclass(frozen=True, slots=True)
class Second:
    """About one second of all sessions."""

    render_ms: Mapping[str, float]
    """session -> mean per avatar frame; only of those that had some"""
    cpu_ms: float | None
    """of the process, per avatar frame; None where there were none"""
    capacity_fps: float | None
    """avatar frames of all sessions, where each of them lost frames; None where one lost none"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the last seconds have cost; `note` gives the next one."""

    rehearsed: Cost | None = None
    """before anybody came"""
    render_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """session -> the newest seconds'"""
    cpu_ms: tuple[float, ...] = ()
    capacity_fps: tuple[float | None, ...] = ()
    refused_at: int | None = None
    """how many sessions there were when one was refused; None once one was let in"""


@dataclass(frozen=True, slots=True)
class Burden:
    """What a process bears, on the same cores."""

    ledger: Ledger
    sessions: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one more session would get."""

    fps: float
    because: str
    """the bound, with its figures"""


def note(ledger: Ledger, second: Second, running: Collection[str]) -> Ledger:
    """Add a second; forget the sessions that are gone."""
    render_ms = {name: taken for name, taken in ledger.render_ms.items() if name in running}
    for name, mean_ms in second.render_ms.items():
        render_ms[name] = (*render_ms.get(name, ()), mean_ms)[-MEMORY:]
    cpu_ms = ledger.cpu_ms if second.cpu_ms is None else (*ledger.cpu_ms, second.cpu_ms)
    return replace(
        ledger,
        render_ms=render_ms,
        cpu_ms=cpu_ms[-MEMORY:],
        capacity_fps=(*ledger.capacity_fps, second.capacity_fps)[-MEMORY:],
    )


def forecast(
    ledger: Ledger, sessions: int, cores: int, beside: Sequence[Burden] = ()
) -> Forecast | None:
    """What one more than these sessions would get; None while nothing is known of the cost.

    Args:
        beside: the other processes that share the performers.
    """
    everybody = (Burden(ledger, sessions), *beside)
    bounds = [
        bound
        for bound in (
            _by_rendering(ledger, sessions),
            _by_processors(everybody, cores),
            _as_it_is(everybody[:1]),
            _as_it_is(everybody),
        )
        if bound is not None
    ]
    return min(bounds, key=lambda bound: bound.fps, default=None)


def refusal(
    ledger: Ledger,
    sessions: int,
    min_fps: float,
    cores: int,
    beside: Sequence[Burden] = (),
) -> tuple[Ledger, str | None]:
    """The next state, and why one more session is refused, if it is. The first never is."""
    found = forecast(ledger, sessions, cores, beside)
    running = sessions + sum(each.sessions for each in beside)
    if min_fps == 0 or running == 0 or found is None:
        return ledger, None
    was_full = ledger.refused_at is not None and running >= ledger.refused_at
    if found.fps >= min_fps * (MARGIN if was_full else 1.0):
        return replace(ledger, refused_at=None), None
    text = (
        f"{found.because}; a {_ordinal(running + 1)} would get {found.fps:.0f} fps, "
        f"server.min_fps is {min_fps:g}; end one, or lower server.min_fps"
    )
    return replace(ledger, refused_at=running), text


def _by_rendering(ledger: Ledger, sessions: int) -> Forecast | None:
    known = [median(taken) for taken in ledger.render_ms.values()]
    if known:
        new_ms = sum(known) / len(known)
    elif ledger.rehearsed is not None:
        new_ms = ledger.rehearsed.render_ms
    else:
        return None
    taken_ms = sum(known) + new_ms * max(sessions - len(known), 0)
    because = f"{_sessions(sessions)} {taken_ms:.0f} ms of render time a frame"
    return Forecast(1000 / max(taken_ms + new_ms, 1e-3), because)


def _by_processors(everybody: Sequence[Burden], cores: int) -> Forecast | None:
    """One more frame costs what all that were measured cost on average, wherever it is made; so do
    those of a process that has made none yet."""
    ledgers = [each.ledger for each in everybody]
    measured = [median(ledger.cpu_ms) for ledger in ledgers if ledger.cpu_ms]
    rehearsed = [ledger.rehearsed.cpu_ms for ledger in ledgers if ledger.rehearsed is not None]
    if not measured and not rehearsed:
        return None
    usual_ms = fmean(measured or rehearsed)
    costs_ms = [median(ledger.cpu_ms) if ledger.cpu_ms else usual_ms for ledger in ledgers]
    running = sum(each.sessions for each in everybody)
    taken_ms = sum(
        cost_ms * each.sessions for cost_ms, each in zip(costs_ms, everybody, strict=True)
    )
    because = (
        f"{_sessions(running)} {taken_ms:.0f} ms of processor time a frame on "
        f"{cores} {'core' if cores == 1 else 'cores'}"
    )
    return Forecast(1000 * cores / max(taken_ms + usual_ms, 1e-3), because)


def _as_it_is(everybody: Sequence[Burden]) -> Forecast | None:
    """Only where, in every process that has sessions, more than half of the remembered seconds had
    no frame to spare."""
    busy = [each for each in everybody if each.sessions]
    capacities = [_capacity_fps(each.ledger) for each in busy]
    known = [fps for fps in capacities if fps is not None]
    if not known or len(known) < len(capacities):
        return None
    capacity_fps, sessions = sum(known), sum(each.sessions for each in busy)
    verb = "gets" if sessions == 1 else "get"
    count = f"{sessions} {'session' if sessions == 1 else 'sessions'}"
    because = f"{count} {verb} {capacity_fps:.0f} fps in all and lose frames"
    return Forecast(capacity_fps / (sessions + 1), because)


def _capacity_fps(ledger: Ledger) -> float | None:
    full = [fps for fps in ledger.capacity_fps if fps is not None]
    return median(full) if full and 2 * len(full) > len(ledger.capacity_fps) else None


def _sessions(count: int) -> str:
    return f"{count} {'session takes' if count == 1 else 'sessions take'}"


def _ordinal(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else suffix}"
