"""A rendered file: every frame answered, in order, at its time; no face is held, then carded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.config import Config, Output, Video
from realtime.errors import FrameError, SessionError, StartupError
from realtime.frames import (
    Arrived,
    Controls,
    FaceTrack,
    NoFace,
    OutputFrame,
    SourceFrame,
    Timings,
    Tracked,
)
from realtime.identity import Identity
from realtime.media_file import MediaReader
from realtime.pacing import Limits
from realtime.pipeline import NoOutput, Pipeline
from realtime.render import Outcome, Performance, Stand, render

WIDTH, HEIGHT = 160, 120
FACE, NO_FACE, BROKEN = 200, 20, 110
"""brightness of a picture: what the fakes see in it"""
CARD = 16


def config(hold_s: float = 0.5) -> Config:
    return Config(
        video=Video(width_px=WIDTH, height_px=HEIGHT),
        output=Output(hold_s=hold_s, recover_frames=2),
    )


def make_clip(path: Path, brightness: list[int], rate: Fraction = Fraction(25)) -> Path:
    with av.open(f"file:{path}", "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": "5"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for value in brightness:
            picture = np.full((HEIGHT, WIDTH, 3), value, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path


def luma(path: Path) -> list[int]:
    """Mean brightness of each picture's Y plane."""
    with MediaReader(path) as reader:
        return [
            round(float(np.asarray(item.to_ndarray(format="yuv420p"))[:HEIGHT].mean()))
            for item in reader
            if isinstance(item, av.VideoFrame)
        ]


def picture(value: int, arrived_ns: int = 0) -> OutputFrame:
    i420 = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    i420[:HEIGHT] = value
    return OutputFrame(i420, WIDTH, HEIGHT, 0, 0, "LIVE", Timings(arrived_ns), 0)


@dataclass
class BrightnessTrack:
    """Sees a face in bright pictures."""

    times_ns: list[int]
    closed: list[bool]

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        self.times_ns.append(arrived.arrived_ns)
        rgb = np.asarray(arrived.frame.to_ndarray(format="rgb24"), np.uint8)
        source = SourceFrame(0, 0, arrived.arrived_ns, rgb)
        landmarks = np.zeros((478, 3), np.float32)
        face = FaceTrack(landmarks, 1.0) if rgb.mean() > 80 else NoFace("none")
        return Tracked(source, face, None, Timings(arrived.arrived_ns))

    def close(self) -> None:
        self.closed.append(True)


@dataclass
class CountingPipeline:
    """Answers the n-th frame of a pass with brightness 60 + n; needs `calibrate_after` faces."""

    calibrate_after: int = 3
    seen: int = 0
    made: list[int] = field(default_factory=list)

    @property
    def calibrated(self) -> bool:
        return self.seen >= self.calibrate_after

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        if isinstance(tracked.face, NoFace):
            return NoOutput(tracked.face.reason)
        if abs(float(tracked.source.rgb.mean()) - BROKEN) < 10:
            raise FrameError("broken on purpose")
        self.seen += 1
        self.made.append(self.seen)
        return picture(60 + self.seen)

    def card(self, text: str) -> OutputFrame:
        return picture(CARD)


@dataclass
class Stage:
    pipeline: CountingPipeline
    times_ns: list[int] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)

    def performance(self, track: Callable[[], Any] | None = None) -> Performance:
        return Performance(
            make_track=track or (lambda: BrightnessTrack(self.times_ns, self.closed)),
            pipeline=cast(Pipeline, self.pipeline),
            identity=cast(Identity, None),
            controls=Controls(),
        )


def run(source: Path, target: Path, stage: Stage, hold_s: float = 0.5) -> Outcome:
    return render(source, target, stage.performance(), config(hold_s), lambda done, total: None)


def test_every_frame_is_answered_once_and_in_order(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 20)
    stage = Stage(CountingPipeline())
    outcome = run(source, tmp_path / "out.mp4", stage)
    # three frames of the first pass took the neutral, so the second begins with the fourth
    assert luma(tmp_path / "out.mp4") == pytest.approx([64 + n for n in range(20)], abs=1)
    assert outcome == Outcome(live=20, held=0, cards=0, failed=0, damaged=0)


def test_time_is_the_films_own_and_never_runs_back(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 8, Fraction(10))
    stage = Stage(CountingPipeline())
    run(source, tmp_path / "out.mp4", stage)
    steps = np.diff(stage.times_ns)
    assert (steps > 0).all()
    assert steps[-7:] == pytest.approx([100 * NS_PER_MS] * 7, abs=NS_PER_MS)


def test_a_lost_face_is_held_and_then_carded(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 5 + [NO_FACE] * 10 + [FACE] * 5)
    stage = Stage(CountingPipeline())
    outcome = run(source, tmp_path / "out.mp4", stage, hold_s=0.2)
    shown = luma(tmp_path / "out.mp4")
    last_live = shown[4]
    assert shown[5:9] == pytest.approx([last_live] * 4, abs=1)
    assert shown[9:16] == pytest.approx([CARD] * 7, abs=1)
    assert min(shown[16:]) > 60
    assert (outcome.live, outcome.held, outcome.cards) == (9, 4, 7)


def test_a_film_without_a_face_is_all_cards(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [NO_FACE] * 6)
    outcome = run(source, tmp_path / "out.mp4", Stage(CountingPipeline()))
    assert luma(tmp_path / "out.mp4") == pytest.approx([CARD] * 6, abs=1)
    assert (outcome.frames, outcome.cards) == (6, 6)


def test_a_frame_that_a_stage_refuses_is_held_and_counted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 6 + [BROKEN] + [FACE] * 3)
    outcome = run(source, tmp_path / "out.mp4", Stage(CountingPipeline()))
    assert (outcome.live, outcome.held, outcome.failed) == (9, 1, 1)


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 7)
    seen: list[tuple[int, int | None]] = []
    stage = Stage(CountingPipeline())
    render(
        source,
        tmp_path / "out.mp4",
        stage.performance(),
        config(),
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(n, 7) for n in range(1, 8)]


def test_trackers_are_closed_whatever_happens(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 3)
    stage = Stage(CountingPipeline())
    run(source, tmp_path / "out.mp4", stage)
    assert stage.closed == [True, True]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SessionError("too large")])
def test_an_interrupted_render_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 6)
    stage = Stage(CountingPipeline())

    def interrupted(done: int, total: int | None) -> None:
        if done == 3:
            raise error

    with pytest.raises(type(error)):
        render(source, tmp_path / "out.mp4", stage.performance(), config(), interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    assert stage.closed == [True, True]


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", [FACE] * 3)
    before = source.read_bytes()
    with pytest.raises(StartupError, match="is the source itself"):
        run(source, source, Stage(CountingPipeline()))
    assert source.read_bytes() == before


def test_stand_recovers_only_after_good_frames_in_a_row() -> None:
    limits = Limits(hold_ns=0, watchdog_ns=NS_PER_S, recover_frames=3)
    stand = Stand(limits, picture(CARD))
    made = [picture(99), None, picture(99), None, picture(99), picture(99), picture(99)]
    states = [stand(each, n * 40 * NS_PER_MS)[1] for n, each in enumerate(made)]
    assert states == ["LIVE", "CARD", "CARD", "CARD", "CARD", "CARD", "LIVE"]
