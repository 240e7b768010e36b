"""Sharing one encode, without any network: who gets what, and who loses what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio
from av import VideoFrame

from realtime.clock import NS_PER_S, FakeClock
from realtime.frames import OutputFrame, Timings
from realtime.latest import Closed
from realtime.link import bitrate_for
from realtime.sinks.feed import MAX_WAITING, SETTLING_NS, Coded, Seat
from realtime.sinks.fitting import NARROW_NS, ROOMY_NS
from realtime.sinks.viewers import Audience
from realtime.sound import Sound
from tests.helpers import until


class FakeEncoder:
    """One payload for each picture: its height."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.target_bitrate = 2_500_000
        self.bound_bps: int | None = None
        self.made_key_frame = False
        self.encoded = 0
        self.broken = False

    def encode(self, frame: VideoFrame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        if self.broken:
            raise ValueError("a bug in the encoder")
        self.made_key_frame = force_keyframe or not self.encoded
        self.encoded += 1
        assert frame.pts is not None
        return [str(frame.height).encode()], frame.pts


def picture(seq: int, pts: int, arrived_ns: int) -> OutputFrame:
    i420 = np.zeros((24, 16), np.uint8)
    return OutputFrame(i420, 16, 16, seq, pts, "LIVE", Timings(arrived_ns), 0)


class Hall:
    """An audience with fake encoders."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.encoders: list[FakeEncoder] = []
        self.cutouts: list[bool] = []
        self.executor = ThreadPoolExecutor(1)
        self.sound = Sound(self.clock, lambda: False)
        self.audience = Audience(
            self._encoder, self.executor, self.clock, self.cutouts.append, self.sound
        )

    def _encoder(self, codec: str) -> FakeEncoder:
        self.encoders.append(FakeEncoder(codec))
        return self.encoders[-1]

    async def show(self, output: OutputFrame | None = None, stacked: bool = False) -> None:
        """A picture, and the wait until every encoder that takes it has coded it."""
        self.clock.advance_ms(33)
        before = [encoder.encoded for encoder in self.encoders]
        output = output or picture(1, 0, self.clock.now_ns())
        if stacked:
            output = replace(output, stacked_i420=np.zeros((48, 16), np.uint8))
        self.audience.show(output)
        await until(lambda: [e.encoded for e in self.encoders] != before)
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def hall() -> AsyncIterator[Hall]:
    made = Hall()
    yield made
    made.audience.close()
    made.executor.shutdown()


async def test_one_encode_serves_everybody(hall: Hall) -> None:
    seats = [Seat() for _ in range(3)]
    for seat in seats:
        hall.audience.join(seat, "H264", "scene")
    await hall.show()
    coded = [await seat.take() for seat in seats]
    assert coded[0] is coded[1] is coded[2] and coded[0].is_key
    assert (len(hall.audience), hall.audience.encodes) == (3, 1)
    assert [encoder.encoded for encoder in hall.encoders] == [1]


async def test_whoever_joins_later_begins_with_a_key_frame(hall: Hall) -> None:
    first, later = Seat(), Seat()
    hall.audience.join(first, "VP8", "scene")
    await hall.show()
    await hall.show()
    assert [(await first.take()).is_key for _ in range(2)] == [True, False]
    hall.audience.join(later, "VP8", "scene")
    await hall.show()
    assert (await later.take()).is_key


async def test_a_lost_picture_asks_for_a_key_frame_of_that_encode_only(hall: Hall) -> None:
    h264, vp8 = Seat(), Seat()
    hall.audience.join(h264, "H264", "scene")
    hall.audience.join(vp8, "VP8", "scene")
    for _ in range(2):
        await hall.show()
        await until(lambda: hall.encoders[0].encoded == hall.encoders[1].encoded)
    hall.audience.ask_for_key_frame(vp8)
    await hall.show()
    await until(lambda: hall.encoders[0].encoded == hall.encoders[1].encoded)
    assert [encoder.made_key_frame for encoder in hall.encoders] == [False, True]


def coded(is_key: bool) -> Coded:
    return Coded([b"x"], 0, is_key)


async def test_a_slow_seat_is_bounded_and_goes_on_with_a_key_frame() -> None:
    seat = Seat()
    seat.put(coded(False))
    assert seat.needs_key and seat.dropped == 1
    seat.put(coded(True))
    for _ in range(MAX_WAITING):
        seat.put(coded(False))
    assert seat.needs_key and seat.dropped == MAX_WAITING + 2
    seat.put(coded(False))
    seat.put(coded(True))
    assert (await seat.take()).is_key
    seat.close()
    with pytest.raises(Closed):
        await seat.take()


async def test_a_waiting_seat_is_woken_by_its_end() -> None:
    seat = Seat()
    waiting = asyncio.create_task(seat.take())
    await asyncio.sleep(0)
    seat.close()
    with pytest.raises(Closed):
        await waiting


async def test_stamps_are_when_the_camera_took_it_on_the_clock_that_the_voice_goes_by(
    hall: Hall,
) -> None:
    seat, left = Seat(), list[int]()
    hall.audience.on_left = lambda pts, left_ns: left.append(pts)
    hall.audience.join(seat, "H264", "scene")
    began_ns = hall.clock.now_ns()
    hall.sound.camera.follow(picture(1, pts=900_000, arrived_ns=began_ns), began_ns)
    for seq, ms in ((2, 10), (2, 10), (-1, 0), (3, 100)):
        pts = 900_000 + ms * 90 if seq > 0 else 0
        await hall.show(picture(seq, pts, arrived_ns=began_ns + ms * 1_000_000))
    stamps = [(await seat.take()).timestamp for _ in range(4)]
    began = began_ns * 9 // 100_000
    assert [stamp - began for stamp in stamps] == pytest.approx([900, 3870, 6840, 9000], abs=2)
    assert left == [900_900, 909_000], "each camera picture once"


async def test_the_lowest_settled_estimate_counts(hall: Hall) -> None:
    old, new = Seat(), Seat()
    hall.audience.join(old, "H264", "scene")
    old.estimate_bps = 2_000_000
    await hall.show()
    assert hall.encoders[0].target_bitrate == 2_500_000, "its first seconds do not count"
    hall.clock.advance_ms(SETTLING_NS * 1000 // NS_PER_S)
    hall.audience.join(new, "H264", "scene")
    new.estimate_bps = 900_000
    await hall.show()
    assert hall.encoders[0].target_bitrate == 2_000_000
    hall.clock.advance_ms(SETTLING_NS * 1000 // NS_PER_S)
    await hall.show()
    assert hall.encoders[0].target_bitrate == 900_000


def large(seq: int = 1) -> OutputFrame:
    i420 = np.zeros((720, 640), np.uint8)
    return OutputFrame(i420, 640, 480, seq, 0, "LIVE", Timings(0), 0)


async def test_an_encode_keeps_to_its_viewers_links(hall: Hall) -> None:
    alone = Seat()
    hall.audience.join(alone, "H264", "scene", "full")
    await hall.show(large())
    assert hall.encoders[0].bound_bps is None
    alone.bound_bps = 100_000
    await hall.show(large())
    assert hall.encoders[0].bound_bps == 100_000, "nobody else has less of it"
    other = Seat()
    hall.audience.join(other, "H264", "scene", "full")
    await hall.show(large())
    assert hall.encoders[0].bound_bps == bitrate_for(640, 480), "what the others can watch"
    alone.bound_bps = 900_000
    await hall.show(large())
    assert hall.encoders[0].bound_bps == 900_000


async def test_a_weak_link_gets_smaller_pictures_and_larger_ones_when_it_recovers(
    hall: Hall,
) -> None:
    strong, weak, chosen = Seat(), Seat(), Seat()
    hall.audience.join(strong, "H264", "scene")
    hall.audience.join(weak, "H264", "scene")
    hall.audience.join(chosen, "H264", "scene", "full")
    weak.bound_bps = chosen.bound_bps = 150_000

    async def pass_by(seconds: float) -> list[str]:
        said: list[str] = []
        for _ in range(round(seconds * 2)):
            await hall.show(large())
            hall.clock.advance_ms(500 - 33)
            sizes = [hall.audience.refit(seat) for seat in (strong, weak, chosen)]
            said += [size for size in sizes if size is not None]
        return said

    assert await pass_by(NARROW_NS / NS_PER_S) == []
    assert await pass_by(1) == ["half"]
    assert hall.audience.encodes == 2 and len(hall.audience) == 3
    await until(lambda: hall.encoders[1].encoded > 0 and not weak.needs_key)
    assert (await weak.take()).payloads == [b"240"]
    assert hall.encoders[1].bound_bps == 150_000
    weak.bound_bps = 600_000
    assert await pass_by(ROOMY_NS / NS_PER_S - 1) == []
    assert await pass_by(2) == ["full"]
    assert hall.audience.encodes == 1, "nobody watches the smaller ones any more"


async def test_cutouts_are_asked_for_while_they_are_watched(hall: Hall) -> None:
    seats = [Seat() for _ in range(3)]
    hall.audience.join(seats[0], "H264", "scene")
    assert hall.cutouts == []
    hall.audience.join(seats[1], "H264", "transparent")
    hall.audience.join(seats[2], "VP8", "transparent")
    hall.audience.leave(seats[1])
    assert hall.cutouts == [True]
    hall.audience.leave(seats[2])
    assert hall.cutouts == [True, False]


async def test_a_picture_without_a_cutout_is_not_shown_as_one(hall: Hall) -> None:
    plain, cut = Seat(), Seat()
    hall.audience.join(plain, "H264", "scene")
    hall.audience.join(cut, "H264", "transparent")
    await hall.show()
    await hall.show(stacked=True)
    await until(lambda: hall.encoders[1].encoded == 1)
    assert (await cut.take()).payloads == [b"32"], "of twice the height"


async def test_an_encoder_that_fails_ends_its_viewers_and_no_others(hall: Hall) -> None:
    plain, cut = Seat(), Seat()
    hall.audience.join(plain, "H264", "scene")
    hall.audience.join(cut, "H264", "transparent")
    hall.encoders[1].broken = True
    await hall.show(stacked=True)
    await until(lambda: cut.closed)
    assert not plain.closed


async def test_the_end_of_a_session_leaves_its_viewers_their_seats(hall: Hall) -> None:
    seat = Seat()
    hall.audience.join(seat, "H264", "scene")
    hall.audience.close()
    assert hall.audience.closed and not seat.closed and len(hall.audience) == 0
    hall.audience.leave(seat)  # of nobody any more
