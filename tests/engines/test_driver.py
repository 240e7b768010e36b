"""Is there a GPU: one line each with the fix where not. And CUDA graphs."""

from __future__ import annotations

import pytest

from engines import driver
from engines.errors import DeviceError
from tests.doubles.gpu import Gpu


def test_a_gpu_is_found(gpu: Gpu) -> None:
    driver.require()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    with pytest.raises(DeviceError, match=r"^no CUDA driver \(libcuda.absent.so.1\); install"):
        driver.require()


def test_an_old_driver(gpu: Gpu) -> None:
    gpu.driver_version = 11080
    with pytest.raises(DeviceError, match=r"speaks CUDA 11\.8, .* need 12\.0; install a driver"):
        driver.require()


@pytest.mark.parametrize(
    ("codes", "count", "said"),
    [
        ({"cuInit": 100}, 1, "no CUDA device that the driver shows; see what nvidia-smi"),
        ({}, 0, "no CUDA device that the driver shows; see what nvidia-smi"),
        ({"cuInit": 803}, 1, "cuInit: unsupported driver; reboot after a driver update"),
        ({"cuInit": 12345}, 1, "cuInit: error 12345; see what nvidia-smi says"),
    ],
)
def test_a_driver_without_a_gpu(gpu: Gpu, codes: dict[str, int], count: int, said: str) -> None:
    gpu.codes, gpu.count = codes, count
    with pytest.raises(DeviceError, match=f"^{said}"):
        driver.require()


def test_a_gpu_is_in_use_while_its_primary_context_is_held(gpu: Gpu) -> None:
    from engines.device import Device

    assert not driver.in_use()
    device = Device()
    assert driver.in_use() and not driver.in_use(index=1)
    device.close()
    assert not driver.in_use()


def test_no_gpu_is_in_use_where_there_is_none(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.retained = 1
    gpu.codes = {"cuInit": 100}
    assert not driver.in_use()
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    assert not driver.in_use()


@pytest.fixture
def context(gpu: Gpu) -> Gpu:
    gpu.contexts.append(object())
    return gpu


def test_what_was_recorded_is_replayed_on_the_stream_that_is_given(context: Gpu) -> None:
    done: list[str] = []
    graph = driver.record(lambda: context.recorded.append(lambda: done.append("launch")), 7)
    assert done == []
    graph.launch(9)
    graph.launch(9)
    graph.close()
    assert done == ["launch", "launch"]
    assert context.calls == ["begin 7", "end 7", "destroy graph", *["replay 9"] * 2, "forget graph"]


def test_a_launch_that_fails_while_recording_ends_the_recording(context: Gpu) -> None:
    def fail() -> None:
        raise DeviceError("refused; no fix")

    with pytest.raises(DeviceError, match="refused"):
        driver.record(fail, 7)
    assert context.recording is None
    assert context.calls == ["begin 7", "end 7", "destroy graph"]


@pytest.mark.parametrize(
    "call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"]
)
def test_what_cannot_be_recorded_is_named(context: Gpu, call: str) -> None:
    context.codes[call] = 900
    with pytest.raises(DeviceError, match=f"^{call}: cannot be captured;"):
        driver.record(lambda: None, 7)
    made = context.calls.count("end 7") - (call == "cuStreamEndCapture")
    assert context.calls.count("destroy graph") == made, "no graph is left behind"
