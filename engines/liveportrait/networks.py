"""LivePortrait's graphs, open on one backend, each called under the names of its table.

The networks are PyTorch's, so every backend starts from the kept weights (`*.safetensors`): `torch`
loads them as they are, `onnx` runs graphs that were written from them once, beside them, and
`tensorrt` plans that were built from them. There W and G are one chain, between whose links
nothing leaves the GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engines import backends, driver
from engines.backends.base import Engine, Stream, StreamEngine, on_stream, optional
from engines.catalogue import LIVEPORTRAIT
from engines.errors import EngineError
from engines.nets.liveportrait import graphs
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes
from engines.sources import Source

F32 = NDArray[np.float32]

NAME = LIVEPORTRAIT.name
DRIVE = "drive"
"""an engine that is W and G in one, of `graphs.drive`"""


class Networks:
    """One lock holds for each graph: an identity is encoded while another one is driven."""

    def __init__(self, engines: Mapping[str, Engine], sizes: Sizes = PUBLISHED) -> None:
        """
        Args:
            engines: of `graphs.whole`, or `DRIVE` in the place of W and G.
        """
        self._engines = engines
        self._locks = {name: threading.Lock() for name in engines}
        self.sizes = sizes
        self.description = engines[DRIVE if DRIVE in engines else "warping"].description

    @property
    def drive(self) -> Engine | None:
        """W and G in one, on a GPU; None where they run apart."""
        return self._engines.get(DRIVE)

    def render(self, volume: F32, kp_driving: F32, kp_source: F32) -> F32:
        """(1, 3, px, px) 0..1: what W and G make of a portrait's volume.

        Raises:
            EngineError: a result is not finite.
        """
        if DRIVE in self._engines:
            return self.run_one(DRIVE, volume, kp_driving, kp_source)
        features = self.run_one("warping", volume, kp_driving, kp_source)
        return self.run_one("generator", features)

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


class InTurn:
    """W and then G as one engine of `graphs.drive`, for benches."""

    def __init__(self, warping: Engine, generator: Engine, sizes: Sizes) -> None:
        self.spec = graphs.drive(sizes)
        self.description = generator.description
        self._warping, self._generator = warping, generator

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run both; what lies between them passes through this process."""
        return self._generator.run({"features": self._warping.run(inputs)["features"]})


class InTurnOnStream(InTurn):
    """The same of two that launch on streams."""

    def __init__(self, warping: StreamEngine, generator: StreamEngine, sizes: Sizes) -> None:
        super().__init__(warping, generator, sizes)
        self.precision = generator.precision
        self.addresses = {**warping.addresses, **generator.addresses}
        self._both = warping, generator

    def enqueue(self, stream: Stream) -> None:
        """Launch both: what it takes on the GPU. What lies between them stays from `run`."""
        for engine in self._both:
            engine.enqueue(stream)


def in_turn(warping: Engine, generator: Engine, sizes: Sizes) -> Engine:
    if on_stream(warping) and on_stream(generator):
        return InTurnOnStream(warping, generator, sizes)
    return InTurn(warping, generator, sizes)


def open_networks(backend: str, source: Source, threads: int) -> Networks:
    """
    Args:
        backend: "torch", "onnx" or "tensorrt".

    Raises:
        BackendError: a library, a graph or a plan is missing, or there is no memory for it.
        WeightsError: a weights file is missing or not what was got.
    """
    if backend == "tensorrt":
        return _open_tensorrt(source, threads)
    engines = {g.name: backends.open_graph(backend, source, g, threads) for g in source.graphs}
    return Networks(engines, source.sizes)


def _open_tensorrt(source: Source, threads: int) -> Networks:
    driver.require()
    with optional("TensorRT or pycuda"):
        from engines.device import Device
        from engines.liveportrait import chain
    engines: dict[str, Engine] = {
        graph.name: backends.open_graph("tensorrt", source, graph, threads)
        for graph in source.planned
        if graph.name not in chain.LINKS
    }
    return Networks(engines | {DRIVE: chain.Chain(source, Device())}, source.sizes)


def encoding_sha256(source: Source) -> str:
    """Of the weights that a portrait is encoded with."""
    encoding = ("appearance", "motion", "lip_retargeting")
    return " ".join(source.weights_sha256(g) for g in source.graphs if g.name in encoding)
