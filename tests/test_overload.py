"""Overload: with a slow stage the rate falls, the latency stays bounded, and nothing queues."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable

import pytest

from tests.helpers import Camera, Performer, run_on, standing, until

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
