"""Metrics and traces of several processes in one document."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from realtime.clock import NS_PER_MS
from realtime.merging import OPEN_METRICS, merged_metrics, merged_traces
from realtime.telemetry import GpuMemory, Telemetry
from tests.test_telemetry import NOW


def text_of(telemetry: Telemetry, **standing: Any) -> str:
    return telemetry.render(dataclasses.replace(NOW, **standing), OPEN_METRICS)[0].decode()


@pytest.fixture
def merged() -> dict[str, float]:
    text, kind = merged_metrics(*documents(), "text/plain")
    assert kind.startswith("text/plain")
    return {
        " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def documents() -> tuple[str, dict[int, str]]:
    own, one, two = Telemetry(), Telemetry(), Telemetry()
    own.refused("cost")
    one.arrived()
    two.arrived()
    two.arrived()
    one.stage("track", 12 * NS_PER_MS)
    two.stage("track", 2 * NS_PER_MS)
    gpu = GpuMemory(1 << 30, 2 << 30)
    nobody = {"phases": {"live": 0}, "states": {"LIVE": 0}, "steps": {}}
    workers = {1: text_of(one, gpu=gpu), 2: text_of(two, gpu=gpu, next_session_fps=3.0)}
    return text_of(own, next_session_fps=21.0, **nobody), workers


def test_each_sample_says_whose_it_is(merged: dict[str, float]) -> None:
    assert merged["reenactd_frames_in_total worker=1"] == 1
    assert merged["reenactd_frames_in_total worker=2"] == 2
    assert "reenactd_frames_in_total" not in merged, "the parent has no frames"
    assert merged["reenactd_stage_seconds_count stage=track worker=1"] == 1
    assert merged["reenactd_stage_seconds_bucket le=0.002 stage=track worker=1"] == 0
    assert merged["reenactd_stage_seconds_bucket le=0.002 stage=track worker=2"] == 1
    assert merged["reenactd_sessions phase=live worker=2"] == 2
    assert "reenactd_sessions phase=live" not in merged


def test_what_is_about_the_whole_is_told_once_and_without_a_label(merged: dict[str, float]) -> None:
    assert merged["reenactd_next_session_fps"] == 21
    assert merged["reenactd_ready"] == 1
    assert [name for name in merged if name.startswith(("reenactd_next", "reenactd_ready"))] == [
        "reenactd_ready",
        "reenactd_next_session_fps",
    ]
    assert merged["reenactd_worker_ready worker=2"] == 1
    assert merged["reenactd_gpu_memory_bytes kind=free"] == 1 << 30
    assert not [name for name in merged if "gpu" in name and "worker" in name]
    assert merged["reenactd_sessions_refused_total reason=cost"] == 1
    assert merged["reenactd_sessions_refused_total reason=cost worker=1"] == 0
    for of in ("", " worker=1", " worker=2"):
        assert merged[f"process_resident_memory_bytes{of}"] > 1 << 20


def test_the_document_is_well_formed_in_both_formats() -> None:
    plain = merged_metrics(*documents(), "")[0].decode()
    types = [line.split()[2] for line in plain.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types)), "each family stands once, with all its samples"
    text, kind = merged_metrics(*documents(), OPEN_METRICS)
    assert kind.startswith("application/openmetrics-text")
    families = list(open_metrics_families(text.decode()))  # type: ignore[no-untyped-call]
    assert "reenactd_stage_seconds" in {family.name for family in families}


def test_without_workers_the_daemon_tells_of_itself() -> None:
    text = merged_metrics(documents()[0], {}, "")[0].decode()
    assert "process_open_fds" in text and "reenactd_frames" not in text


def trace(began_ns: int, duration_ns: int, pid: int, **about: Any) -> dict[str, Any]:
    return {
        "displayTimeUnit": "ms",
        "otherData": {"complete": True, "began_ns": began_ns, "duration_ns": duration_ns, **about},
        "traceEvents": [
            {"ph": "M", "ts": 0, "pid": pid, "name": "process_name", "args": {"name": "reenactd"}},
            {"ph": "M", "ts": 0, "pid": pid, "name": "thread_name", "args": {"name": "cpu-0"}},
            {"ph": "X", "ts": 7.0, "pid": pid, "name": "render", "dur": 3},
        ],
    }


def test_traces_are_put_on_one_clock() -> None:
    made = merged_traces({1: trace(5_000, 10_000, 11), 2: trace(2_000, 9_000, 12, complete=False)})
    assert made["otherData"] == {"complete": False, "began_ns": 2_000, "duration_ns": 13_000}
    slices = {event["pid"]: event["ts"] for event in made["traceEvents"] if event["ph"] == "X"}
    assert slices == {11: 10.0, 12: 7.0}, "3 us later"
    names = [event["args"]["name"] for event in made["traceEvents"] if event["ph"] == "M"]
    assert names == ["reenactd worker 1", "cpu-0", "reenactd worker 2", "cpu-0"]
