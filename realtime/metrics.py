"""What is counted and timed in one session, and who says so at most once a second.

Written from several threads, read by the event loop. What it is told goes on to the daemon's
`Telemetry`, and to its `Tracer` while a trace is taken. Knows no frames' contents and no asyncio.
"""

from __future__ import annotations

import logging
import math
import statistics
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from realtime.clock import NS_PER_MS, NS_PER_S, Clock
from realtime.frames import OutputFrame, Timings
from realtime.reception import Reception
from realtime.telemetry import Telemetry
from realtime.tracing import Frame, Tracer

WINDOW_NS = 2 * NS_PER_S
"""rates and percentiles look back this far"""
REPORT_INTERVAL_NS = NS_PER_S
SHED_SHARE = 0.1
"""of the camera's frames; who loses more gets all that the machine has"""
SHED = ("track", "render", "output")
"""who did not take a frame in time; a frame that is dropped for another reason was looked at"""


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing is 0, so that a readout has a number to show."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


class ErrorReporter:
    """Counts errors and logs at most one line a second: "12 frames failed, last: ...".

    Unexpected errors (not meant for users) are logged with their traceback, at the same pace.
    """

    def __init__(
        self,
        logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
        clock: Clock,
        what: str = "frame",
    ) -> None:
        self._logger = logger
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._unreported = 0
        self._reported_ns: int | None = None
        self.total = 0

    def add(self, error: BaseException, *, unexpected: bool = False) -> None:
        now_ns = self._clock.now_ns()
        with self._lock:
            self.total += 1
            self._unreported += 1
            if self._reported_ns is not None and now_ns - self._reported_ns < REPORT_INTERVAL_NS:
                return
            count, self._unreported = self._unreported, 0
            self._reported_ns = now_ns
        self._logger.warning(
            "%d %s failed, last: %s",
            count,
            self._what if count == 1 else f"{self._what}s",
            str(error) or type(error).__name__,
            exc_info=error if unexpected else None,
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    at_ns: int
    latency_ms: float
    stage_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Left:
    at_ns: int
    server_ms: float
    send_ms: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the last two seconds."""

    fps_in: float
    fps_out: float
    fps_shed: float
    """camera frames that a newer one replaced before they were taken"""
    latency_p50_ms: float
    latency_p95_ms: float
    server_p50_ms: float
    server_p95_ms: float
    stages_ms: Mapping[str, float]
    """median per stage"""
    face: str
    camera_width_px: int
    camera_height_px: int


@dataclass
class SessionMetrics:
    """Rates, latencies and the last seen facts of one session.

    Latency is from the decoder's hand-over to the encoder's; decode and encode are outside it. What
    the server adds in all is from a camera picture's first packet to its answer's last.
    """

    clock: Clock
    face: str = "none"
    """"ok", or why there is none"""
    camera_px: tuple[int, int] = (0, 0)
    """(width, height) of the newest camera picture"""
    reception: Reception = Reception()
    """what became of the camera's pictures on the way here"""
    session: str = ""
    """short id, for a trace only"""
    telemetry: Telemetry = field(default_factory=Telemetry)
    """the daemon's, which all its sessions share"""
    tracer: Tracer = field(default_factory=Tracer)
    """likewise"""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _arrivals_ns: deque[int] = field(default_factory=deque)
    _shed_ns: deque[int] = field(default_factory=deque)
    _sent: deque[_Sent] = field(default_factory=deque)
    _left: deque[_Left] = field(default_factory=deque)

    def arrived(self, at_ns: int, width_px: int, height_px: int) -> None:
        self.telemetry.arrived()
        with self._lock:
            self._arrivals_ns.append(at_ns)
            self.camera_px = (width_px, height_px)
            while self._arrivals_ns[0] < at_ns - WINDOW_NS:
                self._arrivals_ns.popleft()

    def received(self, reception: Reception) -> None:
        """What is known by now of the way here; called on the event loop."""
        self.telemetry.received(self.reception, reception)
        self.reception = reception

    def sent(self, arrived_ns: int, stage_ns: Mapping[str, int]) -> None:
        """A new avatar frame goes to the encoder now; cards and repeats are not counted."""
        now_ns = self.clock.now_ns()
        self.telemetry.sent(now_ns - arrived_ns)
        stage_ms = {name: spent / NS_PER_MS for name, spent in stage_ns.items()}
        with self._lock:
            self._sent.append(_Sent(now_ns, (now_ns - arrived_ns) / NS_PER_MS, stage_ms))
            while self._sent[0].at_ns < now_ns - WINDOW_NS:
                self._sent.popleft()

    def left(self, output: OutputFrame, send_ns: int) -> None:
        """The last packet of a new avatar frame goes out now; encoding and sending took so long."""
        now_ns = self.clock.now_ns()
        timings = output.timings
        receive_ns = timings.stage_ns.get("receive", 0)
        server_ns = now_ns - timings.arrived_ns + receive_ns
        self.telemetry.stage("receive", receive_ns)
        self.telemetry.stage("send", send_ns)
        with self._lock:
            self._left.append(_Left(now_ns, server_ns / NS_PER_MS, send_ns / NS_PER_MS))
            while self._left[0].at_ns < now_ns - WINDOW_NS:
                self._left.popleft()

    def offered(self, arrived_ns: int, *, replaced: bool) -> None:
        """A camera frame waits for the tracker, perhaps in another's place."""
        if self.tracer.armed:
            frame = Frame(self.session, arrived_ns)
            self.tracer.work("arrive", arrived_ns, self.clock.now_ns(), frame)
        if replaced:
            self.dropped("track", None)

    def worked(self, work: str, began_ns: int, timings: Timings, seq: int | None) -> None:
        """This thread did one frame's tracking or rendering, from then until now.

        Args:
            timings: as the work left them; stages from before it were told by who did them.
        """
        stages = [item for item in timings.began_ns.items() if item[1] >= began_ns]
        for name, _ in stages:
            self.telemetry.stage(name, timings.stage_ns[name])
        if self.tracer.armed:
            frame = Frame(self.session, timings.arrived_ns, seq)
            for name, at_ns in stages:
                self.tracer.stage(name, at_ns, at_ns + timings.stage_ns[name], frame)
            self.tracer.work(work, began_ns, self.clock.now_ns(), frame)

    def handed_over(self, output: OutputFrame, began_ns: int) -> None:
        """A picture, new or not, goes to the encoder now; that began then."""
        if self.tracer.armed:
            self._made("send", output, began_ns, self.clock.now_ns())

    def encoded(self, output: OutputFrame, began_ns: int, ended_ns: int) -> None:
        """A picture, new or not, was encoded; called on the thread that did."""
        self.telemetry.stage("encode", ended_ns - began_ns)
        if self.tracer.armed:
            self._made("encode", output, began_ns, ended_ns)

    def _made(self, work: str, output: OutputFrame, began_ns: int, ended_ns: int) -> None:
        frame = Frame(self.session, output.timings.arrived_ns, output.source_seq)
        if output.source_seq == -1:  # one card is sent again and again: no arrows
            self.tracer.stage(f"{work} card", began_ns, ended_ns, replace(frame, seq=None))
        else:
            self.tracer.work(work, began_ns, ended_ns, frame)

    def dropped(self, reason: str, seq: int | None) -> None:
        """A camera frame gave no picture: who did not take it in time, or why there is none."""
        self.telemetry.dropped(reason)
        if reason in SHED:
            now_ns = self.clock.now_ns()
            with self._lock:
                self._shed_ns.append(now_ns)
                while self._shed_ns[0] < now_ns - WINDOW_NS:
                    self._shed_ns.popleft()
        if self.tracer.armed:
            self.tracer.instant(f"dropped: {reason}", Frame(self.session, 0, seq))

    def failed(self, *, unexpected: bool) -> None:
        """A stage refused a frame, or has a bug."""
        self.telemetry.failed(unexpected=unexpected)

    @property
    def sheds(self) -> bool:
        """Whether frames of the last seconds were lost because nobody took them in time."""
        since_ns = self.clock.now_ns() - WINDOW_NS
        with self._lock:
            shed = sum(at_ns >= since_ns for at_ns in self._shed_ns)
            return shed > SHED_SHARE * sum(at_ns >= since_ns for at_ns in self._arrivals_ns)

    def snapshot(self) -> Snapshot:
        since_ns = self.clock.now_ns() - WINDOW_NS
        with self._lock:
            arrivals = sum(at_ns >= since_ns for at_ns in self._arrivals_ns)
            shed = sum(at_ns >= since_ns for at_ns in self._shed_ns)
            sent = [entry for entry in self._sent if entry.at_ns >= since_ns]
            left = [entry for entry in self._left if entry.at_ns >= since_ns]
            camera_px, face = self.camera_px, self.face
        latencies = [entry.latency_ms for entry in sent]
        server_ms = [entry.server_ms for entry in left]
        names = list(sent[-1].stage_ms) if sent else []
        stages_ms = {
            name: statistics.median(entry.stage_ms.get(name, 0.0) for entry in sent)
            for name in names
        }
        if left:
            stages_ms["send"] = statistics.median(entry.send_ms for entry in left)
        return Snapshot(
            fps_in=arrivals * NS_PER_S / WINDOW_NS,
            fps_out=len(sent) * NS_PER_S / WINDOW_NS,
            fps_shed=shed * NS_PER_S / WINDOW_NS,
            latency_p50_ms=percentile(latencies, 0.5),
            latency_p95_ms=percentile(latencies, 0.95),
            server_p50_ms=percentile(server_ms, 0.5),
            server_p95_ms=percentile(server_ms, 0.95),
            stages_ms=stages_ms,
            face=face,
            camera_width_px=camera_px[0],
            camera_height_px=camera_px[1],
        )
