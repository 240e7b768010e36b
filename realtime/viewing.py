"""All viewers: who is let in, whom they watch, when they end.

A viewer watches one session by its name, or whichever one there is. The second kind survives the
performer's reconnection: it keeps its connection and goes on with the next session. Runs on the
event loop. Knows no HTTP and no pictures.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from realtime.cast import Services
from realtime.clock import NS_PER_S
from realtime.errors import AdmissionRefused, NobodyPerforms
from realtime.naming import LATEST
from realtime.rtc import DataChannel, peer_configuration
from realtime.rtc_viewers import Hearing, ViewerPeer
from realtime.session import Session
from realtime.sessions import Sessions
from realtime.sinks.feed import Background, Seat
from realtime.sinks.sizes import Size
from realtime.sinks.viewers import Audience
from realtime.watches import Guard, Watch

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.1
DESERTED_NS = 30 * NS_PER_S
"""how long a viewer waits for another session when its own has ended"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a viewer wants to see."""

    session: str = LATEST
    """what a session is called (`naming.py`), or LATEST"""
    background: Background = "scene"
    size: Size | None = None
    """None: as large as its link carries"""


class Viewer:
    """One viewer's connection, from its offer to its end."""

    def __init__(
        self,
        services: Services,
        wish: Wish,
        audience: Audience,
        on_closed: Callable[[Viewer], None],
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.etag = f'"{secrets.token_urlsafe(8)}"'
        self.wish = wish
        self._services = services
        self._on_closed = on_closed
        self._audience = audience
        self._seat = Seat()
        self._hearing = Hearing(services.clock)
        self._peer = ViewerPeer(
            services.config.rtc,
            peer_configuration(services.config.rtc),
            self._seat,
            self._hearing,
            self,
            self._ask_for_key_frame,
        )
        self._connected = False
        self._deserted_ns: int | None = None
        self._born_ns = self._heard_ns = services.clock.now_ns()
        self._packets = 0
        self._closing: asyncio.Task[None] | None = None

    async def answer(self, offer_sdp: str) -> str:
        """The SDP answer to the offer; from here on there is a place at the session.

        Raises:
            OfferRejected: the offer cannot be answered; the viewer must be closed.
        """
        answer = await self._peer.answer(offer_sdp)
        if not self._audience.closed:  # else the next performer's is joined, as after any end
            self._audience.join(self._seat, self._peer.codec, self.wish.background, self.wish.size)
        sound = "with sound" if self._peer.takes_sound else "without sound"
        logger.info("[viewer %s] connecting, %s, %s", self.id[:6], self._peer.codec, sound)
        return answer

    def _listen(self) -> None:
        """Once connected: packets of before would all come at once, and late."""
        if self._connected and self._peer.takes_sound:
            self._hearing.follow(self._audience.sound)

    async def add_candidates(self, fragment: str) -> None:
        """Take a trickled SDP fragment.

        Raises:
            OfferRejected: it is malformed.
        """
        await self._peer.add_candidates(fragment)

    def watch(self, sessions: Sessions) -> None:
        """Called several times a second: ends what cannot live on, or finds another session."""
        if self._closing is not None:
            return
        now_ns = self._services.clock.now_ns()
        reason = self._end_reason(now_ns) or self._follow(sessions, now_ns)
        if reason is not None:
            self.close_soon(reason)
        elif (size := self._audience.refit(self._seat)) is not None:
            logger.info("[viewer %s] its link asks for size %s", self.id[:6], size)

    def _end_reason(self, now_ns: int) -> str | None:
        rtc = self._services.config.rtc
        if self._seat.closed:
            return "no picture can be encoded for it"
        if not self._connected:
            late = now_ns - self._born_ns > rtc.connect_timeout_s * NS_PER_S
            return f"it did not connect within {rtc.connect_timeout_s:g} s" if late else None
        packets = self._peer.packets_received()
        if packets != self._packets:
            self._packets, self._heard_ns = packets, now_ns
        silent = now_ns - self._heard_ns > rtc.idle_timeout_s * NS_PER_S
        return f"nothing came from it for {rtc.idle_timeout_s:g} s" if silent else None

    def _follow(self, sessions: Sessions, now_ns: int) -> str | None:
        """Where the session has ended: go on with its successor, or give up after a while."""
        if not self._audience.closed:
            return None
        session = sessions.find(self.wish.session)
        if session is not None:
            self._audience, self._deserted_ns = session.audience, None
            self._audience.join(self._seat, self._peer.codec, self.wish.background, self.wish.size)
            self._listen()
            logger.info("[viewer %s] goes on with session %s", self.id[:6], session.name)
            return None
        if self._deserted_ns is None:
            self._deserted_ns = now_ns
        gave_up = now_ns - self._deserted_ns > DESERTED_NS
        return "the performer has gone" if gave_up else None

    @property
    def deserted(self) -> bool:
        """Whether it waits for another session."""
        return self._deserted_ns is not None

    def close_soon(self, reason: str) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(reason))

    async def close(self, reason: str) -> None:
        """End the connection; returns when all of it is released."""
        self.close_soon(reason)
        assert self._closing is not None
        await asyncio.shield(self._closing)

    async def _close(self, reason: str) -> None:
        logger.info("[viewer %s] closed: %s", self.id[:6], reason)
        if lost := self._hearing.dropped:
            logger.info("[viewer %s] %d packets of voice were not taken in time", self.id[:6], lost)
        self._audience.leave(self._seat)
        self._hearing.follow(None)
        self._seat.close()
        await self._peer.close()
        self._on_closed(self)

    def _ask_for_key_frame(self) -> None:
        self._audience.ask_for_key_frame(self._seat)

    # What the peer connection reports.

    def on_connection(self, state: str) -> None:
        if state == "connected":
            self._connected = True
            self._heard_ns = self._services.clock.now_ns()
            self._listen()
        elif state in ("failed", "closed"):
            self.close_soon(f"its connection is {state}")

    def on_channel(self, channel: DataChannel) -> None:
        """A viewer has nothing to say."""

    def on_message(self, label: str, message: str | bytes) -> None:
        """Nor is it heard."""

    def on_broken(self, reason: str) -> None:
        self.close_soon(reason)


class Viewers:
    """The registry. Lives on one event loop."""

    def __init__(self, services: Services, sessions: Sessions) -> None:
        self._services = services
        self._sessions = sessions
        self._viewers: dict[str, Viewer] = {}
        self._watch = Watch(self._look, "viewers", services.clock)
        self._guard = Guard("viewer", services.clock)

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(list(self._viewers.values()))

    def start(self) -> None:
        self._watch.start()

    @property
    def sick(self) -> str | None:
        """Why nobody is watched over, if so."""
        return self._watch.failure

    async def open(self, offer_sdp: str, wish: Wish) -> tuple[Viewer, str]:
        """A new viewer and its SDP answer.

        Raises:
            NobodyPerforms: there is no such session now.
            AdmissionRefused: all places are taken.
            OfferRejected: the offer cannot be used.
        """
        session = self._performing(wish)
        limit = self._services.config.server.max_viewers
        if len(self._viewers) >= limit:
            raise AdmissionRefused(
                f"{len(self._viewers)} of {limit} viewers are watching; "
                "end one, or raise server.max_viewers"
            )
        viewer = Viewer(self._services, wish, session.audience, self._forget)
        self._viewers[viewer.id] = viewer
        try:
            return viewer, await viewer.answer(offer_sdp)
        except BaseException as exc:  # also when the request is cancelled: nothing may stay behind
            await viewer.close(f"the offer was not answered: {exc}")
            raise

    def _performing(self, wish: Wish) -> Session:
        session = self._sessions.find(wish.session)
        if session is None and wish.session == LATEST:
            raise NobodyPerforms("nobody performs now; ask again later")
        if session is None:
            raise NobodyPerforms(f"no session {wish.session[:64]!r} runs now; ask again later")
        return session

    def get(self, viewer_id: str) -> Viewer | None:
        return self._viewers.get(viewer_id)

    async def close_all(self, reason: str) -> None:
        self._watch.stop()
        await asyncio.gather(*(viewer.close(reason) for viewer in list(self._viewers.values())))

    def _forget(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer.id, None)
        self._guard.forget(viewer.id)

    async def _look(self) -> float:
        for viewer in self:
            look = functools.partial(viewer.watch, self._sessions)
            given_up = self._guard.look(viewer.id, look)
            if given_up is not None:
                viewer.close_soon(given_up)
        return WATCH_INTERVAL_S
