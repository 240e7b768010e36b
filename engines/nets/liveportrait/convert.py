"""A published file -> one safetensors file for each network in it, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engines.nets.liveportrait import checkpoint
from engines.nets.liveportrait.sizes import Sizes


def convert(path: Path, origin: str, targets: Mapping[str, Path], sizes: Sizes) -> None:
    """Read every network of `path` before any is written.

    Args:
        origin: what a refusal calls the file.
        targets: network -> where to.

    Raises:
        WeightsError: the file is damaged, holds code, or is of another network.
        DownloadError: the disk is full, or cannot be written.
    """
    states = {name: checkpoint.read_published(name, path, sizes, origin) for name in targets}
    for name, target in targets.items():
        checkpoint.keep(states[name], target)
