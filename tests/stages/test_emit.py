from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import pytest

from realtime.config import Output
from realtime.frames import Composited, Marked, OutputFrame, Rendered, SourceFrame, Timings
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests.marks import mark_score

PAYLOAD = Payload(0x600DF00D)


def marked() -> Marked:
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    rgb = np.stack(
        [np.tile(ramp, (480, 1)), np.tile(ramp[::-1], (480, 1))]
        + [np.full((480, 640), 80, np.uint8)],
        2,
    )
    return Mark(Output(), PAYLOAD)(Composited(rgb))


def emitted() -> OutputFrame:
    return Emit()(marked(), 7, 9000, "LIVE", Timings(1))


def test_it_emits_contiguous_i420_of_the_pictures_size() -> None:
    output = emitted()
    assert output.i420.shape == (720, 640)
    assert output.i420.dtype == np.uint8
    assert output.i420.flags.c_contiguous
    assert (output.width_px, output.height_px) == (640, 480)
    assert (output.source_seq, output.pts, output.state) == (7, 9000, "LIVE")


def test_colours_survive_a_decoder_that_expects_bt601_limited_range() -> None:
    frame = av.VideoFrame.from_ndarray(emitted().i420, format="yuv420p")
    back = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(back - marked().rgb).mean() < 3


@pytest.mark.parametrize("label", [{}, {"label": "off", "label_off_reason": "its own label"}])
def test_the_invisible_mark_is_there_whatever_the_label(label: dict[str, str]) -> None:
    rgb = np.full((480, 640, 3), 90, np.uint8)
    made = Emit()(Mark(Output(**label), PAYLOAD)(Composited(rgb)), 0, 0, "LIVE", Timings(0))
    assert mark_score(made.i420[:480], PAYLOAD) > 10
    assert made.payload == PAYLOAD.id


def test_each_picture_gets_the_mark_of_its_own_session() -> None:
    emit, other = Emit(), Payload(0x0BADCAFE)
    rgb = np.full((480, 640, 3), 90, np.uint8)
    for payload in (PAYLOAD, other, PAYLOAD):
        made = emit(Mark(Output(), payload)(Composited(rgb)), 0, 0, "LIVE", Timings(0))
        scores = {one: mark_score(made.i420[:480], one) for one in (PAYLOAD, other)}
        assert max(scores, key=lambda one: scores[one]) == payload


def test_black_and_white_are_16_and_235() -> None:
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[:, :320] = 255
    luma = Emit()(Mark(Output(), PAYLOAD)(Composited(rgb)), 0, 0, "LIVE", Timings(0)).i420[200]
    assert abs(int(luma[0]) - 235) <= 1
    assert abs(int(luma[639]) - 16) <= 1


@pytest.mark.parametrize(
    "unmarked",
    [
        Composited(np.zeros((480, 640, 3), np.uint8)),
        Rendered(np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.uint8)),
        SourceFrame(0, 0, 0, np.zeros((480, 640, 3), np.uint8)),
        np.zeros((480, 640, 3), np.uint8),
        None,
    ],
)
def test_nothing_but_a_marked_picture_is_emitted(unmarked: Any) -> None:
    with pytest.raises(TypeError, match="only a Marked"):
        Emit()(cast(Marked, unmarked), 0, 0, "LIVE", Timings(0))
