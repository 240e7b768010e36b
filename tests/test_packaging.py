"""What an installation holds is found there, and what a checkout holds is found in it."""

from __future__ import annotations

import importlib.resources
import sys
from pathlib import Path

import pytest

from realtime.server import web_client_directory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def test_a_checkout_serves_its_own_page() -> None:
    assert web_client_directory() == ROOT / "web_client"
    assert (web_client_directory() / "index.html").is_file()


def test_an_installed_package_serves_the_page_that_came_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_web_client").mkdir()
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    assert web_client_directory() == tmp_path / "_web_client"


def test_an_installation_holds_every_kernel() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = declared["tool"]["setuptools"]["package-data"]["engines"]
    engines = ROOT / "engines"
    shipped = {path for pattern in patterns for path in engines.glob(pattern)}
    sources = set(engines.rglob("*.cu"))
    assert sources and sources <= shipped
