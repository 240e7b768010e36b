"""Smaller pictures: their measures, their planes, and that both marks are still in them."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from realtime.config import Output
from realtime.frames import U8, Composited, OutputFrame, Timings
from realtime.ladder import rungs_of
from realtime.rtc import picture_of
from realtime.rtc_encode import Bitrates, FastH264Encoder
from realtime.sinks.sizes import (
    MIN_HEIGHT_PX,
    Scaler,
    Size,
    resized,
    same_shape,
    scaled,
    scaled_wh,
)
from realtime.stages.cutout import cut_out
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests.marks import mark_score

PAYLOAD = Payload(0xC0FFEE)
PORTRAIT = Path(__file__).parents[2] / "realtime" / "identities" / "coral" / "portrait.png"


def marked(width_px: int, height_px: int) -> OutputFrame:
    """A portrait as the pipeline would send it, whole and cut out."""
    side = min(width_px, height_px)
    portrait = Image.open(PORTRAIT).convert("RGBA").resize((side, side))
    picture = Image.new("RGBA", (width_px, height_px))
    picture.paste(portrait, ((width_px - side) // 2, 0))
    rgba = np.asarray(picture, np.uint8)
    cutout = cut_out(np.ascontiguousarray(rgba[:, :, :3]), np.ascontiguousarray(rgba[:, :, 3]))
    alpha = rgba[:, :, 3:].astype(float) / 255
    scene = np.rint(rgba[:, :, :3] * alpha + 96 * (1 - alpha)).astype(np.uint8)
    made = Mark(Output(), PAYLOAD)(Composited(scene, cutout))
    return Emit()(made, 1, 0, "LIVE", Timings(0))


@pytest.mark.parametrize(
    ("width_px", "height_px", "size", "expected"),
    [
        (640, 480, "full", (640, 480)),
        (640, 480, "half", (320, 240)),
        (640, 480, "quarter", (320, 240)),
        (1280, 720, "half", (640, 360)),
        (1280, 720, "quarter", (426, 240)),
        (1920, 1080, "quarter", (480, 270)),
        (320, 180, "half", (320, 180)),
        (642, 482, "half", (320, 240)),
        (160, 1080, "quarter", (40, 270)),
    ],
)
def test_sizes_are_even_in_proportion_and_never_too_small(
    width_px: int, height_px: int, size: Size, expected: tuple[int, int]
) -> None:
    assert scaled_wh(width_px, height_px, size) == expected
    assert min(height_px, MIN_HEIGHT_PX) <= expected[1]


@pytest.mark.parametrize(("width_px", "height_px"), [(640, 480), (642, 486), (1280, 720)])
def test_each_plane_is_the_plane_made_smaller(width_px: int, height_px: int) -> None:
    output = marked(width_px, height_px)
    small = scaled(output.i420, "half", stacked=False)
    width, height = scaled_wh(width_px, height_px, "half")
    assert small.shape == (height * 3 // 2, width)
    large = cv2.cvtColor(output.i420, cv2.COLOR_YUV2RGB_I420)
    expected = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(int)
    got = cv2.cvtColor(small, cv2.COLOR_YUV2RGB_I420).astype(int)
    assert np.abs(got - expected).mean() < 1.5


def test_nothing_of_the_matte_gets_into_the_colour() -> None:
    height, width = 486, 640
    stacked = np.empty((height * 3, width), np.uint8)
    stacked.reshape(-1)[: height * width] = 200
    stacked.reshape(-1)[height * width : 2 * height * width] = 16
    for plane in range(2):
        at = 2 * height * width + plane * height * width // 2
        stacked.reshape(-1)[at : at + height * width // 4] = 90
        stacked.reshape(-1)[at + height * width // 4 : at + height * width // 2] = 128
    small = scaled(stacked, "half", stacked=True)
    to_width, to_height = scaled_wh(width, height, "half")
    assert small.shape == (3 * to_height, to_width)
    pixels, flat = to_width * to_height, small.reshape(-1)
    assert set(flat[:pixels]) == {200} and set(flat[pixels : 2 * pixels]) == {16}
    for plane in range(2):
        at = 2 * pixels + plane * pixels // 2
        assert set(flat[at : at + pixels // 4]) == {90}
        assert set(flat[at + pixels // 4 : at + pixels // 2]) == {128}


def through_h264(i420: U8, bitrate_bps: int) -> U8:
    """The luma that a viewer has after a second of it."""
    encoder = FastH264Encoder(Bitrates(bitrate_bps, bitrate_bps))
    decoder = av.CodecContext.create("h264", "r")
    luma: U8 | None = None
    for tick in range(30):
        packets = encoder._encode_frame(picture_of(i420.copy(), tick * 3000), tick == 0)
        data = b"".join(b"\x00\x00\x00\x01" + unit for unit in packets)
        for frame in decoder.decode(av.Packet(data)):
            luma = np.ascontiguousarray(frame.to_ndarray(format="gray"))
    assert luma is not None
    return luma


def label_like(luma: U8, width_px: int, height_px: int) -> float:
    """How much it looks, where the label was drawn, like the label made smaller."""
    blank = np.full((height_px, width_px, 3), 128, np.uint8)
    drawn = Mark(Output(), Payload(0))(Composited(blank)).rgb[:, :, 1]
    small = cv2.resize(drawn, luma.shape[::-1], interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(np.abs(small.astype(int) - 128) > 4)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    return float(np.corrcoef(small[box].ravel(), luma[box].ravel())[0, 1])


@pytest.mark.parametrize(("width_px", "height_px"), [(640, 480), (1280, 720)])
@pytest.mark.parametrize("size", ["half", "quarter"])
def test_both_marks_are_in_every_size_after_the_codec(
    width_px: int, height_px: int, size: Size
) -> None:
    output = marked(width_px, height_px)
    assert output.stacked_i420 is not None
    for i420, stacked in ((output.i420, False), (output.stacked_i420, True)):
        luma = through_h264(scaled(i420, size, stacked=stacked), 800_000)
        if stacked:
            luma = luma[: luma.shape[0] // 2]
        assert label_like(luma, width_px, height_px) > 0.8
        right, wrong = mark_score(luma, PAYLOAD), mark_score(luma, Payload(PAYLOAD.id ^ 0x5A5A))
        assert right > 8 and right > wrong + 2


def test_several_encodes_scale_a_picture_once() -> None:
    scaler = Scaler("half", stacked=False)
    one, other = marked(640, 480).i420, marked(640, 480).i420
    assert scaler(one) is scaler(one) and scaler.made == 1
    assert scaler(other) is not scaler(one) and scaler.made == 3
    assert scaled(one, "full", stacked=False) is one


def test_a_picture_made_larger_is_the_same_picture() -> None:
    small = marked(320, 240)
    large = resized(small.i420, (640, 480))
    assert large.shape == (720, 640) and large.flags.c_contiguous
    assert np.array_equal(resized(large, (320, 240)).shape, small.i420.shape)
    off = np.abs(resized(large, (320, 240)).astype(int) - small.i420).mean()
    assert off < 1, "there and back"


@pytest.mark.parametrize("whole", [(640, 480), (854, 480), (1280, 720), (642, 482), (160, 1080)])
def test_the_ladders_canvases_are_of_one_shape(whole: tuple[int, int]) -> None:
    for rung in rungs_of(*whole):
        assert same_shape((rung.width_px, rung.height_px), whole)
        assert same_shape(whole, (rung.width_px, rung.height_px))
    assert not same_shape((whole[1], whole[0]), whole)
    assert not same_shape((whole[0], whole[1] * 8 // 9), whole)


def test_a_scaler_tells_what_it_makes() -> None:
    output = marked(640, 480)
    assert output.stacked_i420 is not None
    for size in ("full", "half"):
        for stacked, i420 in ((False, output.i420), (True, output.stacked_i420)):
            scaler = Scaler(size, stacked=stacked)
            width, height = scaler.wh_of(i420)
            assert scaler(i420).shape == (height * 3 // 2, width)
