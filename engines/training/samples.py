"""Training samples: (portrait, driving frame) pairs, already warped, in memory-mapped arrays.

    python -m engines.training.samples --data FACES --labels LABELS.npz --out SAMPLES

A folder of frames `IDENTITY_FRAME.webp` (RGBA, 512x512) and their landmarks become crops. The
warp is the one that runs live, so the network meets in training what it meets on stage.
Identities whose number ends in 9 are held out: they go to `held_out`, the rest to `train`, and only
these are changed (`augment.py`): one change for each portrait and all that drive it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines import crop, face_mesh
from engines.eyes import Eye, eyes_of
from engines.portrait import extend
from engines.rigid import Similarity, fit_similarity
from engines.training.augment import NO_CHANGE, Change, compress
from engines.warp import Placement, WarpMesh, sample

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_COUNT = len(crop.REGIONS)
_PICTURE = (_COUNT, 3, crop.SIZE, crop.SIZE)
_GUIDE = (_COUNT, crop.GUIDE_CHANNELS, crop.SIZE, crop.SIZE)
FIELDS: dict[str, tuple[tuple[int, ...], str]] = {
    "warped": (_PICTURE, "uint8"),
    "guide": (_GUIDE, "uint8"),
    "target": (_PICTURE, "uint8"),
    "grid": ((_COUNT, crop.FEATURE_SIZE, crop.FEATURE_SIZE, 2), "float32"),
    "portrait": (_PICTURE, "uint8"),
    "portrait_guide": (_GUIDE, "uint8"),
    "paint": ((_COUNT,), "float32"),
}
"""name -> shape of one sample (all its patches) and dtype; `paint` is how much of the network's
paint a patch gets, 0..1"""

FEWEST_FRAMES = 6
"""of a person: so many drive its second portrait"""
_RIGID = list(face_mesh.RIGID)
_STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@dataclass(frozen=True)
class Source:
    """One portrait, warped many times."""

    rgba: U8
    landmarks: F32
    origin: F32
    mesh: WarpMesh
    eyes: tuple[Eye, Eye]
    unit_px: float
    patches: list[crop.Patch]
    images: U8
    guides: U8

    @classmethod
    def of(cls, portrait: U8, landmarks: F32) -> Source:
        extended = extend(portrait)
        moved = landmarks.copy()
        moved[:, :2] += extended.origin
        unit_px = face_mesh.face_unit(moved)
        patches = crop.patches(moved, _STAY, unit_px)
        seen = [patch.cut(extended.rgba) for patch in patches]
        return cls(
            extended.rgba,
            moved,
            extended.origin,
            WarpMesh(moved, extended.rgba[..., 3]),
            eyes_of(extended.rgba, moved),
            unit_px,
            patches,
            np.stack([crop.to_planes(crop.over_grey(s)) for s in seen]),
            np.stack([p.guide(moved, s[..., 3]) for p, s in zip(patches, seen, strict=True)]),
        )


def make_sample(source: Source, driving: U8, landmarks: F32) -> dict[str, NDArray[np.generic]]:
    """One sample: `source` driven to where `landmarks` are in the RGBA frame `driving`."""
    head = fit_similarity(source.landmarks[_RIGID], landmarks[_RIGID])
    torso = np.column_stack([np.eye(2), -source.origin]).astype(np.float32)
    canvas_hw = driving.shape[0], driving.shape[1]
    source_map = source.mesh.source_map(Placement(landmarks, head, torso), canvas_hw)
    canvas = sample(source.rgba, source_map, canvas_hw)
    for eye in source.eyes:
        eye.draw(canvas[..., :3], landmarks, head)
    patches = crop.patches(landmarks, head, source.unit_px)
    warped = [patch.cut(canvas) for patch in patches]
    pairs = zip(patches, warped, strict=True)
    grids = zip(patches, source.patches, strict=True)
    return {
        "warped": np.stack([crop.to_planes(crop.over_grey(w)) for w in warped]),
        "guide": np.stack([patch.guide(landmarks, w[..., 3]) for patch, w in pairs]),
        "target": np.stack([crop.to_planes(crop.over_grey(p.cut(driving))) for p in patches]),
        "grid": np.stack([crop.feature_grid(p, source_map, rest) for p, rest in grids]),
        "portrait": source.images,
        "portrait_guide": source.guides,
        "paint": np.array([1, *(e.needs_paint(landmarks, head) for e in source.eyes)], np.float32),
    }


def choose_pairs(names: list[str], seed: int) -> list[tuple[str, str]]:
    """(portrait, driving) file names: frame 0 drives to all of its identity, one other to six."""
    rng = np.random.default_rng(seed)
    people: dict[str, list[str]] = {}
    for name in names:
        people.setdefault(name.split("_")[0], []).append(name)
    pairs = []
    for frames in people.values():
        pairs += [(frames[0], driving) for driving in frames]
        other = str(rng.choice(frames[4:]))
        pairs += [
            (other, str(driving)) for driving in rng.choice(frames, FEWEST_FRAMES, replace=False)
        ]
    return pairs


def held_out(name: str) -> bool:
    return name.split("_")[0].endswith("9")


def read_labels(path: Path) -> dict[str, F32]:
    """Frame name -> (478, 3), as `engines.training.labels` wrote them.

    Raises:
        SystemExit: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            table = np.load(file, allow_pickle=False)
            return dict(zip(table["names"].tolist(), table["landmarks"], strict=True))
    except (OSError, EOFError, LookupError, ValueError, BadZipFile) as error:
        raise SystemExit(
            f"{path}: cannot be read as labels ({error}); make them with engines.training.labels"
        ) from None


def check(labels: Path, names: Iterable[str]) -> None:
    """Refuse what no samples can be made of.

    Raises:
        SystemExit: a split is empty, or a person has too few frames.
    """
    frames = Counter(name.split("_")[0] for name in names)
    again = f"then delete {labels} and label again"
    for split, rule in (("held_out", "ends in 9"), ("train", "does not end in 9")):
        if not any(held_out(person) == (split == "held_out") for person in frames):
            raise SystemExit(
                f"{labels}: {split} would be empty, must hold an identity whose number {rule}; "
                f"add its frames, {again}"
            )
    few = [f"{person} has {count}" for person, count in frames.items() if count < FEWEST_FRAMES]
    if few:
        raise SystemExit(
            f"{labels}: {', '.join(few)} labelled frames, a person must have {FEWEST_FRAMES} or "
            f"more; add frames or remove the person, {again}"
        )


def write(data: Path, labels: Path, out: Path, seed: int = 0) -> None:
    """Make `out`/train and `out`/held_out, one .npy per field.

    Raises:
        SystemExit: the labels cannot be read, or are too few.
    """
    landmarks = read_labels(labels)
    check(labels, landmarks)
    for split in ("held_out", "train"):
        names = [n for n in landmarks if held_out(n) == (split == "held_out")]
        pairs = choose_pairs(names, seed)
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            field: np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                folder / f"{field}.npy", "w+", np.dtype(dtype), (len(pairs), *shape)
            )
            for field, (shape, dtype) in FIELDS.items()
        }
        rng = np.random.default_rng(seed)
        last, source, change = "", None, NO_CHANGE
        for i, (portrait, driving) in enumerate(pairs):
            if source is None or portrait != last:
                last, picture, own = portrait, _read(data / portrait), landmarks[portrait]
                if split == "train":
                    change = Change.draw(rng)
                    picture = compress(change.apply(picture, own), rng)
                source = Source.of(picture, own)
            shown = change.apply(_read(data / driving), landmarks[driving])
            made = make_sample(source, shown, landmarks[driving])
            for field, value in made.items():
                arrays[field][i] = value
            if i % 200 == 0:
                print(f"{split} {i}/{len(pairs)}", flush=True)


def _read(path: Path) -> U8:
    return np.asarray(Image.open(path).convert("RGBA"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.data, arguments.labels, arguments.out)
