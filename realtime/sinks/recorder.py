"""The recorder: what viewers see and hear, into films on the disk, on a thread of its own.

Pictures come from the output gate, so they are marked, and cards are cards. A film must not skip
for a moment's delay, so here a queue stands where everything else is newest-wins. What waits in it
is lost in a crash: where it is long, pictures are left out, more of them the longer it is, and
counted. Sound is small and is kept. Where the session's pictures become smaller or larger, the film
goes on in its first size. Knows no sessions and no network.
"""

from __future__ import annotations

import copy
import datetime
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import av

from realtime.capture_times import CaptureTimes
from realtime.clock import Clock
from realtime.config import Recording, state_directory
from realtime.drafts import Credit, Draft
from realtime.errors import ReenactdError, TrustError
from realtime.frames import OutputFrame, Voice
from realtime.sealing import Sealing
from realtime.sinks.film import Film
from realtime.sinks.film_queue import FilmQueue, Heard, Picture
from realtime.sinks.fragments import FilmFile
from realtime.workers import SinkWorker

logger = logging.getLogger(__name__)

BYTES_PER_MIB = 2**20
MAX_NAMES = 1000

State = Literal["on", "stopped", "failed"]


class RecordingError(ReenactdError):
    """A film cannot be begun, or there is none to end."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is. Replaced whole by the recorder's thread."""

    state: State
    files: tuple[str, ...]
    """paths of its films, the one that is written last"""
    seconds: float = 0.0
    """over all films, from the first picture to the last"""
    bytes: int = 0
    dropped: int = 0
    """pictures that were left out because the queue was long"""
    problem: str = ""
    """why it failed"""
    signing: int = 0
    """films that are whole, and wait for their signature"""
    unsigned: str = ""
    """why the last one that carries no manifest (C2PA) carries none"""


class Recorder:
    """One recording of one session. Public methods are called on the event loop.

    Args:
        name: of the session, part of every film's name.
        times: of the session's pictures; continued here from a copy.
        sealing: has the films signed; None: they stay without a manifest.
        today: the local time of day, for the names.
    """

    def __init__(  # noqa: PLR0913 - what a recording is made of
        self,
        config: Recording,
        name: str,
        clock: Clock,
        times: CaptureTimes,
        sealing: Sealing | None = None,
        today: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        self._config = config
        self._name = name
        self._clock = clock
        self._times = copy.copy(times)
        self._sealing = sealing
        self._today = today
        self._queue = FilmQueue()
        self._begun: Future[None] = Future()
        self._progress = Progress("on", ())
        self._file: FilmFile | None = None
        """opened, and until its first picture without a film"""
        self._film: Film | None = None
        self._earlier_s = 0.0
        self._earlier_bytes = 0
        self._draft: Draft | None = None
        self._handed = 0
        """films given to be signed"""
        self._answered = 0
        """films of which is known what became of them; counted on the sealer's thread"""
        self._unsigned = ""
        self._worker = SinkWorker(f"record-{name}", self._run)

    @property
    def progress(self) -> Progress:
        return replace(
            self._progress,
            dropped=self._queue.dropped,
            signing=self._handed - self._answered,
            unsigned=self._unsigned,
        )

    def start(self) -> Future[None]:
        """Begin. The future is done when there is a file, or carries a RecordingError."""
        self._worker.start()
        return self._begun

    def see(self, output: OutputFrame) -> None:
        """A picture goes out to viewers now."""
        credit = None if self._sealing is None else self._sealing.credit()
        stamp = self._times.stamp(output, self._clock.now_ns())
        self._queue.put(Picture(output, stamp, credit))

    def hear(self, voice: Voice) -> None:
        """A packet goes out to viewers now."""
        stamp = None if voice.pts is None else self._times.of(voice.pts)
        if stamp is not None:
            self._queue.put(Heard(voice.opus, stamp))

    async def close(self) -> Progress:
        """End the film, with all that waits for it. What was said of it last."""
        self._queue.close()
        await self._worker.join()
        return self.progress

    # On the recorder's own thread from here on.

    def _run(self) -> None:
        try:
            self._file = self._open()
        except OSError as error:
            self._fail(f"{error.filename or self._directory}: {error.strerror or error}")
            problem = f"{self._progress.problem}; set recording.directory to another"
            self._begun.set_exception(RecordingError(problem))
            return
        self._begun.set_result(None)
        try:
            while (item := self._queue.take()) is not None:
                self._write(item)
        except (OSError, av.FFmpegError) as error:
            where = self._progress.files[-1]
            self._fail(f"{where}: {error.strerror or error}; the film ends here and can be played")
        except Exception as error:  # noqa: BLE001 - the thread's root
            logger.exception("a fault of the recorder")
            self._fail(f"a fault of the recorder: {error!r}")
        finally:
            self._finish()
            if self._progress.state == "on":
                self._progress = replace(self._progress, state="stopped")
        said = self._progress
        logger.info("recorded %.1f s: %s", said.seconds, ", ".join(said.files) or "no picture")

    def _write(self, item: Picture | Heard) -> None:
        if isinstance(item, Heard):
            if self._film is not None:
                self._film.voice(item.opus, item.stamp)
            return
        output = item.output
        if self._film is not None and self._is_full(self._film, output):
            self._finish()
        if self._film is None:
            file = self._file or self._open()
            self._file = None
            self._film = Film(file, output.width_px, output.height_px, item.stamp)
            self._begin_draft(file.path, item.credit)
        self._film.picture(output, item.stamp)
        self._note(item.credit)
        self._tell()

    def _finish(self) -> None:
        """Close the film, or the file that has become none."""
        film, file = self._film, self._file
        self._film = self._file = None
        if film is not None:
            film.close()
            self._earlier_s += film.seconds
            self._earlier_bytes += film.file.bytes
            self._end_draft(film)
        elif file is not None:
            file.close()
            files = self._progress.files[:-1]  # empty, and gone
            self._progress = replace(self._progress, files=files)
        self._tell()

    def _begin_draft(self, path: Path, credit: Credit | None) -> None:
        if self._sealing is None or credit is None:
            return
        try:
            self._draft = self._sealing.begin(path, credit)
        except TrustError as error:
            self._unsigned = str(error)

    def _note(self, credit: Credit | None) -> None:
        if self._draft is None or credit is None:
            return
        try:
            self._draft.add(credit)
        except OSError as error:  # what is noted is no longer the whole truth
            self._unsigned = f"{self._draft.note}: {error.strerror or error}"
            logger.warning("not signed: %s", self._unsigned)
            self._draft.drop()
            self._draft = None

    def _end_draft(self, film: Film) -> None:
        draft, self._draft = self._draft, None
        if draft is None or self._sealing is None:
            return
        if film.file.bytes == 0:
            draft.drop()
            return
        self._handed += 1
        self._sealing.sealer.finish(draft, self._sealed)

    def _tell(self) -> None:
        film = self._film
        seconds = self._earlier_s + (film.seconds if film is not None else 0)
        size = self._earlier_bytes + (film.file.bytes if film is not None else 0)
        self._progress = replace(self._progress, seconds=seconds, bytes=size)

    @property
    def _directory(self) -> Path:
        return self._config.directory or state_directory() / "recordings"

    def _open(self) -> FilmFile:
        """A new file by date, time and session; a name that is taken gets a number."""
        directory = self._directory.expanduser()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = f"{self._today():%Y-%m-%d_%H-%M-%S}_{self._name}"
        for count in range(1, MAX_NAMES):
            path = directory / (f"{stem}.mp4" if count == 1 else f"{stem}_{count}.mp4")
            try:
                file = FilmFile(path)
            except FileExistsError:
                continue
            self._progress = replace(self._progress, files=(*self._progress.files, str(path)))
            return file
        raise FileExistsError(17, f"{MAX_NAMES} films have this name already", str(directory))

    def _is_full(self, film: Film, output: OutputFrame) -> bool:
        return (
            not film.takes(output)
            or film.seconds >= self._config.max_minutes * 60
            or film.file.bytes >= self._config.max_mib * BYTES_PER_MIB
        )

    def _sealed(self, problem: str) -> None:
        """Called on the sealer's thread."""
        self._unsigned = problem or self._unsigned
        self._answered += 1

    def _fail(self, problem: str) -> None:
        self._queue.close(keep=False)
        self._progress = replace(self._progress, state="failed", problem=problem)
        logger.error("the recording of session %s stops: %s", self._name, problem)
