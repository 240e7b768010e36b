"""The unit, the man page, the shells' completion, and the container files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from realtime.cli import app
from realtime.service import man_page, unit

ROOT = Path(__file__).parents[1]
CONTAINERS = sorted((ROOT / "docs" / "container").iterdir())


def test_the_unit_starts_this_program_with_its_settings(tmp_path: Path) -> None:
    text = unit(Path("/opt/my tools/50%/reenactd"), tmp_path / "r.toml")
    assert f"ExecStart='/opt/my tools/50%%/reenactd' serve --config {tmp_path}/r.toml" in text
    assert "Type=notify" in text and "WatchdogSec=" in text
    assert "StandardOutput=null" in text, "the printed URL holds the token"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_no_mistake_in_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "reenactd.service"
    file.write_text(unit(Path(sys.executable), None))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_commands_print_them() -> None:
    assert "[Service]" in CliRunner().invoke(app, ["service"]).output
    assert CliRunner().invoke(app, ["man"]).output.startswith(".TH REENACTD 1")
    assert "_REENACTD_COMPLETE" in CliRunner().invoke(app, ["completion", "fish"]).output
    assert CliRunner().invoke(app, ["completion", "tcsh"]).exit_code == 2


def test_the_man_page_has_every_command_and_option() -> None:
    page = man_page(get_command(app))
    for name in ("serve", "identity list", "bench soak", "vcam", "config show"):
        assert f".SS {name}" in page
    assert "\\-\\-config" in page and "\\-\\-identity" in page


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_a_formatter_has_nothing_to_complain_of() -> None:
    formatted = subprocess.run(
        ["groff", "-man", "-ww", "-Tascii"],
        input=man_page(get_command(app)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert formatted.stderr == ""


def test_a_shell_that_asks_is_answered(tmp_path: Path) -> None:
    program = tmp_path / "reenactd"
    program.write_text(f"#!{sys.executable}\nfrom realtime.cli import main\nmain()\n")
    program.chmod(0o755)
    asking = {"COMP_WORDS": "reenactd config sh", "COMP_CWORD": "2", "PYTHONPATH": str(ROOT)}
    answered = subprocess.run(
        [str(program)],
        env={**os.environ, **asking, "_REENACTD_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answered.stdout.split() == ["show"]


@pytest.mark.parametrize("file", CONTAINERS, ids=lambda file: file.name)
def test_a_container_file_copies_what_exists_and_all_that_is_installed(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    copied = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert all((ROOT / path).exists() for path in copied)
    assert {"engines", "realtime", "web_client", "build_engines.py", "pyproject.toml"} <= copied
    assert {"README.md", "LICENSE"} <= copied, "pyproject.toml names them"
    assert re.search(r"^USER reenactd$", text, re.MULTILINE)
    packages = (ROOT / ".ci" / "system-packages").read_text(encoding="utf-8")
    for library in ("libgl1", "libglib2.0-0"):
        assert library in text and library in packages
    assert f"docs/container/{file.name}" in text, "how it is built stands in it"
