"""Weights that are not what their manifest says are not loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engines import weights
from engines.errors import WeightsError
from engines.specs import NETWORKS


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for network in NETWORKS:
        shutil.copytree(weights.WEIGHTS_DIRECTORY / network, tmp_path / network)
    return tmp_path


@pytest.mark.parametrize("network", NETWORKS)
def test_shipped_weights_are_whole(network: str) -> None:
    assert weights.verify(network)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_flipped_bit_is_refused(network: str, copy: Path) -> None:
    path = copy / network / "drive.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        weights.locate(network, "drive.onnx", copy)


def test_missing_files_are_named(copy: Path) -> None:
    (copy / "warp-refine-lite" / "drive.onnx").unlink()
    with pytest.raises(WeightsError, match=r"drive\.onnx: missing"):
        weights.locate("warp-refine-lite", "drive.onnx", copy)


def test_unlisted_files_are_refused(copy: Path) -> None:
    with pytest.raises(WeightsError, match="not listed"):
        weights.locate("warp-refine-lite", "other.onnx", copy)


def test_a_broken_manifest_is_refused(copy: Path) -> None:
    (copy / "warp-refine-lite" / "manifest.json").write_text("{")
    with pytest.raises(WeightsError, match="manifest"):
        weights.read_manifest("warp-refine-lite", copy)
