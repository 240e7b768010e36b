"""What sessions leave behind goes back to the system, once for all that end together."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import weakref
from collections.abc import Callable

import pytest

from realtime import memory
from realtime.bench.machine import resident_mib

BLOCK, BLOCKS, KEPT_EVERY = 10_000, 20_000, 200


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator, and /proc")
def test_freed_memory_between_what_is_kept_is_given_back() -> None:
    blocks = [bytearray(os.urandom(16) + bytes(BLOCK)) for _ in range(BLOCKS)]
    kept = blocks[::KEPT_EVERY]
    del blocks
    before_mib = resident_mib(os.getpid())
    memory.give_back()
    after_mib = resident_mib(os.getpid())
    assert len(kept) == BLOCKS // KEPT_EVERY
    assert before_mib - after_mib > 0.7 * BLOCK * BLOCKS / 2**20


def test_what_stays_is_not_searched_and_what_comes_later_is() -> None:
    class Peer:
        me: Peer

    def leave_a_cycle() -> weakref.ref[Peer]:
        peer = Peer()
        peer.me = peer
        return weakref.ref(peer)

    gc.disable()
    try:
        before = leave_a_cycle()
        memory.keep_for_good()
        assert before() is None, "waste would be kept for good"
        assert gc.get_freeze_count() > len(gc.get_objects())
        later = leave_a_cycle()
        gc.collect()
        assert later() is None
    finally:
        gc.enable()
        gc.unfreeze()


async def test_who_leave_together_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "AFTER_S", 0.02)
    ran: list[Callable[[], None]] = []

    async def run(work: Callable[[], None]) -> None:
        ran.append(work)

    trimmer = memory.Trimmer(run)
    for _ in range(5):
        trimmer.soon()
    await asyncio.sleep(0.1)
    assert ran == [memory.give_back]
    trimmer.soon()
    await asyncio.sleep(0.1)
    assert ran == [memory.give_back] * 2
    trimmer.soon()
    trimmer.stop()
    await asyncio.sleep(0.1)
    assert len(ran) == 2
