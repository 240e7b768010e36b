"""Narrow LivePortrait weights, as `reenactd models get` leaves them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from engines import weights
from engines.catalogue import LIVEPORTRAIT, Model
from engines.fetched import LOCK, Store
from engines.nets.liveportrait import checkpoint
from engines.sources import AnyNetwork
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network


def narrow_model() -> Model:
    files = tuple(replace(file, sha256="") for file in LIVEPORTRAIT.files)
    return replace(LIVEPORTRAIT, files=files, sizes=ALL_POINTS)


def narrow_store(root: Path) -> Store:
    store = Store(narrow_model(), root)
    store.folder.mkdir(parents=True)
    pins = {}
    for file in store.model.files:
        kept = {}
        for name in file.networks:
            path = store.folder / f"{name}.safetensors"
            state = network(name, sizes=ALL_POINTS).state_dict()
            checkpoint.keep({k: v for k, v in state.items() if "num_batches" not in k}, path)
            kept[path.name] = weights.sha256_of(path)
        pins[file.name] = {"origin": "this test", "sha256": "", "kept": kept}
    (store.folder / LOCK).write_text(json.dumps({"model": store.model.name, "files": pins}))
    return store


def build_plans(network: AnyNetwork, precision: str, root: Path) -> list[str]:
    """The lines that were reported; the doubles are installed, or there is a GPU."""
    from engines.build import build

    lines: list[str] = []
    build(network, precision, root, Progress(disable=True), lines.append)
    return lines
