"""The bench of the invisible mark, on few pictures."""

from __future__ import annotations

from functools import partial

import av
import numpy as np
import pytest

from realtime.bench import watermark
from realtime.bench.recoding import Recode, Treatment, cropped, filmed_off, mirrored, scaled
from realtime.frames import U8
from realtime.watermark import Payload, Watermark
from tests import performers

PAYLOAD = Payload(0xBADC0DE5)


def picture() -> U8:
    return performers.pictures("performer1")[0]


def host(payload: Payload | None) -> list[U8]:
    luma = np.ascontiguousarray(picture()[:, :, 1])
    if payload is not None:
        Watermark(payload).embed(luma)
    return [np.repeat(luma[:, :, None], 3, axis=2)] * 3


def test_a_mark_that_is_there_is_counted_and_one_that_is_not_is_not() -> None:
    hosts = [(host(PAYLOAD), PAYLOAD.id), (host(None), PAYLOAD.id)]
    outcome = watermark.survival(hosts, ())
    assert (outcome.read_after_1_s, outcome.read_after_3_s, outcome.wrong) == (1, 1, 0)
    assert outcome.lowest_score < 8


def test_another_session_s_mark_is_wrong() -> None:
    outcome = watermark.survival([(host(PAYLOAD), 1)], (mirrored,))
    assert (outcome.read_after_3_s, outcome.wrong) == (0, 2)


def test_visibility_is_that_of_the_worst_picture() -> None:
    frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
    seen = watermark.visibility([frame])
    assert min(seen.values()) >= 40
    assert seen["smooth_luma_psnr_db"] > seen["noise_luma_psnr_db"]


def test_a_false_alarm_would_be_counted() -> None:
    luma = host(PAYLOAD)[0][:, :, 0]
    count, highest = watermark.false_alarms([luma], trials=2, seed=0)
    assert count == 2 and highest > 8


@pytest.mark.parametrize(
    ("treatment", "size"),
    [
        (Recode("libvpx", 500_000), (480, 640)),
        (Recode("libx264", 500_000), (480, 640)),
        (partial(scaled, share=0.5), (240, 320)),
        (partial(cropped, share=0.1), (432, 576)),
        (mirrored, (480, 640)),
        (filmed_off, (738, 996)),
    ],
)
def test_a_treatment_gives_every_picture_back(treatment: Treatment, size: tuple[int, int]) -> None:
    made = treatment([picture()] * 3)
    assert [one.shape for one in made] == [(*size, 3)] * 3
    assert all(one.dtype == np.uint8 and 20 < one.mean() < 235 for one in made)
