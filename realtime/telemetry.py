"""What one daemon counts over all its sessions, in the format that Prometheus reads.

Written from several threads while frames flow, rendered when somebody asks. Every label has few
values, known from the code: no session, no identity, no text of a user. Knows no sessions and no
HTTP. Each daemon has a registry of its own; the library's global one is not used.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from realtime.clock import NS_PER_S
from realtime.reception import Reception

BUCKETS_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2),
)
"""a stage that costs less than 1 ms is nobody's trouble, and a frame above 200 ms is late anyway"""


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Of the whole device, by whichever process."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is read, not counted, when somebody asks."""

    version: str
    engine: str
    loop: str
    ready: bool
    phases: Mapping[str, int]
    """phase -> sessions in it, for every phase that there is"""
    states: Mapping[str, int]
    """what the outputs show -> how many of them, likewise"""
    steps: Mapping[int, int]
    """how far down the quality ladder -> sessions there"""
    next_session_fps: float | None
    """what one more session would get, as far as that is known"""
    gpu: GpuMemory | None
    """none where no GPU is in use: a zero would say that it is full"""


class Telemetry:
    """The counters of one daemon; every method may be called on any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._rendering = threading.Lock()
        self._seconds = self._histogram("stage", "Time that one stage spent on a frame.", "stage")
        self._stages: dict[str, Histogram] = {}
        """by name: looking a label up takes longer than counting"""
        self._latency = self._histogram(
            "latency", "From a camera frame's decoding to its avatar's hand-over to the encoder."
        )
        self._in = self._counter("frames_in", "Camera frames that were decoded.")
        self._out = self._counter("frames_out", "New avatar frames handed to the encoder.")
        self._dropped = self._counter(
            "frames_dropped",
            "Camera frames that gave no new picture: they never came whole (lost), not in time "
            "for the decoder (backlog) or before a key frame (key); fewer are taken (rate); a "
            "newer one came before track, render or output took it; or there was nothing to show.",
            "reason",
        )
        self._repairs = {
            "packets_lost": self._counter(
                "camera_packets_lost", "Camera packets that did not come at their first sending."
            ),
            "nacks": self._counter("camera_nacks", "Camera packets asked for again, each time."),
            "plis": self._counter("camera_plis", "Key frames asked for of cameras."),
        }
        self._errors = self._counter(
            "frame_errors", "Frames that a stage refused, or failed on by a bug.", "kind"
        )
        for reason in ("track", "render", "output", "rate", *Reception().drops):
            self._dropped.labels(reason)
        for kind in ("refused", "bug"):
            self._errors.labels(kind)
        self._refused = self._counter(
            "sessions_refused", "Sessions for which there was no place, or no time.", "reason"
        )
        for refusal in ("places", "cost"):
            self._refused.labels(refusal)
        self._stepped = self._counter(
            "quality_steps", "Steps on the quality ladder, over all sessions.", "direction"
        )
        for direction in ("down", "up"):
            self._stepped.labels(direction)
        self._unrecorded = self._counter(
            "record_failures", "Lines of session records that could not be written."
        )
        self._build = self._gauge("build_info", "What runs.", "version", "engine", "loop")
        self._ready = self._gauge("ready", "1 where a session can be opened, as of /readyz.")
        self._sessions = self._gauge("sessions", "Sessions by phase.", "phase")
        self._outputs = self._gauge("outputs", "What the outputs show, by state.", "state")
        self._steps = self._gauge(
            "quality", "Sessions by how many steps they are below full quality.", "step"
        )
        self._next = self._gauge(
            "next_session_fps", "What one more session would get, as far as that is known."
        )
        self._gpu = self._gauge("gpu_memory_bytes", "GPU memory, of all processes.", "kind")

    def stage(self, name: str, spent_ns: int) -> None:
        """One frame's time in one stage."""
        histogram = self._stages.get(name)
        if histogram is None:
            histogram = self._stages[name] = self._seconds.labels(name)
        histogram.observe(spent_ns / NS_PER_S)

    def arrived(self) -> None:
        self._in.inc()

    def received(self, before: Reception, now: Reception) -> None:
        """What became of one camera's packets and pictures since `before`."""
        for reason, count in now.drops.items():
            self._dropped.labels(reason).inc(count - before.drops[reason])
        for name, count in now.repairs.items():
            self._repairs[name].inc(count - before.repairs[name])

    def sent(self, latency_ns: int) -> None:
        """A new avatar frame goes to the encoder now."""
        self._out.inc()
        self._latency.observe(latency_ns / NS_PER_S)

    def dropped(self, reason: str) -> None:
        """A camera frame gave no picture; the reason is one of the code's own words."""
        self._dropped.labels(reason).inc()

    def failed(self, *, unexpected: bool) -> None:
        self._errors.labels("bug" if unexpected else "refused").inc()

    def refused(self, reason: str) -> None:
        """A session was refused; the reason is one of the code's own words."""
        self._refused.labels(reason).inc()

    def stepped(self, *, down: bool) -> None:
        """A session's quality changed."""
        self._stepped.labels("down" if down else "up").inc()

    def unrecorded(self) -> None:
        """A line of a session's record could not be written."""
        self._unrecorded.inc()

    def render(self, standing: Standing, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type: OpenMetrics where the Accept header asks for it."""
        encode, content_type = choose_encoder(accept)
        with self._rendering:
            self._stand(standing)
            return encode(self._registry), content_type

    def _stand(self, now: Standing) -> None:
        self._build.clear()
        self._build.labels(now.version, now.engine, now.loop).set(1)
        self._ready.set(now.ready)
        for phase, count in now.phases.items():
            self._sessions.labels(phase).set(count)
        for state, count in now.states.items():
            self._outputs.labels(state).set(count)
        self._steps.clear()
        for step, count in now.steps.items():
            self._steps.labels(str(step)).set(count)
        self._next.set(math.nan if now.next_session_fps is None else now.next_session_fps)
        self._gpu.clear()
        if now.gpu is not None:
            self._gpu.labels("free").set(now.gpu.free_bytes)
            self._gpu.labels("total").set(now.gpu.total_bytes)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        full = f"reenactd_{name}_seconds"
        return Histogram(full, text, labels, registry=self._registry, buckets=BUCKETS_S)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"reenactd_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"reenactd_{name}", text, labels, registry=self._registry)
