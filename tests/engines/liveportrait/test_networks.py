"""The graphs from a folder of weights, on each backend; what is missing is said in one line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engines import driver, models, parity
from engines.backends import choose
from engines.backends.torch import Typed, channels_last
from engines.errors import BackendError, DeviceError, WeightsError
from engines.fetched import Store, default_root
from engines.liveportrait.networks import NAME, open_networks
from engines.liveportrait.reenactor import load_liveportrait
from engines.sources import Got
from tests.doubles.gpu import Gpu
from tests.engines import faces
from tests.engines.liveportrait.engines import (
    CANVAS,
    SPECS,
    Answers,
    moved,
    networks,
    reenactor,
    sight,
)
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

pytestmark = pytest.mark.train


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_backend_gives_the_picture_that_the_plain_networks_give(backend: str, got: Store) -> None:
    """Exact rewrites and all."""
    avatar = load_liveportrait(backend, 1, store=got)
    pictures, sights = [], []
    for each in (avatar, reenactor()):
        identity = each.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
        pictures.append(each.render(identity, moved(sight(1), sight(2))).rgb.astype(int))
        sights.append(each.look(faces.portrait()[..., :3], faces.landmarks()))
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    np.testing.assert_allclose(sights[0].expression, sights[1].expression, atol=1e-4)
    assert avatar.looks and NAME in avatar.reason and "asked for" in avatar.reason


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_what_a_graph_gave_is_not_overwritten_by_its_next_run(backend: str, got: Store) -> None:
    opened = open_networks(backend, Got(got), 1)
    asked = np.zeros(SPECS["stitching"].inputs[0].shape, np.float32)
    first = opened.run_one("stitching", asked)
    before = first.copy()
    opened.run_one("stitching", asked + 1)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("missing", ["motion", "eye_retargeting"])
def test_missing_weights_are_one_line_with_the_command_that_gets_them(
    backend: str, missing: str, copy: Store
) -> None:
    (copy.folder / f"{missing}.safetensors").unlink()
    with pytest.raises(WeightsError, match="run `reenactd models get liveportrait`") as told:
        load_liveportrait(backend, 1, store=copy)
    assert missing in str(told.value) and "\n" not in str(told.value)


def test_by_name_it_is_looked_for_where_the_user_s_models_lie() -> None:
    with pytest.raises(WeightsError, match="run `reenactd models get liveportrait`") as told:
        models.load_reenactor("torch", name="liveportrait")
    assert str(told.value).startswith(str(default_root() / "liveportrait"))


def test_weights_that_are_not_those_that_were_got_are_refused(copy: Store) -> None:
    shutil.copy(copy.folder / "stitching.safetensors", copy.folder / "motion.safetensors")
    with pytest.raises(WeightsError, match=r"motion\.safetensors: damaged"):
        open_networks("torch", Got(copy), 1)


def test_a_graph_that_was_not_written_is_named_with_its_command(copy: Store) -> None:
    (copy.folder / "warping.onnx").unlink()
    with pytest.raises(BackendError, match=r"warping\.onnx: missing; run: python -m"):
        open_networks("onnx", Got(copy), 1)


def test_a_graph_of_weights_before_these_is_refused(copy: Store) -> None:
    os.utime(copy.folder / "generator.onnx", (0, 0))
    with pytest.raises(BackendError, match=r"generator\.onnx: older than its weights; run: python"):
        open_networks("onnx", Got(copy), 1)


def test_backends_are_chosen_once_with_a_reason(got: Store) -> None:
    assert choose("torch", Got(got)) == ("torch", "asked for by engine.backend")
    with pytest.raises(BackendError, match="'fastest': must be one of auto, onnx"):
        choose("fastest", Got(got))


def test_without_a_gpu_auto_takes_onnx_where_its_graphs_are_written(
    got: Store, copy: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise DeviceError("no NVIDIA driver; install one")

    monkeypatch.setattr(driver, "require", none)
    assert choose("auto", Got(got)) == ("onnx", "no NVIDIA driver")
    (copy.folder / "motion.onnx").unlink()
    assert choose("auto", Got(copy)) == (
        "torch",
        "no NVIDIA driver, and no ONNX graphs are written",
    )


def test_with_a_gpu_and_no_plans_auto_takes_torch_if_that_can_use_it(
    got: Store, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen, why = choose("auto", Got(got))
    assert chosen == "onnx" and "finds no CUDA device" in why
    assert why.startswith("not tensorrt: there is no fp16 plan of liveportrait appearance")
    assert "run: python build_engines.py --network liveportrait" in why
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose("auto", Got(got))[0] == "torch"


@pytest.mark.parametrize("name", ["appearance", "warping", "generator"])
def test_a_graph_in_half_precision_is_near_the_whole(name: str) -> None:
    """As on a GPU, but on the CPU: key points stay float32 inside, kernels change their order."""
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


def test_while_a_graph_runs_it_is_locked_and_the_others_are_free() -> None:
    """An identity is encoded on one thread while another one is driven on another."""

    class Looks(Answers):
        def run(self, inputs: object) -> dict[str, np.ndarray]:
            held.append({name for name, lock in made._locks.items() if lock.locked()})
            return super().run(inputs)

    held: list[set[str]] = []
    delta = np.zeros(SPECS["stitching"].outputs[0].shape, np.float32)
    made = networks(stitching=Looks("stitching", lambda _: delta))
    made.run_one("stitching", np.zeros(SPECS["stitching"].inputs[0].shape, np.float32))
    assert held == [{"stitching"}]
    assert not any(lock.locked() for lock in made._locks.values())
