"""Who does the work: the only file that starts threads.

    track-<session>   one per session: ingest and the tracker, which it alone makes and closes
    cpu-0             one per device: every session's pipeline in turn, the newest frame of each
    loader            one: networks and identities, so that nothing else waits for them
    maker             one: what a new session needs, so that it does not wait for the loader
    encode-*          aiortc's encoders, as the loop's default executor
    viewers-*         one: what viewers get, encoded once for all who agree on a codec

All but the encoders' are daemon threads: one that hangs in native code delays a session's end and
the process's by seconds at most. A thread that dies is started again after a second, RESTARTS times
in a row at most. What a thread delivers goes through a one-slot channel or `call_soon_threadsafe`.
Knows no peer connections and no stages.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from av import VideoFrame

from realtime.clock import NS_PER_S, Clock, MonotonicClock
from realtime.errors import FrameError, SessionError
from realtime.frames import Arrived, Controls, FaceTrack, OutputFrame, Timings, Tracked
from realtime.gate import Withheld
from realtime.latest import AsyncLatest, Closed, Latest
from realtime.metrics import ErrorReporter, SessionMetrics
from realtime.turns import Turn

if TYPE_CHECKING:
    from realtime.identity import Identity

T = TypeVar("T")

RESTARTS = 3
"""how often in a row a dead thread is started again before its sessions end"""
RESTART_DELAY_NS = NS_PER_S
"""long enough for the card to be seen, and for a thread that dies at once not to spin"""
STEADY_NS = 60 * NS_PER_S
"""a thread that lived this long begins a new row"""
JOIN_TIMEOUT_S = 1.0
"""how long a session's end waits for its thread; a hung one is left behind"""
LAST_CALL_S = 8.0
"""how long the process' end waits for the call under way on a background thread"""
HUNG_NS = 10 * NS_PER_S
"""a thread that works on one frame for this long will not come back"""


class TrackStage(Protocol):
    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked: ...
    def close(self) -> None: ...


class NoOutput(Protocol):
    @property
    def reason(self) -> str: ...


class Pipeline(Protocol):
    @property
    def calibrated(self) -> bool: ...
    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput: ...
    def card(self, text: str) -> OutputFrame: ...
    def calibrate(self) -> None: ...
    def cut_out(self, wanted: bool) -> None: ...


@dataclass
class Live:
    """What the event loop changes while threads read it: each field is replaced whole."""

    controls: Controls
    identity: Identity


@dataclass(frozen=True)
class Desk:
    """One session's end of the threads: what they read, where they deliver."""

    live: Live
    metrics: SessionMetrics
    errors: ErrorReporter
    outputs: AsyncLatest[OutputFrame | Withheld]
    end: Callable[[str], None]
    """ends the session with a reason; may be called on any thread"""
    turn: Turn

    def deliver(self, result: OutputFrame | Withheld) -> None:
        """What the newest frame gave, for the output gate."""
        replaced = self.outputs.put(result)
        if replaced is not None:
            seq = replaced.source_seq if isinstance(replaced, OutputFrame) else None
            self.metrics.dropped("output", seq)

    def failed(self, error: Exception, what: str) -> None:
        """A frame was lost; unexpected errors are logged with their traceback."""
        unexpected = not isinstance(error, FrameError)
        self.errors.add(error, unexpected=unexpected)
        self.metrics.failed(unexpected=unexpected)
        self.deliver(Withheld(what))


@dataclass
class _Thread:
    """A restartable daemon thread with one log line per end, and a sign of life."""

    name: str
    run: Callable[[], None]
    clock: Clock
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
    busy_since_ns: int | None = None
    restarts: int = 0
    closing: bool = False
    death: str = ""
    _started_ns: int = 0
    _died_ns: int | None = None
    """when `ensure` noticed it"""
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self.busy_since_ns = self._died_ns = None
        self._started_ns = self.clock.now_ns()
        self._thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        self.death = "done"
        try:
            self.run()
        except BaseException as exc:  # noqa: BLE001 - the thread's root: even SystemExit ends here
            self.death = f"killed by {exc!r}"
        self.logger.info("%s closed: %s", self.name, self.death)

    def ensure(self) -> str | None:
        """Start it again if it died. Returns why it cannot go on, if it cannot."""
        if self.closing or self._thread is None:
            return None
        now_ns = self.clock.now_ns()
        if not self._thread.is_alive():
            return self._restart(now_ns)
        busy_since_ns = self.busy_since_ns
        if busy_since_ns is not None and now_ns - busy_since_ns > HUNG_NS:
            return f"the {self.name} thread has not answered for {HUNG_NS // NS_PER_S} s"
        return None

    def _restart(self, now_ns: int) -> str | None:
        if self._died_ns is None:
            self._died_ns = now_ns
        if now_ns - self._started_ns > STEADY_NS:
            self.restarts = 0
        if self.restarts >= RESTARTS:
            return f"the {self.name} thread died {self.restarts + 1} times, last {self.death}"
        if now_ns - self._died_ns >= RESTART_DELAY_NS:
            self.restarts += 1
            self.logger.warning("%s died; started again (%d)", self.name, self.restarts)
            self.start()
        return None

    async def join(self) -> None:
        """Wait for its end, JOIN_TIMEOUT_S at most, without blocking the loop."""
        if self._thread is not None and not await _ended(self._thread, JOIN_TIMEOUT_S):
            self.logger.warning("%s hangs and is left behind", self.name)


async def _ended(thread: threading.Thread, timeout_s: float) -> bool:
    """Whether a thread ends in that time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while thread.is_alive():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


class TrackWorker:
    """One session's tracker on its own thread: newest camera frame in, Tracked out.

    A frame is tracked when it can soon be rendered, so that none is tracked in vain (`turns.py`).
    """

    def __init__(
        self,
        name: str,
        make_stage: Callable[[], TrackStage],
        desk: Desk,
        deliver: Callable[[Tracked], None],
        clock: Clock,
    ) -> None:
        self.arrivals: Latest[Arrived] = Latest()
        self._make_stage = make_stage
        self._desk = desk
        self._deliver = deliver
        self._clock = clock
        self._thread = _Thread(name, self._run, clock, logging.getLogger(__name__))

    def start(self) -> None:
        self._thread.start()

    def offer(self, arrived: Arrived) -> None:
        """A new camera frame; it replaces one that still waits."""
        frame = arrived.frame
        self._desk.metrics.arrived(arrived.arrived_ns, frame.width, frame.height)
        replaced = self.arrivals.put(arrived)
        self._desk.metrics.offered(arrived.arrived_ns, replaced=replaced is not None)

    def ensure(self) -> str | None:
        """Keep it going; returns why the session must end, if it must."""
        return self._thread.ensure()

    async def close(self) -> None:
        self._thread.closing = True
        self.arrivals.close()
        self._desk.turn.close()
        await self._thread.join()

    def _run(self) -> None:
        stage = self._make_stage()
        try:
            while True:
                self.arrivals.wait()
                self._desk.turn.wait()
                arrived = self.arrivals.take()
                if arrived is not None:
                    self._thread.busy_since_ns = self._clock.now_ns()
                    self._track(stage, arrived)
                    self._thread.busy_since_ns = None
        except Closed:
            pass
        finally:
            stage.close()

    def _track(self, stage: TrackStage, arrived: Arrived) -> None:
        desk, began_ns = self._desk, self._clock.now_ns()
        timings = Timings(arrived.arrived_ns)
        seq: int | None = None
        try:
            tracked = stage(arrived, desk.live.controls)
        except SessionError as exc:
            desk.end(str(exc))
        except Exception as exc:  # noqa: BLE001 - the thread's root for one frame
            desk.failed(exc, "tracking failed")
        else:
            face, timings, seq = tracked.face, tracked.timings, tracked.source.seq
            desk.metrics.face = "ok" if isinstance(face, FaceTrack) else face.reason
            desk.turn.delivered(self._clock.now_ns() - began_ns)
            self._deliver(tracked)
        desk.metrics.worked("tracking", began_ns, timings, seq)


@dataclass(eq=False)
class RenderJob:
    """One session's place on the render thread."""

    pipeline: Pipeline
    desk: Desk
    tracked: Latest[Tracked] = field(default_factory=Latest)
    _requests: deque[Callable[[], None]] = field(default_factory=deque)

    def request(self, action: Callable[[], None]) -> None:
        """Have something done between two frames, on the thread that owns the pipeline."""
        self._requests.append(action)

    def step(self) -> bool:
        """Process the newest frame, if there is one. Returns whether there was."""
        try:
            tracked = self.tracked.take(0)
        except Closed:
            return False
        self.desk.turn.visited(took=tracked is not None)
        if tracked is None:
            return False
        live, desk = self.desk.live, self.desk
        timings, began_ns = tracked.timings, desk.metrics.clock.now_ns()
        try:
            while self._requests:
                self._requests.popleft()()
            result: OutputFrame | NoOutput | Withheld
            result = self.pipeline.process(tracked, live.controls, live.identity)
        except SessionError as exc:
            desk.end(str(exc))
        except Exception as exc:  # noqa: BLE001 - the thread's root for one frame
            desk.failed(exc, "rendering failed")
        else:
            if isinstance(result, OutputFrame):
                timings = result.timings
            else:
                result = Withheld(result.reason)
            desk.deliver(result)
        desk.metrics.worked("rendering", began_ns, timings, tracked.source.seq)
        return True


class RenderWorker:
    """The thread that owns the networks of one device: sessions in turn, the newest frame of each.

    Newest wins twice: a job's waiting frame is replaced by a newer one, and nobody gets a second
    turn before everybody had one.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._jobs: tuple[RenderJob, ...] = ()
        self._awake = threading.Event()
        self._thread = _Thread(name, self._run, clock, logging.getLogger(__name__))

    def start(self) -> None:
        self._thread.start()

    def add(self, job: RenderJob) -> None:
        self._jobs = (*self._jobs, job)

    def remove(self, job: RenderJob) -> None:
        """At most the waiting frame is begun after this, and ends in a closed channel."""
        job.tracked.close()
        self._jobs = tuple(other for other in self._jobs if other is not job)

    def deliver(self, job: RenderJob, tracked: Tracked) -> None:
        """Replace the job's waiting frame; called on the session's track thread."""
        replaced = job.tracked.put(tracked)
        self._awake.set()
        if replaced is not None:
            job.desk.metrics.dropped("render", replaced.source.seq)

    def ensure(self) -> str | None:
        """Keep it going; returns why no session can be served, if none can."""
        return self._thread.ensure()

    async def close(self) -> None:
        self._thread.closing = True
        self._awake.set()
        await self._thread.join()

    def _run(self) -> None:
        while not self._thread.closing:
            self._awake.wait()
            self._awake.clear()
            while self._turn():
                pass

    def _turn(self) -> bool:
        """One frame of each session that has one. Returns whether any had."""
        worked = False
        for job in self._jobs:
            self._thread.busy_since_ns = self._clock.now_ns()
            worked |= job.step()
            self._thread.busy_since_ns = None
        return worked


class BackgroundWorker:
    """One daemon thread for what takes its time: loading, encoding an identity, drawing cards."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def run(self, function: Callable[[], T]) -> T:
        """Await a blocking function's result; functions run one after the other."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call() -> None:
            if self._closing:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as exc:  # noqa: BLE001 - handed to whoever awaits it
                future.set_exception(exc)

        self._calls.put(call)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Wait for the call under way; those behind it are cancelled.

        The interpreter must not end while a thread is in native code: that would abort it.
        """
        self._closing = True
        self._calls.put(None)
        if self._thread.is_alive() and not await _ended(self._thread, LAST_CALL_S):
            logging.getLogger(__name__).warning("%s hangs and is left behind", self._thread.name)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class _EncodePool(concurrent.futures.ThreadPoolExecutor):
    """Tells whoever made a picture when its encoding began and ended.

    A picture brings along whom to tell, for encoders belong to aiortc and know no sessions.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        tell: Any = args[0].opaque if args and isinstance(args[0], VideoFrame) else None
        if callable(tell):  # a received picture that is sent on carries a time instead
            fn = functools.partial(_timed, fn, tell)
        return super().submit(fn, *args, **kwargs)


def _timed(work: Callable[..., T], tell: Callable[[int, int], None], *args: Any) -> T:
    began_ns = MonotonicClock().now_ns()
    result = work(*args)
    tell(began_ns, MonotonicClock().now_ns())
    return result


def encode_pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    """The loop's default executor, in which aiortc runs its encoders."""
    return _EncodePool(threads, thread_name_prefix="encode")


def viewers_pool() -> concurrent.futures.ThreadPoolExecutor:
    """Where pictures are encoded for viewers, so that no performer's encoder waits for theirs."""
    return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="viewers")
