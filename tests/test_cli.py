"""The command line: it explains itself, and every expected failure is one line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realtime import __version__, cli
from realtime.cli import app

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "serve",
    "top",
    "trace",
    "record",
    "render",
    "identity",
    "models",
    "doctor",
    "config",
    "bench",
    "trust",
    "tls",
)
OF_A_BACKEND = ("pipeline", "models", "session", "glass", "soak", "crowd", "narrow")
"""benches whose figures depend on what computes the networks"""


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run_main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the entry point."""
    monkeypatch.setattr(sys, "argv", ["reenactd", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_help_names_every_command() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    assert all(command in said for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_version_is_the_packages() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"reenactd {__version__}\n"
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{__version__}"' in declared


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from realtime.cli import app; "
        "CliRunner().invoke(app, ['--help']); "
        "print(*[name for name in ('av', 'cv2', 'mediapipe', 'onnxruntime', 'aiortc') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "99999"], "[server] port = 99999"),
        (["serve", "--host", "0.0.0.0"], "only loopback"),
        (["serve", "--config", "absent.toml"], "absent.toml: No such file"),
        (["config", "check", "--config", "absent.toml"], "absent.toml: No such file"),
        (["identity", "show", "nobody"], "identity 'nobody' does not exist; there are:"),
        *((["bench", name], "pass --backend onnx") for name in OF_A_BACKEND),
        (["bench", "pipeline", "--backend", "cuda"], "'onnx', 'torch' or 'tensorrt'"),
        (["render", "a.mp4", "b.mp4", "--identity", "x", "--size", "641x480"], "multiple of 2"),
        (["render", "a.mp4", "b.mp4", "--identity", "x", "--color", "green"], "#rrggbb"),
        (["render", "a.mp4", "b.mp4", "--identity", "x", "--background", "sea"], "one of identity"),
    ],
)
def test_an_expected_failure_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    code, _, error = run_main(monkeypatch, capsys, *arguments)
    assert code == 2
    assert said in error
    assert error.startswith("reenactd: ")
    assert error.count("\n") == 1


def test_a_taken_port_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, error = run_main(monkeypatch, capsys, "serve", "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in error
    assert error.count("\n") == 1


def test_ctrl_c_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("realtime.doctor.examine", interrupted)
    code, out, error = run_main(monkeypatch, capsys, "doctor")
    assert (code, out, error) == (130, "", "")


def test_a_size_that_is_none_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["render", "a", "b", "--identity", "x", "--size", "big"])
    assert result.exit_code == 2
    assert "WIDTHxHEIGHT" in result.output


def test_config_show_names_every_setting_and_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REENACTD_SERVER__PORT", "9000")
    result = CliRunner().invoke(app, ["config", "show"])
    (row,) = [line.split() for line in result.output.splitlines() if "server.port" in line]
    assert row == ["server.port", "9000", "environment"]
    assert "log.level" in result.output


def test_config_check_accepts_what_is_right(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("[video]\nwidth_px = 1280\nheight_px = 720\n")
    result = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert (result.exit_code, result.output) == (0, "all settings are right\n")


def test_identities_are_listed_with_their_consent() -> None:
    said = CliRunner().invoke(app, ["identity", "list"]).output
    for identity in ("juniper", "coral", "cobalt", "slate"):
        assert identity in said
    assert "fictional" in said
    assert "(default)" in said


def test_an_identity_is_shown_with_its_portrait() -> None:
    result = CliRunner().invoke(app, ["identity", "show", "coral"])
    (path,) = [line.split()[-1] for line in result.output.splitlines() if "portrait " in line]
    assert Path(path).is_file()


def test_doctor_ends_with_json_and_its_exit_code_says_whether_the_daemon_can_run() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.output.splitlines()[-1])
    assert document["scenario"] == "doctor"
    assert document["metrics"]["fatal"] == sum(check["fatal"] for check in document["checks"])
    assert result.exit_code == (1 if document["metrics"]["fatal"] else 0)


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout == f"reenactd {__version__}\n"
