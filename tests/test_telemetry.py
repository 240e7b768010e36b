"""What is counted comes out in the format that Prometheus reads, per daemon and with few labels."""

from __future__ import annotations

import dataclasses
import math

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from realtime.clock import NS_PER_MS
from realtime.reception import Reception
from realtime.telemetry import BUCKETS_S, GpuMemory, Standing, Telemetry

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
NOW = Standing(
    version="1.2.3",
    engine='a "network", on one\nthread',
    loop="asyncio",
    ready=True,
    phases={"live": 2, "connecting": 0},
    states={"LIVE": 1, "CARD": 1},
    steps={0: 2, 3: 1},
    next_session_fps=12.5,
    gpu=None,
)


def samples(telemetry: Telemetry, now: Standing = NOW) -> dict[str, float]:
    """`name{label="value"}` -> value."""
    text, _ = telemetry.render(now)
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_a_stages_times_fall_into_their_buckets() -> None:
    telemetry = Telemetry()
    for spent_ms in (0.4, 12.0, 12.0, 250.0):
        telemetry.stage("track", round(spent_ms * NS_PER_MS))
    found = samples(telemetry)
    assert found["reenactd_stage_seconds_count{stage=track}"] == 4
    assert found["reenactd_stage_seconds_sum{stage=track}"] == pytest.approx(0.2744)
    assert found["reenactd_stage_seconds_bucket{le=0.001,stage=track}"] == 1
    assert found["reenactd_stage_seconds_bucket{le=0.01,stage=track}"] == 1
    assert found["reenactd_stage_seconds_bucket{le=0.015,stage=track}"] == 3
    assert found["reenactd_stage_seconds_bucket{le=0.2,stage=track}"] == 3
    assert found["reenactd_stage_seconds_bucket{le=+Inf,stage=track}"] == 4
    assert (BUCKETS_S[0], BUCKETS_S[-1]) == (0.001, 0.2) and list(BUCKETS_S) == sorted(BUCKETS_S)


def test_frames_drops_and_errors_are_counted() -> None:
    telemetry = Telemetry()
    telemetry.arrived()
    telemetry.arrived()
    telemetry.sent(31 * NS_PER_MS)
    telemetry.dropped("low_confidence")
    telemetry.failed(unexpected=True)
    found = samples(telemetry)
    assert found["reenactd_frames_in_total{}"] == 2
    assert found["reenactd_frames_out_total{}"] == 1
    assert found["reenactd_latency_seconds_sum{}"] == 0.031
    assert found["reenactd_frames_dropped_total{reason=low_confidence}"] == 1
    assert found["reenactd_frames_dropped_total{reason=track}"] == 0, "there before the first"
    assert found["reenactd_frame_errors_total{kind=bug}"] == 1
    assert found["reenactd_frame_errors_total{kind=refused}"] == 0


def test_what_became_of_a_camera_is_added_up() -> None:
    telemetry = Telemetry()
    before = Reception(lost=1, key=2, backlog=0, packets_lost=5, nacks=7, plis=1)
    for was, now in ((Reception(), before), (before, before), (Reception(), Reception(lost=3))):
        telemetry.received(was, now)
    found = samples(telemetry)
    assert found["reenactd_frames_dropped_total{reason=lost}"] == 4
    assert found["reenactd_frames_dropped_total{reason=key}"] == 2
    assert found["reenactd_frames_dropped_total{reason=backlog}"] == 0
    assert found["reenactd_camera_packets_lost_total{}"] == 5
    assert found["reenactd_camera_nacks_total{}"] == 7
    assert found["reenactd_camera_plis_total{}"] == 1


def test_what_stands_is_told_anew_each_time() -> None:
    telemetry = Telemetry()
    before = samples(telemetry, dataclasses.replace(NOW, engine="loading", ready=False))
    assert before["reenactd_ready{}"] == 0
    found = samples(telemetry)
    assert found["reenactd_ready{}"] == 1
    infos = [name for name in found if name.startswith("reenactd_build_info")]
    assert infos == ['reenactd_build_info{engine=a "network", on one\nthread,'
                     "loop=asyncio,version=1.2.3}"]  # fmt: skip
    assert found["reenactd_sessions{phase=live}"] == 2
    assert found["reenactd_sessions{phase=connecting}"] == 0
    assert found["reenactd_outputs{state=CARD}"] == 1


def test_gpu_memory_is_absent_without_a_gpu_and_not_zero() -> None:
    telemetry = Telemetry()
    memory = GpuMemory(free_bytes=20 << 30, total_bytes=24 << 30)
    found = samples(telemetry, dataclasses.replace(NOW, gpu=memory))
    assert found["reenactd_gpu_memory_bytes{kind=free}"] == 20 << 30
    assert found["reenactd_gpu_memory_bytes{kind=total}"] == 24 << 30
    assert not [name for name in samples(telemetry) if name.startswith("reenactd_gpu_memory")]


def test_the_process_is_told_of() -> None:
    found = samples(Telemetry())
    assert found["process_resident_memory_bytes{}"] > 1 << 20
    assert found["process_open_fds{}"] > 0


def test_open_metrics_is_given_to_whom_accepts_it() -> None:
    telemetry = Telemetry()
    telemetry.stage("track", NS_PER_MS)
    text, content_type = telemetry.render(NOW, OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = open_metrics_families(text.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"reenactd_frames_in", "reenactd_stage_seconds"} <= names
    plain, content_type = telemetry.render(NOW, "text/plain")
    assert content_type.startswith("text/plain") and b"# EOF" not in plain


def test_each_daemon_counts_for_itself_and_nothing_is_global() -> None:
    one, other = Telemetry(), Telemetry()
    one.arrived()
    assert samples(other)["reenactd_frames_in_total{}"] == 0
    assert b"reenactd" not in generate_latest(REGISTRY)


def test_quality_and_refusals_are_told() -> None:
    telemetry = Telemetry()
    found = samples(telemetry)
    assert found["reenactd_sessions_refused_total{reason=cost}"] == 0
    assert found["reenactd_quality_steps_total{direction=down}"] == 0
    telemetry.refused("cost")
    telemetry.stepped(down=True)
    telemetry.stepped(down=False)
    found = samples(telemetry)
    assert found["reenactd_sessions_refused_total{reason=cost}"] == 1
    assert found["reenactd_sessions_refused_total{reason=places}"] == 0
    assert found["reenactd_quality_steps_total{direction=down}"] == 1
    assert found["reenactd_quality_steps_total{direction=up}"] == 1
    assert found["reenactd_quality{step=0}"] == 2 and found["reenactd_quality{step=3}"] == 1
    assert found["reenactd_next_session_fps{}"] == 12.5
    nobody = samples(telemetry, dataclasses.replace(NOW, steps={}, next_session_fps=None))
    assert math.isnan(nobody["reenactd_next_session_fps{}"]), "not known is not 0"
    assert not any(name.startswith("reenactd_quality{") for name in nobody)
