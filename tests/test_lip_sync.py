"""Lips and voice over real WebRTC: a performer claps, and flash and click come back together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from realtime.bench.clap import Audience, ClapCamera, ClapMicrophone, Offsets
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


async def clapping(stand: Stand, wanted: Callable[[Audience], bool]) -> Audience:
    began_ns = MonotonicClock().now_ns()
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    audience = Audience(peer)
    peer.on("track", audience.watch)
    try:
        peer.addTransceiver(ClapCamera(began_ns), direction="sendrecv")
        peer.addTransceiver(ClapMicrophone(began_ns), direction="sendrecv")
        await peer.setLocalDescription(await peer.createOffer())
        answer = await stand.http.post(
            "/whip",
            content=peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert answer.status_code == 201, answer.text
        await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await until(lambda: wanted(audience))
    finally:
        await peer.close()
    return audience


async def test_a_clap_is_seen_and_heard_together(figure: Callable[[str], None]) -> None:
    async with standing(studio=EchoStudio()) as stand:
        audience = await clapping(stand, lambda seen: min(len(seen.flashes), len(seen.clicks)) >= 5)
    came = Offsets.of(
        [clap.came_ns for clap in audience.flashes], [clap.came_ns for clap in audience.clicks]
    )
    stamped = Offsets.of(
        [clap.stamped_ns for clap in audience.flashes],
        [clap.stamped_ns for clap in audience.clicks],
    )
    figure(
        f"clap: heard {came.median_ms:.1f} ms after it is seen, at worst {came.worst_ms:.1f}; "
        f"by time stamps {stamped.median_ms:.1f}, at worst {stamped.worst_ms:.1f}"
    )
    assert stamped.claps >= 3 and abs(stamped.median_ms) < 20
    assert came.claps >= 3 and abs(came.median_ms) < 40


@pytest.mark.parametrize("muted", [True, False])
async def test_a_voice_is_silent_on_a_card_where_that_is_wished(muted: bool) -> None:
    studio = FakeStudio()
    config = config_with(sound={"mute_on_card": muted}, server={"max_sessions": 2})
    async with standing(config, studio) as stand:
        studio.script.fault = "no_face"  # a card from the start
        heard: list[bytes] = []

        def enough(audience: Audience) -> bool:
            for session in stand.daemon.sessions:
                if not listening:
                    listening.append(session._sound.listen(lambda voice: heard.append(voice.opus)))
            return len(heard) > 80

        listening: list[Callable[[], None]] = []
        await clapping(stand, enough)
    clicks = [opus for opus in heard if len(opus) > 30]
    assert (set(heard) == {silence(960)}) if muted else clicks
