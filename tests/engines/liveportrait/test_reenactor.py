"""LivePortrait from portrait and performer to picture, with narrow random networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engines import face_mesh
from engines.backends.torch import TorchEngine
from engines.errors import EngineError, PortraitError
from engines.liveportrait import driving
from engines.liveportrait.portrait import Portrait
from engines.liveportrait.reenactor import LivePortrait, Options
from engines.pose import Gains, MotionTensors
from realtime.config import Config, Video
from realtime.frames import Controls, FaceTrack, OutputFrame, Timings, Tracked
from realtime.pipeline import Pipeline
from tests import fakes, performers
from tests.engines import faces
from tests.engines.liveportrait.engines import (
    CANVAS,
    SPECS,
    Answers,
    NotFinite,
    moved,
    reenactor,
    sight,
)
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

pytestmark = pytest.mark.train

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

NOW, REST = sight(1), sight(2)
PLAIN = Options(stitching=False, normalise_lips=False)


def encoded(avatar: LivePortrait, landmarks: F32 | None = None) -> Portrait:
    if landmarks is None:
        landmarks = faces.landmarks()
    return avatar.encode_identity(faces.portrait(), landmarks, CANVAS)


def lips_apart(by_px: float) -> F32:
    landmarks = faces.landmarks()
    landmarks[14, 1] = landmarks[13, 1] + by_px
    return landmarks


def noise(seed: int) -> U8:
    return np.random.default_rng(seed).integers(0, 255, (480, 640, 3)).astype(np.uint8)


def grey(*_: F32) -> F32:
    return np.full(SPECS["generator"].outputs[0].shape, 0.5, np.float32)


def no_shift(graph: str) -> Callable[..., F32]:
    return lambda *_: np.zeros(SPECS[graph].outputs[0].shape, np.float32)


def test_a_frame_is_a_picture_of_the_canvas() -> None:
    avatar = reenactor()
    identity = encoded(avatar)
    image = avatar.render(identity, moved(NOW, REST))
    assert image.rgb.shape == (*CANVAS, 3) and image.rgb.dtype == np.uint8
    assert image.alpha.shape == CANVAS and image.alpha.dtype == np.uint8
    again = avatar.render(identity, moved(NOW, REST))
    np.testing.assert_array_equal(again.rgb, image.rgb)
    other = avatar.render(identity, moved(sight(9), REST))
    assert (other.rgb != image.rgb).any(), "another motion, another picture"


def test_a_performer_at_rest_gives_the_portrait_s_key_points() -> None:
    warping = Answers("warping", lambda *_: np.zeros((1, 8, 8, 8), np.float32))
    avatar = reenactor(PLAIN, warping=warping)
    identity = encoded(avatar)
    avatar.render(identity, moved(REST, REST))
    ((volume, driven, source),) = warping.asked
    np.testing.assert_allclose(driven, source, atol=1e-6)
    np.testing.assert_array_equal(source[0], identity.code.pose.points)
    np.testing.assert_array_equal(volume, identity.code.volume)
    avatar.render(identity, moved(NOW, REST))
    assert np.abs(warping.asked[1][1] - source).max() > 0.05


def test_a_stitching_network_that_says_nothing_changes_nothing() -> None:
    module = network("stitching", sizes=ALL_POINTS)
    last = list(module.modules())[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight.zero_()
    assert last.bias is not None
    last.bias.zero_()
    silent = TorchEngine(SPECS["stitching"], module, threads=1)
    stitched = reenactor(Options(normalise_lips=False), stitching=silent)
    plain = reenactor(PLAIN)
    identity = encoded(plain)
    np.testing.assert_array_equal(
        stitched.points(identity, moved(NOW, REST)), plain.points(identity, moved(NOW, REST))
    )


def test_stitching_sees_both_faces_and_moves_the_driven_one() -> None:
    delta = np.zeros(65, np.float32)
    delta[3 * 7 : 3 * 7 + 3] = 1, 2, 3
    delta[-2:] = 10, 20
    stitching = Answers("stitching", lambda _: delta)
    avatar, plain = reenactor(Options(normalise_lips=False), stitching=stitching), reenactor(PLAIN)
    identity = encoded(plain)
    before = plain.points(identity, moved(NOW, REST))
    found = avatar.points(identity, moved(NOW, REST)) - before
    np.testing.assert_allclose(found[7], [11, 22, 3], atol=1e-5)
    np.testing.assert_allclose(found[8], [10, 20, 0], atol=1e-5)
    ((asked,),) = stitching.asked
    np.testing.assert_array_equal(asked[0, :63], identity.code.pose.points.ravel())
    np.testing.assert_array_equal(asked[0, 63:], before.ravel())


def test_outside_of_the_square_the_portrait_stays_whatever_is_generated() -> None:
    frames = []
    for value in (0.0, 1.0):
        picture = np.full(SPECS["generator"].outputs[0].shape, value, np.float32)
        generator = Answers("generator", lambda *_, answer=picture: answer)
        avatar = reenactor(generator=generator)
        identity = encoded(avatar)
        frames.append(avatar.render(identity, moved(NOW, REST)))
    dark, light = frames
    changed = (dark.rgb != light.rgb).any(axis=2)
    (x, y), (height, width) = identity.stage.left_top, identity.stage.mask.shape[:2]
    outside = np.ones(CANVAS, np.bool_)
    outside[y : y + height, x : x + width] = False
    assert outside.any() and changed.any()
    assert not changed[outside].any()
    np.testing.assert_array_equal(dark.rgb[outside], identity.stage.rgb[outside])
    np.testing.assert_array_equal(dark.alpha, light.alpha)


def test_no_pixel_of_the_performer_reaches_the_picture() -> None:
    """Nothing but M's numbers: where they agree, pictures do, whatever the camera saw."""
    avatar = reenactor(generator=Answers("generator", grey))
    identity = encoded(avatar)
    sights = [avatar.look(noise(seed), faces.landmarks()) for seed in (0, 1)]
    assert (sights[0].expression != sights[1].expression).any(), "M looks at the picture"
    images = [avatar.render(identity, moved(each, sights[0])) for each in sights]
    np.testing.assert_array_equal(images[0].rgb, images[1].rgb)
    np.testing.assert_array_equal(images[0].alpha, images[1].alpha)
    for each in sights:
        held = (each.head, each.expression, each.offset)
        assert sum(values.size for values in held) == 6 + 63 + 2


def test_the_performer_is_shown_upright_in_rgb_from_nought_to_one() -> None:
    class Remembers(TorchEngine):
        def run(self, inputs: object) -> dict[str, F32]:
            assert isinstance(inputs, dict)
            shown.append(inputs["picture"].copy())
            return super().run(inputs)

    shown: list[F32] = []
    motion = Remembers(SPECS["motion"], network("motion", sizes=ALL_POINTS), threads=1)
    picture = np.full((480, 640, 3), (255, 51, 0), np.uint8)
    picture[:200] = (0, 51, 255)
    reenactor(motion=motion).look(picture, faces.landmarks())
    (seen,) = shown
    assert seen.shape == (1, 3, ALL_POINTS.picture, ALL_POINTS.picture)
    np.testing.assert_allclose(seen[0, :, 0, 5], [0, 0.2, 1], atol=1e-6)
    np.testing.assert_allclose(seen[0, :, -1, 5], [1, 0.2, 0], atol=1e-6)


@pytest.mark.parametrize("graph", ["warping", "generator", "stitching"])
def test_a_network_that_gives_nan_ends_the_frame(graph: str) -> None:
    avatar = reenactor(None, **{graph: NotFinite(graph)})
    identity = encoded(avatar)
    with pytest.raises(EngineError, match=rf"{graph}'s \w+ is not finite; the frame is dropped"):
        avatar.render(identity, moved(NOW, REST))


def test_a_look_that_gives_nan_ends_the_frame() -> None:
    with pytest.raises(EngineError, match=r"motion's \w+ is not finite"):
        reenactor(motion=NotFinite("motion")).look(noise(0), faces.landmarks())


@pytest.mark.parametrize("graph", ["appearance", "motion"])
def test_a_portrait_of_which_nan_is_made_is_refused(graph: str) -> None:
    with pytest.raises(EngineError, match=f"{graph}'s"):
        encoded(reenactor(None, **{graph: NotFinite(graph)}))


def test_what_is_no_portrait_is_refused() -> None:
    with pytest.raises(PortraitError):
        reenactor().encode_identity(faces.portrait()[..., :3], faces.landmarks(), CANVAS)


def test_a_motion_without_a_sight_is_refused() -> None:
    avatar = reenactor()
    with pytest.raises(EngineError, match="without what it saw"):
        avatar.render(encoded(avatar), faces.still())


def test_open_lips_of_a_portrait_are_closed_once_and_for_all_frames() -> None:
    rng = np.random.default_rng(4)
    shift = rng.normal(0, 0.1, (1, 63)).astype(np.float32)
    lips = Answers("lip_retargeting", lambda _: shift)
    avatar = reenactor(Options(stitching=False), lip_retargeting=lips)
    identity = encoded(avatar, lips_apart(20))
    ((asked,),) = lips.asked
    assert asked[0, -2:].tolist() == [pytest.approx(identity.lip_opening), 0]
    assert identity.lip_opening > 0.03
    source = identity.code.pose.points
    np.testing.assert_array_equal(asked[0, :63], source.ravel())
    found = avatar.points(identity, moved(REST, REST))
    np.testing.assert_allclose(found, source + shift.reshape(21, 3), atol=1e-6)
    kept = reenactor(PLAIN, lip_retargeting=lips).points(identity, moved(REST, REST))
    np.testing.assert_allclose(kept, source, atol=1e-6)
    assert len(lips.asked) == 1


def test_lips_that_are_closed_are_left_alone() -> None:
    lips = Answers("lip_retargeting", no_shift("lip_retargeting"))
    identity = encoded(reenactor(lip_retargeting=lips), lips_apart(0.5))
    assert not lips.asked and not identity.code.lip_shift.any()


def shut_eyes() -> MotionTensors:
    return replace(moved(NOW, REST), eye_openness=np.zeros(2, np.float32))


def test_retargeted_lids_go_as_far_as_the_tracked_ones_and_not_as_they_were_seen() -> None:
    shift = np.random.default_rng(4).normal(0, 0.1, (1, 63)).astype(np.float32)
    eyes = Answers("eye_retargeting", lambda _: shift)
    options = replace(PLAIN, retarget_eyes=True)
    avatar = reenactor(options, eye_retargeting=eyes)
    identity = encoded(avatar)
    for motion, share in ((moved(NOW, REST), 1.0), (shut_eyes(), 0.0)):
        found = avatar.points(identity, motion)
        asked = eyes.asked[-1][0]
        np.testing.assert_array_equal(asked[0, 63:65], identity.eye_openings)
        open_by = identity.eye_openings.mean()
        assert asked[0, 65] == pytest.approx(share * open_by, abs=0.25 * open_by)
        unseen = moved(NOW, REST, Gains(blink=0.0))
        expected = reenactor(PLAIN).points(identity, unseen) + shift.reshape(21, 3)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_retargeted_lips_go_as_far_as_the_tracked_ones() -> None:
    lips = Answers("lip_retargeting", no_shift("lip_retargeting"))
    avatar = reenactor(replace(PLAIN, retarget_lips=True), lip_retargeting=lips)
    identity = encoded(avatar, lips_apart(0.5))
    opened = moved(NOW, REST)
    opened.expression[[*face_mesh.LIPS_INNER_LOWER[1:-1]], 1] += 0.2
    avatar.points(identity, moved(REST, REST))
    found = avatar.points(identity, opened)
    closed, wide = (asked[0] for (asked,) in lips.asked)
    assert closed[64] == pytest.approx(closed[63], abs=1e-3) and wide[64] > closed[64] + 0.2
    unseen = reenactor(PLAIN).points(identity, moved(NOW, REST, Gains(mouth=0.0)))
    np.testing.assert_allclose(found, unseen, atol=1e-6)


def test_absolute_motion_is_an_option() -> None:
    avatar = reenactor(replace(PLAIN, absolute=True))
    identity = encoded(avatar)
    found = avatar.points(identity, moved(NOW, REST))
    seen = moved(NOW, REST).seen
    assert seen is not None
    expected = driving.driven(identity.code.pose, seen, absolute=True).points
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - reenactor(PLAIN).points(identity, moved(NOW, REST))).max() > 0.01


def test_the_daemon_s_pipeline_drives_it_like_any_other() -> None:
    config = Config(video=Video(width_px=CANVAS[1], height_px=CANVAS[0]))
    avatar = reenactor()
    pipeline = Pipeline(config, avatar)
    identity = replace(fakes.identity(), encoded=encoded(avatar))
    for index in range(40):
        face = FaceTrack(performers.landmarks("performer2")[index], 1.0)
        source = performers.source("performer2", index)
        tracked = Tracked(source, face, None, Timings(source.arrived_ns))
        made = pipeline.process(tracked, Controls(), identity)
        assert isinstance(made, OutputFrame) and made.state == "LIVE"
    assert pipeline.calibrated
