"""A pretended GPU on which everything is late, with the shipped network's plans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engines.models import Reenactor, load_reenactor, load_warp_refine
from tests.doubles.gpu import Gpu
from tests.doubles.plans import install_shipped

if TYPE_CHECKING:
    from engines.gpu.reenactor import GpuReenactor


@pytest.fixture(scope="module")
def cpu() -> Reenactor:
    return load_warp_refine("onnx", threads=1)


@pytest.fixture
def planned(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    install_shipped()


@pytest.fixture
def on_gpu(gpu: Gpu, planned: None) -> Iterator[GpuReenactor]:
    from engines.gpu.reenactor import GpuReenactor

    made = load_reenactor("tensorrt")
    assert isinstance(made, GpuReenactor)
    gpu.late = True
    yield made
    made.close()
    assert gpu.fences_stand(), "written beyond an allocation"
    assert (gpu.retained, gpu.contexts) == (0, [])
