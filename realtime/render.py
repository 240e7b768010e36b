"""A file instead of a camera: every frame through the live pipeline, in order, none dropped.

Two passes: the first looks at the opening seconds until the performer's neutral is known, so that
the second drives the avatar from frame 0 on. Time is the film's own, never the clock's, so the
smoothing and the half-second of holding mean what they mean live. Knows no threads and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime import pacing
from realtime.clock import NS_PER_S
from realtime.config import Config
from realtime.errors import FrameError, StartupError
from realtime.frames import Arrived, Controls, OutputFrame, OutputState, Tracked
from realtime.identity import Identity, Lent
from realtime.media_file import MediaReader, Timeline, VideoWriter
from realtime.pipeline import NoOutput, Pipeline, TrackStage
from realtime.provenance import FileProvenance
from realtime.records import keep_consent
from realtime.studio import load_networks, open_store

CALIBRATE_WITHIN_S = 10.0
"""a face that is not good for long enough by then is calibrated on the way, as in a live session"""
BETWEEN_PASSES_NS = NS_PER_S
"""the second pass is later than the first, so that time never runs back"""


class Track(Protocol):
    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Performance:
    """Who plays, and how."""

    make_track: Callable[[], Track]
    pipeline: Pipeline
    identity: Identity
    controls: Controls


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the frames; live + held + cards is their number."""

    live: int
    held: int
    cards: int
    failed: int
    """frames that a stage refused; they were held or carded"""
    damaged: int
    """packets of the source that could not be decoded"""

    @property
    def frames(self) -> int:
        return self.live + self.held + self.cards


class Stand:
    """Decides what stands for each frame: the new picture, the last one, or the card."""

    def __init__(self, limits: pacing.Limits, card: OutputFrame) -> None:
        self._limits = limits
        self._card = card
        self._pace = pacing.Pace()
        self._last = card

    def __call__(self, made: OutputFrame | None, now_ns: int) -> tuple[OutputFrame, OutputState]:
        event = pacing.Event.BAD if made is None else pacing.Event.GOOD
        self._pace, decision = pacing.decide(self._pace, event, now_ns, self._limits)
        if made is not None and decision is pacing.Decision.SEND:
            self._last = made
        shown = self._last if self._pace.phase in ("LIVE", "HOLD") else self._card
        return shown, self._pace.phase


def render(  # noqa: PLR0913 - the two callbacks last
    source: Path,
    target: Path,
    performance: Performance,
    config: Config,
    progress: Callable[[int, int | None], None],
    finish: Callable[[Path], None] | None = None,
) -> Outcome:
    """Write `target` from `source`: the same number of frames, at the same times, with the sound.

    Args:
        progress: called per frame with the number of finished frames and, if known, of all.
        finish: gets the complete file's path before it has its name.

    Raises:
        StartupError: a file cannot be read or written.
        SessionError: the pictures cannot be used at all, for example because they are too large.
    """
    if target.exists() and target.samefile(source):
        raise StartupError(f"{target}: is the source itself; name another file for the result")
    began_ns = _calibrate(source, performance)
    video = config.video
    limits = pacing.Limits.of(config.output)
    stand = Stand(limits, performance.pipeline.card("No face in view"))
    counts = {"LIVE": 0, "HOLD": 0, "CARD": 0, "START": 0}
    with (
        MediaReader(source) as reader,
        VideoWriter(target, reader, video.width_px, video.height_px, finish) as writer,
    ):
        film = _Film(reader, performance, began_ns)
        try:
            for item in reader:
                if isinstance(item, av.Packet):
                    writer.write_sound(item)
                    continue
                made, pts, now_ns = film.perform(item)
                shown, state = stand(made, now_ns)
                counts[state] += 1
                writer.write(shown.i420, pts)
                progress(writer.frames, reader.expected_frames)
        finally:
            film.close()
        if writer.frames == 0:
            raise StartupError(f"{source}: holds no frame that can be decoded")
    cards = counts["CARD"] + counts["START"]
    return Outcome(counts["LIVE"], counts["HOLD"], cards, film.failed, reader.damaged)


def _calibrate(source: Path, performance: Performance) -> int:
    """Show the opening to the pipeline until it knows the neutral. Returns when to go on."""
    with MediaReader(source) as reader:
        film = _Film(reader, performance, 0)
        now_ns = 0
        try:
            for item in reader:
                if isinstance(item, av.Packet):
                    continue
                _, _, now_ns = film.perform(item)
                if performance.pipeline.calibrated or now_ns > CALIBRATE_WITHIN_S * NS_PER_S:
                    break
        finally:
            film.close()
    return now_ns + BETWEEN_PASSES_NS


class _Film:
    """One pass of a reader's frames through tracker and pipeline."""

    def __init__(self, reader: MediaReader, performance: Performance, began_ns: int) -> None:
        self._timeline = Timeline.of(reader)
        self._began_ns = began_ns
        self._performance = performance
        self._track = performance.make_track()
        self._first_pts: int | None = None
        self.failed = 0

    def perform(self, frame: av.VideoFrame) -> tuple[OutputFrame | None, int, int]:
        """The avatar's picture or None, the frame's time in the file, and the time to decide by."""
        pts = self._timeline.next(frame.pts)
        if self._first_pts is None:
            self._first_pts = pts
        elapsed_s = self._timeline.seconds(pts - self._first_pts)
        now_ns = self._began_ns + round(elapsed_s * NS_PER_S)
        return self._picture(Arrived(frame, now_ns)), pts, now_ns

    def _picture(self, arrived: Arrived) -> OutputFrame | None:
        who = self._performance
        try:
            made = who.pipeline.process(
                self._track(arrived, who.controls), who.controls, who.identity
            )
        except FrameError:
            self.failed += 1
            return None
        return None if isinstance(made, NoOutput) else made

    def close(self) -> None:
        self._track.close()


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    source: Path
    target: Path
    identity: str
    """an identity's id, or the path of a portrait"""
    lent: Lent | None
    """that portrait, with the consent for this run"""
    controls: Controls


def render_with_progress(job: Job, config: Config) -> None:
    """Render with a progress bar, and say what became of the frames."""
    performance = assemble(job, config)
    if job.lent is not None:
        keep_consent(str(performance.pipeline.marks.payload), job.lent.signed)
    console = Console(highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    provenance = FileProvenance(
        config, performance.identity, job.controls, performance.pipeline.marks
    )
    with (
        provenance,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("looking for the neutral face", total=None)

        def advance(done: int, total: int | None) -> None:
            bar.update(task, description="rendering", completed=done, total=total)

        outcome = render(
            job.source,
            job.target,
            performance,
            config,
            advance,
            lambda path: provenance.seal(path, job.target.name),
        )
    console.print(f"{job.target}: {_summary(outcome)}", markup=False, soft_wrap=True)
    marks = performance.pipeline.marks
    console.print(f"marked {marks.payload}", markup=False, soft_wrap=True)
    if marks.warning is not None:
        console.print(marks.warning, markup=False, soft_wrap=True)
    for note in provenance.notes:
        console.print(note, markup=False, soft_wrap=True)


def assemble(job: Job, config: Config) -> Performance:
    """
    Raises:
        EngineError: the network cannot be run.
        IdentityError: the identity is unknown, or its consent does not hold.
    """
    reenactor = load_networks(config)
    store = open_store(config)
    canvas_hw = (config.video.height_px, config.video.width_px)
    if job.lent is not None:
        identity = store.from_portrait(job.lent, reenactor, canvas_hw)
    else:
        identity = store.load(job.identity, reenactor, canvas_hw)
    return Performance(
        make_track=lambda: TrackStage(config),
        pipeline=Pipeline(config, reenactor),
        identity=identity,
        controls=job.controls,
    )


def is_portrait_file(identity: str) -> bool:
    """Ids have neither a suffix nor a separator."""
    return "." in identity or "/" in identity or Path(identity).is_file()


def _summary(outcome: Outcome) -> str:
    notes = [f"{outcome.frames} frames, {outcome.live} with the avatar"]
    for count, what in (
        (outcome.held, "held"),
        (outcome.cards, "with the card (no face)"),
        (outcome.failed, "refused by a stage"),
        (outcome.damaged, "damaged packets in the source"),
    ):
        if count:
            notes.append(f"{count} {what}")
    return ", ".join(notes)
