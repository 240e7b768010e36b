"""Training samples: (portrait, driving frame) pairs, already placed, in memory-mapped arrays.

A folder of frames `IDENTITY_FRAME.webp` (RGBA, 512x512) and their landmarks become what a network
sees (`head_samples.py`, `paint_samples.py`), made by the code that runs live. Samples of paint show
what the head network has corrected, so that comes first. Identities whose number ends in 9 are held
out: they go to `held_out`, the rest to `train`, and only these are changed (`augment.py`): one
change for each portrait and all that drive it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.models import EncodedIdentity, Reenactor
from engines.rigid import fit_similarity
from engines.training.augment import NO_CHANGE, Change, compress
from engines.training.pictures import read_rgba
from engines.warp import Placement

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

Fields = dict[str, tuple[tuple[int, ...], str]]
"""name -> shape and dtype of one sample"""

FEWEST_FRAMES = 6
"""of a person: so many drive its second portrait"""
_RIGID = list(face_mesh.RIGID)


@dataclass(frozen=True)
class Pair:
    """A portrait, and a frame of the same person that it is to become."""

    identity: EncodedIdentity
    placement: Placement
    target: U8
    """(H, W, 4)"""


@dataclass(frozen=True)
class Kind:
    """What is kept of a pair."""

    fields: Fields
    make: Callable[[Pair], dict[str, NDArray[np.generic]]]
    reenactor: Reenactor
    side_light: bool
    """whether portraits are lit from a side; the light of such a change stays in the picture, not
    in the room"""


def exact_placement(identity: EncodedIdentity, own: F32, wanted: F32) -> Placement:
    """Landmarks where `wanted` has them, shoulders where the portrait has them.

    Args:
        own: (478, 3) in the portrait as it was given; `identity` may have shrunk and moved them.
    """
    grow = face_mesh.face_unit(own) / face_mesh.face_unit(identity.landmarks)
    offset = own[:, :2].mean(axis=0) - grow * identity.landmarks[:, :2].mean(axis=0)
    torso = np.column_stack([grow * np.eye(2), offset]).astype(np.float32)
    head = fit_similarity(identity.landmarks[_RIGID], wanted[_RIGID])
    return Placement(wanted, head, torso)


def choose_pairs(
    names: list[str], seed: int, turn: Callable[[str], float] = lambda _: 0.0
) -> list[tuple[str, str]]:
    """(portrait, driving) file names: frame 0 drives to all of its identity, one other to six.

    Args:
        turn: of a frame's head; the other portrait is one of the third that is turned least, for
            nobody is asked to give a profile.
    """
    rng = np.random.default_rng(seed)
    people: dict[str, list[str]] = {}
    for name in names:
        people.setdefault(name.split("_")[0], []).append(name)
    pairs = []
    for frames in people.values():
        pairs += [(frames[0], driving) for driving in frames]
        others = sorted(frames[4:], key=turn)
        other = str(rng.choice(others[: max(1, len(others) // 3)]))
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


def turned(landmarks: F32) -> float:
    """How far a face (478, 3) looks away from the camera: the sine of the angle."""
    pose = fit_similarity(face_mesh.load().mean_shape[_RIGID], landmarks[_RIGID])
    return float(np.hypot(pose.rotation[0, 2], pose.rotation[1, 2]))


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


def write(data: Path, labels: Path, out: Path, kind_of: Callable[[], Kind], seed: int = 0) -> None:
    """Make `out`/train and `out`/held_out, one .npy per field, on all cores.

    Args:
        kind_of: can be pickled: each process makes its own.

    Raises:
        SystemExit: the labels cannot be read, or are too few.
    """
    landmarks = read_labels(labels)
    check(labels, landmarks)
    cores = len(os.sched_getaffinity(0))
    for split in ("held_out", "train"):
        names = [n for n in landmarks if held_out(n) == (split == "held_out")]
        portraits: dict[str, list[tuple[int, str]]] = {}
        pairs = choose_pairs(names, seed, lambda name: turned(landmarks[name]))
        for number, (portrait, driving) in enumerate(pairs):
            portraits.setdefault(portrait, []).append((number, driving))
        create(out / split, kind_of().fields, len(pairs))
        shared = data, landmarks, out / split, kind_of, seed
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(cores, context, _Writer.begin, shared) as pool:
            tasks = enumerate(portraits.items())
            written = 0
            for count in pool.map(_Writer.write, tasks):
                written += count
                print(f"{split} {written}/{len(pairs)}", end="\r", flush=True)
        print(f"{split} {len(pairs)} samples", flush=True)


@dataclass(frozen=True)
class _Writer:
    """What a process knows that writes samples."""

    data: Path
    landmarks: dict[str, F32]
    folder: Path
    kind: Kind
    arrays: dict[str, NDArray[np.generic]]
    seed: int

    _own: ClassVar[_Writer]

    @classmethod
    def begin(
        cls,
        data: Path,
        landmarks: dict[str, F32],
        folder: Path,
        kind_of: Callable[[], Kind],
        seed: int,
    ) -> None:
        kind = kind_of()
        arrays = {field: np.load(folder / f"{field}.npy", mmap_mode="r+") for field in kind.fields}
        cls._own = cls(data, landmarks, folder, kind, arrays, seed)

    @classmethod
    def write(cls, task: tuple[int, tuple[str, list[tuple[int, str]]]]) -> int:
        """All samples of one portrait; returns how many."""
        own, (number, (portrait, driven)) = cls._own, task
        # one generator for each portrait: the samples do not depend on who writes them
        rng = np.random.default_rng((own.seed, number))
        picture, landmarks, change = (
            read_rgba(own.data / portrait),
            own.landmarks[portrait],
            NO_CHANGE,
        )
        if not held_out(portrait):
            change = Change.draw(rng, side_light=own.kind.side_light)
            picture = compress(change.apply(picture, landmarks), rng)
        hw = picture.shape[0], picture.shape[1]
        identity = own.kind.reenactor.encode_identity(picture, landmarks, hw)
        for index, driving in driven:
            wanted = own.landmarks[driving]
            shown = change.apply(read_rgba(own.data / driving), wanted)
            pair = Pair(identity, exact_placement(identity, landmarks, wanted), shown)
            for field, value in own.kind.make(pair).items():
                own.arrays[field][index] = value
        return len(driven)


def create(folder: Path, fields: Fields, count: int) -> dict[str, NDArray[np.generic]]:
    """Empty arrays of `count` samples on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        field: np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            folder / f"{field}.npy", "w+", np.dtype(dtype), (count, *shape)
        )
        for field, (shape, dtype) in fields.items()
    }
