"""What a trace in the Chrome format must hold, whoever made it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

Events = Sequence[dict[str, Any]]


def named(events: Events, name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["name"] == name]


def check_form(events: Events) -> None:
    """Every event has what the format asks of its kind, and every thread has a name."""
    for event in events:
        assert {"ph", "ts", "pid", "tid", "name"} <= set(event), event
        assert event["ph"] in "MXistf" and event["ts"] >= 0, event
        assert event["ph"] != "X" or event["dur"] >= 0, event
        assert event["ph"] not in "stf" or event["id"], event
    assert len({event["pid"] for event in events}) == 1
    titled = {event["tid"] for event in named(events, "thread_name")}
    assert {event["tid"] for event in events} == titled


def check_nesting(events: Events) -> None:
    """Two slices of one thread lie one after the other, or one within the other."""
    slices = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            began_ns = round(event["ts"] * 1e3)
            slices[event["tid"]].append((began_ns, -round(event["dur"] * 1e3), event["name"]))
    for of_thread in slices.values():
        open_until: list[int] = []
        for began_ns, minus_spent_ns, name in sorted(of_thread):
            while open_until and open_until[-1] <= began_ns:
                open_until.pop()
            ended_ns = began_ns - minus_spent_ns
            assert not open_until or ended_ns <= open_until[-1], f"{name} crosses another"
            open_until.append(ended_ns)


def check_arrows(events: Events) -> None:
    """Each arrow has one begin and one end, in the order of time, each at a slice's begin."""
    begins = {(event["tid"], event["ts"]) for event in events if event["ph"] == "X"}
    ways = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            assert (event["tid"], event["ts"]) in begins, event
            ways[event["id"]].append((event["ts"], event["ph"]))
    for way in ways.values():
        assert way == sorted(way, key=lambda step: step[0])
        kinds = "".join(kind for _, kind in way)
        assert kinds == "s" + "t" * (len(way) - 2) + "f"
