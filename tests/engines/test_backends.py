"""Which backend runs: chosen once, with a reason; one that was asked for is never replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines import driver, parity, plans, weights
from engines.backends import choose, open_engine, open_graph
from engines.backends.base import optional, runs_beside, start
from engines.errors import BackendError, DeviceError, EngineError, WeightsError
from engines.models import load_reenactor
from engines.specs import WARP_REFINE_LITE
from tests.doubles.gpu import Gpu
from tests.doubles.tensorrt import MAGIC

NETWORK = WARP_REFINE_LITE


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return plans.default_root()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")


def install_plans(cache: Path) -> None:
    from engines.backends.tensorrt import plan_key
    from engines.device import Device

    device = Device()
    for graph in NETWORK.graphs:
        content = weights.locate(NETWORK.name, f"{graph.name}.onnx").read_bytes()
        plans.install(plan_key(NETWORK, graph, "fp16", device.info), MAGIC + content, cache)
    device.close()


def test_auto_takes_onnx_where_there_is_no_gpu(no_gpu: None) -> None:
    assert choose("auto", NETWORK) == ("onnx", "no CUDA driver (libcuda.absent.so.1)")


def test_auto_names_an_old_driver(gpu: Gpu) -> None:
    gpu.driver_version = 11040
    chosen, why = choose("auto", NETWORK)
    assert chosen == "onnx"
    assert why == "the NVIDIA driver speaks CUDA 11.4, TensorRT and pycuda need 12.0"


def test_auto_takes_tensorrt_where_every_graph_has_a_plan(gpu: Gpu, cache: Path) -> None:
    install_plans(cache)
    assert choose("auto", NETWORK) == ("tensorrt", "the fastest one")
    assert gpu.retained == 0, "looking holds nothing"


@pytest.mark.train
def test_auto_says_why_it_passed_the_faster_ones(
    gpu: Gpu, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    chosen, why = choose("auto", NETWORK)
    assert chosen == "onnx"
    assert "not tensorrt: there is no fp16 plan of warp-refine-lite encode" in why
    assert "run: python build_engines.py --network warp-refine-lite" in why
    assert "not torch: PyTorch" in why and "finds no CUDA device" in why
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen, why = choose("auto", NETWORK)
    assert chosen == "torch" and why.startswith("not tensorrt: ")


@pytest.mark.parametrize("name", ["onnx", "torch", "tensorrt"])
def test_a_backend_that_was_asked_for_is_taken(no_gpu: None, name: str) -> None:
    assert choose(name, NETWORK) == (name, "asked for by engine.backend")


def test_there_is_no_other_backend() -> None:
    with pytest.raises(BackendError, match="'cuda': must be one of auto, onnx, torch, tensorrt"):
        choose("cuda", NETWORK)


def test_tensorrt_without_a_gpu_is_an_error_not_another_backend(no_gpu: None) -> None:
    with pytest.raises(DeviceError, match="no CUDA driver.*choose the backend onnx"):
        load_reenactor("tensorrt")


def test_tensorrt_without_a_plan_is_an_error_with_the_command(gpu: Gpu) -> None:
    with pytest.raises(BackendError, match="run: python build_engines.py --network warp-refine"):
        load_reenactor("tensorrt")


def test_what_runs_is_said_with_its_reason(gpu: Gpu, cache: Path) -> None:
    install_plans(cache)
    reason = load_reenactor("auto").reason
    what = "warp-refine-lite on TensorRT 10.13, NVIDIA L4, fp16, frames drawn there by kernels"
    assert reason == f"{what}: the fastest one"


def test_a_missing_library_is_one_line_with_the_fix() -> None:
    with pytest.raises(BackendError, match=r"^Fast Library cannot be imported \(No module.*gpu\]"):
        with optional("Fast Library"):
            import fast_library_that_nobody_has  # noqa: F401


def test_only_onnx_runs_an_onnx_file() -> None:
    path = weights.locate(NETWORK.name, "drive.onnx")
    with pytest.raises(BackendError, match="torch runs no ONNX file; use onnx"):
        open_engine("torch", NETWORK.drive, path, 1)


@pytest.mark.train
class TestTorch:
    def test_it_says_what_it_is(self) -> None:
        engine = open_graph("torch", NETWORK, NETWORK.drive, 1)
        assert engine.description.startswith("PyTorch 2.")
        assert engine.description.endswith("CPU, fp32")

    def test_weights_of_another_network_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch
        from safetensors.torch import save_file

        path = tmp_path / "model.safetensors"
        save_file({"drive.stem.0.weight": torch.zeros(3, 3)}, path)
        monkeypatch.setattr(weights, "locate", lambda *_: path)
        with pytest.raises(WeightsError, match="not the weights of warp-refine-lite drive"):
            open_graph("torch", NETWORK, NETWORK.drive, 1)
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(WeightsError, match="not the weights of warp-refine-lite drive"):
            open_graph("torch", NETWORK, NETWORK.drive, 1)

    def test_half_precision_is_inside_and_float32_at_the_door(self) -> None:
        import torch

        from engines.backends.torch import Typed, load_graph

        typed = Typed(NETWORK.drive, load_graph(NETWORK, NETWORK.drive), "fp16")
        inputs = parity.fake_inputs(NETWORK.drive, 0)
        inputs["guide"][:, :2] = 0  # an eye, which is painted
        found = typed(*(torch.from_numpy(inputs[t.name]) for t in NETWORK.drive.inputs))
        assert [tensor.dtype for tensor in found] == [torch.float32] * len(NETWORK.drive.outputs)
        assert {p.dtype for p in typed.parameters()} == {torch.float16}
        reference = open_graph("torch", NETWORK, NETWORK.drive, 1).run(inputs)["change"]
        # coordinates that were rounded to float16 would cost over 1 %: docs/LOG.md, 2026-11-22
        difference = np.abs(found[0].numpy() - reference).max()
        assert 0 < difference < 0.005 * np.abs(reference).max()


def test_inputs_are_the_same_for_the_same_seed_and_within_their_ranges() -> None:
    first, again, other = (parity.fake_inputs(NETWORK.drive, seed) for seed in (0, 0, 1))
    for tensor in NETWORK.drive.inputs:
        value = first[tensor.name]
        np.testing.assert_array_equal(value, again[tensor.name])
        assert (value != other[tensor.name]).any()
        assert value.shape == tensor.shape and value.dtype == np.float32
        span = tensor.high - tensor.low
        assert tensor.low <= value.min() < tensor.low + 0.1 * span
        assert tensor.high - 0.1 * span < value.max() <= tensor.high


class Changed:
    """An engine that gives its reference's result with one value replaced."""

    spec = NETWORK.drive
    description = "changed"

    def __init__(self, index: tuple[int, ...], value: float) -> None:
        self._index, self._value = index, value
        self._inner = open_graph("onnx", NETWORK, NETWORK.drive, 1)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        result = {name: value.copy() for name, value in self._inner.run(inputs).items()}
        result["change"][self._index] = self._value
        return result


@pytest.mark.parametrize("value", [9.0, float("nan"), float("-inf")])
def test_the_place_that_differs_most_is_named(value: float) -> None:
    reference = open_graph("onnx", NETWORK, NETWORK.drive, 1)
    found = parity.drift(Changed((0, 2, 17, 5), value), reference, seeds=[0])  # type: ignore[arg-type]
    assert found.index == (0, 2, 17, 5)
    assert found.share > 1
    assert "of change's largest value, at [0, 2, 17, 5]: " in str(found)


def test_a_run_beside_gives_what_a_run_gives(no_gpu: None) -> None:
    """And answers that nobody overwrites: two are on their way at a time."""
    spec = NETWORK.drive_head
    engine = open_graph("onnx", NETWORK, spec, threads=1)
    assert runs_beside(engine)
    inputs = [parity.fake_inputs(spec, seed) for seed in range(2)]
    expected = [engine.run(given)["field"].copy() for given in inputs]
    waits = [start(engine, given) for given in inputs]
    for wait, field in zip(waits, expected, strict=True):
        np.testing.assert_allclose(wait()["field"], field, atol=1e-6)


def test_a_run_beside_that_fails_says_so_where_it_is_waited_for(no_gpu: None) -> None:
    spec = NETWORK.drive_head
    engine = open_graph("onnx", NETWORK, spec, threads=1)
    given = parity.fake_inputs(spec, 0)
    wait = start(engine, {**given, "view": given["view"][:, :1]})
    with pytest.raises(EngineError, match="drive_head: ONNX Runtime failed"):
        wait()


def test_an_engine_that_runs_nothing_beside_runs_it_at_once(no_gpu: None) -> None:
    spec = NETWORK.drive
    engine = open_graph("onnx", NETWORK, spec, threads=1)
    assert not runs_beside(engine)
    given = parity.fake_inputs(spec, 0)
    first = start(engine, given)()["change"]
    kept = first.copy()
    engine.run(parity.fake_inputs(spec, 1))
    np.testing.assert_array_equal(first, kept)
