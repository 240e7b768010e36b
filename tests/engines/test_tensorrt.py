"""The TensorRT backend on doubles: what it calls, in which order, and what it says when refused.

The doubles run a plan by ONNX Runtime on the addresses that were bound, so its numbers are real;
no line of TensorRT itself runs here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines import parity, plans, weights
from engines.backends import open_engine, open_graph
from engines.errors import BackendError, DeviceError, PlanError
from engines.plans import Plan
from engines.specs import WARP_REFINE_LITE
from tests.doubles.gpu import Gpu
from tests.doubles.tensorrt import MAGIC

if TYPE_CHECKING:
    from engines.backends.tensorrt import TensorRTEngine

DRIVE = WARP_REFINE_LITE.drive
ONNX = weights.locate(WARP_REFINE_LITE.name, "drive.onnx")
COPIES = len(DRIVE.inputs)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return plans.default_root()


@pytest.fixture
def plan(gpu: Gpu, cache: Path) -> Plan:
    """The shipped graph as a plan for the pretended machine."""
    from engines.backends.tensorrt import plan_key
    from engines.device import Device

    device = Device()
    key = plan_key(WARP_REFINE_LITE, DRIVE, "fp16", device.info)
    device.close()
    gpu.calls.clear()
    return plans.install(key, MAGIC + ONNX.read_bytes(), cache)


@pytest.fixture
def engine(gpu: Gpu, plan: Plan) -> Iterator[TensorRTEngine]:
    from engines.backends.tensorrt import TensorRTEngine
    from engines.device import Device

    device = Device()
    made = TensorRTEngine(DRIVE, plan, device)
    gpu.calls.clear()
    yield made
    made.close()
    device.close()
    assert gpu.calls.count("forget graph") == 1
    assert gpu.memory == {}, "every buffer was freed"
    assert gpu.retained == 0 and gpu.contexts == []


def test_a_run_gives_what_the_graph_gives(engine: TensorRTEngine) -> None:
    reference = open_engine("onnx", DRIVE, ONNX, 1)
    assert parity.drift(engine, reference).share < 1e-6


def test_a_run_copies_replays_copies_and_waits_on_one_stream(
    gpu: Gpu, engine: TensorRTEngine
) -> None:
    engine.run(parity.fake_inputs(DRIVE, 0))
    calls = [call.split()[0] for call in gpu.calls]
    results = len(DRIVE.outputs)
    assert calls == [*["upload"] * COPIES, "replay", *["download"] * results, "wait"]
    streams = {call.split()[1] for call in gpu.calls if " " in call}
    assert len(streams) == 1


def test_nothing_is_allocated_or_bound_after_construction(gpu: Gpu, engine: TensorRTEngine) -> None:
    bound, results = dict(engine.addresses), engine.run(parity.fake_inputs(DRIVE, 0))
    again = engine.run(parity.fake_inputs(DRIVE, 1))
    assert not [call for call in gpu.calls if call.split()[0] in ("allocate", "bind", "stream")]
    assert engine.addresses == bound
    assert results["change"] is again["change"]


def test_the_stream_is_an_argument(gpu: Gpu, engine: TensorRTEngine) -> None:
    from engines.device import Device

    device = Device()
    with device.current():
        stream = device.stream()
        gpu.calls.clear()
        engine.enqueue(stream)
    assert gpu.calls == [f"replay {stream.handle}"]
    device.close()


def test_another_shape_is_not_stretched(engine: TensorRTEngine) -> None:
    inputs = parity.fake_inputs(DRIVE, 0)
    inputs["guide"] = inputs["guide"][:, :1]
    with pytest.raises(AssertionError, match="guide"):
        engine.run(inputs)


def test_it_says_what_it_is(engine: TensorRTEngine) -> None:
    assert engine.description == "TensorRT 10.13, NVIDIA L4, fp16"


def test_construction_launches_once_and_then_records(gpu: Gpu, plan: Plan) -> None:
    open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    tail = [call.split()[0] for call in gpu.calls[-6:]]
    assert tail == ["launch", "wait", "begin", "recorded", "end", "destroy"]
    assert gpu.calls.index("bind warped") < gpu.calls.index(gpu.calls[-6])


@pytest.mark.parametrize(
    ("refusals", "codes", "why"),
    [
        ({"capture": ""}, {}, "TensorRT 10.13.3.9 refused to launch drive"),
        ({}, {"cuStreamEndCapture": 900}, "cuStreamEndCapture: cannot be captured"),
    ],
)
def test_what_cannot_be_recorded_is_launched_and_that_is_said(
    gpu: Gpu, plan: Plan, refusals: dict[str, str], codes: dict[str, int], why: str
) -> None:
    gpu.refusals, gpu.codes = refusals, codes
    engine = open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    expected = f"TensorRT 10.13, NVIDIA L4, fp16, without a CUDA graph ({why})"
    assert engine.description == expected
    gpu.calls.clear()
    engine.run(parity.fake_inputs(DRIVE, 0))
    assert [call.split()[0] for call in gpu.calls][COPIES] == "launch"
    assert parity.drift(engine, open_engine("onnx", DRIVE, ONNX, 1)).share < 1e-6


def test_a_refused_launch_is_an_error(gpu: Gpu, plan: Plan) -> None:
    gpu.refusals["capture"] = ""
    engine = open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    gpu.refusals["execute_async_v3"] = ""
    with pytest.raises(BackendError, match="refused to launch drive"):
        engine.run(parity.fake_inputs(DRIVE, 0))


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"name": "NVIDIA A10"}, "built for NVIDIA L4, this is NVIDIA A10"),
        ({"compute_capability": (9, 0)}, "compute capability 8.9, this GPU has 9.0"),
        ({"driver_version": 13000}, "CUDA 12.8, this one speaks 13.0"),
    ],
)
def test_a_plan_of_another_machine_is_refused_with_the_fix(
    gpu: Gpu, plan: Plan, here: dict[str, object], said: str
) -> None:
    for name, value in here.items():
        setattr(gpu, name, value)
    with pytest.raises(PlanError, match=f"{said}.*run: python build_engines.py --network warp"):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    assert not [call for call in gpu.calls if call == "context"], "it was not even loaded"


def test_a_plan_of_another_tensorrt_is_refused(gpu: Gpu, plan: Plan, cache: Path) -> None:
    (cache / plan.key.folder / plans.PLAN).unlink()
    plan.path.parent.rename(cache / "elsewhere")
    older = replace(plan.key, tensorrt="10.1.0")
    plans.install(older, b"old", cache)
    with pytest.raises(PlanError, match=r"by TensorRT 10\.1\.0, this is 10\.13\.3\.9"):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)


def test_an_fp32_plan_is_taken_where_there_is_no_other_and_that_is_said(
    gpu: Gpu, plan: Plan, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = plan.path.read_bytes()
    plan.path.unlink()
    plans.install(replace(plan.key, precision="fp32"), content, cache)
    engine = open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    assert engine.description == "TensorRT 10.13, NVIDIA L4, fp32"
    assert "fp16" in caplog.text and "taken: " in caplog.text


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        ("deserialize_cuda_engine", PlanError, r"refuses it \(its own words\); run: python build_"),
        ("Runtime", DeviceError, r"cannot start \(its own words\); it may need a newer driver"),
        ("create_execution_context", DeviceError, "out of GPU memory: 3 MiB wanted"),
    ],
)
def test_what_tensorrt_refuses_is_one_line_in_its_words(
    gpu: Gpu, plan: Plan, call: str, kind: type[BackendError], said: str
) -> None:
    gpu.refusals[call] = "its own words"
    with pytest.raises(kind, match=said):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)
    assert gpu.contexts == []


def test_no_memory_for_a_buffer(gpu: Gpu, plan: Plan) -> None:
    gpu.free_bytes = 1000
    with pytest.raises(DeviceError, match="out of GPU memory"):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)


def test_a_plan_with_other_tensors_is_refused(gpu: Gpu, plan: Plan, cache: Path) -> None:
    encode = weights.locate(WARP_REFINE_LITE.name, "encode.onnx")
    plans.install(plan.key, MAGIC + encode.read_bytes(), cache)
    with pytest.raises(BackendError, match="has no tensor 'warped'"):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)


def test_a_plan_that_takes_float16_is_refused(gpu: Gpu, plan: Plan) -> None:
    gpu.half_at_the_door = True
    with pytest.raises(PlanError, match="warped is .*HALF.*, must be float32 at the door; run: "):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)


def test_a_damaged_plan_is_not_loaded(gpu: Gpu, plan: Plan) -> None:
    plan.path.write_bytes(plan.path.read_bytes()[:-1])
    with pytest.raises(PlanError, match="the plan is damaged.*run: python build_engines.py"):
        open_graph("tensorrt", WARP_REFINE_LITE, DRIVE, 1)


def test_the_manifest_names_everything_that_a_plan_depends_on(plan: Plan) -> None:
    manifest = json.loads(plan.path.with_name(plans.MANIFEST).read_text())
    assert (
        manifest.items()
        >= {
            "network": "warp-refine-lite",
            "graph": "drive",
            "precision": "fp16",
            "gpu": "NVIDIA L4",
            "compute_capability": "8.9",
            "driver": "12.8",
            "tensorrt": "10.13.3.9",
            "weights_sha256": weights.sha256_of(
                weights.locate(WARP_REFINE_LITE.name, "model.safetensors")
            ),
        }.items()
    )


def test_messages_of_tensorrt_are_logged_by_their_severity(
    gpu: Gpu, caplog: pytest.LogCaptureFixture
) -> None:
    from engines.backends.tensorrt import Log

    log = Log()
    with caplog.at_level(logging.DEBUG):
        log.log(log.Severity.INFO, "chatter")
        log.log(log.Severity.WARNING, "careful")
        log.log(log.Severity.ERROR, "broken")
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == [
        ("DEBUG", "TensorRT: chatter"),
        ("WARNING", "TensorRT: careful"),
        ("ERROR", "TensorRT: broken"),
    ]
    assert log.last_error == "broken"


def test_results_are_finite_from_the_first_run(engine: TensorRTEngine) -> None:
    """Pinned memory comes as it was: NaN in the double."""
    assert np.isfinite(engine.run(parity.fake_inputs(DRIVE, 0))["change"]).all()
