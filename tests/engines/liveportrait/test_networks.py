"""The graphs from a folder of weights, on each backend; what is missing is said in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engines import driver, models, parity, weights
from engines.backends.torch import Typed, channels_last
from engines.errors import BackendError, DeviceError, WeightsError
from engines.liveportrait.networks import GRAPHS, NAME, choose, open_networks
from engines.liveportrait.reenactor import load_liveportrait
from engines.nets.liveportrait import checkpoint, export
from tests.engines import faces
from tests.engines.liveportrait.engines import CANVAS, SPECS, moved, reenactor, sight
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

pytestmark = pytest.mark.train

AVG_POOL3D = torch.nn.functional.avg_pool3d


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as `checkpoint.keep` leaves them, and the graphs that are written from them."""
    made = tmp_path_factory.mktemp("liveportrait")
    for name in GRAPHS:
        state = network(name, sizes=ALL_POINTS).state_dict()
        plain = {k: v.contiguous() for k, v in state.items() if "num_batches" not in k}
        checkpoint.keep(plain, made / f"{name}.safetensors")
    export.export_kept(made, ALL_POINTS)
    return made


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_backend_gives_the_picture_that_the_plain_networks_give(
    backend: str, folder: Path
) -> None:
    """Exact rewrites and all."""
    avatar = load_liveportrait(backend, 1, directory=folder, sizes=ALL_POINTS)
    pictures, sights = [], []
    for each in (avatar, reenactor()):
        identity = each.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
        pictures.append(each.render(identity, moved(sight(1), sight(2))).rgb.astype(int))
        sights.append(each.look(faces.portrait()[..., :3], faces.landmarks()))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    np.testing.assert_allclose(sights[0].expression, sights[1].expression, atol=1e-4)
    assert avatar.looks and NAME in avatar.reason and "asked for" in avatar.reason


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_what_a_graph_gave_is_not_overwritten_by_its_next_run(backend: str, folder: Path) -> None:
    networks = open_networks(backend, folder, 1, ALL_POINTS)
    asked = np.zeros(SPECS["stitching"].inputs[0].shape, np.float32)
    first = networks.run_one("stitching", asked)
    before = first.copy()
    networks.run_one("stitching", asked + 1)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("missing", ["motion", "eye_retargeting"])
def test_missing_weights_are_one_line_with_the_command_that_gets_them(
    backend: str, missing: str, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "some")
    (tmp_path / "some" / f"{missing}.safetensors").unlink()
    with pytest.raises(WeightsError, match="run `reenactd models get liveportrait`") as told:
        load_liveportrait(backend, 1, directory=tmp_path / "some", sizes=ALL_POINTS)
    assert missing in str(told.value) and "\n" not in str(told.value)


def test_by_name_it_is_looked_for_where_the_user_s_data_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    where = tmp_path / "reenactd" / "models" / "liveportrait"
    assert weights.liveportrait_directory() == where
    with pytest.raises(WeightsError, match="run `reenactd models get liveportrait`") as told:
        models.load_reenactor("torch", name="liveportrait")
    assert str(told.value).startswith(str(where))
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    default = Path(os.environ["HOME"]) / ".local/share/reenactd/models/liveportrait"
    assert weights.liveportrait_directory() == default


def test_a_graph_that_was_not_written_is_named_with_its_command(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "some")
    (tmp_path / "some" / "warping.onnx").unlink()
    with pytest.raises(BackendError, match=r"warping\.onnx: missing; write it with `python -m"):
        open_networks("onnx", tmp_path / "some", 1, ALL_POINTS)


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "some")
    shutil.copy(folder / "stitching.safetensors", tmp_path / "some" / "motion.safetensors")
    with pytest.raises(WeightsError, match="not the weights of motion"):
        open_networks("torch", tmp_path / "some", 1, ALL_POINTS)


def test_backends_are_chosen_once_with_a_reason(folder: Path, tmp_path: Path) -> None:
    assert choose("torch", tmp_path) == ("torch", "asked for by engine.backend")
    with pytest.raises(BackendError, match="'fastest': must be one of auto, onnx"):
        choose("fastest", folder)
    with pytest.raises(BackendError, match="has no plans yet; use torch"):
        choose("tensorrt", folder)


def test_without_a_gpu_auto_takes_onnx_where_its_graphs_are_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise DeviceError("no NVIDIA driver; install one")

    monkeypatch.setattr(driver, "require", none)
    assert choose("auto", folder) == ("onnx", "no NVIDIA driver")
    assert choose("auto", tmp_path) == (
        "torch",
        "no NVIDIA driver, and no ONNX graphs are written",
    )
    monkeypatch.setattr(driver, "require", lambda: None)
    assert choose("auto", folder).backend == "torch"


def pool_whole(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
    """torch has no pooling of volumes in half precision on the CPU."""
    return AVG_POOL3D(x.float(), *arguments).to(x.dtype)


@pytest.mark.parametrize("name", ["appearance", "warping", "generator"])
def test_a_graph_in_half_precision_is_near_the_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, but on the CPU: key points stay float32 inside, kernels change their order."""
    monkeypatch.setattr(torch.nn.functional, "avg_pool3d", pool_whole)
    spec, module = SPECS[name], network(name, sizes=ALL_POINTS)
    drawn = parity.fake_inputs(spec, seed=0)
    inputs = [torch.from_numpy(drawn[tensor.name]) for tensor in spec.inputs]
    with torch.inference_mode():
        expected = module(*inputs)
        found = channels_last(Typed(spec, module, "fp16"))(*inputs)[0]
    assert found.dtype == torch.float32
    share = float((found - expected).abs().max() / expected.abs().max())
    assert 0 < share < parity.TOLERANCES["fp16"]


def test_key_points_stay_whole_in_a_graph_of_half_precision() -> None:
    """They say where: float16 could not name a voxel's hundredth."""

    class Sees(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            seen.extend(each.dtype for each in inputs)
            return inputs[0]

    seen: list[torch.dtype] = []
    spec = SPECS["warping"]
    Typed(spec, Sees(), "fp16")(*(torch.zeros(tensor.shape) for tensor in spec.inputs))
    assert [tensor.name for tensor in spec.inputs] == ["volume", "kp_driving", "kp_source"]
    assert seen == [torch.float16, torch.float32, torch.float32]
