"""A picture in a camera of another size keeps its shape and its invisible mark."""

from __future__ import annotations

from functools import cache

import av
import cv2
import numpy as np
import pytest

from realtime.fitting import fitted, place, unreadable
from realtime.watermark import Payload, Watermark
from realtime.watermark_search import Search
from tests import performers

PAYLOAD = Payload(0x5EA1ED02)


@pytest.mark.parametrize(
    ("size", "camera", "lies"),
    [
        ((640, 480), (320, 240), (0, 0, 320, 240)),
        ((640, 480), (1280, 720), (160, 0, 960, 720)),
        ((640, 480), (480, 640), (0, 140, 480, 360)),
        ((426, 240), (640, 480), (0, 60, 640, 360)),
    ],
)
def test_a_picture_keeps_its_shape_in_a_camera_of_another(
    size: tuple[int, int], camera: tuple[int, int], lies: tuple[int, int, int, int]
) -> None:
    plane = np.full((size[1] * 3 // 2, size[0]), 200, np.uint8)
    frame, at = av.VideoFrame.from_ndarray(plane, format="yuv420p"), place(size, camera)
    expected = np.full((camera[1] * 3 // 2, camera[0]), 128, np.uint8)
    expected[: camera[1]] = 16
    left, top, width, height = lies
    chroma = expected[camera[1] :].reshape(2, camera[1] // 2, camera[0] // 2)
    expected[top : top + height, left : left + width] = 200
    chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = 200
    assert np.abs(fitted(frame, at, camera).astype(int) - expected).max() <= 1


@cache
def avatar() -> tuple[av.VideoFrame, ...]:
    """Marked pictures of 640x480: noisy ones, with movement, harder than an avatar's."""
    watermark, made = Watermark(PAYLOAD), []
    for rgb in performers.pictures("performer1")[:24:3]:
        i420 = np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)
        watermark.embed(i420[:480])
        made.append(av.VideoFrame.from_ndarray(i420, format="yuv420p"))
    return tuple(made)


@pytest.mark.parametrize(
    "camera",
    [(960, 720), (480, 360), (320, 240), (1280, 720), (480, 560)],
    ids=["1.5x", "0.75x", "0.5x", "bars at the sides", "bars above and below"],
)
def test_the_invisible_mark_is_read_after_it(camera: tuple[int, int]) -> None:
    search, at = Search(), place((640, 480), camera)
    for frame in avatar():
        search.add(fitted(frame, at, camera)[: camera[1]])
    assert unreadable(at, camera[1]) == ""
    assert search.find().payload == PAYLOAD


def test_stretched_it_would_not_be_found() -> None:
    """Which is what a camera of another shape did to it before."""
    search = Search()
    for frame in avatar():
        search.add(np.ascontiguousarray(frame.reformat(1280, 720).to_ndarray()[:720]))
    assert not search.find().marked


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ((240, 180), "the avatar is 180 lines high: below 240"),
        ((480, 640), "the avatar fills 360 of 640 lines: below 60%"),
        ((320, 240), ""),
        ((480, 560), ""),
    ],
)
def test_a_size_that_may_lose_the_mark_is_told(camera: tuple[int, int], said: str) -> None:
    told = unreadable(place((640, 480), camera), camera[1])
    assert told.startswith(said) and bool(told) == bool(said)
