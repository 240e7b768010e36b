"""Identities are encoded once, and asked for again only after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from engines.errors import EngineError
from realtime.errors import IdentityError
from realtime.identity import Identity
from realtime.wardrobe import CanvasHw, Wardrobe
from realtime.workers import BackgroundWorker
from tests.helpers import FakeStudio


@pytest.fixture
async def loader() -> AsyncIterator[BackgroundWorker]:
    worker = BackgroundWorker("loader")
    worker.start()
    yield worker
    await worker.close()


async def test_an_identity_is_loaded_once_even_when_many_ask(loader: BackgroundWorker) -> None:
    studio = FakeStudio()
    wardrobe = Wardrobe(studio.load_identity, studio.check_identity, loader)
    got = await asyncio.gather(*(wardrobe.get("coral") for _ in range(5)))
    assert all(identity is got[0] for identity in got)
    assert await wardrobe.get("coral") is got[0]
    assert studio.loads == ["coral"]


async def test_a_failure_reaches_who_asked_and_is_tried_again(loader: BackgroundWorker) -> None:
    answers: list[Identity | Exception] = [
        IdentityError("damaged"),
        cast(Identity, "mended"),
    ]

    def load(identity_id: str, canvas_hw: CanvasHw) -> Identity:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wardrobe = Wardrobe(load, lambda _: None, loader)
    with pytest.raises(IdentityError, match="damaged"):
        await wardrobe.get("coral")
    assert cast(str, await wardrobe.get("coral")) == "mended"


async def test_preparing_skips_what_cannot_be_used(
    loader: BackgroundWorker, caplog: pytest.LogCaptureFixture
) -> None:
    studio = FakeStudio()

    def load(identity_id: str, canvas_hw: CanvasHw) -> Identity:
        if identity_id == "broken":
            raise EngineError("the network gave NaN")
        return studio.load_identity(identity_id, canvas_hw)

    wardrobe = Wardrobe(load, studio.check_identity, loader)
    await wardrobe.prepare(["nobody", "broken", "coral"])
    await wardrobe.get("coral")
    assert studio.loads == ["nobody", "coral"]
    assert "nobody cannot be used" in caplog.text
    assert "broken cannot be used: the network gave NaN" in caplog.text


async def test_who_stops_waiting_does_not_stop_the_load(loader: BackgroundWorker) -> None:
    studio = FakeStudio()
    wardrobe = Wardrobe(studio.load_identity, studio.check_identity, loader)
    impatient = asyncio.create_task(wardrobe.get("coral"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert cast(FakeStudio, await wardrobe.get("coral"))
    assert studio.loads == ["coral"]


async def test_a_record_that_changes_or_ends_is_noticed_at_the_next_switch(
    loader: BackgroundWorker,
) -> None:
    studio = FakeStudio()
    records: list[object] = ["first", "first", "second", IdentityError("expired")]

    def check(identity_id: str) -> object:
        record = records.pop(0)
        if isinstance(record, Exception):
            raise record
        return record

    wardrobe = Wardrobe(studio.load_identity, check, loader)
    for _ in range(3):
        await wardrobe.get("coral")
    assert studio.loads == ["coral", "coral"]
    with pytest.raises(IdentityError, match="expired"):
        await wardrobe.get("coral")


async def test_another_canvas_is_another_encoding_of_the_same_identity(
    loader: BackgroundWorker,
) -> None:
    studio = FakeStudio()
    wardrobe = Wardrobe(studio.load_identity, studio.check_identity, loader)
    full, small = await wardrobe.get("coral"), await wardrobe.get("coral", (120, 160))
    assert full is not small and studio.loads == ["coral", "coral"]
    assert await wardrobe.get("coral", (120, 160)) is small
    assert await wardrobe.get("coral") is full and len(studio.loads) == 2
    await wardrobe.prepare(["juniper"], (120, 160))
    assert not wardrobe.is_ready("juniper"), "only small"
