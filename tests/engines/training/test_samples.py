"""Samples are the same whoever writes them."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.specs import Size
from engines.training import head_samples, samples
from tests.engines import faces

PX = 192
SMALL = Size(32, 32, 64, (4, 8), (4, 4, 8, 8), (4, 4, 8, 8), 1)
PEOPLE = ("10001", "10002", "10009")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of people in six frames each, and their labels."""
    folder = tmp_path_factory.mktemp("frames")
    picture = Image.fromarray(faces.portrait()).resize((PX, PX))
    landmarks = {}
    for person in PEOPLE:
        for frame in range(6):
            name = f"{person}_{frame:02d}.webp"
            picture.save(folder / name, lossless=True, method=0)
            shift = np.array([frame, 0, 0], np.float32)
            landmarks[name] = (faces.landmarks() + 4 * shift) * np.float32(PX / faces.SIZE)
    labels = folder / "labels.npz"
    np.savez(labels, names=np.array([*landmarks]), landmarks=np.stack([*landmarks.values()]))
    return folder, labels


def written(folder: Path) -> dict[str, np.ndarray]:
    return {str(path.relative_to(folder)): np.load(path) for path in folder.glob("*/*.npy")}


@pytest.mark.slow
def test_samples_do_not_depend_on_how_many_processes_write_them(
    frames: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[int] = []

    def pool(count: int, *more: Any, **options: Any) -> ProcessPoolExecutor:
        workers.append(count)
        return ProcessPoolExecutor(count, *more, **options)

    monkeypatch.setattr(samples, "ProcessPoolExecutor", pool)
    kind = functools.partial(head_samples.kind, SMALL)
    for cores in ({0}, {0, 1}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
        samples.write(*frames, tmp_path / str(len(cores)), kind)
    assert workers == [1, 1, 2, 2], "a process for each core, for each split"
    alone, shared = written(tmp_path / "1"), written(tmp_path / "2")
    splits = ("held_out", "train")
    assert alone.keys() == {f"{split}/{f}.npy" for split in splits for f in head_samples.FIELDS}
    assert shared.keys() == alone.keys()
    for name, array in alone.items():
        people = len(PEOPLE) - 1 if name.startswith("train") else 1
        assert len(array) == 12 * people
        assert (array != 0).reshape(len(array), -1).any(axis=1).all() or "turn" in name, name
        np.testing.assert_array_equal(shared[name], array, err_msg=name)
    textures = alone["train/texture.npy"]
    assert (textures[0] != textures[12]).any(), "each portrait has a change of its own"


def test_another_seed_drives_by_other_frames() -> None:
    names = [f"{person}_{frame:02d}.webp" for person in PEOPLE for frame in range(9)]
    first, again, other = (samples.choose_pairs(names, seed) for seed in (0, 0, 1))
    assert first == again != other
