"""How many pairs are taken until it is decided, on runs whose noise is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from realtime.bench.compare import Comparison, Rule
from realtime.bench.gate import decide, decide_surely, looks_at
from realtime.bench.records import Record
from realtime.errors import StartupError

LOOKS = looks_at(30, 240)
FRAME_MS = 25.0
STAGES_MS = {"track": 9.0, "reenact": 10.0, "mark": 0.4}


class Noisy:
    """A version whose frame takes 25 ms; now and then the machine is elsewhere (heavy tails)."""

    def __init__(
        self, rng: np.random.Generator, noise: float, slow_ms: float = 0.0, engine: str = "onnx"
    ) -> None:
        self._rng = rng
        self._noise = noise
        self._slow_ms = slow_ms
        self._engine = engine
        self.runs = 0

    def run(self) -> Record:
        self.runs += 1
        swing = float(np.exp(self._noise * self._rng.standard_t(3)))
        metrics = {"frame_p50_ms": (FRAME_MS + self._slow_ms) * swing}
        for name, spent_ms in STAGES_MS.items():
            more_ms = self._slow_ms if name == "reenact" else 0.0
            metrics[f"stage_{name}_p50_ms"] = (spent_ms + more_ms) * swing
        return Record("pipeline", {}, {"engine": self._engine}, metrics)


def compared(seed: int, noise: float, slow_ms: float) -> tuple[Comparison, int]:
    rng = np.random.default_rng(seed)
    sides = Noisy(rng, noise), Noisy(rng, noise, slow_ms)
    _, found = decide(sides, ("base", "head"), LOOKS, Rule(0.05))
    assert sides[0].runs == sides[1].runs == found.pairs
    return found, found.pairs


@pytest.mark.parametrize("noise", [0.02, 0.08])
def test_identical_versions_pass_twenty_times_of_twenty(noise: float) -> None:
    assert {compared(seed, noise, 0.0)[0].outcome for seed in range(20)} == {"passed"}


@pytest.mark.parametrize("noise", [0.02, 0.08, 0.2])
def test_ten_milliseconds_in_a_stage_fail_twenty_times_of_twenty(noise: float) -> None:
    assert {compared(seed, noise, 10.0)[0].outcome for seed in range(20)} == {"regression"}


def test_no_more_pairs_are_taken_than_it_needs() -> None:
    assert compared(1, 0.01, 0.0)[1] == compared(1, 0.01, 10.0)[1] == 30
    found, pairs = compared(1, 0.08, 0.0)
    assert found.outcome == "passed" and 30 < pairs <= 240


def test_a_machine_with_too_much_else_to_do_finds_nothing_out_and_says_so() -> None:
    outcomes = {compared(seed, 0.6, 0.0) for seed in range(3)}
    assert {(found.outcome, pairs) for found, pairs in outcomes} == {("inconclusive", 240)}


def test_looks_double_and_end_at_the_bound() -> None:
    assert looks_at(30, 240) == [30, 60, 120, 240]
    assert looks_at(10, 25) == [10, 20, 25]
    assert looks_at(40, 20) == [40]


def test_sides_that_compute_on_different_things_are_refused() -> None:
    rng = np.random.default_rng(0)
    sides = Noisy(rng, 0.01), Noisy(rng, 0.01, engine="TensorRT")
    with pytest.raises(StartupError, match="config.engine differs: onnx and TensorRT"):
        decide(sides, ("base", "head"), LOOKS, Rule(0.05))


class Openings:
    """New processes each time: head's are slower by a luck of their own, or by the code."""

    def __init__(self, *slow_ms: float, ready: bool = True) -> None:
        self._slow_ms, self._ready = slow_ms, ready
        self.count = 0

    @contextmanager
    def __call__(self) -> Iterator[tuple[Sequence[Noisy], bool]]:
        rng = np.random.default_rng(self.count)
        self.count += 1
        yield (Noisy(rng, 0.01), Noisy(rng, 0.01, self._slow_ms[self.count - 1])), self._ready


@pytest.mark.parametrize(
    ("slow_ms", "ready", "outcome", "count"),
    [
        ((0.0,), True, "passed", 1),
        ((5.0, 0.0), True, "passed", 2),
        ((5.0, 5.0), True, "regression", 2),
        ((5.0,), False, "regression", 1),
    ],
)
def test_what_two_processes_say_once_is_asked_of_two_others(
    slow_ms: tuple[float, ...], ready: bool, outcome: str, count: int
) -> None:
    opened = Openings(*slow_ms, ready=ready)
    _, found, stood_ready = decide_surely(opened, ("base", "head"), lambda _: LOOKS, Rule(0.05))
    assert (found.outcome, opened.count, stood_ready) == (outcome, count, ready)
