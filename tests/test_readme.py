"""The documents cannot rot: every setting, command and file that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from realtime.cli import app
from realtime.config import Config

ROOT = Path(__file__).parents[1]
PAGES = {
    page.relative_to(ROOT): page.read_text(encoding="utf-8")
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if page.name != "LOG.md"
}
README = PAGES[Path("README.md")]
SETTINGS_PAGE = PAGES[Path("docs/settings.md")]
SETTINGS = {
    f"{section}.{key}": value
    for section, values in Config().model_dump(mode="json").items()
    for key, value in values.items()
}


def settings_rows() -> dict[str, str]:
    """setting -> its default, as the table states it."""
    return dict(
        re.findall(r"^\| `([a-z_]+\.[a-z_0-9]+)` \| ([^|]+?) \|", SETTINGS_PAGE, re.MULTILINE)
    )


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


def found(pattern: str) -> list[tuple[Path, str]]:
    """(page, what the pattern's group matches there), each once."""
    return sorted(
        {(page, hit) for page, text in PAGES.items() for hit in re.findall(pattern, text)}
    )


GROUPS = {command.split()[0] for command in commands() if " " in command}


@pytest.mark.parametrize(("page", "words"), found(r"`reenactd ([a-z][^`]*)`"))
def test_every_documented_command_exists(page: Path, words: str) -> None:
    count = 2 if words.split()[0] in GROUPS else 1
    assert " ".join(words.split()[:count]) in commands(), page


@pytest.mark.parametrize(("page", "target"), found(r"`(?:``\n)?make ([a-z]+)"))
def test_every_make_target_exists(page: Path, target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), page


@pytest.mark.parametrize(("page", "link"), found(r"\]\(((?!http|#)[^)#]+)"))
def test_every_linked_file_exists(page: Path, link: str) -> None:
    assert (ROOT / page.parent / link).exists()


TESTS = found(r"`((?:[a-z]+/)?test_\w+\.py(?:::\w+)?)`")


@pytest.mark.parametrize(("page", "test"), TESTS)
def test_every_named_test_exists(page: Path, test: str) -> None:
    name, _, function = test.partition("::")
    source = (ROOT / "tests" / name.removeprefix("tests/")).read_text(encoding="utf-8")
    wanted = function or r"test_\w+"
    assert re.search(rf"^(?:async )?def {wanted}\(", source, re.MULTILINE), page


@pytest.mark.parametrize(
    ("page", "path"), found(r"`((?:engines|realtime|tests|docs|\.ci)/[\w./-]+)`")
)
def test_every_named_file_exists(page: Path, path: str) -> None:
    is_recipe = path.endswith(("/x.py", "/test_x.py"))
    assert is_recipe or any((base / path).exists() for base in (ROOT, ROOT / "tests")), page
