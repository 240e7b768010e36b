"""Ways to run a graph. One protocol (`base.py`); chosen once, with a printed reason (`choose`)."""

from __future__ import annotations

from pathlib import Path

from engines.backends.base import Engine
from engines.errors import BackendError
from engines.specs import GraphSpec


def choose(name: str) -> tuple[str, str]:
    """Decide once which backend runs.

    Args:
        name: "auto" or a backend's name.

    Returns:
        The backend's name, and why it was taken.

    Raises:
        BackendError: there is no backend of that name.
    """
    if name == "auto":
        return "onnx", "the only backend of this release, on the CPU"
    if name == "onnx":
        return "onnx", "asked for by engine.backend"
    raise BackendError(f"engine.backend = {name!r}: must be auto or onnx; use onnx")


def open_engine(backend: str, spec: GraphSpec, path: Path, threads: int) -> Engine:
    """Load one graph on the chosen backend."""
    if backend != "onnx":
        raise BackendError(f"no backend {backend!r}; use onnx")
    from engines.backends.onnx import OnnxEngine

    return OnnxEngine(spec, path, threads)
