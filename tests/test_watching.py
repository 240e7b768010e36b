"""Metrics, readiness, the list of sessions and a trace, over HTTP, of a daemon that works."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from engines.errors import DeviceError
from realtime import watching
from realtime.telemetry import GpuMemory
from tests.helpers import Camera, FakeStudio, Performer, Script, Stand, standing, until
from tests.test_session import STATS_FIELDS
from tests.traces import check_arrows, check_form, check_nesting, named

WATCHED = ("/metrics", "/api/sessions")


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    async with standing() as running:
        await until(lambda: running.daemon.ready)
        yield running


async def numbers(stand: Stand) -> dict[str, float]:
    """name of a metric, with the value of its only label -> value."""
    response = await stand.http.get("/metrics")
    assert response.status_code == 200
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


async def performing(stand: Stand) -> Performer:
    performer = Performer(stand.http, Camera())
    await performer.connect()
    await until(lambda: performer.stat("state") == "LIVE")
    return performer


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", "Basic eDp5"])
async def test_only_states_are_told_without_the_token(stand: Stand, authorization: str) -> None:
    headers = {"Authorization": authorization}
    for path in WATCHED:
        assert (await stand.http.get(path, headers=headers)).status_code == 401
    refused = await stand.http.post("/api/trace?seconds=0.1", headers=headers)
    assert refused.status_code == 401 and not stand.daemon.services.tracer.armed
    assert (await stand.http.get("/readyz", headers=headers)).json() == {"status": "ready"}
    assert (await stand.http.get("/healthz", headers=headers)).json() == {"status": "ok"}


async def test_no_other_origin_starts_a_trace(stand: Stand) -> None:
    origin = {"Origin": "https://evil.example"}
    assert (await stand.http.post("/api/trace?seconds=1", headers=origin)).status_code == 403


async def test_not_ready_until_the_networks_are_loaded() -> None:
    async with standing(studio=FakeStudio(Script(fault="load_hangs"))) as stand:
        first = await stand.http.get("/readyz")
        assert (first.status_code, first.json()) == (503, {"status": "loading"})
        assert (await stand.http.get("/healthz")).status_code == 200, "but alive"
        assert (await numbers(stand))["reenactd_ready"] == 0
        stand.script.released.set()
        await until(lambda: stand.daemon.ready)
        ready = await stand.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        assert (await numbers(stand))["reenactd_ready"] == 1


async def test_not_ready_from_the_signal_on(stand: Stand) -> None:
    stand.daemon.drain()
    readiness = await stand.http.get("/readyz")
    assert (readiness.status_code, readiness.json()) == (503, {"status": "draining"})
    health = await stand.http.get("/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "draining"})
    refused = await stand.http.post(
        "/whip", content="v=0", headers={"Content-Type": "application/sdp"}
    )
    assert refused.status_code == 503 and "shutting down" in refused.json()["error"]


async def test_every_frame_is_accounted_for(stand: Stand) -> None:
    """In = out + dropped for a reason, once nothing is under way."""
    performer = await performing(stand)
    stand.script.render_delay_s = 0.08
    await until(lambda: performer.stat("drops")["track"] + performer.stat("drops")["render"] > 5)
    stand.script.render_delay_s = 0.0
    stand.script.fault = "no_face"
    await until(lambda: performer.stat("state") == "CARD")
    stand.script.fault = ""
    await until(lambda: performer.stat("state") == "LIVE")
    stand.script.fault = "render_nan"
    await until(lambda: performer.stat("state") == "CARD")
    await stand.http.delete(performer.location)
    found = await numbers(stand)
    dropped = {
        name.partition(" ")[2]: value
        for name, value in found.items()
        if name.startswith("reenactd_frames_dropped_total")
    }
    left = found["reenactd_frames_in_total"] - found["reenactd_frames_out_total"]
    under_way = left - sum(dropped.values())
    assert 0 <= under_way <= 4, "one in each hand-over and in each worker, when it was hung up"
    assert dropped["none"] > 0 and dropped["waiting for a steady picture"] >= 4
    assert dropped["rendering failed"] > 0
    assert found["reenactd_frame_errors_total refused"] >= dropped["rendering failed"]
    assert found["reenactd_frame_errors_total bug"] == 0
    await performer.close()


async def test_sessions_states_and_stages_are_told_without_naming_anybody(stand: Stand) -> None:
    performer = await performing(stand)
    found = await numbers(stand)
    assert found["reenactd_sessions live"] == 1 and found["reenactd_sessions connecting"] == 0
    assert found["reenactd_outputs LIVE"] == 1 and found["reenactd_outputs CARD"] == 0
    assert found["reenactd_frames_out_total"] == found["reenactd_latency_seconds_count"] > 0
    for stage in ("ingest", "track", "emit", "encode"):
        assert found[f"reenactd_stage_seconds_count {stage}"] > 0
    text = (await stand.http.get("/metrics")).text
    session = next(iter(stand.daemon.sessions))
    assert session.id[:6] not in text and "juniper" not in text
    labels = set(re.findall(r'([a-z_]+)="', text))
    assert labels == {
        "stage",
        "le",
        "reason",
        "kind",
        "phase",
        "state",
        "step",
        "direction",
        "version",
        "engine",
        "loop",
    }
    await stand.http.delete(performer.location)
    await performer.close()
    assert (await numbers(stand))["reenactd_sessions live"] == 0


async def test_the_gpu_is_asked_and_its_silence_hides_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reenactd_gpu_memory_bytes free" not in await numbers(stand)
    stand.studio.gpu = GpuMemory(1 << 30, 2 << 30)
    found = await numbers(stand)
    assert found["reenactd_gpu_memory_bytes free"] == 1 << 30

    def broken() -> GpuMemory:
        raise DeviceError("NVIDIA L4: an illegal memory access")

    monkeypatch.setattr(stand.studio, "gpu_memory", broken)
    assert "reenactd_gpu_memory_bytes free" not in await numbers(stand)
    monkeypatch.setattr(stand.studio, "gpu_memory", lambda: stand.script.released.wait(20))
    monkeypatch.setattr(watching, "GPU_TIMEOUT_S", 0.05)
    assert "reenactd_gpu_memory_bytes free" not in await numbers(stand)


async def test_the_list_of_sessions_has_the_numbers_of_their_own_channels(stand: Stand) -> None:
    assert (await stand.http.get("/api/sessions")).json() == []
    performer = await performing(stand)
    (listed,) = (await stand.http.get("/api/sessions")).json()
    assert set(listed) == STATS_FIELDS - {"type"} | {"session", "name", "viewers", "phase", "age_s"}
    session = next(iter(stand.daemon.sessions))
    assert listed["session"] == session.id[:6], "the whole id is the right to hang up"
    assert listed["phase"] == "live" and listed["state"] == "LIVE"
    assert listed["identity"] == "juniper" and listed["age_s"] > 0
    await stand.http.delete(performer.location)
    await performer.close()


async def test_a_trace_follows_frames_over_the_threads(stand: Stand) -> None:
    performer = await performing(stand)
    response = await stand.http.post("/api/trace", params={"seconds": 0.5})
    assert response.status_code == 200
    trace = response.json()
    events = trace["traceEvents"]
    check_form(events)
    check_nesting(events)
    check_arrows(events)
    session = next(iter(stand.daemon.sessions)).id[:6]
    names = {event["tid"]: event["args"]["name"] for event in named(events, "thread_name")}
    assert {"event loop", "cpu-0", f"track-{session}", "encode_0"} <= set(names.values())
    whole = [
        event["id"] for event in events if event["ph"] == "f" and names[event["tid"]] == "encode_0"
    ]
    assert len(whole) > 3, "the last work for a frame is its encoding"
    way = [names[event["tid"]] for event in events if event.get("id") == whole[1]]
    assert way == ["event loop", f"track-{session}", "cpu-0", "event loop", "encode_0"]
    numbers = [event["args"]["frame"] for event in named(events, "rendering")]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers) > 3
    assert {event["args"]["session"] for event in events if event["ph"] == "X"} == {session}
    about = trace["otherData"]
    assert about["complete"] and about["duration_ns"] >= 0.5e9
    assert about["engine"] == "fake network: for tests"
    assert "juniper" not in response.text
    assert not stand.daemon.services.tracer.armed
    await stand.http.delete(performer.location)
    await performer.close()


async def test_there_is_one_trace_at_a_time(stand: Stand) -> None:
    first = asyncio.create_task(stand.http.post("/api/trace?seconds=0.5"))
    await until(lambda: stand.daemon.services.tracer.armed)
    second = await stand.http.post("/api/trace?seconds=0.5")
    assert second.status_code == 409 and "ask again" in second.json()["error"]
    assert (await first).status_code == 200
    assert (await stand.http.post("/api/trace?seconds=0.01")).status_code == 200


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "long"])
async def test_a_traces_length_has_bounds(stand: Stand, seconds: str) -> None:
    response = await stand.http.post("/api/trace", params={"seconds": seconds})
    assert response.status_code == 400 and "seconds" in response.json()["error"]
    assert not stand.daemon.services.tracer.armed


async def test_a_trace_ends_early_when_it_is_full_or_the_daemon_drains(stand: Stand) -> None:
    tracer = stand.daemon.services.tracer
    tracer._capacity = 1
    taking = asyncio.create_task(stand.http.post("/api/trace?seconds=60"))
    performer = await performing(stand)
    about = (await taking).json()["otherData"]
    assert not about["complete"] and about["duration_ns"] < 60e9
    tracer._capacity = 1000
    taking = asyncio.create_task(stand.http.post("/api/trace?seconds=60"))
    await until(lambda: tracer.armed)
    stand.daemon.drain()
    answer: httpx.Response = await taking
    assert answer.json()["otherData"]["duration_ns"] < 60e9
    await stand.http.delete(performer.location)
    await performer.close()
