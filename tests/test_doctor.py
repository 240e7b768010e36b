"""The doctor: what is missing is named with its cost, before anything fails on it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from engines import catalogue, driver
from engines.fetched import Store, default_root
from realtime import doctor
from realtime.bench import machine
from realtime.config import Config, Engine, Identities, Server
from realtime.doctor import Check, examine
from realtime.errors import StartupError
from tests.doubles.gpu import Gpu


def found(config: Config | None = None) -> dict[str, Check]:
    return {check.name: check for check in examine(config or Config())}


def test_this_machine_can_run_the_daemon() -> None:
    fatal = [check for check in examine(Config()) if check.fatal]
    assert fatal == []


def test_every_check_says_what_its_absence_costs() -> None:
    silent = [check.name for check in examine(Config()) if not check.found and not check.cost]
    assert silent == []


def test_only_a_required_thing_is_fatal() -> None:
    assert not Check("g", "n", "", "slower").fatal
    assert Check("g", "n", "", "no start", required=True).fatal
    assert not Check("g", "n", "1.0", "no start", required=True).fatal


def test_missing_system_libraries_are_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "SYSTEM_LIBRARIES", {"libabsent.so.1": "libabsent1"})
    with pytest.raises(StartupError, match="sudo apt-get install libabsent1"):
        doctor.require_system_libraries()
    assert found()["libabsent.so.1"].fatal


def test_present_system_libraries_pass() -> None:
    doctor.require_system_libraries()


def test_a_missing_package_is_fatal_where_the_daemon_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "version_of", lambda name: "")
    checks = found()
    assert checks["ONNX Runtime"].fatal
    assert checks["MediaPipe and its models"].fatal
    assert not checks["uvloop"].fatal
    assert not checks["PyTorch"].fatal


def test_it_says_what_auto_takes_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    assert found()["taken by auto"].found == "onnx: no CUDA driver (libcuda.absent.so.1)"


def test_a_taken_port_is_told_and_not_fatal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = found(Config(server=Server(port=port)))["port"]
    assert not check.found
    assert not check.fatal
    assert "--port" in check.cost


def test_an_unknown_default_identity_is_fatal() -> None:
    check = found(Config(identities=Identities(default="nobody")))["default"]
    assert check.fatal
    assert "'nobody'" in check.cost


def liveportrait(**engine: Any) -> tuple[Check, Check | None]:
    """Its weights, and where it runs."""
    checks = found(Config(engine=Engine(**engine)))
    return checks["LivePortrait's weights"], checks.get("LivePortrait's")


def test_without_its_weights_liveportrait_is_told_with_the_command_and_not_fatal() -> None:
    weights, backend = liveportrait()
    assert not weights.found and not weights.fatal and backend is None
    assert weights.cost.endswith(
        "appearance.safetensors: missing; run `reenactd models get liveportrait`"
    )


def test_who_chose_liveportrait_cannot_start_without_it() -> None:
    weights, _ = liveportrait(network="liveportrait")
    assert weights.fatal


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Store:
    """LivePortrait's weights where a user's lie, of narrow networks."""
    from tests.engines.liveportrait.got import narrow_model, narrow_store

    monkeypatch.setitem(catalogue.MODELS, "liveportrait", narrow_model())
    return narrow_store(default_root())


@pytest.mark.train
def test_it_says_where_liveportrait_runs_and_why(
    narrow: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    weights, backend = liveportrait()
    assert weights.found == "7 files match their SHA-256"
    assert backend is not None
    assert backend.found.startswith("torch: no CUDA driver (libcuda.absent.so.1), and no ONNX gr")
    assert backend.found.endswith("without a GPU half a minute for each frame")


@pytest.mark.train
def test_damaged_weights_of_liveportrait_are_told_with_the_fix(narrow: Store) -> None:
    path = narrow.folder / "motion.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    weights, _ = liveportrait()
    assert "motion.safetensors: damaged" in weights.cost and "models get" in weights.cost


@pytest.mark.train
@pytest.mark.parametrize(
    ("backend", "cost"),
    [
        ("onnx", "appearance.onnx: missing; run: python -m engines.nets.liveportrait.export"),
        ("tensorrt", "run: python build_engines.py --network liveportrait"),
    ],
)
def test_a_backend_that_was_asked_for_is_told_with_what_it_lacks(
    narrow: Store,
    gpu: Gpu,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    backend: str,
    cost: str,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _, check = liveportrait(backend=backend, network="liveportrait")
    assert check is not None and check.fatal and cost in check.cost


@pytest.mark.train
def test_on_a_gpu_without_plans_it_says_what_builds_them(
    narrow: Store, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _, check = liveportrait()
    assert check is not None
    assert "not tensorrt: there is no fp16 plan of liveportrait appearance" in check.found
    assert "run: python build_engines.py --network liveportrait" in check.found
