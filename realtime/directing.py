"""Which worker process a request goes to, and whether something new is let in. No HTTP of clients.

A worker refuses by what it knows of itself; here is known what all of them bear together.
"""

from __future__ import annotations

import asyncio

from realtime.crew import Crew
from realtime.crew_worker import Worker
from realtime.daemon import ENDING, LOADING, READY_TIMEOUT_S
from realtime.errors import AdmissionRefused
from realtime.placing import choose, owner_of_session, owner_of_viewer, performing


class Director:
    """Lives on the event loop."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._refused_at: int | None = None

    def anybody(self) -> Worker:
        """Whoever listens; the same one, as long as it does.

        Raises:
            AdmissionRefused: nobody does.
        """
        for worker in self._crew:
            return worker
        raise AdmissionRefused(ENDING if self._crew.draining else LOADING)

    def everybody(self) -> list[Worker]:
        """All who listen, `anybody` first. Raises AdmissionRefused as that does."""
        first = self.anybody()
        return [first, *(worker for worker in self._crew if worker is not first)]

    async def of_session(self, name: str) -> Worker:
        """Who has the session that is called so; anybody, if nobody has: all of them say then what
        there is to say. Raises AdmissionRefused as `anybody` does."""
        return self._known(owner_of_session(await self._crew.look(), name))

    async def of_viewer(self, viewer_id: str) -> Worker:
        """Likewise who has that viewer."""
        return self._known(owner_of_viewer(await self._crew.look(), viewer_id))

    async def for_viewer(self, name: str) -> Worker:
        """Likewise where a viewer of the session of that name belongs.

        Raises:
            AdmissionRefused: all viewers' places are taken, or the end is near, too.
        """
        if self._crew.draining:
            raise AdmissionRefused(ENDING)
        looks = await self._crew.look()
        watching = sum(len(look.viewers) for look in looks.values())
        watching += sum(len(worker.joining) for worker in self._crew)
        limit = self._crew.config.server.max_viewers
        worker = performing(looks, name)
        if worker is not None and watching >= limit:
            raise AdmissionRefused(
                f"{watching} of {limit} viewers are watching; end one, or raise server.max_viewers"
            )
        return self._known(worker)

    async def for_session(self, name: str | None) -> list[Worker]:
        """Who may get a new session of that name, the best first.

        Raises:
            AdmissionRefused: not loaded in time, full, or about to end.
        """
        crew, server = self._crew, self._crew.config.server
        await self._until_ready()
        await crew.look()
        places = crew.places()
        if not places:
            raise AdmissionRefused(LOADING)
        if (taken := crew.taken) >= server.max_sessions:
            crew.telemetry.refused("places")
            raise AdmissionRefused(
                f"{taken} of {server.max_sessions} sessions are running; "
                "end one, or raise server.max_sessions"
            )
        choice = choose(places, name, crew.cores, server.min_fps, self._refused_at)
        self._refused_at = choice.refused_at
        if not choice.workers:
            crew.telemetry.refused("cost")
            raise AdmissionRefused(choice.refusal)
        return [crew[index] for index in choice.workers]

    def _known(self, index: int | None) -> Worker:
        return self.anybody() if index is None else self._crew[index]

    async def _until_ready(self) -> None:
        crew = self._crew

        async def wait() -> None:
            while not (crew.places() or crew.draining):
                crew.changed.clear()
                await crew.changed.wait()

        try:
            await asyncio.wait_for(wait(), READY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise AdmissionRefused(LOADING) from None
        if crew.draining:
            raise AdmissionRefused(ENDING)
