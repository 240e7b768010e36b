"""The daemon as `bench narrow` runs it: whatever the camera shows, its output is a known film.

    python -m realtime.bench.film_daemon --film FILE.npy [--config FILE] [--port N]

Sessions, quality ladder, encoders and transport are the daemon's own; only the work is replaced, so
that whoever receives a picture knows what was sent. Each is numbered (`frame_code.py`). It is
started by the bench only, on loopback, and its pictures are marked like any other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from realtime.bench import frame_code
from realtime.bench.coded_daemon import EchoPipeline, EchoTrackStage
from realtime.clock import Clock, MonotonicClock
from realtime.config import Config, load
from realtime.desk import Pipeline, TrackStage
from realtime.frames import U8, Controls, Motion, OutputFrame, Tracked
from realtime.identity import Identity
from realtime.server import run
from realtime.studio import LiveStudio


def shown_at(number: int, length: int) -> int:
    """Which picture of a film of two or more a numbered one shows: forth and back for ever."""
    place = number % (2 * length - 2)
    return min(place, 2 * length - 2 - place)


class FilmPipeline(EchoPipeline):
    """The film's next picture at the size of the identity's canvas, for every camera picture.

    Args:
        film: (N, H * 3 // 2, W) I420.
    """

    on_motion: Callable[[Motion], None] | None = None

    def __init__(self, config: Config, film: U8, clock: Clock) -> None:
        super().__init__(config, clock)
        self._film = film
        self._count = 0

    def process(self, tracked: Tracked, controls: Controls, identity: Identity) -> OutputFrame:
        number, self._count = self._count, self._count + 1
        i420 = self._film[shown_at(number, len(self._film))]
        rgb = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)
        height, width = identity.background_rgb.shape[:2]
        if rgb.shape[:2] != (height, width):
            size = (width, height)
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        made = super().process(
            replace(tracked, source=replace(tracked.source, rgb=rgb)), controls, identity
        )
        coded = made.i420.copy()
        frame_code.draw(coded, number)
        return replace(made, i420=coded)


class FilmStudio(LiveStudio):
    """Everything is loaded as ever, and then not used."""

    def __init__(self, config: Config, film: U8) -> None:
        super().__init__(config)
        self._own_config = config
        self._film = film

    def make_track_stage(self) -> TrackStage:
        return EchoTrackStage(self._own_config, MonotonicClock())

    def make_pipeline(self) -> Pipeline:
        return FilmPipeline(self._own_config, self._film, MonotonicClock())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--film", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    config = load(options.config, {"server": {"port": options.port, "host": "127.0.0.1"}})
    film: U8 = np.load(options.film)
    run(config, studio=lambda config: FilmStudio(config, film))


if __name__ == "__main__":
    main()
