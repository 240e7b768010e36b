"""The README's picture, made from real output: a performer's moments above the avatar's answers.

    python -m realtime.bench.contact_sheet OUT.png CLIP=IDENTITY [CLIP=IDENTITY ...]

Each clip is rendered as `reenactd render` does it. The moments are chosen from the truth that lies
beside the clip (`CLIP.json`): rest, blink, wide jaw, smile, turns to both sides, chin up and down.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from realtime.config import Config
from realtime.frames import U8, Controls
from realtime.media_file import MediaReader
from realtime.render import Job, assemble, render

Truth = dict[str, float]

CELL_PX = (320, 240)
_MOMENTS: tuple[Callable[[Truth], float], ...] = (
    lambda t: -abs(t["yaw_deg"]) / 10 - t["jaw"] - t["smile"] - t["blink"],
    lambda t: t["blink"] - abs(t["yaw_deg"]) / 60,
    lambda t: t["jaw"] - t["blink"] - abs(t["yaw_deg"]) / 60,
    lambda t: t["smile"] + 0.4 * t["jaw"] - t["blink"] - abs(t["yaw_deg"]) / 60,
    lambda t: -t["yaw_deg"] / 20 - t["blink"],
    lambda t: t["yaw_deg"] / 20 - t["blink"],
    lambda t: t["pitch_deg"] / 10 - t["blink"],
    lambda t: -t["pitch_deg"] / 10 - t["blink"],
)
"""the moment that scores highest is shown"""


def choose_moments(truth: list[Truth]) -> list[int]:
    """Frame numbers, one per moment; no moment within 5 frames of another."""
    chosen: list[int] = []
    for score in _MOMENTS:
        free = [i for i in range(len(truth)) if all(abs(i - c) > 5 for c in chosen)]
        chosen.append(max(free, key=lambda i: score(truth[i])))
    return chosen


def strip(clip: Path, identity: str, config: Config) -> U8:
    """(2 * h, n * w, 3): the performer above, the avatar below."""
    truth = json.loads(clip.with_suffix(".json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "avatar.mp4"
        performance = assemble(Job(clip, target, identity, None, Controls()), config)
        render(clip, target, performance, config, lambda done, total: None)
        moments = choose_moments(truth)
        rows = [_frames(path, moments) for path in (clip, target)]
    return np.vstack([np.hstack([_cell(image) for image in row]) for row in rows])


def _frames(path: Path, numbers: list[int]) -> list[U8]:
    wanted = dict.fromkeys(numbers)
    found: dict[int, U8] = {}
    with MediaReader(path) as reader:
        for number, frame in enumerate(_pictures(reader)):
            if number in wanted:
                found[number] = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return [found[number] for number in numbers]


def _pictures(reader: MediaReader) -> Iterator[av.VideoFrame]:
    return (item for item in reader if isinstance(item, av.VideoFrame))


def _cell(image: U8) -> Any:
    return np.asarray(Image.fromarray(image).resize(CELL_PX, Image.Resampling.LANCZOS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("pairs", nargs="+", metavar="CLIP=IDENTITY")
    options = parser.parse_args()
    strips = [
        strip(Path(clip), identity, Config())
        for clip, identity in (pair.rsplit("=", 1) for pair in options.pairs)
    ]
    Image.fromarray(np.vstack(strips)).save(options.out, optimize=True)


if __name__ == "__main__":
    main()
