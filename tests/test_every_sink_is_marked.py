"""Every picture that leaves carries the visible and the invisible mark, whatever breaks.

Real WebRTC peers and files. From the composite on the stages are the real ones. Each picture is
measured by `tests/marks.py` where it goes to the encoder; of what a viewer decodes, each has the
label and none is the camera's, and the invisible mark is measured in all cards and all avatars
together: of a single flat picture a codec may leave less than can be told from chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

from realtime.config import Output
from realtime.frames import (
    U8,
    Arrived,
    Composited,
    Controls,
    Motion,
    OutputFrame,
    Timings,
    Tracked,
)
from realtime.gate import OutputGate
from realtime.identity import Identity
from realtime.media_file import MediaReader
from realtime.pipeline import NoOutput, Pipeline
from realtime.render import Performance, render
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests.helpers import (
    FACE_LUMA,
    Camera,
    FakePipeline,
    FakeStudio,
    FakeTrackStage,
    Performer,
    Script,
    config_with,
    run_on,
    standing,
    until,
)
from tests.marks import label_seen, mark_score
from tests.pictures import correlation, texture

PAYLOAD = Payload(0x5EA1ED00)
WIDTH, HEIGHT = 640, 480
LEAST_SCORE = 6.0
"""without a mark, or with another's, it is below 5"""


class MarkedPipeline:
    """What the fake decides and breaks, as a picture that the real last stages finish."""

    def __init__(self, script: Script) -> None:
        self._fake = FakePipeline(script)
        self.calibrated, self.calibrate = True, self._fake.calibrate
        self._mark, self._emit = Mark(Output(), PAYLOAD), Emit()
        self.marks = self._mark.marks
        self.on_motion: Callable[[Motion], None] | None = None

    def process(
        self, tracked: Tracked, controls: Controls, identity: Identity
    ) -> OutputFrame | NoOutput:
        made = self._fake.process(tracked, controls, identity)
        if not isinstance(made, OutputFrame):
            return NoOutput("none")
        return self._finish(FACE_LUMA[identity.id], made)

    def card(self, text: str, canvas_hw: tuple[int, int] | None = None) -> OutputFrame:
        return self._finish(40, self._fake.card(text, canvas_hw))

    def cut_out(self, wanted: bool) -> None:
        """Nobody watches without a background here."""

    def _finish(self, level: int, like: OutputFrame) -> OutputFrame:
        rgb = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
        marked = self._mark(Composited(rgb))
        return self._emit(marked, like.source_seq, like.pts, like.state, like.timings)


class MarkedStudio(FakeStudio):
    def make_pipeline(self) -> MarkedPipeline:  # type: ignore[override]
        return MarkedPipeline(self.script)


def assert_marked(lumas: list[U8], payload: Payload = PAYLOAD) -> None:
    assert lumas
    for number, luma in enumerate(lumas):
        assert label_seen(luma), f"picture {number} has no visible mark"
        score = mark_score(luma, payload)
        assert score > LEAST_SCORE, f"picture {number} has no invisible mark: {score:.1f}"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[OutputFrame]:
    """Every picture that a gate let through to an encoder."""
    frames: list[OutputFrame] = []
    let_through = OutputGate.next_frame

    async def next_frame(gate: OutputGate) -> OutputFrame:
        frames.append(await let_through(gate))
        return frames[-1]

    monkeypatch.setattr(OutputGate, "next_frame", next_frame)
    return frames


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_every_picture_over_webrtc_is_marked_whatever_breaks(
    codec: str, sent: list[OutputFrame]
) -> None:
    async def main() -> None:
        studio = MarkedStudio()
        async with standing(config_with(rtc={"codec": codec}), studio) as stand:
            camera = Camera()
            performer = Performer(stand.http, camera)
            await performer.connect()
            for fault in ("", "no_face", "", "render_raises", "", "render_killed", ""):
                studio.script.fault = fault
                shows_card = bool(fault)
                shown = len(performer.seen)
                await until(
                    lambda shown=shown, card=shows_card: any(  # type: ignore[misc]
                        seen.is_card == card for seen in performer.seen[shown:]
                    )
                )
            (told,) = (await stand.http.get("/api/sessions")).json()
            await performer.close()
        lumas = [seen.luma for seen in performer.seen]
        assert len(sent) >= len(lumas) and {frame.payload for frame in sent} == {PAYLOAD.id}
        assert_marked(distinct(sent))
        assert all(label_seen(luma) for luma in lumas)
        for card in (True, False):
            kind = [seen.luma for seen in performer.seen if seen.is_card == card]
            assert mark_score(np.mean(kind, axis=0), PAYLOAD) > LEAST_SCORE
        small = [np.ascontiguousarray(luma[::2, ::2]) for luma in lumas]
        assert max(abs(correlation(luma, camera.picture)) for luma in small) < 0.2
        assert told["mark"] == str(PAYLOAD)

    run_on("asyncio", main)


def distinct(frames: list[OutputFrame]) -> list[U8]:
    """Each luma once: most are alike here, byte for byte."""
    return list({frame.i420.tobytes(): frame.i420[:HEIGHT] for frame in frames}.values())


class FacelessAtTimes(FakeTrackStage):
    """Loses the face in the middle of the film."""

    def __call__(self, arrived: Arrived, controls: Controls) -> Tracked:
        self._script.fault = "no_face" if 10 <= self._seq < 40 else ""
        tracked = super().__call__(arrived, controls)
        return replace(tracked, timings=Timings(arrived.arrived_ns))


def test_every_picture_of_a_rendered_file_is_marked(tmp_path: Path, performer_clip: Path) -> None:
    script = Script()
    performance = Performance(
        make_track=lambda: cast("FakeTrackStage", FacelessAtTimes(script)),
        pipeline=cast(Pipeline, MarkedPipeline(script)),
        identity=cast(Identity, _Identity()),
        controls=Controls(),
    )
    source = shortened(performer_clip, tmp_path / "in.mp4")
    outcome = render(source, tmp_path / "out.mp4", performance, config_with(), lambda *_: None)
    assert outcome.live and outcome.held and outcome.cards
    with MediaReader(tmp_path / "out.mp4") as reader:
        lumas = [
            np.asarray(item.to_ndarray(format="gray"), np.uint8)
            for item in reader
            if isinstance(item, av.VideoFrame)
        ]
    assert len(lumas) == outcome.frames
    assert_marked(lumas)


class _Identity:
    id = "juniper"
    canvas_hw = HEIGHT, WIDTH


def shortened(clip: Path, path: Path) -> Path:
    """The first sixty pictures."""
    with MediaReader(clip) as reader, av.open(str(path), "w") as out:
        video = out.add_stream_from_template(reader.video)
        with av.open(str(clip)) as again:
            for packet in again.demux(again.streams.video[0]):
                if packet.pts is not None and packet.pts * packet.time_base < 2.4:
                    packet.stream = video
                    out.mux(packet)
    return path


def test_the_measure_tells_marked_from_unmarked() -> None:
    """A picture without a mark, or with another session's, would be found out."""
    rgb = np.repeat(texture(WIDTH, HEIGHT)[:, :, None], 3, axis=2)
    made = Emit()(Mark(Output(), PAYLOAD)(Composited(rgb)), 0, 0, "LIVE", Timings(0))
    luma = made.i420[:HEIGHT]
    assert label_seen(luma) and mark_score(luma, PAYLOAD) > LEAST_SCORE
    assert not label_seen(rgb[:, :, 0]) and mark_score(rgb[:, :, 0].copy(), PAYLOAD) < 5
    assert made.payload == PAYLOAD.id
