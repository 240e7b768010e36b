"""The mended receiver: when a frame leaves, what is asked for again, what is given up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiortc.rtp import RtpPacket

from realtime.clock import NS_PER_MS, FakeClock
from realtime.rtc_buffer import MAX_TIMED, PromptJitterBuffer, TimedFrame, is_key_frame
from realtime.rtc_receive import NACK_TRIES, HoleWatch, NackRetries

VP8_KEY = b"\x10\x02\x00\x9d\x01\x2a\x40\x01"
VP8_DELTA = b"\x11\x02\x00\x00\x00\x00\x00"
SPS, IDR, SLICE, SEI = (b"\0\0\0\1" + bytes([0x60 | kind]) + b"\1" for kind in (7, 5, 1, 6))


def packet(seq: int, frame: int, data: bytes = b"-", marker: bool = False) -> RtpPacket:
    made = RtpPacket(payload_type=97, sequence_number=seq, timestamp=frame * 3000)
    made.marker = int(marker)
    made._data = data  # type: ignore[attr-defined]
    return made


def started(capacity: int = 16, origin: int = 0) -> PromptJitterBuffer:
    """A buffer whose key frame, packet `origin`, has left."""
    buffer = PromptJitterBuffer(capacity=capacity, is_video=True)
    _, frame = buffer.add(packet(origin, 0, VP8_KEY, marker=True))
    assert frame is not None
    return buffer


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (VP8_KEY, True),
        (VP8_DELTA, False),
        (SPS + IDR, True),
        (SEI + SPS, True),
        (SEI + IDR, True),
        (IDR[1:], True),
        (SEI + SLICE + IDR, False),
        (SLICE, False),
        (b"", False),
        (b"\x00\x00\x01", False),
        (b"\x41\x9a", False),
    ],
)
def test_key_frames_are_told_from_others(data: bytes, expected: bool) -> None:
    assert is_key_frame(data) is expected


def test_a_frame_leaves_with_its_marker_packet() -> None:
    buffer = started()
    assert buffer.add(packet(1, 1, b"a"))[1] is None
    _, frame = buffer.add(packet(2, 1, b"b", marker=True))
    assert frame is not None and frame.data == b"ab"


def test_a_frame_knows_when_its_first_packet_came_whichever_that_was() -> None:
    clock = FakeClock()
    buffer = PromptJitterBuffer(capacity=16, is_video=True, clock=clock)
    buffer.add(packet(0, 0, VP8_KEY, marker=True))
    clock.advance_ms(33)
    buffer.add(packet(2, 1, b"b", marker=True))
    clock.advance_ms(40)
    _, frame = buffer.add(packet(1, 1, b"a"))  # it was lost, and sent again
    assert isinstance(frame, TimedFrame) and frame.data == b"ab"
    assert frame.first_ns == 33 * NS_PER_MS


def test_times_of_frames_that_never_become_whole_do_not_pile_up() -> None:
    buffer = started(capacity=1024)
    for number in range(2, 500, 2):
        buffer.add(packet(number, number))
    assert len(buffer._first_ns) <= MAX_TIMED


def test_a_frame_without_marker_leaves_when_the_next_begins() -> None:
    buffer = started()
    assert buffer.add(packet(1, 1, b"a"))[1] is None
    _, frame = buffer.add(packet(2, 2, b"b"))
    assert frame is not None and frame.data == b"a"


def test_every_complete_frame_can_be_drained_after_a_hole_is_filled() -> None:
    buffer = started()
    for seq in (2, 3, 4):
        assert buffer.add(packet(seq, seq, b"%d" % seq, marker=True))[1] is None
    assert buffer.has_hole()
    _, first = buffer.add(packet(1, 1, b"1", marker=True))
    rest = [buffer._remove_frame(0) for _ in range(4)]
    frames = [frame.data for frame in (first, *rest) if frame is not None]
    assert frames == [b"1", b"2", b"3", b"4"]
    assert not buffer.has_hole()


def test_frames_before_the_first_key_frame_are_dropped() -> None:
    buffer = PromptJitterBuffer(capacity=16, is_video=True)
    assert buffer.add(packet(0, 0, VP8_DELTA, marker=True))[1] is None
    _, frame = buffer.add(packet(1, 1, VP8_KEY, marker=True))
    assert frame is not None and not buffer.awaiting_key


def test_padding_makes_no_frame() -> None:
    buffer = started()
    assert buffer.add(packet(1, 1, b"", marker=True))[1] is None
    assert buffer.add(packet(2, 2, b"x", marker=True))[1] is not None


def test_giving_up_resumes_at_the_next_key_frame_held() -> None:
    buffer = started()
    buffer.add(packet(2, 2, VP8_DELTA, marker=True))
    buffer.add(packet(3, 3, VP8_KEY, marker=True))
    buffer.add(packet(4, 4, b"next", marker=True))
    buffer.give_up()
    frames = [buffer._remove_frame(0), buffer._remove_frame(0), buffer._remove_frame(0)]
    assert [frame.data for frame in frames if frame is not None] == [VP8_KEY, b"next"]
    assert not buffer.awaiting_key


def test_giving_up_without_a_key_frame_waits_for_one_and_keeps_late_packets_out() -> None:
    buffer = started()
    buffer.add(packet(2, 2, VP8_DELTA, marker=True))
    buffer.give_up()
    assert buffer.awaiting_key and not buffer.has_hole()
    assert buffer.add(packet(1, 1, VP8_KEY, marker=True))[1] is None, "late, and a frame too old"
    assert buffer.add(packet(3, 3, VP8_DELTA, marker=True))[1] is None
    _, frame = buffer.add(packet(4, 4, VP8_KEY, marker=True))
    assert frame is not None


def test_an_overflowing_buffer_waits_for_a_key_frame() -> None:
    buffer = started(capacity=4)
    overflowed = False
    for seq in range(2, 8):
        flag, frame = buffer.add(packet(seq, seq, VP8_DELTA, marker=True))
        overflowed |= flag
        assert frame is None
    assert overflowed and buffer.awaiting_key


def test_pictures_that_are_not_decoded_are_counted_by_their_reason() -> None:
    buffer = PromptJitterBuffer(capacity=16, is_video=True)
    buffer.add(packet(0, 0, VP8_DELTA, marker=True))
    assert buffer.dropped == {"key": 1}, "before the first key frame"
    buffer.add(packet(1, 1, VP8_KEY, marker=True))
    for seq in (3, 4, 5):  # the second one never comes
        buffer.add(packet(seq, seq // 2 + 1, VP8_DELTA))
    buffer.give_up()
    assert buffer.dropped == {"key": 1, "lost": 2}
    buffer.add(packet(6, 6, VP8_DELTA, marker=True))
    buffer.add(packet(7, 7, b"", marker=True))
    assert buffer.dropped == {"key": 2, "lost": 2}, "padding is no picture"
    buffer.add(packet(8, 8, VP8_KEY, marker=True))
    buffer.skip_to_key("backlog")
    buffer.add(packet(9, 9, VP8_DELTA, marker=True))
    assert buffer.dropped == {"key": 2, "lost": 2, "backlog": 1}


def test_sequence_numbers_wrap() -> None:
    buffer = started(origin=65534)
    frames = [buffer.add(packet(seq, seq, b"x", marker=True))[1] for seq in (65535, 0, 1)]
    assert all(frame is not None for frame in frames)


def test_random_reordering_loses_nothing_and_keeps_order() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        packets = [packet(0, 0, VP8_KEY, marker=True)]
        while len(packets) < 100:
            number = int(packets[-1].timestamp) // 3000 + 1
            size = int(rng.integers(1, 4))
            packets += [
                packet(len(packets) + part, number, b"%d," % number, marker=part == size - 1)
                for part in range(size)
            ]
        late = [at + float(rng.uniform(0, 6)) for at in range(len(packets))]
        order = sorted(range(1, len(packets)), key=lambda at: late[at])
        buffer = PromptJitterBuffer(capacity=64, is_video=True)
        timestamps: list[int] = []
        for at in (0, *order):
            _, frame = buffer.add(packets[at])
            while frame is not None:
                timestamps.append(frame.timestamp)
                frame = buffer._remove_frame(0)
        assert timestamps == sorted({packet.timestamp for packet in packets})


def test_a_packet_is_asked_for_on_every_tick_until_it_was_tried_enough() -> None:
    retries, missing = NackRetries(), {7, 9}
    asked = [retries.due(missing) for _ in range(NACK_TRIES + 3)]
    assert asked[0] == [], "upstream has just asked for it"
    assert asked[1 : NACK_TRIES + 1] == [[7, 9]] * NACK_TRIES
    assert asked[NACK_TRIES + 1] == [] and missing == set()


def test_a_packet_that_came_is_forgotten() -> None:
    retries, missing = NackRetries(), {7}
    retries.due(missing)
    missing.clear()
    assert retries.due(missing) == []
    missing.add(7)
    assert retries.due(missing) == [], "missing anew: its first tick"


@pytest.mark.parametrize(
    ("looks", "expired"),
    [
        ([(5, True, 0), (5, True, 250)], False),
        ([(5, True, 0), (5, True, 251)], True),
        ([(5, True, 0), (6, True, 200), (6, True, 300)], False),
        ([(5, True, 0), (5, False, 200), (5, True, 300)], False),
        ([(None, False, 0), (None, False, 900)], False),
    ],
)
def test_a_hole_expires_only_while_nothing_moves(looks: list[Any], expired: bool) -> None:
    watch = HoleWatch()
    results = [watch.expired(origin, hole, at_ms * NS_PER_MS) for origin, hole, at_ms in looks]
    assert results[-1] is expired and not any(results[:-1])
