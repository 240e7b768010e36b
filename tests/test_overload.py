"""Overload: with a slow stage the rate falls, the latency stays bounded, and nothing queues."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime.link import LinkWatch, Report
from realtime.metrics import Snapshot
from tests.helpers import (
    Camera,
    FakeStudio,
    Performer,
    Script,
    Seen,
    config_with,
    run_on,
    standing,
    until,
)

Figure = Callable[[str], None]
STAGE_S = 0.2


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("slow", ["track_delay_s", "render_delay_s"])
def test_a_slow_stage_lowers_the_rate_and_not_the_freshness(
    loop: str, slow: str, figure: Figure
) -> None:
    async def main() -> None:
        async with standing() as stand:
            camera = Camera()
            performer = Performer(stand.http, camera)
            await performer.connect()
            await until(lambda: sum(not seen.is_card for seen in performer.seen) >= 10)
            quick = [seen.at_s - camera.sent_s[seen.number] for seen in performer.seen[-5:]]
            transport_s = max(quick)

            setattr(stand.script, slow, STAGE_S)
            await asyncio.sleep(2 * STAGE_S)
            begin = len(performer.seen)
            await asyncio.sleep(3)
            live = [seen for seen in performer.seen[begin:] if not seen.is_card]
            fresh = {seen.number: seen.at_s - camera.sent_s[seen.number] for seen in reversed(live)}

            figure(
                f"{slow} of {STAGE_S:g} s: latency {statistics.median(fresh.values()):.2f} s, of "
                f"which transport {transport_s:.2f} s; {len(fresh) / 3:.1f} frames a second"
            )
            assert 4 <= len(fresh) <= 3 / STAGE_S + 1
            assert statistics.median(fresh.values()) <= 2 * STAGE_S + transport_s
            numbers = sorted(fresh)
            half = len(numbers) // 2
            early, late = (
                statistics.median(fresh[n] for n in few) for few in (numbers[:half], numbers[half:])
            )
            # a queue would put more than a second between the halves of these three
            assert late <= early + STAGE_S, "it does not grow"
            assert list(dict.fromkeys(seen.number for seen in live)) == numbers, "order is kept"
            last = performer.heard("stats")[-1]
            assert last["drops"]["track"] + last["drops"]["render"] >= 20
            assert last["fps_in"] > last["fps_out"]
            await performer.close()

    run_on(loop, main)


def test_one_slow_session_leaves_the_other_half_of_the_turns() -> None:
    async def main() -> None:
        async with standing() as stand:
            stand.script.render_delay_s = 0.05
            performers = [Performer(stand.http, Camera()) for _ in range(2)]
            for performer in performers:
                await performer.connect()
            await asyncio.sleep(1)
            begins = [len(performer.seen) for performer in performers]
            await asyncio.sleep(3)
            rates = [
                len({seen.number for seen in performer.seen[begin:] if not seen.is_card})
                for performer, begin in zip(performers, begins, strict=True)
            ]
            assert min(rates) >= 0.6 * max(rates) > 0
            for performer in performers:
                await performer.close()

    run_on("uvloop", main)


def size_of(seen: Seen) -> tuple[int, int]:
    height, width = seen.luma.shape
    return width, height


def test_a_slow_machine_sends_smaller_pictures_and_the_stream_goes_on(figure: Figure) -> None:
    """Down a rung and up again, as the client sees it: other sizes, no picture out of order."""
    config = config_with(
        video={"width_px": 320, "height_px": 240},
        quality={"adapt": True, "hold_s": 0.5},
        rtc={"codec": "h264"},
    )

    async def main() -> None:
        async with standing(config) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: performer.stat("state") == "LIVE")
            assert performer.stat("quality")["step"] == 0
            stand.script.render_delay_s = 0.08
            await until(lambda: bool(performer.seen) and size_of(performer.seen[-1]) == (240, 180))
            stand.script.render_delay_s = 0
            await until(lambda: performer.stat("quality")["step"] > 0)
            told = performer.stat("quality")
            assert told["reason"].startswith("the machine keeps up with ") and told["width"] < 320
            await until(lambda: size_of(performer.seen[-1]) == (320, 240))
            await until(lambda: performer.stat("quality")["step"] == 0)
            live = [seen for seen in performer.seen if not seen.is_card]
            numbers = [seen.number for seen in live]
            assert numbers == sorted(numbers)
            changes = [
                (later.at_s - earlier.at_s, size_of(later))
                for earlier, later in zip(live, live[1:], strict=False)
                if size_of(later) != size_of(earlier)
            ]
            assert len(changes) >= 2 and not performer.heard("closed")
            said = ", ".join(f"to {size[0]}x{size[1]} {gap * 1e3:.0f} ms" for gap, size in changes)
            figure(f"between the last picture of one size and the first of another: {said}")
            metrics = (await stand.http.get("/metrics")).text
            assert 'reenactd_quality_steps_total{direction="up"}' in metrics
            assert 'reenactd_quality{step="0"} 1.0' in metrics
            await performer.close()

    run_on("uvloop", main)


def let_machine_keep_up(session: Any) -> None:
    """However busy this one is: what happens then is the link's doing."""
    measured = session._metrics.snapshot

    def unhurried() -> Snapshot:
        now: Snapshot = measured()
        return replace(now, fps_in=30.0, fps_shed=0.0, fps_out=30.0, latency_p50_ms=10.0)

    session._metrics.snapshot = unhurried


def hear_only(link: Any) -> LinkWatch:
    """How a test reports in the receiver's place, whose own link is a good one."""
    heard = SimpleNamespace(estimated=link.estimated, reported=link.reported)
    link.estimated = link.reported = lambda *_: None
    return cast(LinkWatch, heard)


def test_a_narrow_link_gets_smaller_pictures_and_its_session_says_why() -> None:
    config = config_with(
        video={"width_px": 320, "height_px": 240},
        quality={"adapt": True, "hold_s": 0.5},
        rtc={"codec": "h264"},
    )

    async def main() -> None:
        async with standing(config) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: performer.stat("state") == "LIVE")
            session = next(iter(stand.daemon.sessions))
            let_machine_keep_up(session)
            sender: Any = session._peer._video.sender
            link = hear_only(sender.link)
            assert performer.stat("quality")["step"] == 0
            link.estimated(100_000)
            link.reported(Report(0.5))
            await until(lambda: performer.stat("quality")["step"] > 0)
            told = performer.stat("quality")
            assert (told["cause"], told["reason"]) == ("link", "the link carries 75 kbit/s")
            assert (told["width"], told["height"]) == (240, 180)
            await until(lambda: size_of(performer.seen[-1]) == (240, 180))
            assert performer.stat("link")["bound_bps"] == 75_000
            await until(lambda: sender._private("encoder").bound_bps == 75_000)
            assert not performer.heard("closed")
            await performer.close()

    run_on("uvloop", main)


def test_an_identity_that_is_put_on_meanwhile_has_the_size_of_the_others() -> None:
    config = config_with(
        video={"width_px": 320, "height_px": 240},
        quality={"adapt": True, "hold_s": 0.5},
        rtc={"codec": "vp8"},
    )

    async def main() -> None:
        async with standing(config) as stand:
            performer = Performer(stand.http, Camera())
            await performer.connect()
            await until(lambda: performer.stat("state") == "LIVE")
            stand.script.render_delay_s = 0.08
            await until(lambda: performer.stat("quality")["step"] >= 2)
            performer.say(type="identity", id="coral")
            await until(lambda: performer.stat("identity") == "coral")
            begin = len(performer.seen)
            await until(lambda: len(performer.seen) >= begin + 5)
            low = performer.stat("quality")
            assert size_of(performer.seen[-1]) == (low["width"], low["height"]) == (160, 120)
            await performer.close()

    run_on("uvloop", main)


def test_a_session_that_the_machine_could_not_serve_is_refused_with_the_figures() -> None:
    config = config_with(server={"max_sessions": 4, "min_fps": 15.0})
    studio = FakeStudio(Script(render_delay_s=0.04))

    async def main() -> None:
        async with standing(config, studio) as stand:
            first = Performer(stand.http, Camera())
            await first.connect()
            headers = {"Content-Type": "application/sdp"}
            offer = first.peer.localDescription.sdp
            refused = await stand.http.post("/whip", content=offer, headers=headers)
            assert refused.status_code == 503 and int(refused.headers["Retry-After"]) > 0
            error = refused.json()["error"]
            assert error.startswith("1 session takes ") and "server.min_fps is 15" in error
            assert (await stand.http.get("/api/status")).json()["next_session_fps"] < 15
            studio.script.render_delay_s = 0
            metrics = (await stand.http.get("/metrics")).text
            assert 'reenactd_sessions_refused_total{reason="cost"} 1.0' in metrics
            assert not first.heard("closed") and len(stand.daemon.sessions) == 1
            await first.close()

    run_on("uvloop", main)
