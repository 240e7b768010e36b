"""What `bench glass` makes of its clients' notes: ways, rates, freezes, and the echo as the floor.

Pure: knows no daemons and no clients, only what they noted.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from realtime.bench.frame_log import Served, stage_medians
from realtime.bench.glass_clients import Record
from realtime.bench.report import percentiles
from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.errors import ReenactdError

OUTAGE_AT = 1 / 3
"""of a turn"""
RECOVERY_S = 2.0
"""after an outage, not counted as after it"""
BEFORE_OUTAGE_S = 0.5
"""not counted as before it: pictures that were still on their way"""
FREEZE_NS = 200 * NS_PER_MS
"""a longer gap between two new pictures is seen as a freeze"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One daemon's seconds with one client."""

    way_ms: Sequence[float]
    """of every picture that came back, capture to screen"""
    made_s: Sequence[float]
    """when the camera made each of those, from the turn's first picture"""
    captured: int
    gaps_ns: Sequence[int]
    """from the turn's begin to the first new picture on the screen, to the next ones, to its end"""
    unreadable: int
    server_ms: Sequence[float]
    """what the daemon added to each picture: its first packet to its answer's last"""
    stages_ms: dict[str, float]
    """the daemon's own medians"""
    processor_s: float
    """that the daemon used"""
    seconds: float
    first_ms: float
    """from the connection to the first answer"""


@dataclass(frozen=True, slots=True)
class Notes:
    """What was noted of one turn."""

    before: Record
    """what was taken last before it counted; its end is the turn's begin"""
    window: Record
    """while it counted"""
    after: Record
    """in the time after it: what still came; nothing sent then counts"""
    served: Sequence[Served]
    """by the daemon, while it counted"""


def evaluate(notes: Notes, processor_s: float, seconds: float, first_ms: float) -> Turn:
    window = notes.window
    sent_ns = dict(window.sent)
    first_seen_ns: dict[int, int] = {}
    for number, at_ns in [*window.seen, *notes.after.seen]:
        if number in sent_ns:
            first_seen_ns.setdefault(number, at_ns)
    began_ns = min(sent_ns.values(), default=0)
    return Turn(
        way_ms=[(at - sent_ns[number]) / NS_PER_MS for number, at in first_seen_ns.items()],
        made_s=[(sent_ns[number] - began_ns) / NS_PER_S for number in first_seen_ns],
        captured=len(sent_ns),
        gaps_ns=_gaps_ns(notes),
        unreadable=sum(number is None for number, _ in window.seen),
        server_ms=[each.server_ms for each in notes.served],
        stages_ms=stage_medians(notes.served),
        processor_s=processor_s,
        seconds=seconds,
        first_ms=first_ms,
    )


def _gaps_ns(notes: Notes) -> list[int]:
    """Without the turn's ends a stream that dies in it would have no gap. What stood on the screen
    already is not new."""
    old = {number for number, _ in notes.before.seen}
    shown_ns: dict[int, int] = {}
    for number, at_ns in notes.window.seen:
        if number is not None and number not in old:
            shown_ns.setdefault(number, at_ns)
    times = [notes.before.taken_ns, *sorted(shown_ns.values()), notes.window.taken_ns]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def summarise(turns: Sequence[Turn], prefix: str) -> dict[str, float]:
    """All turns of one daemon together; `prefix` is `glass` or `echo`.

    Raises:
        ReenactdError: nothing came back.
    """
    way_ms = [way for turn in turns for way in turn.way_ms]
    if not way_ms:
        raise ReenactdError(f"{prefix}: no numbered picture came back")
    seconds = sum(turn.seconds for turn in turns)
    frozen = [gap for turn in turns for gap in turn.gaps_ns if gap > FREEZE_NS]
    server = [each for turn in turns for each in turn.server_ms]
    plain = "" if prefix == "glass" else f"{prefix}_"
    captured = sum(turn.captured for turn in turns)
    metrics = percentiles(prefix, way_ms) | {
        f"{prefix}_max_ms": max(way_ms),
        f"{plain}delivered_fps": len(way_ms) / seconds,
        f"{plain}camera_fps": captured / seconds,
        f"{plain}dropped_pct": 100 * (1 - len(way_ms) / captured),
        f"{plain}first_picture_ms": median(turn.first_ms for turn in turns),
        f"{plain}freezes": float(len(frozen)),
        f"{plain}frozen_s": sum(frozen) / NS_PER_S,
        f"{plain}unreadable": float(sum(turn.unreadable for turn in turns)),
        f"{plain}processor_ms_per_frame": 1e3 * sum(t.processor_s for t in turns) / len(way_ms),
    }
    if server:
        metrics |= percentiles(f"{plain}server", server) | {f"{plain}server_max_ms": max(server)}
    return metrics


def after_outage_s(seconds: float, outage_s: float) -> float:
    """How much of a turn lies behind an outage in it and the time to recover."""
    return seconds * (1 - OUTAGE_AT) - outage_s - RECOVERY_S


def around_outage(
    turns: Sequence[Turn], seconds: float, outage_s: float, prefix: str
) -> dict[str, float]:
    """Medians before the link went dark, and from RECOVERY_S after it was back until the end.

    Raises:
        ReenactdError: nothing came back before it, or after it.
    """
    dark_s = seconds * OUTAGE_AT
    back_s = seconds - after_outage_s(seconds, outage_s)
    ways = [each for turn in turns for each in zip(turn.made_s, turn.way_ms, strict=True)]
    before = [way_ms for made_s, way_ms in ways if made_s < dark_s - BEFORE_OUTAGE_S]
    after = [way_ms for made_s, way_ms in ways if made_s > back_s]
    if not before or not after:
        when = "before" if not before else f"{RECOVERY_S:g} s after"
        raise ReenactdError(f"{prefix}: no picture came back {when} an outage of {outage_s:g} s")
    return {
        f"{prefix}_before_outage_p50_ms": median(before),
        f"{prefix}_after_outage_p50_ms": median(after),
    }


def compare(turns: dict[str, list[Turn]]) -> dict[str, float]:
    """The real daemon's figures, the echo's, and what lies between them."""
    metrics = summarise(turns["reenact"], "glass") | summarise(turns["echo"], "echo")
    for percent in (50, 95):
        glass, echo = (metrics[f"{name}_p{percent}_ms"] for name in ("glass", "echo"))
        metrics[f"glass_minus_echo_p{percent}_ms"] = glass - echo
        metrics[f"glass_to_echo_p{percent}_ratio"] = glass / echo
    for name in turns["reenact"][-1].stages_ms:
        spent_ms = median(turn.stages_ms.get(name, 0.0) for turn in turns["reenact"])
        metrics[f"stage_{name}_p50_ms"] = spent_ms
    return metrics
