"""One-slot channels: the newest value wins, and every value is accounted for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from realtime.latest import AsyncLatest, Closed, Latest


def test_the_newest_value_replaces_the_waiting_one() -> None:
    channel: Latest[int] = Latest()
    replaced = [channel.put(value) for value in range(5)]
    assert replaced == [None, 0, 1, 2, 3], "whoever replaces a value learns which"
    assert channel.take(0) == 4
    assert channel.dropped == 4
    assert channel.take(0) is None


def test_a_closed_channel_gives_what_waits_and_then_ends() -> None:
    channel: Latest[int] = Latest()
    channel.put(1)
    channel.close()
    channel.put(2)
    assert channel.take(0) == 1
    with pytest.raises(Closed):
        channel.take(0)


def test_what_is_waited_for_stays_and_may_still_be_replaced() -> None:
    channel: Latest[int] = Latest()
    channel.put(1)
    channel.wait()
    channel.put(2)
    assert channel.take(0) == 2
    channel.close()
    with pytest.raises(Closed):
        channel.wait()


def test_closing_wakes_a_reader_that_waits_without_end() -> None:
    channel: Latest[int] = Latest()
    ended = threading.Event()

    def read() -> None:
        try:
            channel.take()
        except Closed:
            ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    channel.close()
    thread.join(5)
    assert ended.is_set()


def test_delivered_and_dropped_add_up_and_order_is_kept() -> None:
    channel: Latest[int] = Latest()
    got: list[int] = []

    def read() -> None:
        try:
            while (value := channel.take(5)) is not None:
                got.append(value)
        except Closed:
            return

    thread = threading.Thread(target=read)
    thread.start()
    for value in range(2000):
        channel.put(value)
    channel.close()
    thread.join(10)
    assert len(got) + channel.dropped == 2000
    assert got == sorted(got) and got[-1] == 1999


async def test_async_newest_value_wins_across_threads() -> None:
    channel: AsyncLatest[int] = AsyncLatest(asyncio.get_running_loop())

    def write() -> None:
        for value in range(1000):
            channel.put(value)

    writer = threading.Thread(target=write)
    writer.start()
    got: list[int] = []
    while not got or got[-1] != 999:
        value = await channel.take(5)
        assert value is not None
        got.append(value)
    writer.join()
    assert got == sorted(got)
    assert len(got) + channel.dropped == 1000


async def test_async_take_gives_up_after_its_timeout() -> None:
    channel: AsyncLatest[int] = AsyncLatest(asyncio.get_running_loop())
    assert await channel.take(0) is None
    assert await channel.take(0.01) is None


async def test_async_close_ends_a_waiting_reader() -> None:
    channel: AsyncLatest[int] = AsyncLatest(asyncio.get_running_loop())
    reader = asyncio.create_task(channel.take())
    await asyncio.sleep(0)
    channel.close()
    with pytest.raises(Closed):
        await reader


def test_put_after_the_loop_has_gone_is_harmless() -> None:
    loop = asyncio.new_event_loop()

    async def make() -> AsyncLatest[int]:
        return AsyncLatest(loop)

    channel = loop.run_until_complete(make())
    loop.close()
    channel.put(1)
    channel.close()
    assert channel.dropped == 0
