"""Weights are replaced only by those that agree with torch, and then all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import weights
from engines.specs import WARP_REFINE_LITE

pytestmark = pytest.mark.train

NAMES = ("model.safetensors", "encode.onnx", "drive.onnx", "manifest.json")


def write_run(folder: Path, bias: float = 0.0) -> Path:
    import torch
    from safetensors.torch import save_file

    from engines.training.train import Refiner

    torch.manual_seed(0)
    state = Refiner().state_dict()
    state["drive.paint.0.bias"] += bias
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that holds older weights."""
    folder = tmp_path / WARP_REFINE_LITE.name
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"old {name}")
    return folder


def is_old(out: Path) -> bool:
    return {p.name: p.read_text() for p in out.iterdir()} == {n: f"old {n}" for n in NAMES}


def test_weights_that_agree_take_the_place_of_the_old(tmp_path: Path, out: Path) -> None:
    from engines.training.export import export

    export(write_run(tmp_path / "run"), out)
    assert {path.name for path in out.iterdir()} == set(NAMES)
    assert len(weights.verify(WARP_REFINE_LITE.name, tmp_path)) == 3


def test_weights_that_differ_from_torch_leave_the_old(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.training import export

    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(SystemExit, match=r"must be at most -1\.0; nothing was written"):
        export.export(write_run(tmp_path / "run"), out)
    assert is_old(out)


def test_nan_is_no_agreement(tmp_path: Path, out: Path) -> None:
    """It is in the second graph alone: the first one agrees, and is not written either."""
    from engines.training.export import export

    with pytest.raises(SystemExit, match=r"drive\.onnx: differs from torch by nan"):
        export(write_run(tmp_path / "run", bias=float("nan")), out)
    assert is_old(out)
