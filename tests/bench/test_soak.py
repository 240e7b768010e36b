"""The soak: how a run is summed up, and visitors against a daemon in this process."""

from __future__ import annotations

import asyncio
import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest

from realtime import rtc_internals
from realtime.bench import clips
from realtime.bench.churn import Churn, VisitorCamera
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.session import Minute
from realtime.bench.soak import Holdings, at_rest, summarise
from realtime.bench.trends import bins
from realtime.clock import NS_PER_S
from realtime.config import load

BEFORE = Holdings(sessions=1, threads=12, descriptors=20)


def minute(resident_mib: float) -> Minute:
    return Minute(20.0, 30.0, 30.0, 29.5, resident_mib, 0, 1.0, 0.02, 33.0)


def test_memory_is_held_against_the_first_minute_after_the_third() -> None:
    record = [minute(each) for each in (300.0, 400.0, 450.0, 500.0, 505.0, 515.0)]
    metrics = summarise(record, BEFORE, BEFORE)
    assert metrics["rss_growth_after_minute_3_pct"] == pytest.approx(3.0)
    assert "rss_growth_after_minute_3_pct" not in summarise(record[:4], BEFORE, BEFORE)


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
