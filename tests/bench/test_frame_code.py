"""Numbers in pictures: they survive codecs and scaling, and nothing else is taken for one."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import h264_depayload
from aiortc.jitterbuffer import JitterFrame

from realtime.bench import frame_code
from realtime.rtc_encode import Bitrates, FastH264Encoder
from realtime.rtc_receive import OneThreadH264Decoder
from tests.pictures import i420_of, luma_of, texture

NUMBERS = (0, 1, 2, 255, 256, 21_845, 43_690, 65_535)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_read_back(number: int) -> None:
    picture = i420_of(texture())
    frame_code.draw(picture, number)
    assert frame_code.read(picture[:240]) == number


def test_numbers_begin_again() -> None:
    picture = i420_of(texture())
    frame_code.draw(picture, frame_code.NUMBERS + 7)
    assert frame_code.read(picture[:240]) == 7


@pytest.mark.parametrize("size", [(640, 480), (480, 360), (320, 240), (960, 720), (214, 160)])
def test_a_number_survives_another_size_and_a_poor_codec(size: tuple[int, int]) -> None:
    encoder = FastH264Encoder(Bitrates(start_bps=300_000, max_bps=300_000))
    decoder = OneThreadH264Decoder()
    for index, number in enumerate(NUMBERS):
        picture = i420_of(texture(640, 480))
        frame_code.draw(picture, number)
        frame = av.VideoFrame.from_ndarray(picture, "yuv420p").reformat(*size)
        frame.pts, frame.time_base = index * 3000, Fraction(1, 90_000)
        payloads, timestamp = encoder.encode(frame)
        data = b"".join(h264_depayload(payload) for payload in payloads)
        (decoded,) = decoder.decode(JitterFrame(data, timestamp))
        assert isinstance(decoded, av.VideoFrame)
        assert frame_code.read(luma_of(decoded)) == number


@pytest.mark.parametrize("value", [0, 16, 126, 128, 235, 255])
def test_an_even_picture_holds_no_number(value: int) -> None:
    assert frame_code.read(np.full((480, 640), value, np.uint8)) is None


def test_a_damaged_cell_is_noticed() -> None:
    picture = i420_of(texture(640, 480))
    frame_code.draw(picture, 1000)
    luma = picture[:480]
    luma[456:472, 8:24] = 255 - luma[456:472, 8:24]
    assert frame_code.read(luma) is None


def test_a_picture_too_small_for_a_number_holds_none() -> None:
    assert frame_code.read(np.zeros((8, 640), np.uint8)) is None
    assert frame_code.read(np.zeros((90, 120), np.uint8)) is None
