"""Networks with their weights, by name: what plans, backends and benches take.

`specs.NETWORKS` ship with weights, and are their own tables. LivePortrait's weights are the user's
(`Got`), or drawn at random (`Random`), which tells speed and nothing else. No torch at the top:
where weights only are checked, it need not be installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engines import weights
from engines.catalogue import LIVEPORTRAIT, MODELS
from engines.errors import BackendError
from engines.fetched import Store, default_root
from engines.nets.liveportrait import graphs
from engines.nets.liveportrait.sizes import Sizes
from engines.specs import NETWORKS, GraphSpec, NetworkSpec

if TYPE_CHECKING:
    from engines.nets.liveportrait.checkpoint import Module

NAMES = (*NETWORKS, LIVEPORTRAIT.name)
"""of every network that can be run"""
_SEED = 0


class Source(ABC):
    """LivePortrait's graphs, and weights for them."""

    name = LIVEPORTRAIT.name
    origin: str
    """of the weights, for people"""
    build_command = f"python build_engines.py --network {name}"
    """makes the plans"""
    export_command = "run: python -m engines.nets.liveportrait.export"
    """makes the ONNX files"""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes

    @property
    def graphs(self) -> tuple[GraphSpec, ...]:
        """What PyTorch and ONNX Runtime run."""
        return graphs.whole(self.sizes)

    @property
    def planned(self) -> tuple[GraphSpec, ...]:
        """What TensorRT has plans of."""
        return graphs.cut(self.sizes)

    @abstractmethod
    def weights_sha256(self, graph: GraphSpec) -> str:
        """What tells these weights from all others.

        Raises:
            WeightsError: they are missing, or not what was got.
        """

    @abstractmethod
    def onnx(self, graph: GraphSpec) -> Path:
        """The file of one of `graphs`, written from these weights.

        Raises:
            BackendError, WeightsError: it is missing or older than they are, or they are missing.
        """

    @abstractmethod
    def network(self, name: str) -> Module:
        """One of `checkpoint.NETWORKS`, with its weights.

        Raises:
            WeightsError: as of `weights_sha256`.
        """

    def module(self, graph: GraphSpec) -> Module:
        """What computes one of `graphs` or `planned`, rewritten.

        Raises:
            WeightsError: as of `weights_sha256`.
        """
        from engines.nets.liveportrait import export, rewrites

        name = graph.part_of or graph.name
        network = rewrites.optimise(self.network(name))
        return network if graph.name == name else export.parts(name, network)[graph.name]


class Got(Source):
    """What `reenactd models get liveportrait` brought."""

    origin = "as published"

    def __init__(self, store: Store) -> None:
        super().__init__(store.model.sizes)
        self._store = store
        self._checked: dict[str, Path] = {}

    def is_missing(self) -> bool:
        """Whether a file is not there.

        Raises:
            WeightsError: the lock cannot be read.
        """
        return any(found.missing for found in self._store.examine())

    def verify(self) -> list[Path]:
        """Check every file; returns their paths.

        Raises:
            WeightsError: the first file that is missing, or not what was got.
        """
        return [self._locate(graph.name) for graph in self.graphs]

    def weights_sha256(self, graph: GraphSpec) -> str:
        return weights.sha256_of(self._locate(graph.part_of or graph.name))

    def onnx(self, graph: GraphSpec) -> Path:
        kept, path = self._locate(graph.name), self._store.folder / f"{graph.name}.onnx"
        if not path.is_file() or path.stat().st_mtime_ns < kept.stat().st_mtime_ns:
            state = "older than its weights" if path.is_file() else "missing"
            raise BackendError(
                f"{path}: {state}; {self.export_command}, or use engine.backend = 'torch'"
            )
        return path

    def network(self, name: str) -> Module:
        from engines.nets.liveportrait import checkpoint

        state = checkpoint.restore(name, self._locate(name), self.sizes)
        return checkpoint.build(name, state, self.sizes)

    def _locate(self, name: str) -> Path:
        """Checked once: it takes a second for all of them."""
        if name not in self._checked:
            self._checked[name] = self._store.locate(name)
        return self._checked[name]


class Random(Source):
    """Weights of the same shapes, the same at each start. Pictures made by them show nothing."""

    origin = "random"
    build_command = f"{Source.build_command} --random-weights"

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        """
        Args:
            folder: where ONNX files are written.
        """
        super().__init__(sizes)
        self._folder = folder

    def weights_sha256(self, graph: GraphSpec) -> str:
        return f"random, of seed {_SEED}"

    def onnx(self, graph: GraphSpec) -> Path:
        from engines.nets.liveportrait import export

        path = self._folder / f"{graph.name}.onnx"
        if not path.is_file():
            parts = export.parts(graph.name, self.module(graph))
            export.write(graph, parts[graph.name], path)
        return path

    def network(self, name: str) -> Module:
        from engines.nets.liveportrait import checkpoint

        return checkpoint.untrained(name, _SEED, self.sizes)


AnyNetwork = NetworkSpec | Source


def named(name: str) -> AnyNetwork:
    """One of `NAMES`, with the weights that are on this machine, which are not looked at yet."""
    return got() if name == LIVEPORTRAIT.name else NETWORKS[name]


def checked(name: str, with_random_weights: bool, report: Callable[[str], None]) -> AnyNetwork:
    """One of `NAMES`, its weights looked at.

    Args:
        report: takes the line that says how they are.

    Raises:
        WeightsError: the first file that is missing, or not what it must be.
        BackendError: random weights of a network that ships with its own.
    """
    if with_random_weights:
        if name != LIVEPORTRAIT.name:
            raise BackendError(
                f"{name}: ships with its weights, none are drawn; "
                f"use --network {LIVEPORTRAIT.name} with --random-weights"
            )
        report(f"{name}: RANDOM WEIGHTS, for timing only")
        return random(Path())
    network = named(name)
    files = network.verify() if isinstance(network, Got) else weights.verify(name)
    report(f"{name}: {len(files)} files match their SHA-256")
    return network


def to_be_timed(name: str, folder: Path) -> AnyNetwork:
    """One of `NAMES`; LivePortrait with random weights where it was not got.

    Args:
        folder: where ONNX files of random weights are written.

    Raises:
        WeightsError: what was got is damaged.
    """
    network = named(name)
    if not isinstance(network, Got):
        return network
    if network.is_missing():
        return random(folder)
    network.verify()
    return network


def got() -> Got:
    """LivePortrait, where `reenactd models get liveportrait` puts it."""
    return Got(Store(MODELS[LIVEPORTRAIT.name], default_root()))


def random(folder: Path) -> Random:
    """LivePortrait without what was got."""
    return Random(folder, MODELS[LIVEPORTRAIT.name].sizes)


def build_command(network: AnyNetwork) -> str:
    """What makes a network's plans."""
    if isinstance(network, Source):
        return network.build_command
    return f"python build_engines.py --network {network.name}"
