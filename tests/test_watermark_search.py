from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import cv2
import numpy as np
import pytest

from realtime.bench.recoding import Recode, Treatment, cropped, mirrored, scaled
from realtime.bench.watermark import false_alarms
from realtime.frames import U8
from realtime.watermark import Payload, Watermark
from realtime.watermark_search import (
    CERTAIN,
    FALSE_ALARM,
    HYPOTHESES,
    LIKELY,
    SIZES,
    Alignment,
    Finding,
    Search,
)
from tests import performers

PAYLOAD = Payload(0xC0FFEE42)
X264, VP8 = Recode("libx264", 1_500_000), Recode("libvpx", 500_000)
FRAMES = 25
"""of a performer who moves before a still wall, with the camera's noise: harder than an avatar"""


@cache
def marked(name: str = "performer1") -> list[U8]:
    watermark, made = Watermark(PAYLOAD), []
    for picture in performers.pictures(name)[:FRAMES]:
        i420 = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        watermark.embed(i420[: picture.shape[0]])
        made.append(np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8))
    return made


def found(pictures: Sequence[U8]) -> Finding:
    search = Search()
    for picture in pictures[::3]:
        search.add(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
    return search.find()


CHAINS: dict[str, tuple[Treatment, ...]] = {
    "VP8": (VP8,),
    "half size": (partial(scaled, share=0.5), X264),
    "cropped": (partial(cropped, share=0.1), X264),
    "mirrored, two codecs": (mirrored, VP8, X264),
}
"""the bench has more of them, and longer pictures"""


@pytest.mark.parametrize("chain", CHAINS.values(), ids=list(CHAINS))
def test_the_session_is_read_after(chain: tuple[Treatment, ...]) -> None:
    pictures = marked()
    for treatment in chain:
        pictures = treatment(pictures)
    finding = found(pictures)
    assert finding.marked
    assert finding.payload == PAYLOAD
    assert finding.alignment.mirrored == (mirrored in chain)


@pytest.mark.parametrize(
    ("change", "size"),
    [
        (lambda picture: picture[60:420, 80:560], 4 / 3),
        (lambda picture: picture[:, 100:540], 1.0),
        (lambda picture: np.pad(picture, ((100, 60), (50, 200), (0, 0))), 480 / 640),
        (lambda picture: cv2.flip(picture[48:], 1), 480 / 432),
    ],
    ids=["a part", "a narrower part", "within bars", "a part, mirrored"],
)
def test_it_says_how_the_picture_was_cut(change: Callable[[U8], U8], size: float) -> None:
    finding = found([np.ascontiguousarray(change(picture)) for picture in marked()])
    assert finding.payload == PAYLOAD
    assert finding.alignment.size == pytest.approx(size, rel=0.025)


def test_one_picture_is_enough_where_no_codec_was() -> None:
    assert found(marked()[:1]).payload == PAYLOAD


def test_nothing_is_found_in_what_is_not_marked() -> None:
    """A small share of the trials of `reenactd bench watermark`."""
    lumas = [
        np.ascontiguousarray(picture[:, :, 1]) for picture in performers.pictures("performer2")
    ]
    count, highest = false_alarms(lumas, trials=4, seed=5)
    assert count == 0
    assert highest < LIKELY


@pytest.mark.parametrize("picture", ["black", "noise", "stripes", "one pixel"])
def test_pictures_that_are_none_are_not_marked(picture: str) -> None:
    luma = np.zeros((480, 640), np.uint8)
    if picture == "noise":
        luma = np.random.default_rng(3).integers(0, 256, luma.shape).astype(np.uint8)
    elif picture == "stripes":
        luma[:, ::4] = luma[::8] = 255
    elif picture == "one pixel":
        luma = np.full((1, 1), 9, np.uint8)
    search = Search()
    search.add(luma)
    finding = search.find()
    assert not finding.marked
    assert np.isfinite(finding.score)


def test_another_size_begins_a_new_sum() -> None:
    search = Search()
    for size in ((480, 640), (480, 640), (300, 640)):
        search.add(np.zeros(size, np.uint8))
    assert search.pictures == 1


def test_an_empty_search_says_so() -> None:
    with pytest.raises(ValueError, match="add a picture first"):
        Search().find()


def test_a_false_alarm_is_as_rare_as_the_docs_say() -> None:
    """Hoeffding's bound over all that a search tries; a file has two dozen searches at most."""
    assert HYPOTHESES >= len(SIZES) * 2 * 240 * 432
    assert FALSE_ALARM * 25 < 1e-6
    assert min(SIZES) <= 0.605 and max(SIZES) >= 1.595


@pytest.mark.parametrize(
    ("score", "payload", "is_marked"),
    [
        (CERTAIN, None, True),
        (CERTAIN - 0.1, None, False),
        (LIKELY, PAYLOAD, True),
        (LIKELY - 0.1, PAYLOAD, False),
    ],
)
def test_an_id_that_fits_lowers_the_bar(
    score: float, payload: Payload | None, is_marked: bool
) -> None:
    finding = Finding(score, Alignment(1, False, 0, 0), payload)
    assert finding.marked == is_marked
