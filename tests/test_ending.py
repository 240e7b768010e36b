"""The end on a signal: who performs may go on for a while, nobody new comes, and all are told."""

from __future__ import annotations

import asyncio
import re

from realtime.config import Config, Server
from realtime.crew_worker import END_S
from realtime.ending import Ending
from realtime.server import SHUTDOWN_S
from realtime.service import UNIT
from tests.helpers import Camera, Performer, Watcher, config_with, standing, until

SDP = {"Content-Type": "application/sdp"}


class Uvicorn:
    should_exit = force_exit = False


class Host:
    def __init__(self, sessions: int, drain_s: float) -> None:
        self.session_count = sessions
        self.config: Config = config_with(server={"drain_s": drain_s})
        self.told: list[float] = []

    def drain(self, within_s: float = 0.0) -> None:
        self.told.append(within_s)


async def test_where_nobody_performs_it_ends_at_once() -> None:
    server, host = Uvicorn(), Host(0, 60)
    Ending(server, host).soon()
    await until(lambda: server.should_exit, 1)
    assert host.told == [60] and not server.force_exit


async def test_it_ends_when_the_last_has_left() -> None:
    server, host = Uvicorn(), Host(2, 60)
    Ending(server, host).soon()
    for left in (1, 0):
        await asyncio.sleep(0.15)
        assert not server.should_exit and host.told == [60]
        host.session_count = left
    await until(lambda: server.should_exit, 1)


async def test_it_ends_when_the_time_is_up() -> None:
    server, host = Uvicorn(), Host(1, 0.3)
    Ending(server, host).soon()
    await asyncio.sleep(0.15)
    assert not server.should_exit
    await until(lambda: server.should_exit, 1)


async def test_a_second_signal_ends_it_and_a_third_waits_for_nothing() -> None:
    for first_now in (False, True):
        server, host = Uvicorn(), Host(1, 60)
        ending = Ending(server, host)
        (ending.now if first_now else ending.soon)()
        await asyncio.sleep(0)
        if not first_now:
            ending.soon()
        assert server.should_exit and not server.force_exit
        ending.soon()
        assert server.force_exit


def test_systemd_waits_for_the_longest_drain_and_the_end_after_it() -> None:
    (waits,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    (longest,) = [
        rule.le for rule in Server.model_fields["drain_s"].metadata if hasattr(rule, "le")
    ]
    assert int(waits) > longest + SHUTDOWN_S + END_S
    assert 0 < Server().drain_s < longest


async def test_performers_are_told_and_go_on_and_nobody_new_comes() -> None:
    async with standing() as stand:
        performer, watcher = Performer(stand.http, Camera()), Watcher(stand.http)
        await performer.connect(name="me")
        await watcher.connect()
        await until(lambda: len(watcher.seen) > 3 and len(performer.seen) > 3)
        server = Uvicorn()
        ending = Ending(server, stand.daemon)
        ending.soon()
        await until(lambda: bool(performer.heard("ending")))
        assert performer.heard("ending") == [{"type": "ending", "within_s": 10}]
        for path in ("/whip", "/whep", "/whep/me"):
            refused = await stand.http.post(
                path, content=performer.peer.localDescription.sdp, headers=SDP
            )
            assert refused.status_code == 503 and "Retry-After" in refused.headers
            assert "the daemon is shutting down" in refused.json()["error"]
        ready = await stand.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
        seen, watched = len(performer.seen), len(watcher.seen)
        await until(lambda: len(performer.seen) > seen + 10 and len(watcher.seen) > watched + 10)
        assert not server.should_exit
        assert len(performer.heard("ending")) == 1 and not performer.heard("error")
        assert (await stand.http.delete(performer.location)).status_code == 200
        await until(lambda: server.should_exit, 1)
        await performer.close()
        await watcher.close()
