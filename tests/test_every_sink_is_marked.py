"""Every picture that leaves carries the visible and the invisible mark, whatever breaks.

One session with real WebRTC peers, a film and a virtual camera. From the composite on the stages
are the real ones, and so is the one that looks at a camera picture's size. Of every sink, and of
what goes to the encoders, every picture is measured: it has the label, carries the session's
invisible mark, and is not the camera's.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest

from realtime.config import Output
from realtime.frames import (
    U8,
    Arrived,
    Composited,
    Controls,
    OutputFrame,
    Timings,
    Tracked,
)
from realtime.gate import OutputGate
from realtime.identity import Identity
from realtime.media_file import MediaReader
from realtime.pipeline import Pipeline
from realtime.render import Performance, render
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests.helpers import (
    FakeTrackStage,
    Script,
    config_with,
    until,
)
from tests.marks import label_seen, mark_here
from tests.pictures import HEIGHT, WIDTH, correlation, luma_of, texture
from tests.running import Running
from tests.staging import (
    CAMERA_SHAPE,
    PAYLOAD,
    MarkedPipeline,
    MarkedStudio,
    Stage,
    is_card,
    staged,
)

LEAST_SCORE = 10.0
"""without a mark it is below 5; after a codec it was 48 or more"""
MOST_LIKENESS = 0.2
"""to the camera's picture; two that have nothing in common stay below"""
FAULTS = ("no_face", "render_raises", "render_hangs", "render_killed", "camera_pauses")
"""after each the avatar comes back; then the camera sends more than is served, which is the end"""


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


async def break_all(stage: Stage, script: Script) -> None:
    """One fault after the other, each until everybody has seen the card; the last ends it all."""
    for fault in FAULTS:
        script.released.clear()
        script.fault = fault
        if fault == "camera_pauses":
            stage.camera.running.clear()
        await until(lambda: stage.show(card=True))
        script.fault = ""
        script.released.set()
        stage.camera.running.set()
        await until(lambda: stage.show(card=False))
    stage.camera.picture = texture(2 * WIDTH, 2 * HEIGHT)
    await until(lambda: bool(stage.performer.heard("closed")))
    last = stage.feed.card[: CAMERA_SHAPE.height_px]
    assert "more than video.max_input_px" in stage.performer.heard("closed")[0]["reason"]
    await until(lambda: np.array_equal(stage.webcam.lumas[-1], last))


async def test_every_picture_of_every_sink_is_marked_whatever_breaks(
    sent: list[OutputFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payload, "random", classmethod(lambda cls: PAYLOAD))  # the camera's card
    films = tmp_path / "films"
    config = config_with(server={"port": 0}, recording={"directory": films})
    studio = MarkedStudio()
    running = Running(monkeypatch, studio, config)
    await running.listening()
    try:
        async with staged(running, config) as stage:
            (told,) = (await stage.http.get("/api/sessions")).json()
            begun = (await stage.http.post("/api/sessions/stage/recording")).json()
            await break_all(stage, studio.script)
    finally:
        studio.script.released.set()
        await asyncio.to_thread(running.stop)

    assert told["mark"] == str(PAYLOAD) and {frame.payload for frame in sent} == {PAYLOAD.id}
    assert_marked("encoders", distinct(sent))
    sinks = {
        "performer": [seen.luma for seen in stage.performer.seen],
        "viewer": [seen.luma for seen in stage.viewer.seen],
        "virtual camera": stage.webcam.lumas,
        "film": lumas_of(Path(begun["files"][0])),
    }
    for name, lumas in sinks.items():
        assert_marked(name, lumas)
        assert sum(map(is_card, lumas)) > 10 and not all(map(is_card, lumas)), name
        assert_not_the_camera(name, lumas)


def assert_marked(sink: str, lumas: list[U8], payload: Payload = PAYLOAD) -> None:
    assert lumas, sink
    for number, luma in enumerate(lumas):
        # The virtual camera's picture is larger than it was made, but for its own card.
        made = np.asarray(cv2.resize(luma, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        assert label_seen(luma) or label_seen(made), f"{sink}: picture {number} has no visible mark"
        score = mark_here(luma, payload)
        assert score > LEAST_SCORE, f"{sink}: picture {number} has no invisible mark: {score:.1f}"


def assert_not_the_camera(sink: str, lumas: list[U8]) -> None:
    height, width = lumas[0].shape
    for picture in (texture(), texture(2 * WIDTH, 2 * HEIGHT)):
        raw = np.asarray(cv2.resize(picture, (width, height)), np.uint8)
        assert abs(correlation(lumas[0] // 2 + raw // 2, raw)) > MOST_LIKENESS, "it would be seen"
        for number, luma in enumerate(lumas):
            likeness = abs(correlation(luma, raw))
            assert likeness < MOST_LIKENESS, f"{sink}: picture {number} is the camera's"


def distinct(frames: list[OutputFrame]) -> list[U8]:
    """Each luma once: most are alike here, byte for byte."""
    return list({frame.i420.tobytes(): frame.i420[:HEIGHT] for frame in frames}.values())


def lumas_of(film: Path) -> list[U8]:
    with MediaReader(film) as reader:
        return [luma_of(item).copy() for item in reader if isinstance(item, av.VideoFrame)]


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
    lumas = lumas_of(tmp_path / "out.mp4")
    assert len(lumas) == outcome.frames
    assert_marked("file", lumas)


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
    """A picture without a mark would be found out."""
    rgb = np.repeat(texture(WIDTH, HEIGHT)[:, :, None], 3, axis=2)
    made = Emit()(Mark(Output(), PAYLOAD)(Composited(rgb)), 0, 0, "LIVE", Timings(0))
    luma = made.i420[:HEIGHT]
    assert label_seen(luma) and mark_here(luma, PAYLOAD) > LEAST_SCORE
    assert not label_seen(rgb[:, :, 0]) and mark_here(rgb[:, :, 0].copy(), PAYLOAD) < 5
    assert made.payload == PAYLOAD.id
