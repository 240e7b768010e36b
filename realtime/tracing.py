"""A trace of some seconds: which thread did what for which frame, from when to when.

Off, it costs each work one look at `armed`. On, it keeps what is done until it is full or stopped.
A `Recording` then gives the JSON that Perfetto and chrome://tracing read: threads as tracks, works
and their stages as slices, drops as instants, and arrows that follow a frame from thread to thread
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMh4h6I0nSsKchNAySU). Knows no
sessions, no stages and no HTTP.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from realtime.clock import Clock, MonotonicClock
from realtime.errors import ReenactdError

CAPACITY = 150_000
"""slices and instants; a session at 30 fps makes about 400 a second, of 170 bytes each"""
EVENT_LOOP = "event loop"
_CHUNK = 200
"""events that are written in one go: while JSON is made, no other thread of Python runs"""


_to_json = json.JSONEncoder(separators=(",", ":")).encode


class TraceRunning(ReenactdError):
    """There is one trace at a time."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Which frame something was done for."""

    session: str
    arrived_ns: int
    """monotonic; one session never has two frames of one moment; 0 of an instant"""
    seq: int | None = None
    """SourceFrame's number, which a frame has once it is tracked"""


@dataclass(frozen=True, slots=True)
class Event:
    """A slice of a thread's time, or an instant in it."""

    name: str
    thread: str
    began_ns: int
    ended_ns: int | None
    """none of an instant"""
    frame: Frame
    followed: bool
    """whether an arrow of its frame goes through it"""


class Tracer:
    """One per daemon. `armed` is read by every thread, without a lock, before anything else."""

    def __init__(self, clock: Clock | None = None, capacity: int = CAPACITY) -> None:
        self.armed = False
        self._clock = clock or MonotonicClock()
        self._capacity = capacity
        self._lock = threading.Lock()
        self._recording: Recording | None = None

    @property
    def full(self) -> bool:
        """Whether the running trace has ended itself."""
        return self._recording is not None and self._recording.full

    def start(self) -> None:
        """Begin a trace; called on the event loop's thread.

        Raises:
            TraceRunning: there is one, until `stop`.
        """
        with self._lock:
            if self._recording is not None:
                raise TraceRunning("a trace is being taken already; ask again when it has ended")
            loop_thread = threading.current_thread().name
            self._recording = Recording(self._clock.now_ns(), loop_thread)
            self.armed = True

    def stop(self) -> Recording:
        """End the trace, and hand it over."""
        with self._lock:
            assert self._recording is not None, "stop without start"
            self.armed = False
            recording, self._recording = self._recording, None
            recording.ended_ns = self._clock.now_ns()
            return recording

    def work(self, name: str, began_ns: int, ended_ns: int, frame: Frame) -> None:
        """What this thread did for a frame; an arrow comes from the work before it."""
        self._keep(name, began_ns, ended_ns, frame, followed=True)

    def stage(self, name: str, began_ns: int, ended_ns: int, frame: Frame) -> None:
        """A part of a work; within it."""
        self._keep(name, began_ns, ended_ns, frame, followed=False)

    def instant(self, name: str, frame: Frame) -> None:
        self._keep(name, self._clock.now_ns(), None, frame, followed=False)

    def _keep(
        self, name: str, began_ns: int, ended_ns: int | None, frame: Frame, *, followed: bool
    ) -> None:
        event = Event(name, threading.current_thread().name, began_ns, ended_ns, frame, followed)
        with self._lock:
            recording = self._recording
            if not self.armed or recording is None or began_ns < recording.began_ns:
                return
            recording.events.append(event)
            if len(recording.events) >= self._capacity:
                recording.full = True
                self.armed = False


@dataclass
class Recording:
    """What a trace holds."""

    began_ns: int
    loop_thread: str
    """name of the thread on which the event loop runs"""
    events: list[Event] = field(default_factory=list)
    full: bool = False
    """it was stopped by its size, before its time was over"""
    ended_ns: int = 0

    def chunks(self, about: Mapping[str, Any]) -> Iterator[bytes]:
        """The JSON document, piece by piece, with `about` as its `otherData`."""
        span = {"began_ns": self.began_ns, "duration_ns": self.ended_ns - self.began_ns}
        other = {**about, "complete": not self.full, **span}
        yield f'{{"displayTimeUnit":"ms","otherData":{json.dumps(other)},"traceEvents":['.encode()
        separator = ""
        entries = self._entries()
        while some := list(itertools.islice(entries, _CHUNK)):
            yield (separator + ",\n".join(map(_to_json, some))).encode()
            separator = ",\n"
        yield b"]}\n"

    def _entries(self) -> Iterator[dict[str, Any]]:
        threads = sorted({event.thread for event in self.events} | {self.loop_thread})
        tids = {name: tid for tid, name in enumerate(threads, 1)}
        yield self._entry("M", 0, tids[self.loop_thread], "process_name", args={"name": "reenactd"})
        for name, tid in tids.items():
            shown = EVENT_LOOP if name == self.loop_thread else name
            yield self._entry("M", 0, tid, "thread_name", args={"name": shown})
        for event in self.events:
            tid, args = tids[event.thread], _args(event.frame)
            if event.ended_ns is None:
                yield self._entry("i", event.began_ns, tid, event.name, s="t", args=args)
            else:
                spent_us = (event.ended_ns - event.began_ns) / 1e3
                yield self._entry("X", event.began_ns, tid, event.name, dur=spent_us, args=args)
        for works in _ways(self.events):
            last = len(works) - 1
            for index, event in enumerate(works):
                ph = "s" if index == 0 else "f" if index == last else "t"
                key = f"{event.frame.session}:{event.frame.arrived_ns}"
                yield self._entry(ph, event.began_ns, tids[event.thread], "frame", id=key, bp="e")

    def _entry(self, ph: str, at_ns: int, tid: int, name: str, **more: Any) -> dict[str, Any]:
        ts_us = (at_ns - self.began_ns) / 1e3 if at_ns else 0
        entry = {"ph": ph, "ts": ts_us, "pid": os.getpid(), "tid": tid, "name": name}
        return {**entry, "cat": "frame", **more}


def _args(frame: Frame) -> dict[str, Any]:
    number = {} if frame.seq is None else {"frame": frame.seq}
    return {"session": frame.session, **number}


def _ways(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The works of each frame that more than one was done for, in the order of time."""
    ways: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        if event.followed:
            ways.setdefault((event.frame.session, event.frame.arrived_ns), []).append(event)
    for works in ways.values():
        if len(works) > 1:
            yield sorted(works, key=lambda event: event.began_ns)
