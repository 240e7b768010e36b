"""The tuned encoders: bitrates change in place, sizes change freely, key frames come on request."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload

from realtime.clock import NS_PER_MS, FakeClock
from realtime.errors import StartupError
from realtime.link import bitrate_for
from realtime.rtc_buffer import TimedFrame
from realtime.rtc_encode import (
    H264_STEP,
    KEY_FRAME_PAUSE_NS,
    MIN_BITRATE_BPS,
    VP8_STEP,
    Bitrates,
    CalmVp8Encoder,
    FastH264Encoder,
    H264Choice,
    KeyFrames,
    bitrate_moved,
    choose_h264,
)
from realtime.rtc_receive import OneThreadH264Decoder, OneThreadVp8Decoder, first_packet_ns

RATES = Bitrates(start_bps=1_500_000, max_bps=3_000_000)


def picture(number: int, width: int = 320, height: int = 240, fps: float = 30) -> av.VideoFrame:
    """Moving noise: what costs bits."""
    noise = np.random.default_rng(1).integers(60, 180, (height * 3 // 2, width), np.uint8)
    frame = av.VideoFrame.from_ndarray(np.roll(noise, number * 5, axis=1), format="yuv420p")
    frame.pts, frame.time_base = round(number * 90_000 / fps), Fraction(1, 90_000)
    return frame


def encode_second(encoder: FastH264Encoder, begin: int) -> tuple[float, int]:
    """(bits, number of key frames) of 30 pictures."""
    bits, keys = 0, 0
    for number in range(begin, begin + 30):
        payloads, _ = encoder.encode(picture(number))
        bits += 8 * sum(len(payload) for payload in payloads)
        keys += any(payload[0] & 0x1F in (7, 24) for payload in payloads)
    return bits, keys


@pytest.mark.parametrize(
    ("current", "target", "step", "moved"),
    [
        (1000, 1040, H264_STEP, False),
        (1000, 1060, H264_STEP, True),
        (1000, 940, H264_STEP, True),
        (1000, 1390, VP8_STEP, False),
        (1000, 590, VP8_STEP, True),
    ],
)
def test_small_changes_are_not_worth_it(
    current: int, target: int, step: float, moved: bool
) -> None:
    assert bitrate_moved(current, target, step) is moved


@pytest.mark.parametrize("encoder_class", [FastH264Encoder, CalmVp8Encoder])
def test_targets_are_clamped_to_the_settings(
    encoder_class: type[FastH264Encoder] | type[CalmVp8Encoder],
) -> None:
    encoder = encoder_class(RATES)
    assert encoder.target_bitrate == 1_500_000
    encoder.target_bitrate = 99_000_000
    assert encoder.target_bitrate == 3_000_000
    encoder.target_bitrate = 1
    assert encoder.target_bitrate == MIN_BITRATE_BPS


@pytest.mark.parametrize("encoder_class", [FastH264Encoder, CalmVp8Encoder])
def test_an_estimate_too_low_for_the_size_is_not_obeyed_but_the_links_bound_is(
    encoder_class: type[FastH264Encoder] | type[CalmVp8Encoder],
) -> None:
    encoder: Any = encoder_class(RATES)
    encoder.target_bitrate = 100_000
    encoder.encode(picture(0))
    assert encoder.codec.bit_rate == bitrate_for(320, 240)
    encoder.encode(picture(1, 640, 480))
    assert encoder.codec.bit_rate == bitrate_for(640, 480) > bitrate_for(320, 240)
    encoder.bound_bps = 200_000
    encoder.encode(picture(2, 640, 480))
    assert encoder.codec.bit_rate == 200_000
    encoder.target_bitrate = 2_000_000
    encoder.bound_bps = 400_000
    encoder.encode(picture(3, 640, 480))
    assert encoder.codec.bit_rate == 400_000
    encoder.bound_bps = None
    encoder.encode(picture(4, 640, 480))
    assert encoder.codec.bit_rate == 2_000_000


def test_on_a_narrow_link_a_key_frame_may_take_half_of_it() -> None:
    clock = FakeClock()
    encoder = FastH264Encoder(RATES, clock=clock)
    encoder.encode(picture(0))
    encoder.bound_bps = 200_000
    keys = []
    for number in range(1, 151):  # asked for with every picture of five seconds
        clock.advance_ms(1000 / 30)
        payloads, _ = encoder.encode(picture(number), force_keyframe=True)
        if is_key(payloads):
            keys.append(8 * sum(len(payload) for payload in payloads))
    assert 1 <= len(keys) < 5000 / 250, "not one in every pause"
    assert sum(keys[:-1]) <= 0.6 * 5 * 200_000


def test_on_a_narrow_link_a_new_size_does_not_begin_with_a_burst() -> None:
    encoder = FastH264Encoder(RATES)
    payloads, _ = encoder.encode(picture(0, 640, 480))
    burst = 8 * sum(len(payload) for payload in payloads)
    encoder.bound_bps = 200_000
    payloads, _ = encoder.encode(picture(1, 480, 360))
    assert 8 * sum(len(payload) for payload in payloads) < burst / 3
    codec = encoder.codec
    for number in range(2, 30):
        encoder.encode(picture(number, 480, 360))
    encoder.bound_bps = 350_000
    encoder.encode(picture(30, 480, 360))
    assert encoder.codec is codec
    encoder.bound_bps = None
    assert is_key(encoder.encode(picture(31, 480, 360))[0]), "what was opened low cannot be raised"
    bits, keys = 0, 0
    for number in range(32, 92):
        payloads, _ = encoder.encode(picture(number, 480, 360))
        bits += 8 * sum(len(payload) for payload in payloads)
        keys += is_key(payloads)
    assert keys == 0 and bits / 2 == pytest.approx(1_500_000, rel=0.35)


@pytest.mark.parametrize("fps", [30, 20, 12])
def test_h264_spends_its_bitrate_at_any_rate_of_pictures(fps: int) -> None:
    encoder = FastH264Encoder(RATES)
    encoder.target_bitrate = 600_000
    bits = []
    for number in range(16 * fps):
        payloads, _ = encoder.encode(picture(number, fps=fps))
        bits.append(8 * sum(len(payload) for payload in payloads))
    assert sum(bits[-6 * fps :]) / 6 == pytest.approx(600_000, rel=0.3)


def test_h264_follows_the_target_both_ways_without_a_new_key_frame() -> None:
    encoder = FastH264Encoder(RATES)
    encode_second(encoder, 0)
    codec = encoder.codec
    spent = {}
    for seconds, target in ((1, 900_000), (4, 2_500_000)):
        encoder.target_bitrate = target
        encode_second(encoder, seconds * 30)
        first, keys_first = encode_second(encoder, (seconds + 1) * 30)
        second, keys_second = encode_second(encoder, (seconds + 2) * 30)
        spent[target] = (first + second) / 2
        assert keys_first == keys_second == 0
    assert encoder.codec is codec
    assert spent[900_000] == pytest.approx(900_000, rel=0.35)
    assert spent[2_500_000] == pytest.approx(2_500_000, rel=0.35)


def test_vp8_keeps_its_encoder_through_small_changes() -> None:
    encoder = CalmVp8Encoder(RATES)
    encoder.encode(picture(0))
    codec = encoder.codec
    encoder.target_bitrate = 1_200_000
    encoder.encode(picture(1))
    assert encoder.codec is codec
    encoder.target_bitrate = 500_000
    encoder.encode(picture(2))
    assert encoder.codec is not codec


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (FastH264Encoder(RATES), OneThreadH264Decoder()),
        (CalmVp8Encoder(RATES), OneThreadVp8Decoder()),
    ],
)
def test_every_picture_comes_out_at_once_through_sizes_and_forced_key_frames(
    encoder: FastH264Encoder | CalmVp8Encoder,
    decoder: OneThreadH264Decoder | OneThreadVp8Decoder,
) -> None:
    depayload = h264_depayload if isinstance(encoder, FastH264Encoder) else vp8_depayload
    for number in range(12):
        width, height = ((320, 240), (642, 362), (320, 240))[number // 4]
        payloads, timestamp = encoder.encode(
            picture(number, width, height), force_keyframe=number == 2
        )
        assert timestamp == number * 3000
        data = b"".join(depayload(payload) for payload in payloads)
        frames = decoder.decode(TimedFrame(data, timestamp, first_ns=number + 1))
        assert [first_packet_ns(frame) for frame in frames] == [number + 1]
        decoded = [frame for frame in frames if isinstance(frame, av.VideoFrame)]
        assert [(frame.width, frame.height) for frame in decoded] == [(width, height)]


def test_a_key_frame_is_made_at_once_but_a_storm_of_requests_gets_one_per_pause() -> None:
    clock = FakeClock()
    frames = KeyFrames(clock)
    assert frames.due(True)
    made = []
    for number in range(1, 31):  # asked for with every picture of a second
        clock.advance_ms(33)
        if frames.due(True):
            made.append(number)
    assert made == [8, 16, 24]
    clock.advance_ms(33)
    assert not frames.due(False)
    clock.advance_ms(KEY_FRAME_PAUSE_NS / NS_PER_MS)
    assert frames.due(False), "the last request was kept"
    clock.advance_ms(10_000)
    assert not frames.due(False)


def test_a_new_encoder_answers_the_requests_before_it() -> None:
    clock = FakeClock()
    frames = KeyFrames(clock)
    frames.due(True)
    clock.advance_ms(10)
    assert not frames.due(True)
    frames.made()
    clock.advance_ms(10_000)
    assert not frames.due(False)


def is_key(payloads: list[bytes]) -> bool:
    return any(payload[0] & 0x1F in (7, 24) for payload in payloads)


def test_a_requested_key_frame_is_coded_as_one() -> None:
    clock = FakeClock()
    encoder = FastH264Encoder(RATES, clock=clock)
    coded = []
    for number in range(12):
        payloads, _ = encoder.encode(picture(number), force_keyframe=number in (4, 9))
        coded.append(is_key(payloads))
        clock.advance_ms(100)
    assert [number for number, key in enumerate(coded) if key] == [0, 4, 9]


def test_without_a_gpu_libx264_encodes_and_the_reason_is_said() -> None:
    choice = choose_h264("auto")
    if choice.name == "h264_nvenc":
        pytest.skip("NVENC runs here")
    assert "NVENC cannot be opened" in str(choice)
    assert choose_h264("libx264").name == "libx264"
    with pytest.raises(StartupError, match=r"rtc\.h264_encoder = h264_nvenc: NVENC cannot"):
        choose_h264("h264_nvenc")


def test_an_encoder_that_fails_later_is_replaced_and_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    if choose_h264("auto").name == "h264_nvenc":
        pytest.skip("NVENC runs here")
    encoder = FastH264Encoder(RATES, H264Choice("h264_nvenc", "as a test wants it"))
    payloads, _ = encoder.encode(picture(0))
    assert payloads and "this session's encoder is libx264: NVENC failed" in caplog.text


def test_a_1080p_picture_is_encoded_too() -> None:
    payloads, _ = FastH264Encoder(RATES).encode(picture(0, 1920, 1080))
    assert payloads
