"""A run that goes on learns; a batch without a sound loss changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.crop import REGIONS
from engines.specs import Size
from engines.training import head_samples, paint_samples, samples

if TYPE_CHECKING:
    import torch

    from engines.training.train import Task

pytestmark = pytest.mark.train

SMALL = Size(32, 64, 64, (8, 12), (8, 8, 12, 16), (8, 8, 12, 16), 2)
"""all that a network has, and trained at once"""

FIELDS = {"head": head_samples.fields(SMALL), "paint": paint_samples.fields(SMALL)}


def write_samples(
    folder: Path, what: str, painted: tuple[int, ...] = (1, 1, 1), count: int = 3
) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "held_out"):
        for field, array in samples.create(folder / split, FIELDS[what], count).items():
            high = 256 if array.dtype == np.uint8 else 1
            array[:] = painted if field == "paint" else rng.uniform(0, high, array.shape)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {what: write_samples(tmp_path_factory.mktemp(what), what) for what in FIELDS}


def begin(what: str, folders: dict[str, Path]) -> Task:
    from engines.training.head_task import HeadTask
    from engines.training.paint_task import PaintTask

    return HeadTask(SMALL, folders[what]) if what == "head" else PaintTask(SMALL, folders[what])


def parameters(run: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(run / "model.safetensors")


def differing(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> list[str]:
    return [name for name in before if (before[name] != after[name]).any()]


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> bool:
    return len(differing(before, after)) == len(before)


@pytest.mark.slow
@pytest.mark.parametrize("what", FIELDS)
def test_a_resumed_run_goes_on_learning(
    what: str,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from engines.training import train

    monkeypatch.setattr(train, "_SAVE_EVERY", 2)
    for step in (2, 5):
        task = begin(what, folders)
        monkeypatch.setattr(task, "validate", lambda: "1.00 dB")
        train.train(task, tmp_path, steps=step, batch_size=2)
        if step == 2:
            first = parameters(tmp_path)
    told = capsys.readouterr().out
    assert told.count("held out: 1.00 dB") == 2, "after steps 2 and 4: 1 and 2 were not run again"
    assert "left out" not in told
    assert moved(first, parameters(tmp_path))


@pytest.mark.parametrize("what", FIELDS)
def test_two_runs_begin_alike(what: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """The seed is fixed, of the network as of the batches."""
    from engines.training import train

    for run in ("first", "second"):
        train.train(begin(what, folders), tmp_path / run, steps=2, batch_size=1)
    assert differing(parameters(tmp_path / "first"), parameters(tmp_path / "second")) == []


@pytest.mark.parametrize("what", FIELDS)
def test_a_batch_whose_loss_is_nan_is_left_out(
    what: str,
    folders: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from engines.training import train

    train.train(begin(what, folders), tmp_path, steps=2, batch_size=1)
    before, broken = parameters(tmp_path), begin(what, folders)
    sound = broken.loss
    monkeypatch.setattr(broken, "loss", lambda rng, size: sound(rng, size) * math.nan)
    train.train(broken, tmp_path, steps=3, batch_size=1)
    assert "step 3 left out: loss nan" in capsys.readouterr().out
    after = parameters(tmp_path)
    assert differing(before, after) == []
    train.train(begin(what, folders), tmp_path, steps=5, batch_size=1)
    later = parameters(tmp_path)
    assert moved(after, later) and all(np.isfinite(array).all() for array in later.values())


class Rising:
    """A task whose loss rises by 1 % a step, whatever is learned."""

    def __init__(self) -> None:
        import torch

        self.model = torch.nn.Linear(1, 1)
        self._loss = 1.0

    def loss(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        self._loss *= 1.01
        return self.model.weight.sum() * 0 + self._loss

    def validate(self) -> str:
        return "1.00 dB"


def test_a_run_that_diverges_ends_and_leaves_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.training import train

    monkeypatch.setattr(train, "_SAVE_EVERY", 100)
    with pytest.raises(SystemExit, match=r"step 150: the loss has risen from .*\(0\.001\)"):
        train.train(Rising(), tmp_path, steps=1000)
    assert parameters(tmp_path)


def test_samples_of_paint_are_changed_where_they_lie() -> None:
    """Tensors of no data stand for a GPU's: they too refuse to meet those of the CPU."""
    import torch

    from engines.training.paint_task import augment

    fields = {f: s for f, (s, _) in FIELDS["paint"].items() if f != "paint"}
    for seed in range(4):  # some are mirrored
        batch = {f: torch.empty((2, *shape[1:]), device="meta") for f, shape in fields.items()}
        changed = augment(batch, np.random.default_rng(seed))
        assert all(tensor.device.type == "meta" for tensor in changed.values())


@pytest.mark.parametrize("region", range(len(REGIONS)))
def test_a_region_that_no_sample_paints_is_named(region: int, tmp_path: Path) -> None:
    from engines.training.paint_task import PaintTask

    painted = tuple(int(r != region) for r in range(len(REGIONS)))
    folder = write_samples(tmp_path / "samples", "paint", painted, count=1)
    name = ("mouth", "right eye", "left eye")[region]
    with pytest.raises(SystemExit, match=f"no sample paints the {name}, some must"):
        PaintTask(SMALL, folder)


def test_a_head_network_that_has_learnt_nothing_is_as_good_as_geometry(
    folders: dict[str, Path],
) -> None:
    from engines.training.head_task import HeadTask

    after, before = HeadTask(SMALL, folders["head"]).validate(count=2).split(" dB, geometry ")
    assert f"{after} dB" == before, "its last layer begins at zero"


def test_a_painting_network_that_changes_nothing_is_as_good_as_none(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.training.paint_task import PaintTask

    task = PaintTask(SMALL, folders["paint"])
    monkeypatch.setattr(task.model, "forward", lambda batch: batch["warped"])
    painted, unpainted = task.validate().split(" dB, unpainted ")
    assert f"{painted} dB" == unpainted
