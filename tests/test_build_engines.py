"""The command line over `engines/build.py`: exit codes, and one line where something is missing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import build_engines
from engines import catalogue, driver, plans, weights
from engines.errors import WeightsError
from engines.specs import NETWORKS
from realtime.config import Config, Engine, Liveportrait
from realtime.studio import LiveStudio
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


def test_liveportrait_without_its_weights_is_one_line_with_the_command(run: Run) -> None:
    code, said, error = run("--network", "liveportrait")
    assert (code, said) == (2, "") and error.count("\n") == 1
    assert error.endswith(
        "appearance.safetensors: missing; run `reenactd models get liveportrait`\n"
    )


def test_random_weights_are_for_liveportrait_alone(run: Run) -> None:
    code, _, error = run("--random-weights", "--network", "warp-refine-lite")
    assert code == 2 and error.count("\n") == 1
    assert "ships with its weights, none are drawn; use --network liveportrait" in error


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """LivePortrait is narrow; nothing of it was got."""
    from tests.engines.liveportrait.got import narrow_model

    monkeypatch.setitem(catalogue.MODELS, "liveportrait", narrow_model())


@pytest.mark.train
def test_plans_of_random_weights_are_never_taken_for_others(
    run: Run, narrow: None, tmp_path: Path
) -> None:
    with installed(Gpu()):
        code, said, error = run(
            *("--network", "liveportrait", "--random-weights", "--cache", str(tmp_path))
        )
    assert code == 0 and "RANDOM WEIGHTS" in said
    assert "the kernels between and around these plans are compiled\n" in error
    built = {".".join(path.parent.name.split(".")[1:3]) for path in tmp_path.glob("*/plan")}
    assert built == {
        *("appearance.fp16", "motion.fp32", "generator.fp16"),
        *("warping_compress.fp16", "warping_choose.fp16", "warping_flatten.fp16"),
        *("stitching.fp32", "lip_retargeting.fp32", "eye_retargeting.fp32"),
    }
    for path in tmp_path.glob("*/manifest.json"):
        assert json.loads(path.read_text())["weights_sha256"].startswith("random, of seed")


@pytest.mark.train
def test_ctrl_c_between_liveportrait_s_plans_leaves_whole_ones_only(
    run: Run, narrow: None, tmp_path: Path
) -> None:
    gpu = Gpu()

    def second_time() -> None:
        if gpu.calls.count("context") == 1:  # the first plan was tried out
            os.kill(os.getpid(), signal.SIGINT)

    gpu.at_step[1] = second_time
    with installed(gpu):
        code, _, error = run(
            *("--network", "liveportrait", "--random-weights", "--cache", str(tmp_path))
        )
    assert code == 130 and error.endswith("no plan was left half-written\n")
    assert [path.name.split(".")[1] for path in tmp_path.glob("liveportrait.*")] == ["appearance"]
    assert not list(tmp_path.glob("unfinished*"))


@pytest.mark.train
def test_the_gallery_is_encoded_where_the_daemon_finds_it(
    run: Run, narrow: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engines.fetched import default_root
    from engines.shelf import default_root as cache_root
    from tests.engines.liveportrait.got import narrow_store

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    narrow_store(default_root())
    with installed(Gpu()):
        code, said, error = run(
            "--network", "liveportrait", "--identity-cache", "--cache", str(plans.default_root())
        )
        kept = sorted(cache_root().rglob("*.encoded"))
        written_ns = [path.stat().st_mtime_ns for path in kept]
        studio = LiveStudio(
            Config(
                engine=Engine(network="liveportrait"),
                liveportrait=Liveportrait(identity_cache=True),
            )
        )
        studio.load()
        for card in studio.list_identities():
            studio.load_identity(card.id)
    assert code == 0 and said == "liveportrait: 7 files match their SHA-256\n"
    assert "NVIDIA L4, fp16, frames drawn there by kernels: the fastest one\n" in error
    assert len(kept) == 4 and "identity juniper is in " in error
    assert "the daemon reads the shipped ones once liveportrait.identity_cache is true\n" in error
    assert sorted(cache_root().rglob("*.encoded")) == kept
    assert [path.stat().st_mtime_ns for path in kept] == written_ns, "nothing was encoded again"
