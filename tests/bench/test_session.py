"""The session bench: how minutes become ratios, and a performer that keeps its pace."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from realtime.bench import clips
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.machine import Ticks
from realtime.bench.performer import PacedClip
from realtime.bench.session import Empty, Minute, Plan, Sample, record_of, summarise, watch
from realtime.clock import NS_PER_S, FakeClock
from realtime.errors import ReenactdError, StartupError


class StillDaemon(DaemonProcess):
    """One that is not started; or one that has ended."""

    def __init__(self, gone: bool = False) -> None:
        super().__init__()
        self._log.close()
        self._gone = gone

    @property
    def resident_mib(self) -> float:
        if self._gone:
            raise ProcessLookupError(1)
        return 100.0

    @property
    def processor_s(self) -> float:
        return 1.0


def performer_so_far() -> Any:
    """What a performer has noted, without a connection."""
    return SimpleNamespace(stats=[], received_ns=[], closed=None)


def minute(latency_ms: float, resident_mib: float, dropped: int = 0) -> Minute:
    times = (latency_ms + 10, 2 * latency_ms + 10, latency_ms, latency_ms * 2)
    return Minute(*times, 30.0, 29.5, resident_mib, dropped, 1.0, 0.02, 33.0)


def test_latency_is_held_against_the_first_minute_and_memory_against_the_second() -> None:
    metrics = summarise([minute(20, 100, 1), minute(21, 200, 2), minute(22, 210, 3)])
    assert metrics["latency_last_to_first_ratio"] == pytest.approx(1.1)
    assert metrics["rss_last_to_second_ratio"] == pytest.approx(1.05)
    assert metrics["dropped_frames"] == 6
    assert metrics["live_pct"] == 100
    assert metrics["server_last_minute_p50_ms"] == 32
    assert metrics["server_slope_ms_per_min"] == pytest.approx(1.0)
    assert metrics["latency_slope_ms_per_min"] == pytest.approx(1.0)
    assert metrics["empty_minutes"] == 0
    assert metrics["rss_slope_mib_per_min"] == pytest.approx(55.0)


def test_a_single_minute_has_ratios_but_no_slope() -> None:
    metrics = summarise([minute(20, 100)])
    assert metrics["latency_last_to_first_ratio"] == 1
    assert "latency_slope_ms_per_min" not in metrics


def test_an_empty_minute_is_counted_and_the_others_are_kept() -> None:
    metrics = summarise([minute(20, 100), Empty("no avatar"), minute(22, 104)])
    assert metrics["empty_minutes"] == 1
    assert metrics["latency_slope_ms_per_min"] == pytest.approx(1.0), "over two minutes"
    with pytest.raises(ReenactdError, match="no minute has figures: it was dark; nobody came"):
        summarise([Empty("it was dark"), Empty("nobody came"), Empty("it was dark")])


def message(fps_out: float = 30.0, server_ms: float = 30.0) -> dict[str, Any]:
    return {
        "state": "LIVE" if fps_out else "CARD",
        "reason": "" if fps_out else "no_face",
        "face": "ok" if fps_out else "none",
        "fps_out": fps_out,
        "server_ms": {"p50": server_ms, "p95": 2 * server_ms},
        "latency_ms": {"p50": 20.0, "p95": 25.0},
        "drops": {"track": 1},
    }


def test_a_minute_without_figures_says_why() -> None:
    """Five minutes of ten seconds; nobody is silent, faceless or gone for the same reason."""
    plan = Plan(Path("clip"), None, 30, minutes=5, minute_s=10.0)
    performer = performer_so_far()
    at_s = [*range(10), *range(20, 45)]
    performer.stats = [
        (second * NS_PER_S, message(0 if 20 <= second < 30 else 30)) for second in at_s
    ]
    performer.received_ns = [second * NS_PER_S for second in range(45)]
    ticks = Ticks(0, 0, 1)
    samples = [Sample(second * NS_PER_S, 100.0, ticks, float(second)) for second in range(45)]
    first, *others = record_of(performer, samples, 0, plan)
    assert isinstance(first, Minute) and first.server_p50_ms == 30 and first.dropped == 0
    assert isinstance(others[2], Minute)
    reasons = [each.reason for each in others if isinstance(each, Empty)]
    assert reasons == [
        "the daemon said nothing",
        "no avatar: CARD no_face, face none",
        "the run ended before its end",
    ]
    (never,) = record_of(performer, samples, 60 * NS_PER_S, replace(plan, minutes=1))
    assert never == Empty("the run had ended")


async def test_what_goes_on_beside_is_watched() -> None:
    async def visits() -> None:
        await asyncio.sleep(0.01)
        raise KeyError("a bug")

    performer = performer_so_far()
    samples: list[Sample] = []
    visiting = asyncio.create_task(visits())
    with pytest.raises(ReenactdError, match="the visits ended early: KeyError"):
        await asyncio.wait_for(watch(StillDaemon(), performer, samples, 60.0, visiting), 10)
    assert samples, "what there is stays"


async def test_a_daemon_whose_process_has_ended_is_said_so() -> None:
    performer = performer_so_far()
    with pytest.raises(ReenactdError, match="the daemon's process has ended"):
        await watch(StillDaemon(gone=True), performer, [], 60.0)


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
