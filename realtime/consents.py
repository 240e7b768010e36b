"""Watches whether the consents hold by which somebody is shown: who takes one back is gone at once.

Looks at the records of every identity that is worn or kept ready, several times a second, on a
thread that has little else to do. So whatever ends a consent ends it here: the command line, the
page, another process, a date that has come, a file that is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from realtime.clock import Clock
from realtime.errors import IdentityError
from realtime.sessions import Sessions
from realtime.wardrobe import Wardrobe
from realtime.watches import Watch
from realtime.workers import BackgroundWorker

logger = logging.getLogger(__name__)

INTERVAL_S = 0.2
"""a session ends within a second of the change: this, the look itself, and the goodbye"""

LOOK_S = 10.0
"""a disk that hangs for longer ends the sessions, too"""


class ConsentWatch:
    """Lives on the event loop.

    Args:
        check: fails with an IdentityError where the identity may not be used now.
    """

    def __init__(
        self,
        check: Callable[[str], object],
        sessions: Sessions,
        wardrobe: Wardrobe,
        worker: BackgroundWorker,
        clock: Clock,
    ) -> None:
        self._check = check
        self._sessions, self._wardrobe = sessions, wardrobe
        self._worker = worker
        self._watch = Watch(self._look, "consents", clock)

    def start(self) -> None:
        self._watch.start()

    def stop(self) -> None:
        self._watch.stop()

    @property
    def sick(self) -> str | None:
        """Why nobody looks at consents any more, if so."""
        return self._watch.failure

    async def _look(self) -> float:
        worn = {session.identity_id for session in self._sessions}
        look = self._worker.run(partial(self._ended, worn | self._wardrobe.ids))
        try:
            ended = await asyncio.wait_for(look, LOOK_S)
        except asyncio.TimeoutError:  # what cannot be looked at does not hold
            ended = dict.fromkeys(worn, f"its consent could not be read within {LOOK_S:g} s")
        for identity_id, why in ended.items():
            self._wardrobe.forget(identity_id)
            for session in self._sessions:
                if session.identity_id == identity_id:
                    session.close_soon("the consent for this identity no longer holds")
            logger.warning("identity %s is put away: %s", identity_id, why)
        return INTERVAL_S

    def _ended(self, identity_ids: Iterable[str]) -> dict[str, str]:
        """Why each may not be used that may not."""
        ended = {}
        for identity_id in identity_ids:
            try:
                self._check(identity_id)
            except IdentityError as error:
                ended[identity_id] = str(error)
            except Exception as error:  # noqa: BLE001 - what cannot be looked at does not hold
                ended[identity_id] = repr(error)
        return ended
