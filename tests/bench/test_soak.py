"""The soak: how a run is summed up, and visitors against a daemon in this process."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc.exceptions import InvalidStateError

from realtime import rtc_internals
from realtime.bench import churn as churn_module
from realtime.bench import clips
from realtime.bench.churn import Churn, VisitorCamera
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.machine import Ticks
from realtime.bench.performer import Performer
from realtime.bench.session import Empty, Minute, Plan, Sample
from realtime.bench.soak import Course, Holdings, at_rest, report, summarise
from realtime.bench.trends import bins
from realtime.clock import NS_PER_S
from realtime.config import Config, load
from realtime.errors import ReenactdError

BEFORE = Holdings(sessions=1, threads=12, descriptors=20)


def minute(resident_mib: float) -> Minute:
    return Minute(30.0, 45.0, 20.0, 30.0, 30.0, 29.5, resident_mib, 0, 1.0, 0.02, 33.0)


def test_memory_is_held_against_the_first_minute_after_the_third() -> None:
    record = [minute(each) for each in (300.0, 400.0, 450.0, 500.0, 505.0, 515.0)]
    metrics = summarise(record, BEFORE, BEFORE)
    assert metrics["rss_growth_after_minute_3_pct"] == pytest.approx(3.0)
    assert "rss_growth_after_minute_3_pct" not in summarise(record[:4], BEFORE, BEFORE)
    gappy: list[Minute | Empty] = [*record[:3], Empty("dark"), *record[4:]]
    metrics = summarise(gappy, BEFORE, BEFORE)
    assert metrics["rss_growth_after_minute_3_pct"] == pytest.approx(100 * (515 / 505 - 1))
    assert metrics["empty_minutes"] == 1


def test_what_is_left_behind_is_counted_and_what_went_is_no_leak() -> None:
    metrics = summarise([minute(1.0)], BEFORE, Holdings(3, 11, 25))
    assert metrics["leaked_peers"] == 2
    assert metrics["leaked_threads"] == 0
    assert metrics["leaked_fds"] == 5


def test_bins_are_medians_of_ten_seconds_at_their_middle() -> None:
    began_ns = 100 * NS_PER_S
    stamped = [(began_ns + second * NS_PER_S, float(second)) for second in (-1, 0, 4, 9, 10, 25)]
    times, values = bins(stamped, began_ns, minute_s=60.0)
    assert times == pytest.approx([5 / 60, 15 / 60, 25 / 60])
    assert values == [4.0, 10.0, 25.0]


def course(server_ms: Callable[[int], float], seconds: int = 240) -> tuple[Course, Any]:
    """A run whose latency stays, while the server's whole time goes as given."""
    performer: Any = SimpleNamespace(stats=[], received_ns=[])
    noise = np.random.default_rng(3).normal(0, 0.5, 2 * seconds)
    for second in range(seconds):
        times = {"p50": server_ms(second) + noise[second], "p95": 60.0}
        inner = {"p50": 20.0 + noise[-1 - second], "p95": 30.0}
        said = {"fps_out": 30.0, "state": "LIVE", "drops": {"track": 0}}
        performer.stats.append(
            (second * NS_PER_S, {**said, "server_ms": times, "latency_ms": inner})
        )
    performer.received_ns = [second * NS_PER_S for second in range(seconds)]
    ticks = Ticks(0, 0, 1)
    samples = [Sample(each * NS_PER_S, 100.0, ticks, float(each)) for each in range(seconds)]
    return Course(samples, "onnx", 0, BEFORE, BEFORE), performer


def test_growth_behind_the_encoder_is_growth(capsys: pytest.CaptureFixture[str]) -> None:
    """A queue at the sender grows by 3 ms a minute; what lies before the encoder sees nothing."""
    plan = Plan(Path("clip"), None, 30, minutes=4)
    churn = Churn("http://127.0.0.1:1", "", [av.VideoFrame(64, 48, "yuv420p")], seed=1)
    grown, performer = course(lambda second: 30 + 3 * second / 60)
    metrics = report(grown, churn, performer, plan, Config()).metrics
    assert metrics["server_slope_ms_per_min"] == pytest.approx(3, abs=0.3)
    assert metrics["server_slope_is_flat"] == 0 and metrics["latency_slope_is_flat"] == 1
    said = capsys.readouterr().out
    assert re.search(r"first packet in to last packet out: \+[23]\.\d+ ms .* it is not zero", said)
    still, performer = course(lambda second: 30)
    assert report(still, churn, performer, plan, Config()).metrics["server_slope_is_flat"] == 1


def test_a_run_that_ends_early_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(Path("clip"), None, 30, minutes=6)
    churn = Churn("http://127.0.0.1:1", "", [av.VideoFrame(64, 48, "yuv420p")], seed=1)
    cut, performer = course(lambda second: 30, seconds=130)
    cut.ended = ReenactdError("the daemon ended the session: no reason")
    with pytest.raises(ReenactdError, match="no reason"):
        report(cut, churn, performer, plan, Config())
    said = capsys.readouterr().out
    assert "minute 3 has no figures: the run ended before its end" in said
    assert "minute 4 has no figures: the run had ended" in said and "memory: " in said


class Unwell(Performer):
    """Cannot come, and cannot go either."""

    async def connect(self, identity: str | None) -> None:
        raise InvalidStateError("RTCPeerConnection is closed")

    async def hang_up(self) -> None:
        await super().hang_up()
        raise ConnectionResetError("by peer")


async def test_a_visit_that_fails_in_any_way_does_not_end_the_visits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(churn_module, "Performer", Unwell)
    churn = Churn("http://127.0.0.1:1", "", [av.VideoFrame(64, 48, "yuv420p")], seed=1)
    await churn.visit("leave")
    assert churn.counts["failed"] == 2 and churn.connections == 0
    assert churn.failures == [
        "leave: RTCPeerConnection is closed",
        "leave, hanging up: by peer",
    ]


def film(width: int) -> itertools.cycle:
    return itertools.cycle([av.VideoFrame(width, 48, "yuv420p")])


async def test_a_visitors_camera_turns_and_does_not_make_up_for_a_pause() -> None:
    camera = VisitorCamera([film(64), film(96)])
    first = await camera.recv()
    camera.film = 1
    second = await camera.recv()
    assert (first.width, second.width) == (64, 96)
    began = asyncio.get_running_loop().time()
    stopping = asyncio.create_task(camera.stop_for(0.3))
    await asyncio.sleep(0)
    third = await camera.recv()
    assert asyncio.get_running_loop().time() - began >= 0.3, "it came during the pause"
    assert stopping.done()
    assert third.time_base == Fraction(1, 90_000)
    assert third.pts == 18_000 + 27_000, "its time stamp tells of the pause"
    assert (await camera.recv()).pts == 54_000, "none was made up for"


async def visit_until_let_in(churn: Churn, name: str) -> None:
    """On a busy machine the daemon may load its networks for longer than a visitor waits."""
    for _ in range(15):
        await churn.visit(name)
        if churn.counts[name]:
            return
    raise AssertionError(f"{name}: never let in; {churn.counts}, {churn.failures}")


@pytest.mark.slow
async def test_visitors_come_are_refused_vanish_and_are_survived(tmp_path: Path) -> None:
    """Against a real daemon with room for one: who vanished holds it until that is found out."""
    settings = tmp_path / "r.toml"
    settings.write_text("[server]\nmax_sessions = 1\n[rtc]\nidle_timeout_s = 3\n")
    config = load(settings, {})
    rtc_internals.install(config.rtc, loopback=True)
    pictures = clips.decode(clips.choose_clip(None), 20)
    async with DaemonProcess("--config", str(settings)) as daemon:
        churn = Churn(daemon.url, daemon.token, pictures, seed=1)
        for name in ("resize", "vanish", "leave"):
            await visit_until_let_in(churn, name)
        assert churn.counts["refused"] >= 1, "who vanished was not there"
        assert churn.connections == 3
        rest = await at_rest(daemon, config)
    assert rest.sessions == 0
    assert rest.threads > 1 and rest.descriptors > 2
    failed = churn.counts["failed"]
    await churn.visit("stay")
    assert churn.counts["failed"] == failed + 1
    assert churn.failures[-1].startswith("stay: ")
