"""How far a backend is from the reference, on seeded inputs drawn from the table of networks.

One measure for the gate of the plans, the parity tests and the benches. Knows no backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.backends.base import Engine
from engines.specs import GraphSpec

F32 = NDArray[np.float32]

TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2}
"""precision -> largest `Drift.share`; what float16 itself costs is in docs/LOG.md, 2026-11-22"""


@dataclass(frozen=True, slots=True)
class Drift:
    """The place where two results differ most."""

    tensor: str
    index: tuple[int, ...]
    found: float
    expected: float
    share: float
    """the difference as a share of the tensor's largest value in the reference"""

    def __str__(self) -> str:
        place = ", ".join(str(number) for number in self.index)
        return (
            f"{self.share:.2%} of {self.tensor}'s largest value, at [{place}]: "
            f"{self.found:.5g} instead of {self.expected:.5g}"
        )


def fake_inputs(spec: GraphSpec, seed: int) -> dict[str, F32]:
    """Uniform within the ranges that the table states; the same for the same seed, everywhere.

    Channels that are zero in some uses are so for odd seeds: a network may answer otherwise then.
    """
    rng = np.random.default_rng(seed)
    inputs = {
        tensor.name: rng.uniform(tensor.low, tensor.high, tensor.shape).astype(np.float32)
        for tensor in spec.inputs
    }
    if seed % 2:
        for tensor in spec.inputs:
            inputs[tensor.name][:, list(tensor.sometimes_zero)] = 0
    return inputs


def drift(engine: Engine, reference: Engine, seeds: Iterable[int] = range(3)) -> Drift:
    """The largest over all seeds and outputs; where one result is not finite, that is infinite."""
    found = []
    for seed in seeds:
        inputs = fake_inputs(reference.spec, seed)
        expected = {name: value.copy() for name, value in reference.run(inputs).items()}
        result = engine.run(inputs)
        found += [_difference(name, result[name], value) for name, value in expected.items()]
    return max(found, key=lambda one: one.share)


def _difference(name: str, found: F32, expected: F32) -> Drift:
    scale = max(float(np.abs(expected).max()), np.finfo(np.float32).tiny)
    shares = np.abs(found.astype(np.float64) - expected) / scale
    shares[~np.isfinite(shares)] = np.inf
    index = tuple(int(i) for i in np.unravel_index(int(shares.argmax()), shares.shape))
    return Drift(name, index, float(found[index]), float(expected[index]), float(shares[index]))
