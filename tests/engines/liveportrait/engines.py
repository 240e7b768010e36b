"""Narrow LivePortraits with random weights, and what they see of a drawn performer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engines.backends.base import Engine
from engines.backends.torch import TorchEngine
from engines.liveportrait.networks import Networks
from engines.liveportrait.reenactor import LivePortrait, Options
from engines.nets.liveportrait.graphs import graphs, whole
from engines.pose import Gains, MotionTensors, Seen, Sight
from engines.specs import GraphSpec
from tests.engines import faces
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

F32 = NDArray[np.float32]

CANVAS = (240, 320)
SPECS = graphs(ALL_POINTS)


class Answers:
    """A graph of one output that is a plain function of its inputs, in the order of its table."""

    description = "a function"

    def __init__(self, graph: str, answer: Callable[..., F32]) -> None:
        self.spec: GraphSpec = SPECS[graph]
        self._answer = answer
        self.asked: list[tuple[F32, ...]] = []

    def run(self, inputs: object) -> dict[str, F32]:
        assert isinstance(inputs, dict)
        given = tuple(inputs[tensor.name].copy() for tensor in self.spec.inputs)
        self.asked.append(given)
        (output,) = self.spec.outputs
        return {output.name: np.broadcast_to(self._answer(*given), output.shape).astype(np.float32)}


class NotFinite:
    description = "broken"

    def __init__(self, graph: str) -> None:
        self.spec: GraphSpec = SPECS[graph]

    def run(self, inputs: object) -> dict[str, F32]:
        return {t.name: np.full(t.shape, np.nan, np.float32) for t in self.spec.outputs}


def networks(**replaced: Engine) -> Networks:
    engines: dict[str, Engine] = {
        spec.name: TorchEngine(spec, network(spec.name, sizes=ALL_POINTS), threads=1)
        for spec in whole(ALL_POINTS)
        if spec.name not in replaced
    }
    return Networks(engines | replaced, ALL_POINTS)


def reenactor(options: Options | None = None, /, **replaced: Engine) -> LivePortrait:
    return LivePortrait(networks(**replaced), "narrow", options)


def sight(seed: int) -> Sight:
    rng = np.random.default_rng(seed)
    return Sight(
        rng.uniform(-0.3, 0.3, 6).astype(np.float32),
        rng.normal(0, 0.1, (21, 3)).astype(np.float32),
        rng.uniform(-0.1, 0.1, 2).astype(np.float32),
        0.4,
    )


def moved(now: Sight, rest: Sight, gains: Gains | None = None) -> MotionTensors:
    return replace(faces.still(), seen=Seen(now, rest, gains or Gains()))
