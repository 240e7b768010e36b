"""Narrow weights where a user's would lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engines.fetched import Store
from engines.sources import Got
from tests.doubles.gpu import Gpu, installed
from tests.engines.liveportrait.got import build_plans, narrow_store


@pytest.fixture(scope="session")
def got(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """To be read only: with the graphs written from them."""
    from engines.nets.liveportrait import export

    store = narrow_store(tmp_path_factory.mktemp("models"))
    export.export_kept(store)
    return store


@pytest.fixture
def copy(got: Store, tmp_path: Path) -> Store:
    """To be damaged."""
    shutil.copytree(got.root, tmp_path / "models")
    return Store(got.model, tmp_path / "models")


@pytest.fixture(scope="session")
def built(got: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache home with plans of `got` for the pretended GPU, in fp32; to be read only."""
    home = tmp_path_factory.mktemp("cache")
    with installed(Gpu()):
        build_plans(Got(got), "fp32", home / "reenactd" / "plans")
    return home


@pytest.fixture
def planned(built: Path, gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The plan cache of this test, which may be damaged."""
    shutil.copytree(built, tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reenactd" / "plans"
