"""The identities that are ready to wear: each is encoded once and kept, so that a switch is a
look-up. Runs on the event loop; the encoding itself runs on the loader thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from engines.errors import EngineError
from realtime.errors import ReenactdError
from realtime.workers import BackgroundWorker

if TYPE_CHECKING:
    from realtime.identity import Identity

logger = logging.getLogger(__name__)

CanvasHw = tuple[int, int] | None


class Wardrobe:
    """Encoded identities by id and canvas; None is the canvas that the daemon is configured for."""

    def __init__(
        self,
        load: Callable[[str, CanvasHw], Identity],
        check: Callable[[str], object],
        loader: BackgroundWorker,
    ) -> None:
        self._load, self._check = load, check
        self._loader = loader
        self._loading: dict[tuple[str, CanvasHw], asyncio.Task[Identity]] = {}
        self._records: dict[tuple[str, CanvasHw], object] = {}
        """what each was loaded by"""

    async def get(self, identity_id: str, canvas_hw: CanvasHw = None) -> Identity:
        """The encoded identity; at once if it was used or prepared before and its record still
        says the same.

        Raises:
            IdentityError: there is none of that id, or it may not be used, or no longer.
        """
        record = self._check(identity_id)  # two small files, half a millisecond
        key = identity_id, canvas_hw
        task = self._loading.get(key)
        if task is None or self._records[key] != record:
            self._records[key] = record
            task = asyncio.create_task(
                self._loader.run(lambda: self._load(*key)), name=f"load {identity_id}"
            )
            self._loading[key] = task
            task.add_done_callback(lambda done: self._forget_failed(key, done))
        return await asyncio.shield(task)

    def is_ready(self, identity_id: str) -> bool:
        """Whether it can be worn at once."""
        task = self._loading.get((identity_id, None))
        return task is not None and task.done()

    @property
    def ids(self) -> frozenset[str]:
        """Of all that were asked for and could be loaded, or may be soon."""
        return frozenset(identity_id for identity_id, _ in self._loading)

    def forget(self, identity_id: str) -> None:
        """Let go of an encoded identity that may no longer be used, on every canvas."""
        for key in [key for key in self._loading if key[0] == identity_id]:
            self._loading.pop(key, None)
            self._records.pop(key, None)

    async def prepare(self, identity_ids: Iterable[str], canvas_hw: CanvasHw = None) -> None:
        """Encode one after the other, so that a performer's own wish waits for one at most."""
        for identity_id in identity_ids:
            try:
                await self.get(identity_id, canvas_hw)
            except (ReenactdError, EngineError) as exc:
                logger.warning("identity %s cannot be used: %s", identity_id, exc)

    def _forget_failed(self, key: tuple[str, CanvasHw], task: asyncio.Task[Identity]) -> None:
        """A failed one is tried again when it is next asked for: its files may have been mended."""
        failed = task.cancelled() or task.exception() is not None
        if failed and self._loading.get(key) is task:
            del self._loading[key]
