"""The identities that are ready to wear: each is encoded once and kept, so that a switch is a
look-up. Runs on the event loop; the encoding itself runs on the loader thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from realtime.errors import ReenactdError
from realtime.workers import BackgroundWorker

if TYPE_CHECKING:
    from realtime.identity import Identity

logger = logging.getLogger(__name__)


class Wardrobe:
    """Encoded identities by id, for the one canvas size that the daemon serves."""

    def __init__(self, load: Callable[[str], Identity], loader: BackgroundWorker) -> None:
        self._load = load
        self._loader = loader
        self._loading: dict[str, asyncio.Task[Identity]] = {}

    async def get(self, identity_id: str) -> Identity:
        """The encoded identity; at once if it was used or prepared before.

        Raises:
            IdentityError: there is none of that id, or it may not be used.
        """
        task = self._loading.get(identity_id)
        if task is None:
            task = asyncio.create_task(
                self._loader.run(lambda: self._load(identity_id)), name=f"load {identity_id}"
            )
            self._loading[identity_id] = task
            task.add_done_callback(lambda done: self._forget_failed(identity_id, done))
        return await asyncio.shield(task)

    def is_ready(self, identity_id: str) -> bool:
        """Whether it can be worn at once."""
        task = self._loading.get(identity_id)
        return task is not None and task.done()

    async def prepare(self, identity_ids: Iterable[str]) -> None:
        """Encode one after the other, so that a performer's own wish waits for one at most."""
        for identity_id in identity_ids:
            try:
                await self.get(identity_id)
            except ReenactdError as exc:
                logger.warning("identity %s cannot be used: %s", identity_id, exc)

    def _forget_failed(self, identity_id: str, task: asyncio.Task[Identity]) -> None:
        """A failed one is tried again when it is next asked for: its files may have been mended."""
        if task.cancelled() or task.exception() is not None:
            self._loading.pop(identity_id, None)
