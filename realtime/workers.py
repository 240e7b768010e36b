"""Who does the work: the only file that starts threads.

    track-<session>   one per session: ingest and the tracker, which it alone makes and closes; or
                      it waits for what another program tracked
    sink-<name>       one per program that is told of motions; it encodes and sends them
    cpu-0             one per device: every session's pipeline in turn, the newest frame of each
    loader            one: networks and identities, so that nothing else waits for them
    maker             one: what a new session needs, so that it does not wait for the loader
    records           one: writes session records, looks whether consents still hold
    encode-*          aiortc's encoders, as the loop's default executor
    record-<session>  one per recording: encodes and writes the film
    viewers-*         one: what viewers get, encoded once for all who agree on a codec
    hush              while MediaPipe starts (`drivers/camera.py`): gives stderr back in time

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
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from realtime.clock import NS_PER_S, Clock
from realtime.desk import Desk, MotionSink, NoOutput, Pipeline, Source, TrackStage
from realtime.errors import FrameError, ReenactdError, SessionError
from realtime.frames import Arrived, Motion, NoFace, OutputFrame, Timings, Tracked
from realtime.gate import Withheld
from realtime.ladder import Thinning
from realtime.latest import Closed, Latest
from realtime.metrics import ErrorReporter

if TYPE_CHECKING:
    pass

T = TypeVar("T")
M = TypeVar("M")

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
LISTEN_S = 0.1
"""how soon a thread that waits for packets notices that its session ends"""
SINK_TICK_S = 0.25
HUNG_NS = 10 * NS_PER_S
"""a thread that works on one frame for this long will not come back"""
START_NS = 30 * NS_PER_S
"""the same for what it makes first, which takes a second where nothing else runs"""


@dataclass
class _Thread:
    """A restartable daemon thread with one log line per end, and a sign of life."""

    name: str
    run: Callable[[], None]
    clock: Clock
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
    busy_since_ns: int | None = None
    making: bool = False
    """what it is busy with is what it works with"""
    restarts: int = 0
    closing: bool = False
    death: str = ""
    _started_ns: int = 0
    _died_ns: int | None = None
    """when `ensure` noticed it"""
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self.busy_since_ns = self._died_ns = None
        self.making = False
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
        busy_since_ns, limit_ns = self.busy_since_ns, START_NS if self.making else HUNG_NS
        if busy_since_ns is not None and now_ns - busy_since_ns > limit_ns:
            return f"the {self.name} thread has not answered for {limit_ns // NS_PER_S} s"
        return None

    def make(self, function: Callable[[], T]) -> T:
        """On the thread itself: what it needs before its first frame."""
        self.busy_since_ns, self.making = self.clock.now_ns(), True
        try:
            return function()
        finally:
            self.busy_since_ns, self.making = None, False

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


class PerformerWorker(ABC, Generic[M]):
    """One session's thread that finds out what the performer does, and delivers it as Tracked.

    Args:
        make: on that thread, what it works with.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], M],
        desk: Desk,
        deliver: Callable[[Tracked], None],
        clock: Clock,
    ) -> None:
        self.arrivals: Latest[Arrived] = Latest()
        """camera frames that wait"""
        self.thinning = Thinning()
        """which frames or motions are taken at all"""
        self._make = make
        self._desk = desk
        self._deliver = deliver
        self._clock = clock
        self._thread = _Thread(name, self._run, clock, logging.getLogger(__name__))

    def start(self) -> None:
        self._thread.start()

    @abstractmethod
    def offer(self, arrived: Arrived) -> None:
        """A new camera frame."""

    def ensure(self) -> str | None:
        """Keep it going; returns why the session must end, if it must."""
        return self._thread.ensure()

    async def close(self) -> None:
        self._thread.closing = True
        self.arrivals.close()
        self._desk.turn.close()
        await self._thread.join()

    @abstractmethod
    def _run(self) -> None: ...


class TrackWorker(PerformerWorker[TrackStage]):
    """Our tracker: newest camera frame in, Tracked out.

    A frame is tracked when it can soon be rendered, so that none is tracked in vain (`turns.py`).
    """

    def offer(self, arrived: Arrived) -> None:
        """A new camera frame; it replaces one that still waits."""
        frame = arrived.frame
        self._desk.metrics.arrived(arrived.arrived_ns, frame.width, frame.height)
        if not self.thinning.takes(arrived.arrived_ns):
            self._desk.metrics.dropped("rate", None)
            return
        replaced = self.arrivals.put(arrived)
        self._desk.metrics.offered(arrived.arrived_ns, replaced=replaced is not None)

    def _run(self) -> None:
        stage = self._thread.make(self._make)
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
            desk.metrics.face = face.reason if isinstance(face, NoFace) else "ok"
            desk.turn.delivered(self._clock.now_ns() - began_ns)
            self._deliver(tracked)
        desk.metrics.worked("tracking", began_ns, timings, seq)


class FollowWorker(PerformerWorker[Source]):
    """Another program's tracker; the camera's pictures, if there are any, are dropped unseen."""

    def offer(self, arrived: Arrived) -> None:
        """A camera frame, for which there is no use."""

    def _run(self) -> None:
        try:
            source = self._make()
        except SessionError as exc:
            self._desk.end(str(exc))
            return
        try:
            while not self._thread.closing:
                self._follow(source)
        finally:
            source.close()

    def _follow(self, source: Source) -> None:
        desk = self._desk
        try:
            tracked = source.next(LISTEN_S)
        except FrameError as exc:  # of one packet: what is shown goes on
            desk.errors.add(exc)
            desk.metrics.failed(unexpected=False)
            return
        if tracked is not None:
            arrived_ns, face = tracked.source.arrived_ns, tracked.face
            desk.metrics.arrived(arrived_ns, 0, 0)
            desk.metrics.face = face.reason if isinstance(face, NoFace) else "ok"
            if not self.thinning.takes(arrived_ns):
                desk.metrics.dropped("rate", None)
                return
            self._deliver(tracked)
            desk.metrics.worked("tracking", arrived_ns, tracked.timings, tracked.source.seq)


class MotionWorker:
    """Tells one program of the newest motion, on a thread of its own; one that is late sees fewer.

    Its failures are its own: they are logged, at most one a second, and the next motion is tried.
    """

    def __init__(self, name: str, sink: MotionSink, clock: Clock) -> None:
        self.motions: Latest[Motion] = Latest()
        self._sink = sink
        logger = logging.getLogger(f"{__name__}.{name}")
        self._errors = ErrorReporter(logger, clock, "motion")
        self._thread = _Thread(f"sink-{name}", self._run, clock, logger)

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        self._thread.closing = True
        self.motions.close()
        await self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._tell(self.motions.take(SINK_TICK_S))
        except Closed:
            pass
        finally:
            self._sink.close()

    def _tell(self, motion: Motion | None) -> None:
        try:
            self._sink.show(motion)
        except Exception as exc:  # noqa: BLE001 - the thread's root for one motion
            self._errors.add(exc, unexpected=not isinstance(exc, ReenactdError))


class Spent(NamedTuple):
    """What one session's frames have taken of the render thread so far."""

    frames: int = 0
    busy_ns: int = 0
    """on all of them, by the clock"""
    avatar_frames: int = 0
    """those that gave a picture"""
    avatar_ns: int = 0
    """on those"""


@dataclass(eq=False)
class RenderJob:
    """One session's place on the render thread."""

    pipeline: Pipeline
    desk: Desk
    tracked: Latest[Tracked] = field(default_factory=Latest)
    spent: Spent = Spent()
    """replaced whole by the render thread; anybody may read it"""
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
        result: OutputFrame | NoOutput | Withheld | None = None
        try:
            while self._requests:
                self._requests.popleft()()
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
        self._account(desk.metrics.clock.now_ns() - began_ns, isinstance(result, OutputFrame))
        desk.metrics.worked("rendering", began_ns, timings, tracked.source.seq)
        return True

    def _account(self, spent_ns: int, avatar: bool) -> None:
        frames, busy_ns, avatar_frames, avatar_ns = self.spent
        self.spent = Spent(
            frames + 1,
            busy_ns + spent_ns,
            avatar_frames + avatar,
            avatar_ns + (spent_ns if avatar else 0),
        )


class RenderWorker:
    """The thread that owns the networks of one device: sessions in turn, the newest frame of each.

    Newest wins twice: a job's waiting frame is replaced by a newer one, and nobody gets a second
    turn before everybody had one.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._jobs: tuple[RenderJob, ...] = ()
        self._calls: deque[Callable[[], None]] = deque()
        self.busy_ns = 0
        """how long it has worked in all; anybody may read it"""
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

    async def run(self, function: Callable[[], T]) -> T:
        """Await what only the thread of the networks may do; nothing is rendered meanwhile."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._calls.append(functools.partial(_settle, future, function))
        self._awake.set()
        return await asyncio.wrap_future(future)

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
            while self._calls:
                self._calls.popleft()()
            while self._turn():
                pass

    def _turn(self) -> bool:
        """One frame of each session that has one. Returns whether any had."""
        worked = False
        for job in self._jobs:
            began_ns = self._thread.busy_since_ns = self._clock.now_ns()
            worked |= job.step()
            self._thread.busy_since_ns = None
            self.busy_ns += self._clock.now_ns() - began_ns
        return worked


def _settle(future: concurrent.futures.Future[T], function: Callable[[], T]) -> None:
    """Do what is awaited, unless nobody awaits it any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as exc:  # noqa: BLE001 - handed to whoever awaits it
        future.set_exception(exc)


class SinkWorker:
    """One thread for one sink, which ends when its function does.

    It is as urgent as the others: one that stands back, and holds the interpreter's lock while it
    does, makes all of them wait.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._run = run
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def join(self) -> None:
        """Wait for its end, LAST_CALL_S at most, without blocking the loop."""
        if self._thread.is_alive() and not await _ended(self._thread, LAST_CALL_S):
            logging.getLogger(__name__).warning("%s hangs and is left behind", self._thread.name)

    def _main(self) -> None:
        try:
            self._run()
        except Exception:  # noqa: BLE001 - the thread's root
            logging.getLogger(__name__).exception("%s died", self._thread.name)


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
            _settle(future, function)

        self._calls.put(call)
        return await asyncio.wrap_future(future)

    def post(self, function: Callable[[], None]) -> None:
        """Have something done behind all that was asked for; nobody waits."""

        def call() -> None:
            try:
                function()
            except Exception:  # noqa: BLE001 - the thread's root for what nobody waits for
                logging.getLogger(__name__).exception("%s", self._thread.name)

        self._calls.put(call)

    async def close(self) -> None:
        """Wait for the call under way and for what was posted; others behind it are cancelled.

        The interpreter must not end while a thread is in native code: that would abort it.
        """
        self._closing = True
        self._calls.put(None)
        if self._thread.is_alive() and not await _ended(self._thread, LAST_CALL_S):
            logging.getLogger(__name__).warning("%s hangs and is left behind", self._thread.name)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
