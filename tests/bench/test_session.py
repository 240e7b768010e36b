"""The session bench: how minutes become ratios, and a performer that keeps its pace."""

from __future__ import annotations

import itertools
from fractions import Fraction

import av
import pytest

from realtime.bench import clips
from realtime.bench.performer import PacedClip
from realtime.bench.session import Minute, summarise
from realtime.clock import FakeClock
from realtime.errors import StartupError


def minute(latency_ms: float, resident_mib: float, dropped: int = 0) -> Minute:
    return Minute(latency_ms, latency_ms * 2, 30.0, 29.5, resident_mib, dropped, 1.0, 0.02, 33.0)


def test_latency_is_held_against_the_first_minute_and_memory_against_the_second() -> None:
    metrics = summarise([minute(20, 100, 1), minute(21, 200, 2), minute(22, 210, 3)])
    assert metrics["latency_last_to_first_ratio"] == pytest.approx(1.1)
    assert metrics["rss_last_to_second_ratio"] == pytest.approx(1.05)
    assert metrics["dropped_frames"] == 6
    assert metrics["live_pct"] == 100
    assert metrics["latency_slope_ms_per_min"] == pytest.approx(1.0)
    assert metrics["rss_slope_mib_per_min"] == pytest.approx(55.0)


def test_a_single_minute_has_ratios_but_no_slope() -> None:
    metrics = summarise([minute(20, 100)])
    assert metrics["latency_last_to_first_ratio"] == 1
    assert "latency_slope_ms_per_min" not in metrics


async def test_the_camera_keeps_its_pace_in_the_90_khz_clock() -> None:
    clock = FakeClock()
    camera = PacedClip(itertools.repeat(av.VideoFrame(64, 48, "yuv420p")), 30, clock)
    times = []
    for _ in range(4):
        frame = await camera.recv()
        times.append(frame.pts)
        assert frame.time_base == Fraction(1, 90_000)
        clock.advance_ms(1000)  # always late: it must not sleep
    assert times == [0, 2999, 5999, 8999]
    assert camera.sent == 4


def test_back_and_forth_has_no_seam() -> None:
    frames = [av.VideoFrame(16, 16, "yuv420p") for _ in range(4)]
    shown = list(itertools.islice(clips.back_and_forth(frames), 9))
    order = [frames.index(each) for each in shown]
    assert order == [0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_a_wheel_has_no_default_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "DEFAULT_CLIP", clips.DEFAULT_CLIP.with_name("absent.mp4"))
    with pytest.raises(StartupError, match="--clip"):
        clips.choose_clip(None)


def test_the_default_clip_plays() -> None:
    path = clips.choose_clip(None)
    assert len(clips.decode(path, 5)) == 5
    assert clips.rate_of(path) == 25
