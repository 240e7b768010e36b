"""The process's life: loading, ready, serving, stopping. No HTTP.

Listening comes first and loading runs behind it, so that the page is there within a second or two;
an offer waits until the networks are. `build_services` is the composition root.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engines.errors import EngineError
from realtime import logs, rtc_internals
from realtime.access import is_loopback
from realtime.admission import alone_fps
from realtime.broadcast import build_broadcast
from realtime.cast import Services, Studio
from realtime.clock import MonotonicClock
from realtime.config import Config
from realtime.consents import ConsentWatch
from realtime.errors import AdmissionRefused, FrameError, ReenactdError, StartupError
from realtime.ladder import smaller_canvases
from realtime.load import usable_cores
from realtime.pools import encode_pool, viewers_pool
from realtime.records import prune
from realtime.rehearsal import rehearse
from realtime.rtc import peer_configuration
from realtime.sealing import Sealer
from realtime.session import Session
from realtime.sessions import Sessions
from realtime.telemetry import Telemetry
from realtime.tracing import Tracer
from realtime.viewing import Viewer, Viewers, Wish
from realtime.wardrobe import Wardrobe
from realtime.workers import BackgroundWorker, RenderWorker

if TYPE_CHECKING:
    from realtime.identity import Identity

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "sick", "draining"]
PRUNE_EVERY_S = 24 * 3600
READY_TIMEOUT_S = 60.0
"""how long an offer waits for the networks"""
LOADING, ENDING = (
    "the networks are still loading; try again soon",
    "the daemon is shutting down; ask again when it is back",
)
"""why an offer is refused"""


class Host(Protocol):
    """What a process that listens needs of what serves: a daemon, or a crew of processes."""

    @property
    def config(self) -> Config: ...
    @property
    def studio(self) -> Studio: ...
    @property
    def state(self) -> State: ...
    @property
    def failure(self) -> StartupError | None: ...
    @property
    def engine(self) -> str: ...
    @property
    def session_count(self) -> int: ...
    @property
    def next_session_fps(self) -> float | None: ...
    def is_ready(self, identity_id: str) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self, reason: str) -> None: ...
    def drain(self, within_s: float = 0.0) -> None: ...
    def adopt(self, config: Config) -> None: ...
    async def wait_for_failure(self) -> None: ...


def build_services(config: Config, studio: Studio) -> Services:
    """The object graph of the daemon, not yet started.

    Raises:
        StartupError: what a setting asks for is not installed.
    """
    clock = MonotonicClock()
    loader = BackgroundWorker("loader")
    return Services(
        config=config,
        clock=clock,
        studio=studio,
        wardrobe=Wardrobe(studio.load_identity, studio.check_identity, loader),
        render=RenderWorker("cpu-0", clock),
        loader=loader,
        maker=BackgroundWorker("maker"),
        records=BackgroundWorker("records"),
        sealer=Sealer(),
        viewers_pool=viewers_pool(),
        telemetry=Telemetry(),
        tracer=Tracer(clock),
        broadcast=build_broadcast(config, clock),
    )


def _log_task_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """One line, no stack trace: aiortc's own tasks fail so on offers that make no sense."""
    error = context.get("exception")
    # As text: a record that keeps the exception would keep its frames, and the peer in them.
    logger.warning("%s: %s", context.get("message"), repr(error))
    logger.debug("in %s", context.get("task"), exc_info=error)


class Daemon:
    """Starts and stops what `services` holds; lives on one event loop."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.sessions = Sessions(services)
        self.viewers = Viewers(services, self.sessions)
        self._consents = ConsentWatch(
            services.studio.check_identity,
            self.sessions,
            services.wardrobe,
            services.records,
            services.clock,
        )
        self.failure: StartupError | None = None
        """why loading failed, if it did; the process ends then"""
        self.engine = "loading"
        self.draining = False
        """the process is asked to end"""
        self._ready = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._pruning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the threads and begin to load.

        Raises:
            StartupError: aiortc or the ICE servers cannot be used as they are.
        """
        config = self.services.config
        encoder = rtc_internals.install(config.rtc, loopback=is_loopback(config.server.host))
        logger.info("H.264 by %s", encoder)
        peer_configuration(config.rtc)
        pool = encode_pool(config.rtc.encode_threads)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(pool)
        loop.set_exception_handler(_log_task_failure)
        self.services.loader.start()
        self.services.maker.start()
        self.services.records.start()
        self.services.sealer.start()
        self.services.render.start()
        self.services.broadcast.start()
        self.sessions.start()
        self.viewers.start()
        self._consents.start()
        self._loading = asyncio.create_task(self._load())
        if config.records.keep_days is not None:
            keep = timedelta(days=config.records.keep_days)
            self._pruning = asyncio.create_task(self._prune(keep))

    async def stop(self, reason: str) -> None:
        """End every session with a reason, then the threads."""
        self.drain()
        for task in (self._loading, self._pruning):
            if task is not None:
                task.cancel()
        self._consents.stop()
        await self.viewers.close_all(reason)
        await self.sessions.close_all(reason)
        self.services.viewers_pool.shutdown(wait=False, cancel_futures=True)
        await self.services.loader.close()
        await self.services.maker.close()
        await self.services.render.close()
        await self.services.broadcast.close()
        await self.services.records.close()
        await self.services.sealer.close()

    def drain(self, within_s: float = 0.0) -> None:
        """The end is near: no session is opened any more; those that run go on until `stop`.

        Args:
            within_s: by then it comes, which performers are told; 0: at once.
        """
        if not self.draining:
            for session in self.sessions:
                session.say_farewell(within_s)
        self.draining = True

    def adopt(self, config: Config) -> None:
        """Go by these settings; only those of `reload.RELOADABLE` may differ."""
        self.services.config = config
        logs.set_up(config.log)

    @property
    def config(self) -> Config:
        return self.services.config

    @property
    def studio(self) -> Studio:
        return self.services.studio

    @property
    def session_count(self) -> int:
        return len(self.sessions)

    @property
    def next_session_fps(self) -> float | None:
        """What one more session would get; None while nothing is known of the cost."""
        return self.sessions.next_session_fps

    def is_ready(self, identity_id: str) -> bool:
        """Whether it can be worn at once."""
        return self.services.wardrobe.is_ready(identity_id)

    @property
    def ready(self) -> bool:
        return self._ready.is_set() and self.failure is None

    @property
    def state(self) -> State:
        """Whether a session can be opened, and if not, why, in one word."""
        if self.draining:
            return "draining"
        watched = (self.sessions.sick, self.viewers.sick, self._consents.sick)
        if self.failure is not None or any(watched):
            return "sick"
        return "ready" if self.ready else "loading"

    async def wait_until_loaded(self) -> None:
        """
        Raises:
            AdmissionRefused: not loaded in time.
        """
        try:
            await asyncio.wait_for(self._ready.wait(), READY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise AdmissionRefused(LOADING) from None

    async def open_session(
        self,
        offer_sdp: str,
        identity_id: str | None,
        name: str | None = None,
        *,
        obeys: bool = True,
    ) -> tuple[Session, str]:
        """As `Sessions.open`, once everything is loaded.

        Raises:
            AdmissionRefused: not loaded in time, failed to load, full, or about to end.
            OfferRejected, IdentityError: the offer or the identity cannot be used.
        """
        await self.wait_until_loaded()
        if self.failure is not None:
            raise AdmissionRefused(str(self.failure))
        if self.draining:
            raise AdmissionRefused(ENDING)
        if self.state == "sick":
            raise AdmissionRefused("nobody watches over consents or viewers; restart the daemon")
        identity = identity_id or self.services.config.identities.default
        return await self.sessions.open(offer_sdp, identity, name, obeys=obeys)

    async def open_viewer(self, offer_sdp: str, wish: Wish) -> tuple[Viewer, str]:
        """As `Viewers.open`, unless the end is near.

        Raises:
            AdmissionRefused: full, or about to end.
            NobodyPerforms, OfferRejected: nothing to watch, or the offer cannot be used.
        """
        if self.draining:
            raise AdmissionRefused(ENDING)
        return await self.viewers.open(offer_sdp, wish)

    async def wait_for_failure(self) -> None:
        """Returns when, and only when, loading has failed."""
        await self._ready.wait()
        if self.failure is None:
            await asyncio.Event().wait()

    async def _load(self) -> None:
        services = self.services
        default = services.config.identities.default
        try:
            self.engine = await services.loader.run(services.studio.load)
            identity = await services.wardrobe.get(default)
            await self._rehearse(identity)
        except (ReenactdError, EngineError) as exc:
            self.failure = exc if isinstance(exc, StartupError) else StartupError(str(exc))
            return
        except Exception as exc:  # noqa: BLE001 - the task's root: nothing can be served without
            logger.exception("loading failed")
            self.failure = StartupError(f"loading failed: {exc!r}; run `reenactd doctor`")
            return
        finally:
            self._ready.set()
        logger.info("ready: %s", self.engine)
        others = await services.loader.run(services.studio.list_identities)
        await services.wardrobe.prepare(card.id for card in others if card.id != default)
        if services.config.quality.adapt:
            video = services.config.video
            for canvas_hw in smaller_canvases(video.width_px, video.height_px):
                await services.wardrobe.prepare([default], canvas_hw)

    async def _prune(self, keep: timedelta) -> None:
        """Session records that are too old go, now and once a day."""
        while True:
            try:
                gone = await self.services.records.run(lambda: prune(keep))
            except OSError as exc:
                logger.warning("old session records are not deleted: %s", exc)
            else:
                logger.info("%d session records were older than %s: deleted", len(gone), keep)
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _rehearse(self, identity: Identity) -> None:
        """Learn what a frame costs, where that decides who is let in; and warm the caches."""
        services = self.services
        min_fps = services.config.server.min_fps
        if min_fps == 0:
            return
        pipeline = await services.maker.run(services.studio.make_pipeline)
        try:
            cost = await services.render.run(lambda: rehearse(pipeline, identity))
        except FrameError as exc:
            logger.warning("the rehearsal failed: %s; costs are known once somebody performs", exc)
            return
        self.sessions.rehearsed(cost)
        logger.info(
            "a frame takes %.1f ms of render time, and about %.0f of processor time in all: "
            "room for about %d at server.min_fps = %g",
            cost.render_ms,
            cost.cpu_ms,
            alone_fps(cost, usable_cores()) / min_fps,
            min_fps,
        )
