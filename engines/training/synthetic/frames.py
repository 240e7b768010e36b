"""The training set on disk: which frames are wanted, which are there, and what they show."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from engines.downloads import place
from engines.training.synthetic import people
from engines.training.synthetic.expressions import Shot, shot
from engines.training.synthetic.people import Person
from engines.training.synthetic.renderer import U8
from engines.training.synthetic.scene import Scene

_QUALITY = 90
"""of WebP's colours, 0..100; alpha is lossless"""

Entry = dict[str, object]


@dataclass(frozen=True)
class Job:
    """One run of the generator."""

    assets: Path
    """MakeHuman's files, verified"""
    out: Path
    numbers: Sequence[int]
    """identities"""
    frames: int
    """of each identity"""
    size: int
    """of a frame's side, pixels"""


def render(job: Job, report: Callable[[str], None]) -> None:
    """Render what is not there yet, and keep meta.json up with it.

    Args:
        report: told each frame's name when it is there.

    Raises:
        EngineError: there is no OpenGL here.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    targets = people.detail_targets(job.assets)
    scene: Scene | None = None
    for number in job.numbers:
        person = people.person(number, targets)
        shots = {name_of(number, frame): shot(person, frame) for frame in range(job.frames)}
        wanted = {name: s for name, s in shots.items() if not (job.out / name).exists()}
        for name in shots.keys() - wanted.keys():
            report(name)
        if wanted:
            scene = scene or Scene(job.assets, job.size)
            _photograph(scene, person, wanted, job.out, report)
        _note(job.out / "meta.json", [describe(name, person, s) for name, s in shots.items()])


def _photograph(
    scene: Scene, person: Person, shots: dict[str, Shot], out: Path, report: Callable[[str], None]
) -> None:
    model = scene.model(person)
    for name, chosen in shots.items():
        place(out / name, webp(scene.photograph(model, chosen)))
        report(name)


def name_of(number: int, frame: int) -> str:
    return f"{number:05d}_{frame:02d}.webp"


def describe(name: str, person: Person, shot: Shot) -> Entry:
    """A frame's entry in meta.json; angles in degrees, expressions as in `expressions.py`."""
    return {
        "file": name,
        "identity": person.number,
        "yaw_deg": round(shot.yaw_deg, 2),
        "pitch_deg": round(shot.pitch_deg, 2),
        "roll_deg": round(shot.roll_deg, 2),
        "male": person.male,
        "age": round(person.age, 3),
        "race": {name: round(share, 3) for name, share in person.ancestry.items()},
        "hair": person.hair or None,
        "expression": {name: round(weight, 3) for name, weight in shot.expression.items()},
    }


def webp(rgba: U8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()


def _note(path: Path, entries: list[Entry]) -> None:
    """Add entries to the list in `path`, in place of older ones of the same file."""
    known = json.loads(path.read_text()) if path.exists() else []
    merged = {entry["file"]: entry for entry in [*known, *entries]}
    place(path, json.dumps([merged[name] for name in sorted(merged)]).encode())
