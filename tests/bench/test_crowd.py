"""The crowd bench: what turns become, and cameras that stand still between them."""

from __future__ import annotations

import asyncio

import av
import pytest

from realtime.bench.crowd import Camera, Housing, Turn, summarise


def turn(housing: Housing, fps: tuple[float, ...], server_cpu_s: float = 1.0) -> Turn:
    return Turn(
        housing=housing,
        sessions=len(fps),
        fps=fps,
        back_fps=fps,
        latency_p50_ms=10.0 * len(fps),
        latency_p95_ms=20.0 * len(fps),
        server_cpu_s=server_cpu_s,
        client_cpu_s=0.3,
        other_cpu_s=0.1,
        stolen_share=0.0,
        steps=(0,) * len(fps),
    )


def test_each_further_session_is_held_against_the_first() -> None:
    metrics = summarise([turn("one", (30,), 0.9), turn("one", (20, 18), 1.52)])
    assert metrics["one_1_cpu_ms_per_frame"] == pytest.approx(30)
    assert metrics["one_2_cpu_ms_per_frame"] == pytest.approx(40)
    assert metrics["one_2_cpu_ms_per_frame_to_first_ratio"] == pytest.approx(4 / 3)
    assert metrics["one_2_fps"] == 19 and metrics["one_2_lowest_fps"] == 18
    assert metrics["one_2_total_fps_to_first_ratio"] == pytest.approx(38 / 30)
    assert metrics["one_2_latency_p50_ms_to_first_ratio"] == 2
    assert not any(name.startswith("workers") for name in metrics)


def test_workers_are_held_against_one_process_in_pairs_of_turns() -> None:
    """A slow machine is slow for both turns of a pair: the ratio does not see it."""
    alone = [turn("one", (fps,) * 3) for fps in (10, 20, 5)]
    shared = [turn("workers", (fps,) * 3) for fps in (12, 24, 9)]
    metrics = summarise([each for pair in zip(alone, shared, strict=True) for each in pair])
    assert metrics["workers_to_one_3_total_fps_ratio"] == pytest.approx(1.2)
    assert metrics["workers_to_one_3_latency_p50_ms_ratio"] == 1


async def test_a_camera_stands_still_until_it_is_its_turn() -> None:
    frames = [av.VideoFrame(16, 16, "yuv420p") for _ in range(3)]
    camera = Camera(frames, 1, fps=1000)
    coming = asyncio.ensure_future(camera.recv())
    await asyncio.sleep(0)
    assert not coming.done() and camera.sent == 0
    camera.start_film()
    first = await coming
    camera.stop_film()
    waiting = asyncio.ensure_future(camera.recv())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    camera.start_film()
    second = await waiting
    assert first is frames[1] and second is frames[2], "from its own start, and none skipped"
    assert second.pts is not None and second.pts >= 0.05 * 90_000, "stamped after the pause"
