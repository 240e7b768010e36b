"""A run that goes on learns; a batch without a sound loss changes nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engines.crop import REGIONS
from engines.training.samples import FIELDS

pytestmark = pytest.mark.train


def write_samples(folder: Path, painted: tuple[int, ...] = (1, 1, 1), count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "held_out"):
        (folder / split).mkdir(parents=True)
        for field, (shape, dtype) in FIELDS.items():
            high = 256 if dtype == "uint8" else 1
            array = rng.uniform(0, high, (count, *shape)).astype(dtype)
            if field == "paint":
                array[:] = painted
            np.save(folder / split / f"{field}.npy", array)
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_samples(tmp_path_factory.mktemp("samples"))


def parameters(run: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(run / "model.safetensors")


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> bool:
    return all((before[name] != after[name]).any() for name in before)


@pytest.mark.slow
def test_a_resumed_run_goes_on_learning(
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from engines.training import train

    monkeypatch.setattr(train, "_SAVE_EVERY", 2)
    monkeypatch.setattr(train, "validate", lambda model, held_out: (1.0, 2.0))
    train.train(samples, tmp_path, steps=2, batch_size=2)
    first = parameters(tmp_path)
    train.train(samples, tmp_path, steps=5, batch_size=2)
    told = capsys.readouterr().out
    assert told.count("held out: 1.00 dB") == 2, "after steps 2 and 4: 1 and 2 were not run again"
    assert "left out" not in told
    assert moved(first, parameters(tmp_path))


def test_a_batch_whose_loss_is_nan_is_left_out(
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from engines.training import train

    train.train(samples, tmp_path, steps=2, batch_size=2)
    before, sound = parameters(tmp_path), train.loss_of
    with monkeypatch.context() as patch:
        patch.setattr(train, "loss_of", lambda *tensors: sound(*tensors) * math.nan)
        train.train(samples, tmp_path, steps=3, batch_size=2)
    assert "step 3 left out: loss nan" in capsys.readouterr().out
    after = parameters(tmp_path)
    assert all((before[name] == after[name]).all() for name in before)
    train.train(samples, tmp_path, steps=5, batch_size=2)
    later = parameters(tmp_path)
    assert moved(after, later) and all(np.isfinite(array).all() for array in later.values())


def test_samples_are_changed_where_they_lie() -> None:
    """Tensors of no data stand for a GPU's: they too refuse to meet those of the CPU."""
    import torch

    from engines.training.train import augment

    fields = {f: s for f, (s, _) in FIELDS.items() if f != "paint"}
    for seed in range(4):  # some are mirrored
        batch = {f: torch.empty((2, *shape[1:]), device="meta") for f, shape in fields.items()}
        changed = augment(batch, np.random.default_rng(seed))
        assert all(tensor.device.type == "meta" for tensor in changed.values())


@pytest.mark.parametrize("region", range(len(REGIONS)))
def test_a_region_that_no_sample_paints_is_named(region: int, tmp_path: Path) -> None:
    from engines.training import train

    painted = tuple(int(r != region) for r in range(len(REGIONS)))
    folder = write_samples(tmp_path / "samples", painted, count=1)
    name = ("mouth", "right eye", "left eye")[region]
    with pytest.raises(SystemExit, match=f"no sample paints the {name}, some must"):
        train.train(folder, tmp_path / "run", steps=1)
