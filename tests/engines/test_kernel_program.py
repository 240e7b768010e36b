"""The kernels are compiled once, kept, and launched on the stream that is given."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from engines import driver, kernels
from engines.errors import BackendError
from tests.doubles.gpu import Gpu
from tests.engines.launching import on_the_gpu, on_this_processor


def compilations(gpu: Gpu) -> list[str]:
    return [call for call in gpu.calls if call.startswith("compile")]


def test_kernels_are_compiled_once_for_a_kind_of_gpu(gpu: Gpu, tmp_path: Path) -> None:
    from engines.kernels.program import load_or_compile

    first = load_or_compile((8, 9), tmp_path / "plans")
    assert load_or_compile((8, 9), tmp_path / "plans") == first
    assert compilations(gpu) == ["compile sm_89 -fmad=false"]
    assert kernels.source().encode() in first


@pytest.mark.parametrize("what", ["capability", "compiler", "source"])
def test_what_they_depend_on_is_in_their_key(
    gpu: Gpu, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.kernels.program import load_or_compile

    load_or_compile((8, 9), tmp_path)
    if what == "compiler":
        gpu.compiler_version = "release 13.0"
    if what == "source":
        monkeypatch.setattr(kernels, "source", lambda: "another")
    load_or_compile((9, 0) if what == "capability" else (8, 9), tmp_path)
    assert len(compilations(gpu)) == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"half", None])
def test_damaged_kernels_are_compiled_again_and_it_is_said(
    gpu: Gpu, tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    from engines.kernels.program import load_or_compile

    first = load_or_compile((8, 9), tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert load_or_compile((8, 9), tmp_path) == first
    assert "is damaged; the kernels are compiled again" in caplog.text
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [whole]


def test_without_a_compiler_the_error_says_what_to_install(gpu: Gpu, tmp_path: Path) -> None:
    from engines.kernels.program import load_or_compile

    gpu.refusals["nvcc"] = "No such file or directory: 'nvcc'"
    with pytest.raises(BackendError, match="^no CUDA compiler .*'nvcc'.; install the CUDA toolkit"):
        load_or_compile((8, 9), tmp_path)


def test_a_refusal_is_one_line_with_the_compilers_own_words(gpu: Gpu, tmp_path: Path) -> None:
    from engines.kernels.program import load_or_compile

    gpu.refusals["compile"] = "compilation failed\n[stderr:\nnvcc fatal : no 'sm_350'\n]"
    with pytest.raises(BackendError, match=r"for sm_350 \(nvcc fatal : no 'sm_350'\); install a"):
        load_or_compile((35, 0), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_launch_runs_on_the_given_stream_and_allocates_nothing(gpu: Gpu, tmp_path: Path) -> None:
    from engines.device import Buffer, Device
    from engines.kernels.program import Program

    device = Device()
    with device.current():
        program = Program(device.info, tmp_path)
        stream, other = device.stream(), device.stream()
        numbers, found = Buffer((3, 5)), Buffer((1,))
        numbers.host[2, 4] = np.nan
        numbers.upload(stream)
        found.upload(stream)
        done = len(gpu.calls)
        program.launch(kernels.FIND_NOT_FINITE, other, 5, 2, numbers.address, found.address)
        assert gpu.memory[found.address].view(np.int32) == 0
        program.launch(kernels.FIND_NOT_FINITE, stream, 5, 3, numbers.address, found.address)
        assert gpu.memory[found.address].view(np.int32) == 1
    assert gpu.calls[done:] == [f"find_not_finite {s.handle}" for s in (other, stream)]


def test_of_no_items_nothing_is_launched(gpu: Gpu, tmp_path: Path) -> None:
    """A patch outside the canvas, a map without folds: a GPU refuses an empty grid."""
    from engines.device import Device
    from engines.kernels.program import Program

    device = Device()
    with device.current():
        program, stream = Program(device.info, tmp_path), device.stream()
        done = len(gpu.calls)
        program.launch(kernels.BLEND, stream, 0, 4, 0, 0, 0, 0)
        program.launch(kernels.BLEND, stream, 4, 0, 0, 0, 0, 0)
        program.launch(kernels.BLEND, stream, -1, 1, 0, 0, 0, 0)
    assert gpu.calls[done:] == []


def test_launches_can_be_recorded_and_replayed(gpu: Gpu, tmp_path: Path) -> None:
    from engines.device import Buffer, Device
    from engines.kernels.program import Program

    device = Device()
    with device.current():
        program, stream = Program(device.info, tmp_path), device.stream()
        numbers, found = Buffer((4,)), Buffer((1,))
        numbers.host[1] = np.inf
        arguments = 4, 1, numbers.address, found.address
        graph = driver.record(
            lambda: program.launch(kernels.FIND_NOT_FINITE, stream, *arguments), stream.handle
        )
        numbers.upload(stream)
        found.upload(stream)
        assert gpu.memory[found.address].view(np.int32) == 0
        graph.launch(stream.handle)
        assert gpu.memory[found.address].view(np.int32) == 1


def test_a_kernel_that_the_code_does_not_hold_is_found_before_a_frame_is(
    gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.device import Device
    from engines.errors import DeviceError
    from engines.kernels.program import Program

    strange = kernels.Kernel("strange", "P")
    monkeypatch.setattr(kernels, "EVERY", (*kernels.EVERY, strange))
    device = Device()
    with pytest.raises(DeviceError, match="named symbol not found"), device.current():
        Program(device.info, tmp_path)


def test_on_a_gpu_the_comparisons_run_as_they_do_here(gpu: Gpu, tmp_path: Path) -> None:
    """What compares kernels on a real one, on the pretended one: it works when one is there."""
    picture = np.random.default_rng(0).integers(0, 256, (6, 10, 4)).astype(np.uint8)
    found, expected = np.zeros((9, 10), np.uint8), np.zeros((9, 10), np.uint8)
    on_this_processor(kernels.RGB_TO_I420, 5, 3, picture, expected)
    with on_the_gpu(tmp_path) as launch:
        launch(kernels.RGB_TO_I420, 5, 3, picture, found)
        launch(kernels.RGB_TO_I420, 0, 3, picture, found)
    np.testing.assert_array_equal(found, expected)
    assert expected.any()
    assert (gpu.memory, gpu.retained, gpu.contexts) == ({}, 0, [])
