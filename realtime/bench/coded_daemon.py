"""The daemon as `bench glass` runs it: every output carries the number of the camera picture shown.

    python -m realtime.bench.coded_daemon reenact|echo [--config FILE] [--port N] [--frames FILE]

`reenact` is the daemon itself with the number drawn over its output. `echo` is the same transport
with the work replaced by a copy of the camera: a floor to compare with, no way to use the daemon.
It is started by the bench only, on loopback, and its pictures are marked like any other.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from realtime.bench import frame_code
from realtime.bench.frame_log import write_every_answer
from realtime.clock import Clock, MonotonicClock
from realtime.config import Config, load
from realtime.desk import NoOutput, Pipeline, TrackStage
from realtime.frames import (
    Arrived,
    Composited,
    Controls,
    Motion,
    NoFace,
    OutputFrame,
    Timings,
    Tracked,
)
from realtime.identity import Identity
from realtime.server import run
from realtime.stages.emit import Emit
from realtime.stages.ingest import Ingest
from realtime.stages.mark import Mark, Marks
from realtime.studio import LiveStudio
from realtime.watermark import Payload


class CodedPipeline:
    """A pipeline whose pictures carry the number that was read from the camera's."""

    on_motion: Callable[[Motion], None] | None = None

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @property
    def calibrated(self) -> bool:
        return self._pipeline.calibrated

    @property
    def marks(self) -> Marks:
        return self._pipeline.marks

    def calibrate(self) -> None:
        self._pipeline.calibrate()

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        return self._pipeline.card(text, canvas_hw)

    def cut_out(self, wanted: bool) -> None:
        self._pipeline.cut_out(wanted)

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        made = self._pipeline.process(tracked, controls, identity)
        number = frame_code.read(tracked.source.rgb[:, :, 1])
        if not isinstance(made, OutputFrame) or number is None:
            return made
        i420 = made.i420.copy()
        frame_code.draw(i420, number)
        return replace(made, i420=i420)


class EchoTrackStage:
    """Takes the picture in and looks for nobody."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._ingest = Ingest(config.video)
        self._clock = clock
        self._seq = 0

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        began_ns = self._clock.now_ns()
        source = self._ingest(arrived, self._seq)
        self._seq += 1
        first_ns = arrived.arrived_ns - arrived.receive_ns
        timings = Timings(arrived.arrived_ns).with_stage("receive", arrived.receive_ns, first_ns)
        timings = timings.with_stage("ingest", self._clock.now_ns() - began_ns, began_ns)
        return Tracked(source, NoFace("none"), None, timings)

    def close(self) -> None:
        """There is nothing to release."""


class EchoPipeline:
    """The camera's picture, marked, as the output."""

    calibrated = True
    on_motion: Callable[[Motion], None] | None = None

    def __init__(self, config: Config, clock: Clock) -> None:
        self._mark = Mark(config.output, Payload.random())
        self._emit = Emit()
        self._clock = clock
        self._canvas = (config.video.height_px, config.video.width_px)

    @property
    def marks(self) -> Marks:
        return self._mark.marks

    def calibrate(self) -> None:
        """There is no neutral to take."""

    def cut_out(self, wanted: bool) -> None:
        """The camera's picture has no background to be taken from."""

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        from realtime.cards import draw_card

        marked = self._mark(Composited(draw_card(text, canvas_hw or self._canvas)))
        return self._emit(marked, -1, 0, "CARD", Timings(self._clock.now_ns()))

    def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
        source, began_ns = tracked.source, self._clock.now_ns()
        height, width = (side // 2 * 2 for side in source.rgb.shape[:2])
        marked = self._mark(Composited(source.rgb[:height, :width]))
        output = self._emit(marked, source.seq, source.pts, "LIVE", tracked.timings)
        spent_ns = self._clock.now_ns() - began_ns
        return replace(output, timings=tracked.timings.with_stage("copy", spent_ns, began_ns))


class CodedStudio(LiveStudio):
    """What the daemon uses, with numbers drawn over it."""

    def make_pipeline(self) -> Pipeline:
        return CodedPipeline(super().make_pipeline())


class EchoStudio(LiveStudio):
    """Everything is loaded as ever, and then not used."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._own_config = config

    def make_track_stage(self) -> TrackStage:
        return EchoTrackStage(self._own_config, MonotonicClock())

    def make_pipeline(self) -> Pipeline:
        return EchoPipeline(self._own_config, MonotonicClock())


STUDIOS = {"reenact": CodedStudio, "echo": EchoStudio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=STUDIOS)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--frames", type=Path, help="what it took over each answer goes here")
    options = parser.parse_args()
    config = load(options.config, {"server": {"port": options.port, "host": "127.0.0.1"}})
    if options.frames is not None:
        write_every_answer(options.frames)
    logging.getLogger(__name__).info("a daemon for a bench: %s", options.mode)
    run(config, studio=STUDIOS[options.mode])


if __name__ == "__main__":
    main()
