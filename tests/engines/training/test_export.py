"""Weights are replaced only by those that agree with torch, and then all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from engines import weights
from engines.backends import open_engine
from engines.specs import FULL, LITE, WARP_REFINE_LITE, Size

pytestmark = pytest.mark.train

GRAPHS = tuple(f"{spec.name}.onnx" for spec in WARP_REFINE_LITE.graphs)
NAMES = ("model.safetensors", *GRAPHS, "manifest.json")


def write_runs(
    folder: Path, name: str = "", bias: float = 0.0, size: Size = LITE
) -> Sequence[Path]:
    """Checkpoints of the head and the painting network, with something added to a tensor."""
    import torch
    from safetensors.torch import save_file

    from engines.training.head_task import HeadNet
    from engines.training.paint_task import Refiner

    torch.manual_seed(0)
    runs = []
    for part, model in (("head", HeadNet(size)), ("paint", Refiner(size))):
        state = model.state_dict()
        if name in state:
            state[name] += bias
        runs.append(folder / part)
        runs[-1].mkdir()
        save_file(state, runs[-1] / "model.safetensors")
    return runs


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
    from safetensors.numpy import load_file

    from engines.training.export import export

    runs = write_runs(tmp_path)
    export(WARP_REFINE_LITE, runs, out)
    assert {path.name for path in out.iterdir()} == set(NAMES)
    assert len(weights.verify(WARP_REFINE_LITE.name, tmp_path)) == 5
    both = [load_file(run / "model.safetensors") for run in runs]
    assert load_file(out / "model.safetensors").keys() == both[0].keys() | both[1].keys()


def test_weights_that_differ_from_torch_leave_the_old(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.training import export

    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(SystemExit, match=r"must be at most -1\.0; nothing was written"):
        export.export(WARP_REFINE_LITE, write_runs(tmp_path), out)
    assert is_old(out)


@pytest.mark.parametrize(
    ("graph", "name"),
    [("drive", "drive.paint.0.bias"), ("drive_head", "drive_head.field.bias")],
)
def test_nan_is_no_agreement(graph: str, name: str, tmp_path: Path, out: Path) -> None:
    """It is in a later graph alone: the first one agrees, and is not written either."""
    from engines.training.export import export

    with pytest.raises(SystemExit, match=rf"^{graph}\.onnx: differs from torch by nan"):
        export(WARP_REFINE_LITE, write_runs(tmp_path, name, bias=float("nan")), out)
    assert is_old(out)


def test_a_run_that_trained_some_graphs_gives_those_alone(tmp_path: Path) -> None:
    from engines.training.export import export_graphs

    head, _ = write_runs(tmp_path)
    export_graphs(WARP_REFINE_LITE, head, tmp_path / "graphs", ("encode_head", "drive_head"))
    made = {path.stem: path for path in (tmp_path / "graphs").iterdir()}
    assert made.keys() == {"encode_head", "drive_head"}
    open_engine("onnx", WARP_REFINE_LITE.drive_head, made["drive_head"], threads=1)


def refused(runs: Sequence[Path], out: Path, names: Sequence[str] = ()) -> str:
    """What export says, in one line, when it refuses; of some graphs alone where they are named."""
    from engines.training.export import export, export_graphs

    with pytest.raises(SystemExit) as ended:
        if names:
            export_graphs(WARP_REFINE_LITE, runs[0], out, names)
        else:
            export(WARP_REFINE_LITE, runs, out)
    text = ended.value.code
    assert isinstance(text, str) and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("run", "lacks"), [(0, "drive, encode"), (1, "drive_head, encode_head")], ids=["head", "paint"]
)
def test_a_run_that_trained_only_a_part_is_not_all_of_a_network(
    run: int, lacks: str, tmp_path: Path, out: Path
) -> None:
    text = refused(write_runs(tmp_path)[run : run + 1], out)
    assert text.startswith(f"the runs lack {lacks} and hold 0 parameters")
    assert text.endswith("give the run of the head and the run of the paint, of the same size")
    assert is_old(out)


def test_runs_of_another_size_are_refused(tmp_path: Path, out: Path) -> None:
    runs = write_runs(tmp_path, size=FULL)
    text = refused(runs, out)
    assert text.startswith("the runs are not of warp-refine-lite: ") and "--network" in text
    assert is_old(out)
    graphs = tmp_path / "graphs"
    assert refused(runs, graphs, ("encode_head", "drive_head")).startswith("the runs are not of")
    assert not graphs.exists()


def test_a_deeper_network_of_the_same_widths_is_refused(tmp_path: Path, out: Path) -> None:
    """Its parameters fit where they have a name, and have too many."""
    text = refused(write_runs(tmp_path, size=replace(LITE, depth=2)), out)
    assert re.search(r"hold [1-9]\d* parameters that are not of warp-refine-lite", text)
    assert is_old(out)


def test_a_run_that_did_not_train_a_graph_does_not_give_it(tmp_path: Path) -> None:
    head, paint = write_runs(tmp_path)
    graphs = tmp_path / "graphs"
    assert "lack encode_head" in refused([paint], graphs, ("encode_head",))
    assert "lack drive " in refused([head], graphs, ("drive_head", "drive"))
    assert not graphs.exists()


def test_parameters_of_something_else_are_refused(tmp_path: Path, out: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    runs = write_runs(tmp_path)
    path = runs[0] / "model.safetensors"
    save_file({**load_file(path), "discriminator.weight": torch.zeros(3)}, path)
    for folder, names in ((out, ()), (tmp_path / "graphs", ("encode_head", "drive_head"))):
        assert "the runs lack nothing and hold 1 parameters" in refused(runs, folder, names)
    assert is_old(out) and not (tmp_path / "graphs").exists()
