"""The worst pictures of an evaluation, for people to look at: they belong into a model card.

Each row is one sample: the frame that was to be shown, geometry alone, and the network; above it
why it was chosen. Cut around the face, all at one scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from engines import crop, face_mesh
from engines.training.contestants import GEOMETRY, NETWORK, U8, Contestant
from engines.training.people import Person
from engines.training.samples import F32, exact_placement
from engines.training.scores import Sample, Scores
from engines.training.trials import sit

_WORST = (
    ("self_mouth_psnr_db", False, "mouth box, dB"),
    ("self_eyes_psnr_db", False, "eye boxes, dB"),
    ("self_akd_percent", True, "landmarks, % off"),
)
"""measure, whether more is worse, and its name for people"""
_EACH = 3
"""samples of each measure"""
_TILE_PX = 240
_TILE_UNITS = 3.0
_CAPTION_PX = 18
_COLUMNS = "driving frame", "geometry only", "network"


def write(
    people: Sequence[Person], everybody: Sequence[Contestant], scores: Scores, path: Path
) -> None:
    """Write the sheet; the network's worst samples of each measure, one per person."""
    shown = [one for one in everybody if one.name in (GEOMETRY, NETWORK)]
    known = {person.name: person for person in people}
    rows = [
        _row(known[sample.identity], sample, shown, caption)
        for sample, caption in _chosen(scores)
        if sample.identity in known
    ]
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate(rows)).save(path, optimize=True)


def _chosen(scores: Scores) -> Iterator[tuple[Sample, str]]:
    for measure, more_is_worse, name in _WORST:
        values = scores.values_of(measure, NETWORK)
        others = scores.values_of(measure, GEOMETRY)
        worst = sorted(values, key=lambda sample: values[sample], reverse=more_is_worse)
        people: set[str] = set()
        for sample in worst:
            if len(people) < _EACH and sample.identity not in people:
                people.add(sample.identity)
                before = f"{others[sample]:.1f}" if sample in others else "no face"
                yield sample, f"{name}: {before} by geometry, {values[sample]:.1f} by the network"


def _row(person: Person, sample: Sample, shown: Sequence[Contestant], caption: str) -> U8:
    wanted, own = person.landmarks[sample.frame], person.landmarks[person.portrait]
    pictures = [crop.over_grey(person.rgba(sample.frame))]
    for sitting in sit(person, shown):
        placement = exact_placement(sitting.identity, own, wanted)
        pictures.append(sitting.draw(placement, placement.torso))
    tiles = np.concatenate([_tile(picture, wanted) for picture in pictures], axis=1)
    band = Image.new("RGB", (tiles.shape[1], _CAPTION_PX), (20, 20, 20))
    text = f"{Path(sample.frame).stem}  {caption}  ({', '.join(_COLUMNS)})"
    ImageDraw.Draw(band).text((4, 3), text, fill=(230, 230, 230))
    return np.concatenate([np.asarray(band), tiles])


def _tile(picture: U8, landmarks: F32) -> U8:
    """The face of a picture, (_TILE_PX, _TILE_PX, 3)."""
    side = _TILE_UNITS * face_mesh.face_unit(landmarks)
    x, y = landmarks[list(face_mesh.RIGID), :2].mean(axis=0).tolist()
    box = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    face = Image.fromarray(picture).resize(
        (_TILE_PX, _TILE_PX), Image.Resampling.LANCZOS, box=_within(box, picture)
    )
    return np.asarray(face)


def _within(
    box: tuple[float, float, float, float], picture: U8
) -> tuple[float, float, float, float]:
    """A box moved into the picture, or all of it where the box is larger."""
    height, width = picture.shape[:2]
    side = min(box[2] - box[0], height, width)
    left = min(max(box[0], 0), width - side)
    top = min(max(box[1], 0), height - side)
    return left, top, left + side, top + side
