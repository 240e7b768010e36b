"""Lips and voice over real WebRTC: a performer claps, and flash and click come back together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from aiortc.mediastreams import MediaStreamTrack

from realtime.bench.clap import Audience, ClapCamera, ClapMicrophone, Offsets, attending
from realtime.bench.coded_daemon import EchoPipeline, EchoTrackStage
from realtime.clock import MonotonicClock
from realtime.config import Config
from realtime.opus import silence
from tests.helpers import FakeStudio, Stand, config_with, standing, until


class EchoStudio(FakeStudio):
    """The camera's picture comes back, some milliseconds later."""

    def make_track_stage(self) -> EchoTrackStage:  # type: ignore[override]
        return EchoTrackStage(Config(), MonotonicClock())

    def make_pipeline(self) -> EchoPipeline:  # type: ignore[override]
        return EchoPipeline(Config(), MonotonicClock())


@asynccontextmanager
async def clapping(stand: Stand, direction: str = "sendrecv") -> AsyncIterator[Audience]:
    """Somebody who claps until the end of the block, and what comes back to them."""
    began_ns = MonotonicClock().now_ns()
    tracks = [ClapCamera(began_ns), ClapMicrophone(began_ns)]
    async with connected(stand, "/whip", tracks, direction) as audience:
        yield audience


@asynccontextmanager
async def watching(
    stand: Stand, kinds: Sequence[str] = ("video", "audio"), path: str = "/whep"
) -> AsyncIterator[Audience]:
    """A WHEP player, until the end of the block."""
    async with connected(stand, path, kinds, "recvonly") as audience:
        yield audience


@asynccontextmanager
async def connected(
    stand: Stand, path: str, sources: Sequence[MediaStreamTrack | str], direction: str
) -> AsyncIterator[Audience]:
    async def answer_to(sdp: str) -> str:
        answer = await stand.http.post(
            path, content=sdp, headers={"Content-Type": "application/sdp"}
        )
        assert answer.status_code == 201, answer.text
        return answer.text

    async with attending(answer_to, sources, direction) as audience:
        yield audience


async def claps_of(audience: Audience, wanted: int, first: int = 0) -> tuple[Offsets, Offsets]:
    """Those by arrival, and those by time stamps, once so many have been seen and heard.

    Args:
        first: of these many nothing is told: the performer's reports have not come by then.
    """
    await until(lambda: min(len(audience.flashes), len(audience.clicks)) >= first + wanted, 60)
    flashes, clicks = audience.flashes[first:], audience.clicks
    came = Offsets.of([clap.came_ns for clap in flashes], [clap.came_ns for clap in clicks])
    stamped = Offsets.of(
        [clap.stamped_ns for clap in flashes], [clap.stamped_ns for clap in clicks]
    )
    return came, stamped


async def test_a_clap_is_seen_and_heard_together(figure: Callable[[str], None]) -> None:
    async with standing(studio=EchoStudio()) as stand, clapping(stand) as performer:
        came, stamped = await claps_of(performer, 5)
    figure(
        f"clap: heard {came.median_ms:.1f} ms after it is seen, at worst {came.worst_ms:.1f}; "
        f"by time stamps {stamped.median_ms:.1f}, at worst {stamped.worst_ms:.1f}"
    )
    assert stamped.claps >= 3 and abs(stamped.median_ms) < 20
    assert came.claps >= 3 and abs(came.median_ms) < 40


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly"])
async def test_viewers_see_and_hear_a_clap_together(
    direction: str, figure: Callable[[str], None]
) -> None:
    """Also of a publisher that takes nothing back, as OBS and GStreamer."""
    async with (
        standing(studio=EchoStudio()) as stand,
        clapping(stand, direction),
        watching(stand) as one,
        watching(stand, ("audio", "video")) as other,
    ):
        got = [await claps_of(viewer, 12, first=4) for viewer in (one, other)]
    for came, stamped in got:
        figure(
            f"clap at a viewer of a {direction} performer: heard {came.median_ms:.1f} ms after it "
            f"is seen, at worst {came.worst_ms:.1f}; by time stamps {stamped.median_ms:.1f}, at "
            f"worst {stamped.worst_ms:.1f}, {stamped.within_40:.0%} within 40"
        )
        assert stamped.claps >= 10 and abs(stamped.median_ms) < 20
        assert stamped.within_40 >= 0.8, "but for what a busy machine tears apart"
        assert came.claps >= 10 and abs(came.median_ms) < 40


@pytest.mark.parametrize("muted", [True, False])
async def test_a_voice_is_silent_on_a_card_where_that_is_wished(muted: bool) -> None:
    studio = FakeStudio()
    config = config_with(sound={"mute_on_card": muted}, server={"max_sessions": 2})
    studio.script.fault = "no_face"  # a card from the start
    async with (
        standing(config, studio) as stand,
        clapping(stand) as performer,
        watching(stand) as viewer,
    ):
        await until(lambda: min(len(performer.packets), len(viewer.packets)) > 80)
    for heard in (performer.packets, viewer.packets):
        clicks = [opus for opus in heard if len(opus) > 30]
        assert (set(heard) == {silence(960)}) if muted else clicks
