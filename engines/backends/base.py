"""What every backend is: a graph with named inputs and outputs, run by one thread at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from engines.errors import BackendError
from engines.specs import GraphSpec, TensorSpec

F32 = NDArray[np.float32]


class Engine(Protocol):
    spec: GraphSpec
    description: str
    """software, device and precision, for people"""

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run the graph once; names, shapes and dtypes are those of `spec`."""
        ...


class BesideEngine(Engine, Protocol):
    """One whose runs need not be waited for: its graph is to run `beside`."""

    def start(self, inputs: Mapping[str, F32]) -> Callable[[], dict[str, F32]]:
        """Begin a run on another thread; what is returned waits for its outputs.

        Raises:
            EngineError: the run failed; raised where it is waited for.
        """
        ...


def start(engine: Engine, inputs: Mapping[str, F32]) -> Callable[[], dict[str, F32]]:
    """Begin a run, beside the caller's own work where the engine can; else it ends here.

    Args:
        inputs: not to be changed before the outputs are there, which are the caller's own.
    """
    if runs_beside(engine):
        return engine.start(inputs)
    outputs = {name: output.copy() for name, output in engine.run(inputs).items()}
    return lambda: outputs


def runs_beside(engine: Engine) -> TypeGuard[BesideEngine]:
    return hasattr(engine, "start")


class Stream(Protocol):
    """A queue of work on a GPU; pycuda's and PyTorch's streams become one."""

    @property
    def handle(self) -> int: ...


class StreamEngine(Engine, Protocol):
    """An engine on a GPU. Its tensors' places are bound at construction and never move."""

    precision: str
    """fp16 or fp32, in which it computes"""
    addresses: Mapping[str, int]
    """of every input and output on the GPU"""

    def enqueue(self, stream: Stream) -> None:
        """Launch once on the stream and return at once: from `addresses` to `addresses`, without
        a copy or an allocation. The caller orders it with what else touches them."""
        ...


def on_stream(engine: Engine) -> TypeGuard[StreamEngine]:
    return hasattr(engine, "enqueue")


@contextmanager
def optional(library: str) -> Iterator[None]:
    """Around the import of a file of ours whose library need not be installed.

    Raises:
        BackendError: it is not, or it cannot be loaded.
    """
    try:
        yield
    except (ImportError, OSError) as error:  # PyTorch's own libraries, when CUDA's are missing
        raise BackendError(
            f"{library} cannot be imported ({error}); pip install 'reenactd[gpu]'"
        ) from None


REINSTALL = "reinstall reenactd"
"""what mends a file that ships"""


def check_signature(
    graph: str, found: Mapping[str, tuple[int, ...]], spec: GraphSpec, fix: str = REINSTALL
) -> None:
    """Refuse a file whose tensors are not the table's.

    Raises:
        BackendError: naming the first tensor that differs, and the fix.
    """
    for tensor in (*spec.inputs, *spec.outputs):
        if wrong := _difference(tensor, found):
            raise BackendError(
                f"{graph}: {wrong}; the file is of another network or release: {fix}"
            )


def _difference(tensor: TensorSpec, found: Mapping[str, tuple[int, ...]]) -> str:
    if tensor.name not in found:
        return f"has no tensor {tensor.name!r}, only {sorted(found)}"
    if found[tensor.name] != tensor.shape:
        return f"{tensor.name} is {found[tensor.name]}, must be {tensor.shape}"
    return ""
