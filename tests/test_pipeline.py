from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from engines.avatar import RenderedArrays
from engines.errors import EngineError
from realtime.clock import NS_PER_S, FakeClock
from realtime.config import Config, Video
from realtime.errors import FrameError, SessionError
from realtime.frames import (
    Arrived,
    Controls,
    FaceTrack,
    NoFace,
    OutputFrame,
    Timings,
    Tracked,
)
from realtime.pipeline import NoOutput, Pipeline, TrackStage
from realtime.watermark import Payload
from tests import fakes, performers
from tests.fakes import HEIGHT, WIDTH, Background, FakeReenactor

CONFIG = Config(video=Video(width_px=WIDTH, height_px=HEIGHT))


class TickingClock(FakeClock):
    """A millisecond passes between any two looks at it."""

    def now_ns(self) -> int:
        self.advance_ms(1)
        return super().now_ns()


def arrived(index: int, name: str = "performer2") -> Arrived:
    frame = av.VideoFrame.from_ndarray(performers.pictures(name)[index], "rgb24")
    frame.pts, frame.time_base = index, Fraction(1, performers.FPS)
    return Arrived(frame.reformat(format="yuv420p"), performers.time_of(index))


def tracked(index: int, name: str = "performer2") -> Tracked:
    source = performers.source(name, index)
    face = FaceTrack(performers.landmarks(name)[index], 1.0)
    timings = Timings(source.arrived_ns, {"ingest": 1, "track": 2})
    return Tracked(source, face, None, timings)


def output(pipeline: Pipeline, frame: Tracked, controls: Controls | None = None) -> OutputFrame:
    made = pipeline.process(frame, controls or Controls(), fakes.identity())
    assert isinstance(made, OutputFrame)
    return made


@pytest.fixture
def reenactor() -> FakeReenactor:
    return FakeReenactor()


@pytest.fixture
def pipeline(reenactor: FakeReenactor) -> Pipeline:
    return Pipeline(CONFIG, reenactor.as_reenactor(), TickingClock())


@pytest.fixture
def track() -> Iterator[TrackStage]:
    made = TrackStage(CONFIG, TickingClock())
    yield made
    made.close()


def test_a_decoded_frame_becomes_a_tracked_face(track: TrackStage) -> None:
    for index in range(3):
        seen = track(arrived(index), Controls())
        assert isinstance(seen.face, FaceTrack)
        assert seen.source.seq == index
        assert seen.source.pts == index * 3600
        assert seen.source.arrived_ns == seen.timings.arrived_ns == performers.time_of(index)
        assert seen.person_alpha is None
        assert dict(seen.timings.stage_ns) == {"ingest": 1_000_000, "track": 1_000_000}


@pytest.mark.parametrize("background", ["blur", "camera"])
def test_the_matte_is_made_only_for_the_real_background(
    track: TrackStage, background: Background
) -> None:
    assert track(arrived(0), Controls(background="color")).person_alpha is None
    seen = track(arrived(1), replace(Controls(), background=background))
    assert seen.person_alpha is not None
    assert seen.person_alpha.shape == seen.source.rgb.shape[:2]
    assert list(seen.timings.stage_ns) == ["ingest", "track", "matte"]


def test_tracking_smooths_as_the_performer_wishes(track: TrackStage) -> None:
    raw = [track(arrived(i), Controls(smoothing=0.0)) for i in range(2)]
    np.testing.assert_allclose(
        raw[1].face.landmarks_px if isinstance(raw[1].face, FaceTrack) else 0,
        performers.landmarks("performer2")[1],
        atol=3,
    )
    other = TrackStage(CONFIG)
    calm = [other(arrived(i), Controls(smoothing=1.0)) for i in range(2)]
    other.close()
    assert isinstance(raw[1].face, FaceTrack) and isinstance(calm[1].face, FaceTrack)
    assert (raw[1].face.landmarks_px != calm[1].face.landmarks_px).any()


def test_an_empty_frame_ends_itself_and_the_next_one_is_tracked(track: TrackStage) -> None:
    with pytest.raises(FrameError):
        track(Arrived(av.VideoFrame(0, 0, "yuv420p"), 0), Controls())
    assert isinstance(track(arrived(0), Controls()).face, FaceTrack)


def test_a_camera_that_is_too_large_ends_the_session() -> None:
    small = TrackStage(Config(video=Video(max_input_px=160 * 120)))
    with pytest.raises(SessionError, match="choose a smaller resolution"):
        small(arrived(0), Controls())
    small.close()


def test_a_face_becomes_a_marked_picture_of_the_avatar(pipeline: Pipeline) -> None:
    made = output(pipeline, tracked(5))
    assert (made.width_px, made.height_px, made.state) == (WIDTH, HEIGHT, "LIVE")
    assert (made.source_seq, made.pts) == (5, 5 * 3600)
    frame = av.VideoFrame.from_ndarray(made.i420, format="yuv420p")
    rgb = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(rgb[HEIGHT // 2, WIDTH // 2] - fakes.AVATAR_RGB).max() < 8
    assert np.abs(rgb[HEIGHT - 5, 5] - fakes.BACKDROP_RGB).max() < 8
    assert rgb[:40, WIDTH - 60 :].max() > 200  # the mark


def test_every_stage_is_timed_in_order(pipeline: Pipeline) -> None:
    stage_ns = output(pipeline, tracked(0)).timings.stage_ns
    after = ["retarget", "reenact", "composite", "mark", "emit"]
    assert list(stage_ns) == ["ingest", "track", *after]
    assert all(stage_ns[name] == 1_000_000 for name in after)


@pytest.mark.parametrize("controls", [Controls(), Controls(background="color")])
def test_no_pixel_of_the_camera_reaches_the_output(
    controls: Controls, reenactor: FakeReenactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Payload, "random", lambda: Payload(1))  # the same mark for both
    frame = tracked(3)
    noise = np.random.default_rng(0).integers(0, 255, frame.source.rgb.shape).astype(np.uint8)
    other = replace(frame, source=replace(frame.source, rgb=noise))
    pictures = [
        output(Pipeline(CONFIG, reenactor.as_reenactor()), each, controls).i420
        for each in (frame, other)
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_a_network_that_looks_is_shown_the_camera_s_picture_and_told_what_it_saw() -> None:
    looking = FakeReenactor(looks=True)
    made = Pipeline(CONFIG, looking.as_reenactor(), TickingClock())
    for index in range(40):
        frame = output(made, tracked(index))
    assert list(frame.timings.stage_ns)[2:4] == ["retarget", "look"]
    assert len(looking.looked_at) == len(looking.motions) == 40
    assert looking.looked_at[3] is performers.pictures("performer2")[3]
    assert all(motion.seen is not None for motion in looking.motions)


def test_a_network_that_does_not_look_is_shown_nothing(
    pipeline: Pipeline, reenactor: FakeReenactor
) -> None:
    output(pipeline, tracked(0))
    assert not reenactor.looked_at and reenactor.motions[0].seen is None


@pytest.mark.parametrize("background", ["blur", "camera"])
def test_the_real_background_without_a_matte_shows_no_pixel_of_the_camera(
    pipeline: Pipeline, background: Background
) -> None:
    made = output(pipeline, tracked(3), replace(Controls(), background=background))
    plain = output(pipeline, tracked(3))
    np.testing.assert_array_equal(made.i420, plain.i420)


@pytest.mark.parametrize("reason", ["none", "too_small", "low_confidence", "implausible"])
def test_without_a_face_there_is_no_picture_but_a_reason(pipeline: Pipeline, reason: Any) -> None:
    lost = replace(tracked(0), face=NoFace(reason))
    assert pipeline.process(lost, Controls(), fakes.identity()) == NoOutput(reason)


def test_a_face_that_begins_turned_away_is_waited_for(pipeline: Pipeline) -> None:
    frame = tracked(0)
    assert isinstance(frame.face, FaceTrack)
    points = frame.face.landmarks_px - frame.face.landmarks_px.mean(axis=0)
    turn = np.radians(60)
    about_y = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    turned = FaceTrack((points @ about_y.T + [320, 240, 0]).astype(np.float32), 1.0)
    made = pipeline.process(replace(frame, face=turned), Controls(), fakes.identity())
    assert made == NoOutput("calibrating")


def test_the_avatar_moves_at_once_and_calibrates_within_a_second_and_a_half(
    pipeline: Pipeline, reenactor: FakeReenactor
) -> None:
    for index in range(38):
        output(pipeline, tracked(index))
        if index == 5:
            assert not pipeline.calibrated
    assert pipeline.calibrated
    assert len(reenactor.motions) == 38


def test_calibrating_anew_keeps_the_picture_going(pipeline: Pipeline) -> None:
    for index in range(40):
        output(pipeline, tracked(index))
    pipeline.calibrate()
    assert not pipeline.calibrated, "so that it is told again"
    for index in range(40, 80):
        output(pipeline, tracked(index))
    assert pipeline.calibrated


def test_a_camera_that_changes_its_size_does_not_move_the_avatar(
    pipeline: Pipeline, reenactor: FakeReenactor
) -> None:
    for index in range(40):
        output(pipeline, tracked(index))
    frame = tracked(40)
    assert isinstance(frame.face, FaceTrack)
    smaller = replace(
        frame,
        source=replace(frame.source, rgb=frame.source.rgb[::2, ::2]),
        face=replace(frame.face, landmarks_px=frame.face.landmarks_px / 2),
    )
    output(pipeline, frame)
    output(pipeline, smaller)
    whole, half = reenactor.motions[-2:]
    np.testing.assert_allclose(half.translation, whole.translation, atol=1e-3)
    np.testing.assert_allclose(half.scale, whole.scale, atol=1e-3)
    np.testing.assert_allclose(half.expression, whole.expression, atol=5e-3)


def test_a_switched_identity_shows_in_the_next_frame(pipeline: Pipeline) -> None:
    before = output(pipeline, tracked(0))
    other = fakes.identity(np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    after = pipeline.process(tracked(1), Controls(), other)
    assert isinstance(after, OutputFrame)
    assert int(after.i420[HEIGHT - 5, 5]) > int(before.i420[HEIGHT - 5, 5]) + 60


def test_the_picture_has_the_size_for_which_the_identity_is_encoded(
    pipeline: Pipeline, reenactor: FakeReenactor
) -> None:
    """So that the quality can change between two frames; the neutral that was taken stays."""
    full = output(pipeline, tracked(0))
    card = pipeline.card("Paused")
    half = (HEIGHT // 2, WIDTH // 2)
    reenactor.picture = RenderedArrays(
        np.full((*half, 3), 90, np.uint8), np.full(half, 255, np.uint8)
    )
    small = pipeline.process(
        tracked(1), Controls(), fakes.identity(np.full((*half, 3), 200, np.uint8))
    )
    assert isinstance(small, OutputFrame)
    assert (small.height_px, small.width_px) == half and small.i420.shape == (
        half[0] * 3 // 2,
        half[1],
    )
    assert small.i420[: half[0] // 5, -half[1] // 3 :].max() > 200, "it is marked, too"
    assert pipeline.card("Paused") is card and card.width_px == full.width_px
    small_card = pipeline.card("Paused", half)
    assert (small_card.height_px, small_card.width_px) == half
    assert pipeline.card("Paused", half) is small_card
    reenactor.picture = None
    assert output(pipeline, tracked(2)).width_px == full.width_px


def test_nothing_is_held_over_a_gap(pipeline: Pipeline, reenactor: FakeReenactor) -> None:
    """Whatever made it: no face, no picture of the camera, or frames that were refused."""
    for index in (0, 1):
        output(pipeline, tracked(index))
    later = tracked(2)
    arrived_ns = later.source.arrived_ns + NS_PER_S
    output(pipeline, replace(later, source=replace(later.source, arrived_ns=arrived_ns)))
    first, second, after = reenactor.memories
    assert first is second
    assert after is not second


def test_what_the_engine_cannot_do_ends_that_frame_only(
    pipeline: Pipeline, reenactor: FakeReenactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_finite(*_: Any) -> RenderedArrays:
        raise EngineError("the network's output is not finite; the frame is dropped")

    monkeypatch.setattr(reenactor, "render", not_finite)
    with pytest.raises(FrameError, match="not finite"):
        pipeline.process(tracked(0), Controls(), fakes.identity())
    monkeypatch.undo()
    output(pipeline, tracked(1))


@pytest.mark.parametrize(
    "picture",
    [
        RenderedArrays(np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint8)),
        RenderedArrays(np.zeros((HEIGHT, WIDTH, 4), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)),
        RenderedArrays(
            np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH - 2), np.uint8)
        ),
    ],
)
def test_a_picture_of_the_wrong_shape_ends_that_frame(
    pipeline: Pipeline, reenactor: FakeReenactor, picture: RenderedArrays
) -> None:
    reenactor.picture = picture
    with pytest.raises(FrameError):
        pipeline.process(tracked(0), Controls(), fakes.identity())


def test_landmarks_that_are_not_finite_end_that_frame(pipeline: Pipeline) -> None:
    broken = replace(tracked(0), face=FaceTrack(np.full((478, 3), np.nan, np.float32), 1.0))
    with pytest.raises(FrameError, match="finite"):
        pipeline.process(broken, Controls(), fakes.identity())


def test_cards_are_marked_still_and_ready(pipeline: Pipeline) -> None:
    card = pipeline.card("Camera paused")
    assert (card.state, card.source_seq) == ("CARD", -1)
    assert card.i420.shape == (HEIGHT * 3 // 2, WIDTH)
    assert pipeline.card("Camera paused") is card
    assert (pipeline.card("Starting").i420 != card.i420).any()
    assert card.i420[:30, WIDTH - 50 : WIDTH].max() > 190  # the mark


@pytest.mark.parametrize("background", ["identity", "color", "blur", "camera"])
def test_the_whole_way_of_a_frame(
    track: TrackStage, reenactor: FakeReenactor, background: Background
) -> None:
    pipeline = Pipeline(CONFIG, reenactor.as_reenactor())
    controls = replace(Controls(), background=background)
    for index in range(4):
        made = pipeline.process(track(arrived(index), controls), controls, fakes.identity())
        assert isinstance(made, OutputFrame)
        assert made.source_seq == index
