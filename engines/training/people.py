"""The people of an evaluation: identities held out from training, as labelled frames.

A held-out identity is a folder's frames `IDENTITY_FRAME.webp` whose identity ends in 9; its first
frame is frontal and near neutral, and serves as the portrait. Knows no network and no measure.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.crop import over_grey
from engines.training.pictures import read_rgba
from engines.training.samples import held_out, read_labels
from realtime.drivers.camera import find_faces

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Find = Callable[[U8], "F32 | None"]
"""(H, W, 3) -> (478, 3) of its surest face"""


@dataclass(frozen=True)
class Person:
    """One held-out identity; the first frame is its portrait."""

    name: str
    folder: Path
    landmarks: dict[str, F32]
    """file name -> (478, 3), in the order of the names"""

    @property
    def portrait(self) -> str:
        return next(iter(self.landmarks))

    def driving(self) -> list[str]:
        """All frames but the portrait."""
        return list(self.landmarks)[1:]

    def numbered(self, numbers: Container[int]) -> list[str]:
        """The frames but the portrait that bear these numbers; none stands in for another."""
        parts = {frame: Path(frame).stem.rpartition("_")[2] for frame in self.driving()}
        return [frame for frame, part in parts.items() if part.isdigit() and int(part) in numbers]

    def rgba(self, frame: str) -> U8:
        """
        Raises:
            SystemExit: the frame is damaged.
        """
        return read_rgba(self.folder / frame)


def find_face(rgb: U8) -> F32 | None:
    """The landmarks of the surest face of a picture."""
    found = find_faces(rgb, at_most=1)
    return found[0].landmarks_px if found else None


def read_people(
    data: Path, labels: Path | None, count: int | None, find: Find = find_face
) -> tuple[list[Person], list[str]]:
    """Held-out people, spread evenly over all there are, and the frames without a face.

    Args:
        data: folder of `IDENTITY_FRAME.webp`.
        labels: what `engines.training.labels` wrote; without it the faces are searched now.
        count: how many people at most; None takes all.

    Raises:
        SystemExit: the labels, or a frame, cannot be read.
    """
    frames: dict[str, list[Path]] = {}
    for path in sorted(data.glob("*.webp")):
        if held_out(path.name):
            frames.setdefault(path.name.split("_")[0], []).append(path)
    names = _spread(sorted(frames), count)
    known = None if labels is None else read_labels(labels)
    people, faceless = [], []
    for name in names:
        landmarks = {}
        for path in frames[name]:
            face = find(_over_grey(path)) if known is None else known.get(path.name)
            if face is None:
                faceless.append(path.name)
            else:
                landmarks[path.name] = face
        if frames[name][0].name in landmarks:
            people.append(Person(name, data, landmarks))
    return people, faceless


def _spread(names: list[str], count: int | None) -> list[str]:
    if count is None or count >= len(names):
        return names
    return [names[i] for i in np.linspace(0, len(names) - 1, count).round().astype(int)]


def _over_grey(path: Path) -> U8:
    return over_grey(read_rgba(path))
