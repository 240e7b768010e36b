"""Building plans, on doubles: progress, timing cache, parity gate, Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console
from rich.progress import Progress

from engines import parity, plans
from engines.backends import open_graph
from engines.errors import BackendError, PlanError
from engines.plans import Plan
from engines.specs import WARP_REFINE_LITE, NetworkSpec
from tests.doubles.gpu import Gpu

pytestmark = pytest.mark.train


ENCODE = WARP_REFINE_LITE.encode


class Small:
    """A network of one graph, the one that is quickest to build."""

    planned = (ENCODE,)

    def __getattr__(self, name: str) -> object:
        return getattr(WARP_REFINE_LITE, name)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return plans.default_root()


class Bars(Progress):
    """A progress display that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(console=Console(quiet=True), disable=True)
        self.told: list[str] = []

    def add_task(self, description: str, *rest: object, **named: object) -> int:  # type: ignore[override]
        self.told.append(f"{description} of {named['total']}")
        return super().add_task(description, **named)  # type: ignore[arg-type]

    def update(self, task_id: int, **named: object) -> None:
        self.told.append(f"{named['completed']}")
        super().update(task_id, **named)  # type: ignore[arg-type]


def build(cache: Path, precision: str = "fp16", *, rebuild: bool = False) -> tuple[list[str], Bars]:
    """What was reported, and shown as bars."""
    from engines.build import build as build_plans

    lines: list[str] = []
    bars = Bars()
    network = cast(NetworkSpec, Small())
    build_plans(network, precision, cache, bars, lines.append, rebuild=rebuild)
    return lines, bars


def installed_plans(cache: Path) -> list[str]:
    return sorted(path.parent.name.rpartition(".")[0] for path in cache.glob("*/plan"))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_what_was_built_is_found_and_agrees_with_the_reference(
    gpu: Gpu, cache: Path, precision: str
) -> None:
    build(cache, precision)
    assert installed_plans(cache) == [f"warp-refine-lite.encode.{precision}"]
    engine = open_graph("tensorrt", WARP_REFINE_LITE, ENCODE, 1)
    reference = open_graph("torch", WARP_REFINE_LITE, ENCODE, 1)
    assert engine.description.endswith(precision)
    assert parity.drift(engine, reference).share <= parity.TOLERANCES[precision]


def test_half_precision_is_in_the_graph(gpu: Gpu, cache: Path) -> None:
    """A strongly typed network has no other place for it."""
    build(cache, "fp16")
    build(cache, "fp32")
    half, whole = (
        next(cache.glob(f"*.{precision}.*/plan")).stat().st_size for precision in ("fp16", "fp32")
    )
    assert 0.4 < half / whole < 0.6


KERNELS = "the kernels between and around these plans are compiled"


def test_the_reason_and_the_drift_are_reported(gpu: Gpu, cache: Path) -> None:
    lines, _ = build(cache)
    assert lines[0] == "encode: there is no fp16 plan of warp-refine-lite encode"
    assert lines[1].startswith(f"encode: {cache}")
    assert "differs from PyTorch by at most 0." in lines[1]
    assert lines[2:] == [KERNELS]


def test_progress_is_shown_step_by_step(gpu: Gpu, cache: Path) -> None:
    _, bars = build(cache)
    assert bars.told == ["Building of 5", "1", "2", "3", "4", "5"]
    assert bars.tasks == [], "bars of finished phases are taken away"


def test_what_fits_is_not_built_again_unless_asked(gpu: Gpu, cache: Path) -> None:
    build(cache)
    lines, bars = build(cache)
    assert lines.pop() == KERNELS
    assert all(line.endswith("fits this machine") for line in lines)
    assert bars.told == []
    lines, bars = build(cache, rebuild=True)
    assert lines[0] == "encode: rebuilt"
    assert bars.told != []


def test_timings_are_kept_for_the_next_build(gpu: Gpu, cache: Path) -> None:
    build(cache)
    kept = cache / "timing.8.9.10.13.3.9"
    assert kept.read_bytes() == b"timings"
    gpu.calls.clear()
    build(cache, rebuild=True)
    assert [call for call in gpu.calls if "timings" in call] == ["timings b'timings'"]


def test_damaged_timings_are_begun_anew(gpu: Gpu, cache: Path) -> None:
    cache.mkdir(parents=True)
    kept = cache / "timing.8.9.10.13.3.9"
    kept.write_bytes(b"half")
    build(cache)
    assert kept.read_bytes() == b"timings"


def test_a_plan_that_drifts_is_not_installed_and_the_line_says_how_far_and_where(
    gpu: Gpu, cache: Path
) -> None:
    gpu.noise = 2.0
    with pytest.raises(PlanError) as caught:
        build(cache)
    said = str(caught.value)
    assert said.startswith("encode: the fp16 plan drifts from PyTorch by ")
    assert "% of features's largest value, at [" in said and "instead of" in said
    assert "must be at most 1.00%; it is not installed: use --precision fp32" in said
    assert installed_plans(cache) == []


def test_a_plan_that_gives_nan_is_not_installed(gpu: Gpu, cache: Path) -> None:
    gpu.noise = float("nan")
    with pytest.raises(PlanError, match="drifts from PyTorch by inf%"):
        build(cache)
    assert installed_plans(cache) == []


def test_the_gate_frees_what_it_took(gpu: Gpu, cache: Path) -> None:
    build(cache)
    assert gpu.memory == {} and gpu.contexts == [] and gpu.retained == 0


def test_ctrl_c_stops_at_the_next_step_and_leaves_nothing(gpu: Gpu, cache: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    gpu.at_step[2] = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build(cache)
    assert installed_plans(cache) == [] and list(cache.glob("*")) == []
    assert signal.getsignal(signal.SIGINT) is before
    assert gpu.retained == 0


def test_ctrl_c_after_the_last_step_is_not_lost(gpu: Gpu, cache: Path) -> None:
    from engines.build import Monitor

    gpu.at_step[4] = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build(cache)
    assert installed_plans(cache) == []
    assert not Monitor(Bars()).cancelled


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("Builder", r"cannot start \(its own words\)"),
        ("parse", "encode: TensorRT 10.13.3.9 cannot read the graph: its own words"),
        ("build_serialized_network", "encode: TensorRT 10.13.3.9 built no plan: its own words"),
        ("deserialize_cuda_engine", r"refuses it \(its own words\)"),
    ],
)
def test_what_tensorrt_refuses_is_one_line(gpu: Gpu, cache: Path, call: str, said: str) -> None:
    gpu.refusals[call] = "its own words"
    with pytest.raises(BackendError, match=said):
        build(cache)
    assert installed_plans(cache) == []


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((8, 6), "NVIDIA L4 has compute capability 8.6, must be at least 8.9; use --precision"),
        ((8, 9), "no network of this release has the scales that it needs; use --precision fp16"),
    ],
)
def test_fp8_is_refused_with_the_reason(
    gpu: Gpu, cache: Path, capability: tuple[int, int], said: str
) -> None:
    gpu.compute_capability = capability
    with pytest.raises(BackendError, match=f"precision fp8: {said}"):
        build(cache, "fp8")
    assert gpu.retained == 0


def test_a_bar_that_was_never_begun_is_no_failure(gpu: Gpu) -> None:
    """An error would end the process: it cannot pass through TensorRT."""
    from engines.build import Monitor

    monitor = Monitor(Bars())
    assert monitor.step_complete("unheard of", 0)
    monitor.phase_finish("unheard of")


def test_plans_of_two_precisions_stand_beside_each_other(gpu: Gpu, cache: Path) -> None:
    build(cache, "fp16")
    build(cache, "fp32")
    assert len(installed_plans(cache)) == 2
    from engines.backends.tensorrt import find_plan
    from engines.device import Device

    found = find_plan(WARP_REFINE_LITE, ENCODE, Device().info, cache)
    assert isinstance(found, Plan) and found.key.precision == "fp16"
