"""Training samples: (portrait, driving frame) pairs, already warped, in memory-mapped arrays.

    python -m engines.training.samples --data FACES --labels LABELS.npz --out SAMPLES

A folder of frames `IDENTITY_FRAME.webp` (RGBA, 512x512) and their landmarks become crops. The
warp is the one that runs live, so the network meets in training what it meets on stage.
Identities whose number ends in 9 are held out: they go to `held_out`, the rest to `train`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines import crop, face_mesh
from engines.portrait import extend
from engines.rigid import Similarity, fit_similarity
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
}
"""name -> shape of one sample (all its patches) and dtype"""

_RIGID = list(face_mesh.RIGID)
_STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@dataclass(frozen=True)
class Source:
    """One portrait, warped many times."""

    rgba: U8
    landmarks: F32
    origin: F32
    mesh: WarpMesh
    unit_px: float
    patches: list[crop.Patch]
    images: U8
    guides: U8

    @classmethod
    def read(cls, path: Path, landmarks: F32) -> Source:
        extended = extend(_read(path))
        moved = landmarks.copy()
        moved[:, :2] += extended.origin
        height, width = extended.rgba.shape[:2]
        unit_px = face_mesh.face_unit(moved)
        patches = crop.patches(moved, _STAY, unit_px)
        seen = [patch.cut(extended.rgba) for patch in patches]
        return cls(
            extended.rgba,
            moved,
            extended.origin,
            WarpMesh(moved, (width, height)),
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
    canvas = source.mesh.source_map(Placement(landmarks, head, torso), canvas_hw)
    patches = crop.patches(landmarks, head, source.unit_px)
    maps = [patch.cut(canvas) for patch in patches]
    warped = [sample(source.rgba, patch_map) for patch_map in maps]
    pairs = zip(patches, warped, strict=True)
    grids = zip(maps, source.patches, strict=True)
    return {
        "warped": np.stack([crop.to_planes(crop.over_grey(w)) for w in warped]),
        "guide": np.stack([patch.guide(landmarks, w[..., 3]) for patch, w in pairs]),
        "target": np.stack([crop.to_planes(crop.over_grey(p.cut(driving))) for p in patches]),
        "grid": np.stack([crop.feature_grid(m, patch) for m, patch in grids]),
        "portrait": source.images,
        "portrait_guide": source.guides,
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
        pairs += [(other, str(driving)) for driving in rng.choice(frames, 6, replace=False)]
    return pairs


def held_out(name: str) -> bool:
    return name.split("_")[0].endswith("9")


def write(data: Path, labels: Path, out: Path, seed: int = 0) -> None:
    """Make `out`/train and `out`/held_out, one .npy per field."""
    table = np.load(labels, allow_pickle=False)
    landmarks = dict(zip(table["names"].tolist(), table["landmarks"], strict=True))
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
        last, source = "", None
        for i, (portrait, driving) in enumerate(pairs):
            if source is None or portrait != last:
                last, source = portrait, Source.read(data / portrait, landmarks[portrait])
            made = make_sample(source, _read(data / driving), landmarks[driving])
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
