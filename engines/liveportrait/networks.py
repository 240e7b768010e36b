"""LivePortrait's graphs, open on one backend, each called under the names of its table.

The networks are PyTorch's, so both backends start from the kept weights (`*.safetensors`): `torch`
loads them as they are, `onnx` runs graphs that were written from them once, beside them. There are
no TensorRT plans of them yet.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines import driver, weights
from engines.backends import NAMES, open_engine
from engines.backends.base import Engine, optional
from engines.catalogue import LIVEPORTRAIT
from engines.errors import BackendError, EngineError
from engines.fetched import Store
from engines.nets.liveportrait.graphs import graphs
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes

F32 = NDArray[np.float32]

NAME = LIVEPORTRAIT.name
GRAPHS = (
    *("appearance", "motion", "warping", "generator"),
    *("stitching", "lip_retargeting", "eye_retargeting"),
)
"""what is opened, of `graphs.py`; each has a weights file of its name"""
_HALF = frozenset({"appearance", "warping", "generator"})
"""computed in float16 on a GPU; M's angles and the small perceptrons are not"""


class Networks:
    """One lock holds for each graph: an identity is encoded while another one is driven."""

    def __init__(self, engines: Mapping[str, Engine], sizes: Sizes = PUBLISHED) -> None:
        self._engines = engines
        self._locks = {name: threading.Lock() for name in engines}
        self.sizes = sizes
        self.description = engines["warping"].description

    def run(self, graph: str, *inputs: F32) -> dict[str, F32]:
        """What a graph gives for its inputs, in the order of its table; the caller's to keep.

        Raises:
            EngineError: a result is not finite.
        """
        engine = self._engines[graph]
        named = {t.name: value for t, value in zip(engine.spec.inputs, inputs, strict=True)}
        with self._locks[graph]:
            found = {name: value.copy() for name, value in engine.run(named).items()}
        for name, value in found.items():
            if not np.isfinite(value).all():
                raise EngineError(f"{NAME}: {graph}'s {name} is not finite; the frame is dropped")
        return found

    def run_one(self, graph: str, *inputs: F32) -> F32:
        """The same, of a graph with one output."""
        (found,) = self.run(graph, *inputs).values()
        return found


class Choice(NamedTuple):
    backend: str
    reason: str


def choose(backend: str, store: Store) -> Choice:
    """Decide once which backend runs.

    Raises:
        BackendError: there is no such backend, or it cannot run these networks.
    """
    if backend not in NAMES:
        raise BackendError(f"engine.backend = {backend!r}: must be one of {', '.join(NAMES)}")
    if backend == "tensorrt":
        raise BackendError(
            f"engine.backend = 'tensorrt': {NAME} has no plans yet; use torch, or warp-refine"
        )
    if backend != "auto":
        return Choice(backend, "asked for by engine.backend")
    try:
        driver.require()
        with optional("PyTorch"):
            from engines.backends import torch
        torch.require_cuda()
    except BackendError as error:
        reason = str(error).partition(";")[0]
        if all(_onnx(store, name).is_file() for name in GRAPHS):
            return Choice("onnx", reason)
        return Choice("torch", f"{reason}, and no ONNX graphs are written")
    return Choice("torch", "the only one with a GPU for these networks")


def open_networks(backend: str, store: Store, threads: int) -> Networks:
    """
    Args:
        backend: "torch" or "onnx".

    Raises:
        BackendError: a library or a graph is missing.
        WeightsError: a weights file is missing or not what was got.
    """
    kept = {name: store.locate(name) for name in GRAPHS}
    opened = _open_torch if backend == "torch" else _open_onnx
    engines = {name: opened(store, name, path, threads) for name, path in kept.items()}
    return Networks(engines, store.model.sizes)


def weights_sha256(store: Store) -> str:
    """Of the weights that a portrait is encoded with."""
    encoding = ("appearance", "motion", "lip_retargeting")
    return " ".join(weights.sha256_of(store.locate(name)) for name in encoding)


def _open_torch(store: Store, name: str, kept: Path, threads: int) -> Engine:
    with optional("PyTorch or safetensors"):
        from engines.backends import torch
        from engines.nets.liveportrait import checkpoint, rewrites
    sizes = store.model.sizes
    state = checkpoint.restore(name, kept, sizes)
    module = rewrites.optimise(checkpoint.build(name, state, sizes))
    precision = "fp16" if name in _HALF else "fp32"
    return torch.open_module(graphs(sizes)[name], module, threads, precision=precision)


def _open_onnx(store: Store, name: str, kept: Path, threads: int) -> Engine:
    path = _onnx(store, name)
    if not path.is_file() or path.stat().st_mtime_ns < kept.stat().st_mtime_ns:
        state = "older than its weights" if path.is_file() else "missing"
        raise BackendError(
            f"{path}: {state}; write it with `python -m engines.nets.liveportrait.export`, "
            "or use engine.backend = 'torch'"
        )
    return open_engine("onnx", graphs(store.model.sizes)[name], path, threads)


def _onnx(store: Store, name: str) -> Path:
    return store.folder / f"{name}.onnx"
