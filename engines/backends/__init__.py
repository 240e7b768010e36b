"""Ways to run a graph. One protocol (`base.py`); chosen once, with a printed reason (`choose`).

`torch.py` and `tensorrt.py` are imported where they are asked for: their libraries are optional.
"""

from __future__ import annotations

from pathlib import Path

from engines import driver, weights
from engines.backends.base import REINSTALL, Engine, optional
from engines.errors import BackendError, DeviceError
from engines.sources import AnyNetwork, Source
from engines.specs import GraphSpec

NAMES = ("auto", "onnx", "torch", "tensorrt")


def choose(name: str, network: AnyNetwork) -> tuple[str, str]:
    """Decide once which backend runs.

    Args:
        name: one of `NAMES`; a backend that is asked for by name is never replaced by another.

    Returns:
        The backend's name, and why it was taken.

    Raises:
        BackendError: there is no backend of that name.
        WeightsError: LivePortrait's are missing, or not what was got.
    """
    if name not in NAMES:
        raise BackendError(f"engine.backend = {name!r}: must be one of {', '.join(NAMES)}")
    if name != "auto":
        return name, "asked for by engine.backend"
    try:
        driver.require()
    except DeviceError as error:
        return _without_a_gpu(network, _short(error))
    passed = []
    for candidate in ("tensorrt", "torch"):
        try:
            _require(candidate, network)
        except BackendError as error:
            passed.append(f"not {candidate}: {error}")
        else:
            return candidate, ", ".join(passed) or "the fastest one"
    return _without_a_gpu(network, ", ".join(passed))


def _without_a_gpu(network: AnyNetwork, reason: str) -> tuple[str, str]:
    if isinstance(network, Source):
        try:
            require("onnx", network)
        except BackendError:
            return "torch", f"{reason}, and no ONNX graphs are written"
    return "onnx", reason


def require(backend: str, network: AnyNetwork) -> None:
    """
    Args:
        backend: not auto.

    Raises:
        BackendError, WeightsError: it cannot run the network here; says what is missing.
    """
    if backend == "tensorrt":
        driver.require()
        _require(backend, network)
    elif backend == "torch":
        with optional("PyTorch or safetensors"):
            from engines.backends import torch  # noqa: F401
    elif isinstance(network, Source):
        for graph in network.graphs:
            network.onnx(graph)


def open_graph(
    backend: str,
    network: AnyNetwork,
    graph: GraphSpec,
    threads: int,
    root: Path = weights.WEIGHTS_DIRECTORY,
) -> Engine:
    """Load one graph of a network on the chosen backend.

    Raises:
        BackendError: it cannot run here; says what is missing.
        WeightsError: its files are not what they claim.
    """
    if backend == "tensorrt":
        driver.require()
        with optional("TensorRT"):
            from engines.backends import tensorrt
        return tensorrt.open_graph(network, graph)
    if backend == "torch":
        with optional("PyTorch"):
            from engines.backends import torch
        return torch.open_graph(network, graph, threads, root)
    if isinstance(network, Source):
        return open_engine(backend, graph, network.onnx(graph), threads, network.export_command)
    path = weights.locate(network.name, f"{graph.name}.onnx", root)
    return open_engine(backend, graph, path, threads)


def open_engine(
    backend: str, spec: GraphSpec, path: Path, threads: int, fix: str = REINSTALL
) -> Engine:
    """Load one ONNX file.

    Args:
        fix: of a file that is not what it must be.
    """
    if backend != "onnx":
        raise BackendError(f"{path}: {backend} runs no ONNX file; use onnx")
    from engines.backends.onnx import OnnxBesideEngine, OnnxEngine

    return (OnnxBesideEngine if spec.beside else OnnxEngine)(spec, path, threads, fix)


def _require(backend: str, network: AnyNetwork) -> None:
    """Whether it can run on the GPU, which is there."""
    if backend == "tensorrt":
        with optional("TensorRT"):
            from engines.backends import tensorrt
        tensorrt.require(network)
    else:
        with optional("PyTorch"):
            from engines.backends import torch
        torch.require_cuda()


def _short(error: DeviceError) -> str:
    """What is missing, without the fix: on a machine without a GPU there is nothing to mend."""
    return str(error).partition(";")[0]
