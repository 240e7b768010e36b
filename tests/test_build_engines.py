"""The command line over `engines/build.py`: exit codes, and one line where something is missing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import build_engines
from engines import driver, weights
from engines.errors import WeightsError
from engines.specs import NETWORKS
from tests.doubles.gpu import Gpu, installed

WHOLE = "".join(
    f"{name}: {len(weights.read_manifest(name).files)} files match their SHA-256\n"
    for name in NETWORKS
)


Run = Callable[..., tuple[int, str, str]]
"""arguments -> exit code, stdout, stderr"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = build_engines.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_verify_checks_the_weights_and_needs_no_gpu(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    assert run("--verify") == (0, WHOLE, "")


def test_damaged_weights_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> list[Path]:
        raise WeightsError("drive.onnx: sha256 is another; reinstall reenactd")

    monkeypatch.setattr(weights, "verify", damaged)
    said = "build_engines: drive.onnx: sha256 is another; reinstall reenactd\n"
    assert run("--verify") == (2, "", said)


def test_without_a_gpu_it_says_so_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    code, _, error = run()
    assert code == 2
    assert error.startswith("build_engines: no CUDA driver (libcuda.absent.so.1); install")
    assert error.count("\n") == 1


def test_without_tensorrt_it_says_so_in_one_line(run: Run) -> None:
    with installed(Gpu(), without="tensorrt"):
        code, _, error = run()
    assert code == 2
    assert "cannot be imported" in error and "pip install 'reenactd[gpu]'" in error
    assert error.count("\n") == 1


@pytest.mark.train
def test_with_all_of_it_plans_are_built_where_asked(run: Run, tmp_path: Path) -> None:
    with installed(Gpu()):
        code, _, error = run("--precision", "fp32", "--cache", str(tmp_path))
        again = run("--precision", "fp32", "--cache", str(tmp_path))
    assert code == 0
    assert "differs from PyTorch by at most" in error
    built = {tuple(path.parent.name.split(".")[:3]) for path in tmp_path.glob("*/plan")}
    graphs = {(spec.name, graph.name) for spec in NETWORKS.values() for graph in spec.graphs}
    assert built == {(*names, "fp32") for names in graphs}
    assert again[0] == 0 and "fits this machine" in again[2]


@pytest.mark.train
def test_an_unwritable_cache_is_one_line(run: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with installed(Gpu()):
        code, _, error = run("--cache", str(blocked / "plans"))
    assert code == 2
    assert error.splitlines()[-1].startswith("build_engines: ") and str(blocked) in error


@pytest.mark.train
def test_ctrl_c_ends_with_130_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    gpu = Gpu()
    gpu.at_step[1] = lambda: os.kill(os.getpid(), signal.SIGINT)
    with installed(gpu):
        code, _, error = run("--cache", str(tmp_path))
    assert code == 130
    assert error.endswith("build_engines: stopped; no plan was left half-written\n")
    assert list(tmp_path.iterdir()) == []
