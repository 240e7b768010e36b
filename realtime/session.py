"""One performer, for how long: negotiate -> connecting -> live -> closed(reason).

Owns the peer connection, the track thread, the place on the render thread and the output gate of
one performer, and ends them all together. Runs on the event loop. Knows no HTTP and no layers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from engines.errors import EngineError
from realtime.capture_times import CameraClock, CaptureTimes
from realtime.cast import CARD_TEXTS, Cast, Services
from realtime.channels import Channels
from realtime.clock import NS_PER_S
from realtime.desk import Desk, Live
from realtime.drafts import Credit, shows_room
from realtime.drivers.vmc import VmcDriver
from realtime.errors import OfferRejected, ReenactdError
from realtime.filming import Filming
from realtime.frames import Arrived, Controls, OutputFrame, OutputState, Tracked
from realtime.gate import OutputGate, Withheld
from realtime.ladder import Rung, Seen
from realtime.latest import AsyncLatest, Closed
from realtime.load import Exertion
from realtime.logbook import Logbook, label_record
from realtime.messages import Calibrate, MessageError, Ping, SetControls, SwitchIdentity, parse
from realtime.metrics import ErrorReporter, SessionMetrics
from realtime.pacing import Limits
from realtime.quality import QualityControl
from realtime.records import Subject
from realtime.rtc import DataChannel, OutputTrack, Peer, drain, peer_configuration
from realtime.rtc_receive import HeardPacket
from realtime.rtc_sound import SoundTrack, hear
from realtime.rtc_viewers import make_encoder
from realtime.sealing import Sealing
from realtime.sinks.recorder import Recorder
from realtime.sinks.viewers import Audience
from realtime.sound import Sound
from realtime.stages.mark import Marks
from realtime.turns import Turn
from realtime.workers import FollowWorker, PerformerWorker, RenderJob, TrackWorker

if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:
    _LoggerAdapter = logging.LoggerAdapter  # generic from Python 3.11 on

STATS_INTERVAL_S = 0.5
TELL_WITHIN_NS = 3 * NS_PER_S
"""how long a session that must end waits for the channel on which it can say why"""
PLACE_HELD_NS = 3 * NS_PER_S
"""after its offer was answered, how long a session counts as one although nobody has connected.
Who connects does so within a second; who does not has mostly gone"""
GOODBYE_S = 0.1
"""between telling the client why and hanging up, so that the reason arrives"""
Phase = Literal["new", "connecting", "live", "closed"]


class _SessionLog(_LoggerAdapter):
    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        name = (self.extra or {}).get("session", "")
        return f"[session {name}] {msg}", kwargs


class Session:
    """One performer's session. Everything public is called on the event loop."""

    obeys = True
    """its client may say who is shown and how, not only send a camera"""

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
        self._onlooker: Callable[[Tracked], None] | None = None
        self._job = RenderJob(cast.pipeline, desk)
        self._worker = self._make_worker(desk)
        cast.pipeline.on_motion = services.broadcast.seat(session_id)
        self._logbook = Logbook(
            self._subject, services.records.post, clock, services.telemetry.unrecorded
        )
        camera = CameraClock()
        self._times = CaptureTimes(clock.now_ns(), camera)
        self._sound = Sound(clock, self._is_muted, camera)
        pool, lips = services.viewers_pool, self._sound.lips
        self.audience = Audience(make_encoder, pool, clock, self._cut_out, self._sound)
        track = OutputTrack(self._next_frame, clock, self._metrics, self._times, lips.picture_left)
        voice = SoundTrack(self._sound.ticks_at)
        self._sound.listen(voice.put)
        self._peer = Peer(config.rtc, peer_configuration(config.rtc), track, self, voice)
        self._channels = Channels()
        self._calibration_told = False
        self._calibration_due = False
        self._quality = QualityControl(config)
        self._dressing = asyncio.Lock()
        """held by who changes the identity in `_live`, or its canvas"""
        self.sealing = Sealing(services.sealer, self._subject, self._credit)
        """has what is kept of it signed"""
        self.films = Filming(self._make_recorder, self._sound, lambda: self.phase == "closed")
        self.shown: OutputFrame | None = None
        """what was sent last"""
        self._born_ns = self._heard_ns = clock.now_ns()
        self._packets = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._switching: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._doom: str | None = None
        self._doomed_ns = 0

    def _make_worker(self, desk: Desk) -> PerformerWorker[Any]:
        """Who sees the performer: our tracker, or another program's."""
        services, name = self._services, f"track-{self.id[:6]}"
        vmc, clock = services.config.vmc, services.clock

        def deliver(tracked: Tracked) -> None:
            if (see := self._onlooker) is not None:
                see(tracked)
            services.render.deliver(self._job, tracked)

        if services.config.tracking.driver == "vmc":
            return FollowWorker(name, lambda: VmcDriver(vmc, clock), desk, deliver, clock)
        return TrackWorker(name, services.studio.make_track_stage, desk, deliver, clock)

    def _make_recorder(self) -> Recorder:
        services, name = self._services, self.id[:6]
        settings = services.config.recording
        return Recorder(settings, name, services.clock, self._times, self.sealing)

    @property
    def marks(self) -> Marks:
        """How every picture that it sends is marked."""
        return self._pipeline.marks

    @property
    def state(self) -> OutputState:
        """What its output shows."""
        return self._gate.state

    @property
    def identity_id(self) -> str:
        """Whom it shows."""
        return self._live.identity.id

    @property
    def is_overdue(self) -> bool:
        """Whether it was answered a while ago, and nobody has connected."""
        age_ns = self._services.clock.now_ns() - self._born_ns
        return self.phase == "connecting" and age_ns > PLACE_HELD_NS

    @property
    def quality_step(self) -> int:
        """How far down the ladder it stands."""
        return self._quality.step

    @property
    def age_s(self) -> float:
        """Since its offer came."""
        return (self._services.clock.now_ns() - self._born_ns) / NS_PER_S

    def exertion(self) -> Exertion:
        """What it costs, and whether the machine has lately lost frames of it."""
        return Exertion(self._job.spent, self._metrics.sheds)

    def look_on(self, see: Callable[[Tracked], None]) -> None:
        """Have somebody see all that is tracked, instead of who saw it before.

        Args:
            see: called on the track thread; must not block or fail.
        """
        self._onlooker = see

    def look_away(self, see: Callable[[Tracked], None]) -> None:
        """End it, if it is still this one who sees."""
        if self._onlooker == see:
            self._onlooker = None

    def describe(self) -> dict[str, Any]:
        """The numbers of the `stats` channel, and how far and how old the session is."""
        life = {"phase": self.phase, "age_s": round(self.age_s, 1)}
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
        self._spawn(drain(self._peer.camera, self._see, self._services.clock))
        if self._peer.microphone is not None:
            self._spawn(hear(self._peer.microphone, self._hear))
            self._spawn(self._sound.run())
        if not self._peer.sends:  # nobody else would ask the gate for pictures, or time the voice
            self.audience.on_left = self._sound.lips.picture_left
            self._spawn(self._pump())
        self.phase = "connecting"
        self._logbook.begin(self._live.identity)
        marks = self._pipeline.marks
        self._log.info("connecting as %s, marked %s", self._live.identity.id, marks.payload)
        if marks.warning is not None:
            self._log.warning("%s", marks.warning)
        return answer

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickled SDP fragment.

        Raises:
            OfferRejected: it is malformed.
        """
        await self._peer.add_candidates(fragment)

    def watch(self, busy: float) -> None:
        """Called several times a second: ends what cannot live on, and fits the picture's quality.

        Args:
            busy: share of the last second in which the render thread worked, for all sessions.
        """
        now_ns = self._services.clock.now_ns()
        if self.phase in ("connecting", "live"):
            self._logbook.tick(now_ns)
            reason = self._end_reason(now_ns)
            if reason is not None:
                self.close_soon(reason)
        self._metrics.received(self._peer.reception)
        if self.phase == "live" and self._quality.due(now_ns):
            self._adapt(busy, now_ns)

    def _adapt(self, busy: float, now_ns: int) -> None:
        now = self._metrics.snapshot()
        rates = (now.fps_in, now.fps_shed, now.fps_out)
        seen = Seen(*rates, now.latency_p50_ms, busy, self._peer.link)
        rung = self._quality.look(seen, now_ns)
        if rung is not None:
            self._spawn(self._change_quality(rung))

    async def _change_quality(self, rung: Rung) -> None:
        """What is shown stays until the other size is ready; only then do pictures change."""
        current, step = self._quality.rung, self._quality.step
        try:
            if rung.canvas_hw != current.canvas_hw:
                await self._change_canvas(self._quality.canvas_hw(rung))
        except (ReenactdError, EngineError) as exc:
            self._log.warning("the picture stays at %s: %s", current, exc)
            self._quality.settle(rung, done=False)
            return
        except Exception as exc:  # noqa: BLE001 - the task's root: the ladder goes on without it
            self._log.exception("the picture stays at %s: a fault of the daemon: %r", current, exc)
            self._quality.settle(rung, done=False)
            return
        self._worker.thinning.limit(rung.max_fps)
        self._quality.settle(rung, done=True)
        down = self._quality.step > step
        self._services.telemetry.stepped(down=down)
        why = self._quality.describe()["reason"] if down else "there is room again"
        self._log.info("the picture is now %s: %s", rung, why)

    async def _change_canvas(self, canvas_hw: tuple[int, int] | None) -> None:
        """
        Raises:
            ReenactdError: there is no identity or no card of that size.
        """

        def cards() -> Mapping[str, OutputFrame]:
            card = self._pipeline.card
            return {reason: card(text, canvas_hw) for reason, text in CARD_TEXTS.items()}

        made = await self._services.maker.run(cards)
        async with self._dressing:
            identity = await self._services.wardrobe.get(self._live.identity.id, canvas_hw)
            self._live.identity = identity
        self._gate.replace_cards(made)

    def _end_reason(self, now_ns: int) -> str | None:
        rtc = self._services.config.rtc
        if self._doom is not None:
            too_long = now_ns - self._doomed_ns > TELL_WITHIN_NS
            return self._doom if self._channels.takes_reports or too_long else None
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
        if self._channels.report({"type": "closed", "reason": reason}):
            await asyncio.sleep(GOODBYE_S)
        await self.films.close()
        # The channel first: the sender then leaves `recv` by itself instead of being cancelled.
        self._outputs.close()
        self.audience.close()
        if started:
            self._services.render.remove(self._job)
            await self._worker.close()
        self._metrics.received(self._peer.reception)
        await self._peer.close()
        for task in self._tasks:
            task.cancel()
        self._services.broadcast.leave(self.id)
        self._logbook.end()
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
        if self._channels.take(channel):
            hello = {"type": "hello", "session": self.id[:6], "name": self.name}
            told = {"identity": self._live.identity.id, "controls": asdict(self._live.controls)}
            self._channels.report({**hello, **told})
            self._spawn(self._report())

    def on_message(self, label: str, message: str | bytes) -> None:
        if label != "controls":
            return
        try:
            if not self.obeys and not isinstance(parse(message, self._live.controls), Ping):
                raise MessageError("this token publishes a camera; the owner's page directs it")
            self.obey(message)
        except MessageError as exc:
            self._channels.tell({"type": "error", "message": str(exc)})

    def on_broken(self, reason: str) -> None:
        self.end(reason)

    def obey(self, message: str | bytes) -> None:
        """Do what a message of the `controls` channel asks for.

        Raises:
            MessageError: it is not understood.
        """
        command = parse(message, self._live.controls)
        if isinstance(command, SetControls):
            self._live.controls = command.controls
        elif isinstance(command, Calibrate):
            self._calibration_due = True
            self._job.request(self._calibrate)
        elif isinstance(command, SwitchIdentity):
            if self._switching is not None:
                self._switching.cancel()  # the newest choice counts
            self._switching = self._spawn(self._change_identity(command.id))
        elif isinstance(command, Ping):
            self._channels.tell({"type": "pong", "t": command.t})

    def _calibrate(self) -> None:
        """On the render thread, before its next frame."""
        self._pipeline.calibrate()
        self._calibration_due = False

    async def _change_identity(self, identity_id: str) -> None:
        """The old face stays until the new one is ready."""
        try:
            async with self._dressing:
                canvas_hw = self._quality.canvas_hw(self._quality.rung)
                self._live.identity = await self._services.wardrobe.get(identity_id, canvas_hw)
            self._logbook.wear(self._live.identity)
        except (ReenactdError, EngineError) as exc:
            self._channels.tell({"type": "error", "message": str(exc)})
        else:
            self._channels.tell({"type": "identity", "id": identity_id})

    async def _next_frame(self) -> OutputFrame:
        frame = self.shown = await self._gate.next_frame()
        self._logbook.show(self._gate.state, self._gate.reason)
        self.films.see(frame)
        if not self._pipeline.calibrated:
            self._calibration_told = False
        elif not self._calibration_told:
            self._calibration_told = self._channels.tell({"type": "calibrated"})
        self.audience.show(frame)
        return frame

    def _see(self, arrived: Arrived) -> None:
        if arrived.frame.pts is not None:
            first_ns = arrived.arrived_ns - arrived.receive_ns
            self._sound.lips.picture_arrived(arrived.frame.pts, first_ns)
        self._worker.offer(arrived)

    def _hear(self, packet: HeardPacket) -> None:
        self._sound.lips.reported(*self._peer.reports())
        self._sound.offer(packet.opus, packet.ticks, packet.arrived_ns)

    def _is_muted(self) -> bool:
        on_card = self._gate.state in ("START", "CARD")
        return on_card and self._services.config.sound.mute_on_card

    def _subject(self) -> Subject:
        """What its record is about; called on the thread that writes it."""
        marks, network = self._pipeline.marks, self._services.studio.network()
        label = label_record(marks, self._services.config.output)
        return Subject(str(marks.payload), *network, label)

    def _credit(self) -> Credit:
        """Whom it shows now."""
        return Credit(self._live.identity.consent, shows_room(self._live.controls))

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
            self._channels.report(self._numbers())
            await asyncio.sleep(STATS_INTERVAL_S)

    def _numbers(self) -> dict[str, Any]:
        now, received = self._metrics.snapshot(), self._metrics.reception
        return {
            "type": "stats",
            "state": self._gate.state,
            "reason": self._gate.reason,
            "identity": self._live.identity.id,
            "mark": str(self._pipeline.marks.payload),
            "calibrated": self._pipeline.calibrated and not self._calibration_due,
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
                "rate": self._worker.thinning.thinned,
                **received.drops,
            },
            "received": received.repairs,
            "errors": self._errors.total,
            "camera": {"width": now.camera_width_px, "height": now.camera_height_px},
            "quality": self._quality.describe(),
            "link": asdict(self._peer.link),
            "recording": None if (film := self.films.progress) is None else asdict(film),
            "unrecorded": self._logbook.problem,
        }

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def say_farewell(self, within_s: float) -> None:
        """Tell the performer that the daemon ends, and this session with it by then."""
        self._channels.tell({"type": "ending", "within_s": within_s})

    def end(self, reason: str) -> None:
        """End for a reason that the client should hear; `watch` does it."""
        if self._doom is None:
            self._doom, self._doomed_ns = reason, self._services.clock.now_ns()

    def _end_from_thread(self, reason: str) -> None:
        try:
            self._loop.call_soon_threadsafe(self.end, reason)
        except RuntimeError:  # the loop is closed, and the session with it
            return
