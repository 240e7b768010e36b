"""What every backend is: a graph with named inputs and outputs, run by one thread at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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


def check_signature(graph: str, found: Mapping[str, tuple[int, ...]], spec: GraphSpec) -> None:
    """Refuse a file whose tensors are not the table's.

    Raises:
        BackendError: naming the first tensor that differs.
    """
    for tensor in (*spec.inputs, *spec.outputs):
        _check_tensor(graph, tensor, found)


def _check_tensor(graph: str, tensor: TensorSpec, found: Mapping[str, tuple[int, ...]]) -> None:
    if tensor.name not in found:
        raise BackendError(
            f"{graph}: has no tensor {tensor.name!r}, only {sorted(found)}; "
            "the file is of another network or release: reinstall reenactd"
        )
    if found[tensor.name] != tensor.shape:
        raise BackendError(
            f"{graph}: {tensor.name} is {found[tensor.name]}, must be {tensor.shape}; "
            "the file is of another network or release: reinstall reenactd"
        )
