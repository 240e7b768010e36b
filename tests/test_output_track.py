"""Pictures as they leave, with the camera's times, and as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

from realtime.clock import FakeClock, MonotonicClock
from realtime.frames import Arrived, OutputFrame, Timings
from realtime.latest import Closed
from realtime.metrics import SessionMetrics
from realtime.pools import encode_pool
from realtime.rtc import OutputTrack, drain
from realtime.rtc_encode import Bitrates, FastH264Encoder
from realtime.tracing import Tracer
from tests.helpers import Camera
from tests.pictures import i420_of, texture


async def black() -> OutputFrame:
    await asyncio.sleep(0.02)
    return OutputFrame(i420_of(texture()), 320, 240, 0, 0, "LIVE", Timings(0), 0)


async def stamps_of(shown: Sequence[tuple[float, float, OutputFrame]]) -> list[float]:
    """Time stamps in ms of pictures that arrived and left at these milliseconds."""
    clock = FakeClock()
    pictures = iter(shown)

    async def next_picture() -> OutputFrame:
        arrived_ms, left_ms, output = next(pictures)
        clock.advance_ms(left_ms - clock.now_ns() / 1e6)
        return replace(output, timings=Timings(round(arrived_ms * 1e6)))

    track = OutputTrack(next_picture, clock)
    frames = [await track.recv() for _ in shown]
    assert all(np.array_equal(frame.to_ndarray(), PICTURE) for frame in frames)
    assert all(frame.time_base == Fraction(1, 90_000) for frame in frames)
    return [frame.pts / 90 for frame in frames if frame.pts is not None]


PICTURE = i420_of(texture())


def taken(seq: int, camera_ms: float) -> OutputFrame:
    return OutputFrame(PICTURE, 320, 240, seq, round(camera_ms * 90), "LIVE", Timings(0), 0)


CARD = replace(taken(-1, 0), state="CARD")


async def test_output_pictures_carry_the_times_of_the_camera_however_long_they_took() -> None:
    shown = [
        (20, 30, taken(0, 7000)),
        (52, 95, taken(1, 7033)),
        (88, 101, taken(2, 7067)),
    ]
    assert await stamps_of(shown) == pytest.approx([20, 53, 87], abs=0.02)


async def test_cards_and_repeats_go_on_in_time_as_far_behind_as_the_last_picture() -> None:
    first = taken(0, 500)
    shown = [(0, 5, CARD), (100, 140, first), (100, 240, first), (100, 340, CARD)]
    assert await stamps_of(shown) == pytest.approx([5, 100, 200, 300], abs=0.02)


async def test_times_always_increase_and_a_camera_clock_that_jumps_is_taken_up_anew() -> None:
    shown = [
        (10, 40, taken(0, 100)),
        (70, 80, taken(0, 100)),  # shown again
        (75, 90, taken(1, 133)),  # taken before the repeat
        (200, 230, taken(2, 90_000)),
        (233, 263, taken(3, 90_033)),
    ]
    got = await stamps_of(shown)
    assert got == pytest.approx([10, 50, 50, 200, 233], abs=0.05)
    assert all(later > earlier for earlier, later in pairwise(got))


async def test_a_picture_is_reported_once_and_only_when_the_sender_comes_back() -> None:
    clock = FakeClock()
    metrics = SessionMetrics(clock)
    first, second = taken(0, 0), taken(1, 33)
    pictures = iter([CARD, first, first, second])

    async def next_picture() -> OutputFrame:
        clock.advance_ms(10)
        picture = next(pictures, None)
        if picture is None:
            raise Closed
        return picture

    track = OutputTrack(next_picture, clock, metrics)
    for _ in range(4):
        await track.recv()
        clock.advance_ms(3)
    assert metrics.snapshot().server_p95_ms == 26  # the first's, from its arrival at 0
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert metrics.snapshot().server_p95_ms == 52  # and the second's
    assert metrics.snapshot().stages_ms == {"send": 3}


async def test_received_pictures_know_how_long_they_took_to_come() -> None:
    clock, got = FakeClock(50), list[Arrived]()
    fresh, local = camera_picture(), camera_picture()
    fresh.opaque = 20
    camera = _Track([fresh, local])
    await drain(camera, got.append, clock)
    assert [arrived.receive_ns for arrived in got] == [30, 0]


class _Track(MediaStreamTrack):
    """Gives what it holds, then ends."""

    kind = "video"

    def __init__(self, pictures: list[VideoFrame]) -> None:
        super().__init__()
        self._pictures = iter(pictures)

    async def recv(self) -> VideoFrame:
        try:
            return next(self._pictures)
        except StopIteration:
            raise MediaStreamError from None


def camera_picture() -> VideoFrame:
    return VideoFrame(320, 240, "yuv420p")


async def test_a_pictures_encoding_is_told_of_wherever_it_is_encoded() -> None:
    """Its way through aiortc: the very frame that `recv` gave comes to the executor."""
    clock = MonotonicClock()
    metrics = SessionMetrics(clock, session="abcdef", tracer=Tracer(clock))
    metrics.tracer.start()
    track = OutputTrack(black, clock, metrics)
    frame = await track.recv()
    pool = encode_pool(1)
    encoder = FastH264Encoder(Bitrates(start_bps=1_000_000, max_bps=2_000_000))
    try:
        payloads, _ = await asyncio.wrap_future(pool.submit(encoder.encode, frame, True))
        assert payloads
        assert await asyncio.wrap_future(pool.submit(len, "others go by untouched")) == 22
    finally:
        pool.shutdown()
    send, encode = metrics.tracer.stop().events
    assert (send.name, encode.name, encode.thread) == ("send", "encode", "encode_0")
    assert send.frame == encode.frame and encode.ended_ns is not None
    assert send.began_ns < encode.began_ns < encode.ended_ns
    track.stop()


async def test_the_output_track_ends_with_its_session() -> None:
    async def over() -> OutputFrame:
        raise Closed

    track = OutputTrack(over, MonotonicClock())
    for _ in range(2):
        with pytest.raises(MediaStreamError):
            await track.recv()


async def test_drain_hands_over_until_the_track_ends() -> None:
    camera, got = Camera(fps=200), []

    def take(arrived: Arrived) -> None:
        got.append(arrived)
        if len(got) == 3:
            camera.stop()

    await asyncio.wait_for(drain(camera, take, FakeClock(5)), 10)
    assert [arrived.arrived_ns for arrived in got] == [5, 5, 5]
