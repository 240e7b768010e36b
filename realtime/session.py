"""One performer, for how long: negotiate -> connecting -> live -> closed(reason).

Owns the peer connection, the track thread, the place on the render thread and the output gate of
one performer, and ends them all together. Runs on the event loop. Knows no HTTP and no layers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from realtime.clock import NS_PER_S, Clock
from realtime.config import Config
from realtime.errors import OfferRejected, ReenactdError
from realtime.frames import Controls, OutputFrame, OutputState
from realtime.gate import OutputGate, Withheld
from realtime.latest import AsyncLatest, Closed
from realtime.messages import Calibrate, MessageError, Ping, SetControls, SwitchIdentity, parse
from realtime.metrics import ErrorReporter, SessionMetrics
from realtime.pacing import Limits
from realtime.rtc import DataChannel, OutputTrack, Peer, drain, peer_configuration
from realtime.rtc_viewers import make_encoder
from realtime.sinks.viewers import Audience
from realtime.telemetry import GpuMemory, Telemetry
from realtime.tracing import Tracer
from realtime.turns import Turn
from realtime.wardrobe import Wardrobe
from realtime.workers import (
    BackgroundWorker,
    Desk,
    Live,
    Pipeline,
    RenderJob,
    RenderWorker,
    TrackStage,
    TrackWorker,
)

if TYPE_CHECKING:
    from realtime.identity import Identity, IdentityCard

    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:
    _LoggerAdapter = logging.LoggerAdapter  # generic from Python 3.11 on

STATS_INTERVAL_S = 0.5
TELL_WITHIN_NS = 3 * NS_PER_S
"""how long a session that must end waits for the channel on which it can say why"""
GOODBYE_S = 0.1
"""between telling the client why and hanging up, so that the reason arrives"""
MAX_BUFFERED_BYTES = 64 * 1024
"""of a data channel; a client that does not read gets no more numbers"""
CARD_TEXTS: Mapping[str, str] = {
    "": "Paused",
    "starting": "Starting",
    "calibrating": "Look at the camera",
    "none": "No face in view",
    "too_small": "Come closer",
    "low_confidence": "Show your whole face",
    "implausible": "Show your whole face",
}
"""what a viewer reads, by the reason for which there is no avatar"""

Phase = Literal["new", "connecting", "live", "closed"]


class Studio(Protocol):
    """Makes what a session needs; slow, so it is called on background threads."""

    def load(self) -> str:
        """Load the networks; what runs, and why."""

    def make_track_stage(self) -> TrackStage: ...
    def make_pipeline(self) -> Pipeline: ...
    def load_identity(self, identity_id: str) -> Identity: ...

    def check_identity(self, identity_id: str) -> object:
        """Its valid consent record; fails as `load_identity` does when there is none."""

    def list_identities(self) -> list[IdentityCard]: ...

    def gpu_memory(self) -> GpuMemory | None:
        """None where no GPU is in use; quick."""


@dataclass(frozen=True)
class Services:
    """What all sessions share; made once, in `server.build_services`."""

    config: Config
    clock: Clock
    studio: Studio
    wardrobe: Wardrobe
    render: RenderWorker
    loader: BackgroundWorker
    maker: BackgroundWorker
    viewers_pool: Executor
    telemetry: Telemetry
    tracer: Tracer


@dataclass(frozen=True)
class Cast:
    """Who plays in one session, and what stands in while nobody does."""

    identity: Identity
    pipeline: Pipeline
    cards: Mapping[str, OutputFrame]


async def make_cast(services: Services, identity_id: str) -> Cast:
    """Everything slow that a session needs before it can begin.

    Raises:
        IdentityError: there is none of that id, or it may not be used.
    """

    def make() -> tuple[Pipeline, Mapping[str, OutputFrame]]:
        pipeline = services.studio.make_pipeline()
        return pipeline, {reason: pipeline.card(text) for reason, text in CARD_TEXTS.items()}

    identity = await services.wardrobe.get(identity_id)
    return Cast(identity, *await services.maker.run(make))


class _SessionLog(_LoggerAdapter):
    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        name = (self.extra or {}).get("session", "")
        return f"[session {name}] {msg}", kwargs


class Session:
    """One performer's session. Everything public is called on the event loop."""

    def __init__(
        self,
        session_id: str,
        services: Services,
        cast: Cast,
        on_closed: Callable[[Session], None],
        name: str | None = None,
    ) -> None:
        self.id = session_id
        self.name = name or session_id[:6]
        """under which viewers find it"""
        self.etag = f'"{secrets.token_urlsafe(8)}"'
        self.phase: Phase = "new"
        config, clock = services.config, services.clock
        self._services = services
        self._pipeline = cast.pipeline
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._log = _SessionLog(logging.getLogger(__name__), {"session": session_id[:6]})
        self._live = Live(Controls(), cast.identity)
        self._metrics = SessionMetrics(
            clock, session=session_id[:6], telemetry=services.telemetry, tracer=services.tracer
        )
        self._errors = ErrorReporter(self._log, clock)
        self._outputs: AsyncLatest[OutputFrame | Withheld] = AsyncLatest(self._loop)
        self._gate = OutputGate(
            self._outputs, cast.cards, Limits.of(config.output), self._metrics, clock
        )
        desk = Desk(
            self._live,
            self._metrics,
            self._errors,
            self._outputs,
            self._end_from_thread,
            Turn(clock),
        )
        self._job = RenderJob(cast.pipeline, desk)
        self._worker = TrackWorker(
            f"track-{session_id[:6]}",
            services.studio.make_track_stage,
            desk,
            lambda tracked: services.render.deliver(self._job, tracked),
            clock,
        )
        self.audience = Audience(make_encoder, services.viewers_pool, clock, self._cut_out)
        track = OutputTrack(self._next_frame, clock, self._metrics)
        self._peer = Peer(config.rtc, peer_configuration(config.rtc), track, self)
        self._stats: DataChannel | None = None
        self._controls: DataChannel | None = None
        self._calibration_told = False
        self._born_ns = self._heard_ns = clock.now_ns()
        self._packets = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._switching: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._doom: str | None = None
        self._doomed_ns = 0

    @property
    def state(self) -> OutputState:
        """What its output shows."""
        return self._gate.state

    def describe(self) -> dict[str, Any]:
        """The numbers of the `stats` channel, and how far and how old the session is."""
        age_ns = self._services.clock.now_ns() - self._born_ns
        life = {"phase": self.phase, "age_s": round(age_ns / NS_PER_S, 1)}
        numbers = {name: value for name, value in self._numbers().items() if name != "type"}
        watched = {"name": self.name, "viewers": len(self.audience)}
        return {"session": self.id[:6], **watched, **life, **numbers}

    async def answer(self, offer_sdp: str) -> str:
        """The SDP answer to the offer; from here on the session works.

        Raises:
            OfferRejected: the offer cannot be answered; the session must be closed.
        """
        answer = await self._peer.answer(offer_sdp)
        if self._closing is not None:
            raise OfferRejected("the session was closed while the offer was being answered")
        self._services.render.add(self._job)
        self._worker.start()
        self._spawn(drain(self._peer.camera, self._worker.offer, self._services.clock))
        if not self._peer.sends:  # nobody else would ask the gate for pictures
            self._spawn(self._pump())
        self.phase = "connecting"
        self._log.info("connecting as %s", self._live.identity.id)
        return answer

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickled SDP fragment.

        Raises:
            OfferRejected: it is malformed.
        """
        await self._peer.add_candidates(fragment)

    def watch(self) -> None:
        """Called several times a second: ends what cannot live on."""
        if self.phase in ("connecting", "live"):
            reason = self._end_reason(self._services.clock.now_ns())
            if reason is not None:
                self.close_soon(reason)

    def _end_reason(self, now_ns: int) -> str | None:
        rtc = self._services.config.rtc
        if self._doom is not None:
            too_long = now_ns - self._doomed_ns > TELL_WITHIN_NS
            return self._doom if self._stats is not None or too_long else None
        if (reason := self._worker.ensure()) is not None:
            return reason
        if self.phase == "connecting":
            late = now_ns - self._born_ns > rtc.connect_timeout_s * NS_PER_S
            return (
                f"the browser did not connect within {rtc.connect_timeout_s:g} s" if late else None
            )
        packets = self._peer.packets_received()
        if packets != self._packets:
            self._packets, self._heard_ns = packets, now_ns
        silent = now_ns - self._heard_ns > rtc.idle_timeout_s * NS_PER_S
        return f"nothing came from the browser for {rtc.idle_timeout_s:g} s" if silent else None

    def close_soon(self, reason: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(reason))

    async def close(self, reason: str) -> None:
        """End the session; returns when all of it is released, some seconds later at most."""
        self.close_soon(reason)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self, reason: str) -> None:
        started = self.phase != "new"
        self.phase = "closed"
        self._log.info("closed: %s", reason)
        if self._send(self._stats, {"type": "closed", "reason": reason}):
            await asyncio.sleep(GOODBYE_S)
        # The channel first: the sender then leaves `recv` by itself instead of being cancelled.
        self._outputs.close()
        self.audience.close()
        if started:
            self._services.render.remove(self._job)
            await self._worker.close()
        await self._peer.close()
        for task in self._tasks:
            task.cancel()
        self._on_closed(self)

    # What the peer connection reports.

    def on_connection(self, state: str) -> None:
        if state == "connected" and self.phase == "connecting":
            self.phase = "live"
            self._heard_ns = self._services.clock.now_ns()
            self._log.info("live")
        elif state == "failed":
            self.close_soon("the connection to the browser failed")
        elif state == "closed":
            self.close_soon("the browser hung up")

    def on_channel(self, channel: DataChannel) -> None:
        if channel.label == "controls":
            self._controls = channel
        elif channel.label == "stats" and self._stats is None:
            self._stats = channel
            hello = {"type": "hello", "session": self.id[:6], "name": self.name}
            told = {"identity": self._live.identity.id, "controls": asdict(self._live.controls)}
            self._send(channel, {**hello, **told})
            self._spawn(self._report())

    def on_message(self, label: str, message: str | bytes) -> None:
        if label != "controls":
            return
        try:
            self._obey(message)
        except MessageError as exc:
            self._tell({"type": "error", "message": str(exc)})

    def _obey(self, message: str | bytes) -> None:
        command = parse(message, self._live.controls)
        if isinstance(command, SetControls):
            self._live.controls = command.controls
        elif isinstance(command, Calibrate):
            self._job.request(self._pipeline.calibrate)
        elif isinstance(command, SwitchIdentity):
            if self._switching is not None:
                self._switching.cancel()  # the newest choice counts
            self._switching = self._spawn(self._change_identity(command.id))
        elif isinstance(command, Ping):
            self._tell({"type": "pong", "t": command.t})

    async def _change_identity(self, identity_id: str) -> None:
        """The old face stays until the new one is ready."""
        try:
            self._live.identity = await self._services.wardrobe.get(identity_id)
        except ReenactdError as exc:
            self._tell({"type": "error", "message": str(exc)})
        else:
            self._tell({"type": "identity", "id": identity_id})

    async def _next_frame(self) -> OutputFrame:
        frame = await self._gate.next_frame()
        if not self._pipeline.calibrated:
            self._calibration_told = False
        elif not self._calibration_told:
            self._calibration_told = self._tell({"type": "calibrated"})
        self.audience.show(frame)
        return frame

    async def _pump(self) -> None:
        """For a performer who takes no video back, such as OBS: viewers get it all the same."""
        try:
            while True:
                await self._next_frame()
        except Closed:
            return

    def _cut_out(self, wanted: bool) -> None:
        """Somebody watches the avatar without its background, or nobody does any more."""
        self._job.request(lambda: self._pipeline.cut_out(wanted))

    async def _report(self) -> None:
        while self.phase != "closed":
            self._send(self._stats, self._numbers())
            await asyncio.sleep(STATS_INTERVAL_S)

    def _numbers(self) -> dict[str, Any]:
        now = self._metrics.snapshot()
        return {
            "type": "stats",
            "state": self._gate.state,
            "reason": self._gate.reason,
            "identity": self._live.identity.id,
            "calibrated": self._pipeline.calibrated,
            "face": now.face,
            "fps_in": round(now.fps_in, 1),
            "fps_out": round(now.fps_out, 1),
            "latency_ms": {
                "p50": round(now.latency_p50_ms, 1),
                "p95": round(now.latency_p95_ms, 1),
            },
            "server_ms": {
                "p50": round(now.server_p50_ms, 1),
                "p95": round(now.server_p95_ms, 1),
            },
            "stages_ms": {name: round(value, 2) for name, value in now.stages_ms.items()},
            "drops": {
                "track": self._worker.arrivals.dropped,
                "render": self._job.tracked.dropped,
                "output": self._outputs.dropped,
            },
            "errors": self._errors.total,
            "camera": {"width": now.camera_width_px, "height": now.camera_height_px},
        }

    def _tell(self, message: Mapping[str, Any]) -> bool:
        """An event, on `stats`; on `controls` for a client without it. False if it cannot go."""
        return self._send(self._stats or self._controls, message)

    def _send(self, channel: DataChannel | None, message: Mapping[str, Any]) -> bool:
        if channel is None or channel.readyState != "open":
            return False
        if channel.bufferedAmount > MAX_BUFFERED_BYTES:
            return False
        channel.send(json.dumps(message))
        return True

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _end(self, reason: str) -> None:
        """End for a reason that the client should hear; `watch` does it."""
        if self._doom is None:
            self._doom, self._doomed_ns = reason, self._services.clock.now_ns()

    def _end_from_thread(self, reason: str) -> None:
        try:
            self._loop.call_soon_threadsafe(self._end, reason)
        except RuntimeError:  # the loop is closed, and the session with it
            return
