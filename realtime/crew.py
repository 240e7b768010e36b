"""Several worker processes that share the performers: started, watched, ended.

Python's lock lets one process use little more than one core, so where several perform at the same
time, each process has networks and threads of its own (docs/LOG.md has the figures). This one keeps
what there is once: the address, TLS, tokens, the page, admission. Media never comes here: each
worker has UDP ports of its own.

A worker that dies takes its sessions with it, as a daemon would; it is started again, and the
others go on. Runs on the event loop. Knows no clients.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from realtime import logs
from realtime.cast import Studio
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import REVEALED, Config
from realtime.crew_worker import END_S, Worker
from realtime.daemon import State
from realtime.errors import StartupError
from realtime.load import usable_cores
from realtime.placing import Place, next_fps
from realtime.telemetry import Telemetry
from realtime.watches import Guard, Watch
from realtime.worker_talk import Look, Order

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S, LOADING_INTERVAL_S = 0.5, 0.1
HUNG_S = 20.0
"""a worker that answers nothing for so long is killed"""
SICK_S = 5.0
"""One that every look finds sick for so long is ended, with its performers. Its watches have failed
for two seconds by then, or its render thread RESTARTS times; but what makes a watch fail, a disk or
the number of open files, may be over soon, and until then nobody new is sent there"""
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 30.0
"""before a worker that has ended is started again; doubled each time that it did not last"""
LASTS_S = 60.0
FATAL_DEATHS = 3
"""so many before anybody was ever ready, and the daemon ends as well"""


class Crew:
    """The workers, as one `daemon.Host`.

    Args:
        studio: what makes a worker's studio; each process imports it by its name.

    Raises:
        StartupError: the settings need what one process only can have.
    """

    def __init__(self, config: Config, studio: Callable[[Config], Studio]) -> None:
        _check(config)
        self.config = config
        self.studio = studio(config)
        self.telemetry = Telemetry()
        """of this process: refusals, and what it takes itself"""
        self.failure: StartupError | None = None
        self.draining = False
        self.cores = usable_cores()
        self.changed = asyncio.Event()
        """somebody became ready, or the end is near"""
        self._directory = Path(tempfile.mkdtemp(prefix="reenactd-"))  # mode 0700
        self._clock = MonotonicClock()
        self._settings, name = _plain(config), _name_of(studio)
        self._workers = {
            index: Worker(index, self._directory, name, self._settings, self._clock)
            for index in range(1, config.server.workers + 1)
        }
        self._deaths = 0
        self._was_ready = False
        self._failed = asyncio.Event()
        self._lives: dict[Worker, asyncio.Task[None]] = {}
        self._watch = Watch(self._look_after, "worker processes", self._clock)
        self._guard = Guard("worker", self._clock)
        self._told_ready: dict[int, int | None] = {}
        """which process of each worker was said to be ready"""

    async def start(self) -> None:
        """Start the first; each next one once the one before it is loaded."""
        before: Worker | None = None
        for worker in self._workers.values():
            self._lives[worker] = _task(self._keep(worker, before), f"worker {worker.index}")
            before = worker
        self._watch.start()

    async def stop(self, reason: str) -> None:
        """End every worker, which tells its sessions; returns when no process is left."""
        self.drain()
        self._watch.stop()
        for worker, life in self._lives.items():
            if worker.runs:
                worker.dismiss()
            else:
                life.cancel()
        if self._lives:
            _, late = await asyncio.wait(self._lives.values(), timeout=END_S)
            for worker, life in self._lives.items():
                if life in late:
                    logger.warning("worker %d does not end within %g s", worker.index, END_S)
                    worker.kill()
            await asyncio.gather(*self._lives.values(), return_exceptions=True)
        shutil.rmtree(self._directory, ignore_errors=True)

    def drain(self, within_s: float = 0.0) -> None:
        self.draining = True
        self.changed.set()
        for worker in self._workers.values():
            worker.order(Order(drain=True, within_s=within_s))

    async def wait_for_failure(self) -> None:
        await self._failed.wait()

    def adopt(self, config: Config) -> None:
        """Go by these settings, in every process; only those of `reload.RELOADABLE` may differ."""
        self.config = config
        logs.set_up(config.log)
        self._settings.clear()  # it is what a worker that is started again is given
        self._settings.update(_plain(config))
        for worker in self._workers.values():
            worker.order(Order(adopt=self._settings))

    @property
    def state(self) -> State:
        if self.draining:
            return "draining"
        if self.failure is not None or self._watch.failure is not None:
            return "sick"
        return "ready" if self.places() else "loading"

    @property
    def engine(self) -> str:
        return next((look.engine for look in self.looks.values()), "loading")

    @property
    def session_count(self) -> int:
        return sum(len(look.sessions) for look in self.looks.values())

    @property
    def taken(self) -> int:
        """Places, over all workers."""
        return sum(worker.place(worker.look).burden.sessions for worker in self if worker.look)

    @property
    def next_session_fps(self) -> float | None:
        """What one more session would get where it would get the most."""
        return next_fps(self.places(), self.cores)

    def is_ready(self, identity_id: str) -> bool:
        """Whether it can be worn at once, whichever worker gets the session."""
        looks = [worker.look for worker in self._workers.values()]
        return all(look is not None and identity_id in look.identities for look in looks)

    def __iter__(self) -> Iterator[Worker]:
        """Those that listen."""
        return (worker for worker in self._workers.values() if worker.look is not None)

    def __getitem__(self, index: int) -> Worker:
        return self._workers[index]

    @property
    def looks(self) -> dict[int, Look]:
        """Of those that listen, as they were last seen."""
        return {worker.index: worker.look for worker in self if worker.look is not None}

    async def look(self) -> dict[int, Look]:
        """How all of them do now."""
        await asyncio.gather(*(worker.look_again() for worker in self))
        for worker in self:
            for session_id in worker.late:  # each worker has room; it knows nothing of the others
                worker.judge(session_id, room=self.taken < self.config.server.max_sessions)
        return self.looks

    def places(self) -> list[Place]:
        """Of all workers where a session can be opened."""
        return [
            worker.place(look)
            for worker in self
            if (look := worker.look) is not None and look.state == "ready"
        ]

    async def _keep(self, worker: Worker, before: Worker | None) -> None:
        """Have a worker run until the end, whatever happens to it."""
        delay_s = FIRST_DELAY_S
        if before is not None:
            await before.loaded.wait()
        while not self.draining:
            began_ns = self._clock.now_ns()
            code = await self._live(worker)
            if self.draining or self._ends_all(worker):
                return
            if self._clock.now_ns() - began_ns > LASTS_S * NS_PER_S:
                delay_s = FIRST_DELAY_S
            why = worker.failure or f"exit code {code}"
            logger.error(
                "worker %d has ended (%s), and its sessions; it is started again in %.0f s",
                *(worker.index, why, delay_s),
            )
            worker.loaded.set()  # as far as the next one waits for it
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def _live(self, worker: Worker) -> int | None:
        """Its exit code; None where it could not be started, or said what is no report."""
        try:
            return await worker.live()
        except (OSError, ValueError) as exc:
            logger.error("worker %d cannot be kept: %s", worker.index, exc)
        except Exception:  # noqa: BLE001 - the task's root: it is started again
            logger.exception("worker %d cannot be kept: a fault of the daemon", worker.index)
        worker.kill()
        return None

    def _ends_all(self, worker: Worker) -> bool:
        """Whether the daemon cannot go on either: nobody was ready yet, and nobody will be."""
        self._deaths += 1
        if self._was_ready or (worker.failure is None and self._deaths < FATAL_DEATHS):
            return False
        self.failure = StartupError(
            worker.failure or "every worker process ends before it is ready: the log has the rest"
        )
        self._failed.set()
        return True

    async def _look_after(self) -> float:
        """Says who is ready; whoever cannot serve any more is started again."""
        looks = await self.look()
        for worker in self:
            look = functools.partial(self._look_at, worker)
            if self._guard.look(str(worker.index), look) is not None:
                worker.kill()
        loading = any(look.state == "loading" for look in looks.values())
        return LOADING_INTERVAL_S if loading else LOOK_INTERVAL_S

    def _look_at(self, worker: Worker) -> None:
        if worker.silent_s > HUNG_S:
            logger.error("worker %d hangs", worker.index)
            worker.kill()
        elif worker.sick_s >= SICK_S and not worker.is_dismissed:
            logger.error("worker %d is sick for %g s: it ends", worker.index, SICK_S)
            worker.dismiss()
        elif worker.pid != self._told_ready.get(worker.index) and self._is_ready(worker):
            self._told_ready[worker.index] = worker.pid

    def _is_ready(self, worker: Worker) -> bool:
        if worker.look is None or worker.look.state != "ready":
            return False
        logger.info("worker %d is ready, process %d", worker.index, worker.pid)
        self._was_ready = True
        worker.loaded.set()
        self.changed.set()
        return True


def _task(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(coroutine, name=name)


def _plain(config: Config) -> dict[str, Any]:
    """With secrets as they are: it goes through a pipe to a process of ours."""
    return config.model_dump(mode="json", context=REVEALED)


def _check(config: Config) -> None:
    """
    Raises:
        StartupError: something can be had by one process only.
    """
    workers = f"server.workers = {config.server.workers}"
    alone = "one process only can have that: set server.workers = 1"
    if config.tracking.driver == "vmc":
        raise StartupError(f"{workers} and tracking.driver = vmc, which listens on a port; {alone}")
    for name, target in (
        ("vmc.send", config.vmc.send),
        ("vtube_studio.url", config.vtube_studio.url),
    ):
        if target is not None:
            raise StartupError(f"{workers} and {name} = {target}, where one model moves; {alone}")


def _name_of(studio: Callable[[Config], Studio]) -> str:
    """By which another process imports it."""
    module, name = studio.__module__, studio.__qualname__
    if module == "__main__":
        spec = sys.modules[module].__spec__
        module = module if spec is None else spec.name
    if module == "__main__" or "<" in name:
        raise StartupError(f"{module}.{name} cannot be imported by workers: set server.workers = 1")
    return f"{module}:{name}"
