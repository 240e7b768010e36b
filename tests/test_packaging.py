"""What an installation holds is found there, and what a checkout holds is found in it."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest

from realtime.server import web_client_directory

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
