from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import cast

import av
import cv2
import numpy as np
import pytest

from realtime.config import Video
from realtime.errors import FrameError, SessionError
from realtime.frames import U8, Arrived, SourceFrame
from realtime.stages.ingest import Ingest


def picture(width: int, height: int) -> U8:
    """A smooth colour gradient, red in the upper left corner."""
    rgb = np.zeros((height, width, 3), np.float32)
    rgb[..., 0] = 200 * np.linspace(1, 0, width)
    rgb[..., 1] = 160 * np.linspace(0, 1, height)[:, None]
    rgb[..., 2] = 60
    return rgb.astype(np.uint8)


def frame(rgb: U8, pixel_format: str = "yuv420p") -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pixel_format)


def ingest(sent: av.VideoFrame, config: Video | None = None) -> SourceFrame:
    return Ingest(config or Video())(Arrived(sent, 123), 7)


@pytest.mark.parametrize("size", [(640, 480), (641, 481), (322, 240), (2, 2)])
@pytest.mark.parametrize(
    "pixel_format",
    [
        "yuv420p",
        "nv12",
        "yuyv422",
        "yuv422p",
        "yuv444p",
        "yuv420p10le",
        "yuvj420p",
        "rgb24",
        "bgra",
    ],
)
def test_every_format_and_size_gives_its_colours(pixel_format: str, size: tuple[int, int]) -> None:
    rgb = picture(*size)
    made = ingest(frame(rgb, pixel_format)).rgb
    assert made.shape == rgb.shape
    assert made.dtype == np.uint8
    assert made.flags.c_contiguous
    if min(size) > 2:  # of two pixels, subsampled chroma leaves one colour
        assert np.abs(made.astype(int) - rgb).mean() < 6


def test_grey_pictures_become_grey_rgb() -> None:
    made = ingest(frame(picture(320, 240), "gray")).rgb
    assert made.shape == (240, 320, 3)
    assert (np.ptp(made, axis=2) <= 2).all()


def test_the_size_may_change_from_frame_to_frame() -> None:
    stage = Ingest(Video())
    sizes = [(640, 480), (1280, 720), (161, 121), (640, 480)]
    made = [stage(Arrived(frame(picture(*size)), 0), i).rgb.shape for i, size in enumerate(sizes)]
    assert made == [(height, width, 3) for width, height in sizes]


@pytest.mark.parametrize(
    ("rotation_deg", "expected"),
    [
        (0, None),
        (90, cv2.ROTATE_90_COUNTERCLOCKWISE),
        (-90, cv2.ROTATE_90_CLOCKWISE),
        (180, cv2.ROTATE_180),
        (-180, cv2.ROTATE_180),
    ],
)
def test_a_rotated_picture_is_turned_upright(rotation_deg: int, expected: int | None) -> None:
    rgb = picture(320, 240)
    rotated = SimpleNamespace(
        width=320,
        height=240,
        pts=None,
        time_base=None,
        rotation=rotation_deg,
        to_ndarray=lambda **_: rgb,
    )
    upright = rgb if expected is None else cv2.rotate(rgb, expected)
    made = ingest(cast(av.VideoFrame, rotated)).rgb
    np.testing.assert_array_equal(made, upright)


def test_an_empty_frame_ends_that_frame_only() -> None:
    with pytest.raises(FrameError, match="0x0"):
        ingest(av.VideoFrame(0, 0, "yuv420p"))


def test_too_many_pixels_end_the_session_and_say_why() -> None:
    small = Video(max_input_px=320 * 240)
    ingest(frame(picture(320, 240)), small)
    with pytest.raises(SessionError, match=r"322x240.*max_input_px = 76800.*smaller"):
        ingest(frame(picture(322, 240)), small)


def test_4k_is_taken_by_default() -> None:
    assert ingest(frame(picture(3840, 2160))).rgb.shape == (2160, 3840, 3)


def test_times_are_those_of_capture_in_the_video_clock() -> None:
    sent = frame(picture(64, 48))
    sent.pts, sent.time_base = 5, Fraction(1, 25)
    made = ingest(sent)
    assert (made.pts, made.arrived_ns, made.seq) == (18_000, 123, 7)


def test_a_frame_without_time_gets_that_of_its_arrival() -> None:
    sent = frame(picture(64, 48))
    sent.pts = None
    assert Ingest(Video())(Arrived(sent, 2_000_000_000), 0).pts == 180_000
