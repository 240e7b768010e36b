"""What is kept of a session gets its C2PA manifest: pictures at once, films once they are whole.

    begin    a note of what the film shows (`drafts.py`), from its first picture on
    finish   another process signs it (`film_process.py`) and puts it in the unsigned one's place

A film that was not signed, because a crash or a full disk came in between, is played as it is; the
next start of a daemon signs it. Without the `c2pa` extra nothing is signed or noted, which is said
once, and every picture is marked all the same. Knows no sessions.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.errors import EngineError
from realtime import c2pa_manifest, drafts
from realtime.drafts import Credit, Draft, claim_of
from realtime.errors import StartupError, TrustError
from realtime.records import Subject
from realtime.workers import BackgroundWorker

logger = logging.getLogger(__name__)

PATIENCE_S = 60.0
BYTES_PER_S = 2_000_000
"""a film of so many bytes is waited for a second longer: a twentieth of what was measured"""
LATER = "it is tried again when the daemon next starts"


@dataclass(frozen=True)
class Sealing:
    """Whom and what a session's pictures show, for their manifests."""

    sealer: Sealer
    subject: Callable[[], Subject]
    """reads files: not for the event loop"""
    credit: Callable[[], Credit]
    """at once"""

    def begin(self, film: Path, credit: Credit) -> Draft:
        """Note a film that begins.

        Raises:
            TrustError: it will not be signed; the reason was logged.
        """
        return self.sealer.begin(film, credit, self.subject)

    def picture(self, png: bytes) -> bytes:
        """With its manifest; as it was where it cannot be signed, which is logged."""
        return self.sealer.picture(png, self.credit(), self.subject)


class Sealer:
    """Signs for all sessions, one film at a time."""

    def __init__(self) -> None:
        self._worker = BackgroundWorker("sealer")
        self._one_picture = threading.Lock()
        self._said: set[str] = set()

    def start(self) -> None:
        """Also take up what an earlier process left."""
        self._worker.start()
        self._worker.post(self._take_up)

    async def close(self) -> None:
        """What is being signed is waited for some seconds, and goes on by itself if it must."""
        await self._worker.close()

    def begin(self, film: Path, credit: Credit, subject: Callable[[], Subject]) -> Draft:
        """As `Sealing.begin`."""
        try:
            if not c2pa_manifest.is_installed():
                raise TrustError(
                    f"it carries no C2PA manifest; to have one: {c2pa_manifest.GET_IT}"
                )
            return Draft.begin(film, credit, subject())
        except (OSError, StartupError, EngineError) as error:
            self._say_once(f"recordings: {error}")
            raise TrustError(str(error)) from error

    def finish(self, draft: Draft, told: Callable[[str], None]) -> None:
        """Have a film that is whole signed.

        Args:
            told: called on another thread, with why it could not be; with "" if it is signed.
        """
        self._worker.post(lambda: told(self._sign(draft)))

    def picture(self, png: bytes, credit: Credit, subject: Callable[[], Subject]) -> bytes:
        """As `Sealing.picture`."""
        try:
            with self._one_picture:
                claim = claim_of(credit, subject())
                return c2pa_manifest.sealed(png, "image/png", claim, "snapshot.png")
        except (StartupError, EngineError) as error:
            self._say_once(f"pictures: {error}")
            return png

    def _take_up(self) -> None:
        if not c2pa_manifest.is_installed():
            return
        for draft in drafts.left():
            logger.info("%s was left unsigned", draft.film)
            self._sign(draft)

    def _sign(self, draft: Draft) -> str:
        try:
            problem = _in_another_process(draft)
        except (OSError, StartupError) as error:
            problem = str(error)
        finally:
            draft.close()
        if not problem:
            logger.info("%s is signed (C2PA)", draft.film)
        elif draft.note.exists():
            logger.warning("not signed: %s; %s", problem, LATER)
        else:
            logger.info("not signed: %s", problem)
        return problem

    def _say_once(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            logger.warning("not signed: %s", reason)


def _in_another_process(draft: Draft) -> str:
    """Why the film could not be signed; "" if it is.

    Raises:
        OSError, StartupError: there is no film, no process, or no key.
    """
    from realtime.trust import Keyring

    Keyring().media_keys()  # made here, at the first need, so that this log says so
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    patience_s = (
        PATIENCE_S + (draft.film.stat().st_size if draft.film.exists() else 0) / BYTES_PER_S
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "realtime.film_process", str(draft.note)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        pass_fds=(draft.file,),  # the lock is its too: it may outlive this process
        start_new_session=True,  # Ctrl-C is not meant for it
        text=True,
    )
    try:
        said, cried = child.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return f"{draft.film}: took longer than {patience_s:.0f} s"
    verdict, _, reason = said.strip().partition(" ")
    if verdict == "signed":
        return ""
    last = (cried.strip().splitlines() or ["without a word"])[-1]
    return reason or f"{draft.film}: the signing process ended with {child.returncode}: {last}"
