"""The doctor: what is missing is named with its cost, before anything fails on it."""

from __future__ import annotations

import socket

import pytest

from engines import driver
from realtime import doctor
from realtime.bench import machine
from realtime.config import Config, Identities, Server
from realtime.doctor import Check, examine
from realtime.errors import StartupError


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
