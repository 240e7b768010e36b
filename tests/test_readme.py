"""The README cannot rot: every setting, command and file that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from realtime.cli import app
from realtime.config import Config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = {
    f"{section}.{key}": value
    for section, values in Config().model_dump(mode="json").items()
    for key, value in values.items()
}


def settings_rows() -> dict[str, str]:
    """setting -> its default, as the table states it."""
    return dict(re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \| ([^|]+?) \|", README, re.MULTILINE))


def as_written(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f"`{value}`"


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    assert settings_rows().get(name) == as_written(SETTINGS[name])


def test_no_documented_setting_is_invented() -> None:
    assert set(settings_rows()) == set(SETTINGS)


def commands() -> list[str]:
    """Every command that can be typed, groups expanded."""
    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [f"{name} {sub}" for sub in inner] if inner else [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command: str) -> None:
    assert f"`reenactd {command}" in README


def test_every_documented_command_exists() -> None:
    documented = {
        " ".join(words.split()[:2])
        if words.split()[0] in ("identity", "models", "config", "bench", "tls", "trust")
        else words.split()[0]
        for words in re.findall(r"`reenactd ([a-z][^`]*)`", README)
    }
    assert documented <= set(commands())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M))))
def test_every_make_target_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)]+)\)", README))))
def test_every_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:engines|realtime|tests|docs|\.ci)/[\w./-]+)`", README)))
)
def test_every_named_file_exists(path: str) -> None:
    is_recipe = path.endswith(("/x.py", "/test_x.py"))
    assert is_recipe or (ROOT / path).exists()
