"""Which worker process gets what is new, and which has what there is. Pure: looks in, names out.

A new session goes where it would get the most; but first where viewers wait for it, for a viewer's
connection stays in its process. Knows no processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from realtime.admission import Burden, forecast, refusal
from realtime.naming import LATEST, pick
from realtime.worker_talk import Look, Running


@dataclass(frozen=True, slots=True)
class Place:
    """A worker, as who decides about a new session sees it."""

    worker: int
    burden: Burden
    """with those that are being opened"""
    awaited: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a new session may go."""

    workers: tuple[int, ...]
    """the best first; none where it is refused"""
    refusal: str
    """why it is; empty where it is not"""
    refused_at: int | None
    """what `Ledger` remembers of refusals, of all processes together"""


def choose(
    places: Sequence[Place],
    name: str | None,
    cores: int,
    min_fps: float,
    refused_at: int | None = None,
) -> Choice:
    """Where a session of that name goes.

    Args:
        places: of the workers that can open one; at least one.
    """
    workers: list[int] = []
    refused: list[Choice] = []
    for place in _best_first(places, cores):
        burden = place.burden
        ledger = replace(burden.ledger, refused_at=refused_at)
        after, why = refusal(ledger, burden.sessions, min_fps, cores, _beside(place, places))
        if why is None:
            workers.append(place.worker)
        else:
            refused.append(Choice((), why, after.refused_at))
    if not workers:
        return refused[0]
    awaited = {place.worker for place in places if place.awaited & {name, LATEST}}
    return Choice(tuple(sorted(workers, key=lambda worker: worker not in awaited)), "", None)


def next_fps(places: Sequence[Place], cores: int) -> float | None:
    """What one more session would get at the best place; None while that is not known."""
    known = [fps for place in places if (fps := _fps(place, places, cores)) is not None]
    return max(known, default=None)


def owner_of_session(looks: Mapping[int, Look], name: str) -> int | None:
    """Which worker has the session that is called so: one that runs, else one that ends."""
    running = performing(looks, name)
    everyone = [session for look in looks.values() for session in look.sessions]
    return _picked(looks, everyone, name) if running is None else running


def owner_of_viewer(looks: Mapping[int, Look], viewer_id: str) -> int | None:
    return next((worker for worker, look in looks.items() if viewer_id in look.viewers), None)


def performing(looks: Mapping[int, Look], name: str) -> int | None:
    """Which worker has the session that viewers find by this name."""
    running = [
        session
        for look in looks.values()
        for session in look.sessions
        if session.phase in ("connecting", "live")
    ]
    return _picked(looks, running, name)


def _picked(looks: Mapping[int, Look], sessions: list[Running], name: str) -> int | None:
    found = pick(sorted(sessions, key=lambda session: session.age_s), name)
    return next((worker for worker, look in looks.items() if found in look.sessions), None)


def _best_first(places: Sequence[Place], cores: int) -> list[Place]:
    """Where nothing is known of the cost, that is so everywhere: then, and where the processors are
    the bound, which all share, numbers decide."""

    def rank(place: Place) -> tuple[float, int, int]:
        return -round(_fps(place, places, cores) or 0.0, 1), place.burden.sessions, place.worker

    return sorted(places, key=rank)


def _fps(place: Place, places: Sequence[Place], cores: int) -> float | None:
    burden = place.burden
    found = forecast(burden.ledger, burden.sessions, cores, _beside(place, places))
    return None if found is None else found.fps


def _beside(place: Place, places: Sequence[Place]) -> tuple[Burden, ...]:
    return tuple(other.burden for other in places if other.worker != place.worker)
