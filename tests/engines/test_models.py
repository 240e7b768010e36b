"""The door to the engines, with the shipped weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from engines import face_mesh, head
from engines.backends import choose
from engines.errors import BackendError, EngineError, PortraitError
from engines.models import (
    Memory,
    Network,
    Reenactor,
    geometry_only,
    load_warp_refine,
    open_network,
)
from engines.pose import MotionTensors
from engines.specs import WARP_REFINE_LITE, GraphSpec
from engines.warp import Placement
from tests.engines import faces

F32 = NDArray[np.float32]

CANVAS = (240, 320)


@pytest.fixture(scope="module")
def network() -> Network:
    return open_network(WARP_REFINE_LITE, "onnx", threads=1)


@pytest.fixture(scope="module")
def reenactor() -> Reenactor:
    return load_warp_refine("onnx", threads=1)


class BrokenEngine:
    """A graph that gives NaN."""

    description = "broken"

    def __init__(self, spec: GraphSpec) -> None:
        self.spec = spec

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        return {t.name: np.full(t.shape, np.nan, np.float32) for t in self.spec.outputs}


class FieldEngine:
    """A head network that says the same five things of all of its field, but for its border."""

    spec: GraphSpec = WARP_REFINE_LITE.drive_head
    description = "flat"

    def __init__(self, *values: float) -> None:
        self._field = np.zeros(self.spec.outputs[0].shape, np.float32)
        self._field[0, :, 4:-4, 4:-4] = np.array(values)[:, None, None]

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        return {"field": self._field}


class CountedEngine(FieldEngine):
    """One whose every answer is lighter than the one before, and overwrites it."""

    def __init__(self) -> None:
        super().__init__(0.05, 0.05, 0.05, 0, 0)
        self.runs = 0
        self._answer = np.empty_like(self._field)

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        self.runs += 1
        self._answer[:] = self._field * self.runs
        return {"field": self._answer}


def turned(degrees: float) -> MotionTensors:
    return replace(faces.still(), rotation=faces.yaw(degrees))


def head_square(placement: Placement, unit_px: float) -> np.ndarray:
    """(H, W) where the head network looks: a square around an upright head."""
    middle = placement.landmarks[list(face_mesh.RIGID), :2].mean(axis=0)
    reach = head.REGION.side / 2 * unit_px
    y, x = np.mgrid[: CANVAS[0], : CANVAS[1]]
    return np.asarray((np.abs(x - middle[0]) < reach) & (np.abs(y - middle[1]) < reach))


def test_a_frame_is_a_picture_of_the_canvas(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    image = reenactor.render(identity, faces.still())
    assert image.rgb.shape == (*CANVAS, 3) and image.rgb.dtype == np.uint8
    assert image.alpha.shape == CANVAS and image.alpha.dtype == np.uint8
    assert image.alpha[CANVAS[0] // 2, CANVAS[1] // 2] == 255


def features(placement: Placement) -> list[tuple[slice, slice]]:
    """Rows and columns of the canvas in the middle of mouth and eyes."""
    parts = face_mesh.MOUTH_HOLE, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE
    middles = [np.round(placement.landmarks[part, :2].mean(axis=0)).astype(int) for part in parts]
    return [(slice(y - 2, y + 3), slice(x - 3, x + 4)) for x, y in middles]


@pytest.mark.parametrize("degrees", [12, 25])
def test_beyond_the_square_around_the_head_the_network_changes_neither_colours_nor_alpha(
    degrees: float, reenactor: Reenactor
) -> None:
    """Inside of it sources move, and so may the outline of the head."""
    portrait, landmarks = faces.portrait(), faces.landmarks()
    identity = reenactor.encode_identity(portrait, landmarks, CANVAS)
    refined = reenactor.render(identity, turned(degrees))
    plain_reenactor = geometry_only()
    plain_identity = plain_reenactor.encode_identity(portrait, landmarks, CANVAS)
    plain = plain_reenactor.render(plain_identity, turned(degrees))
    difference = np.abs(refined.rgb.astype(int) - plain.rgb).max(axis=2)
    difference |= np.abs(refined.alpha.astype(int) - plain.alpha)
    assert difference.max() > 0, "the network does something"
    placement = identity.target.place(turned(degrees))
    unit_px = face_mesh.face_unit(identity.landmarks) * placement.head.scale
    beyond = ~head_square(placement, unit_px)
    assert 0.3 < beyond.mean() < 0.7, "the test's own picture"
    assert difference[beyond].max() == 0
    assert difference[:, :40].max() == 0 and difference[-10:].max() == 0


def test_at_rest_the_network_changes_nothing(reenactor: Reenactor) -> None:
    """Eyes are open and the mouth is closed, as in the portrait."""
    portrait, landmarks = faces.portrait(), faces.landmarks()
    pictures = [
        one.render(one.encode_identity(portrait, landmarks, CANVAS), faces.still())
        for one in (reenactor, geometry_only())
    ]
    np.testing.assert_array_equal(pictures[0].rgb, pictures[1].rgb)
    np.testing.assert_array_equal(pictures[0].alpha, pictures[1].alpha)


def test_the_network_cuts_no_hole_into_a_face(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    for degrees in (-30, 0, 30):
        placement = identity.target.place(turned(degrees))
        alpha = reenactor.draw(identity, placement).alpha
        oval = placement.landmarks[list(face_mesh.FACE_OVAL), :2]
        inner = oval.mean(axis=0) + 0.8 * (oval - oval.mean(axis=0))
        face = cv2.fillConvexPoly(
            np.zeros(CANVAS, np.uint8), np.round(inner).astype(np.int32), (1,)
        )
        assert alpha[face > 0].min() == 255, f"at {degrees} degrees"


def test_eyes_and_teeth_stand_in_the_light_of_the_head(network: Network) -> None:
    twice_as_light = FieldEngine(*[float(np.log(2))] * 3, 0, 0)
    lit = Reenactor(replace(network, drive=None, drive_head=twice_as_light), "lit")
    dark = geometry_only()
    portrait = faces.portrait()
    portrait[..., :3] //= 3
    lit_identity = lit.encode_identity(portrait, faces.landmarks(), CANVAS)
    dark_identity = dark.encode_identity(portrait, faces.landmarks(), CANVAS)
    opened = faces.still()
    opened.expression[[*face_mesh.LIPS_INNER_LOWER[1:-1], face_mesh.CHIN], 1] += 0.15
    twice = lit.render(lit_identity, opened)
    once = dark.render(dark_identity, opened)
    expected = np.minimum(2 * once.rgb.astype(int), 255)
    for near in features(lit_identity.target.place(opened)):
        assert np.abs(twice.rgb[near].astype(int) - expected[near]).max() <= 1
    np.testing.assert_array_equal(twice.alpha, once.alpha)


def test_a_way_to_the_right_in_the_portrait_moves_hair_to_the_left_and_not_lips_and_eyes(
    network: Network,
) -> None:
    plain = geometry_only(layers=False)
    own = plain.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    placement = own.target.place(faces.still())
    unit_px = face_mesh.face_unit(own.landmarks) * placement.head.scale
    way = FieldEngine(0, 0, 0, 5 / unit_px, 3 / unit_px)
    moving = Reenactor(replace(network, drive=None, drive_head=way), "moving", layers=False)
    identity = moving.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    moved = moving.draw(identity, placement).rgb.astype(int)
    still = plain.draw(own, placement).rgb.astype(int)
    hair = moved[34:54, 125:195]
    assert np.abs(hair - still[37:57, 130:200]).mean() < 4
    assert np.abs(hair - still[34:54, 125:195]).mean() > 12
    for feature in features(placement):
        np.testing.assert_array_equal(moved[feature], still[feature])


def test_what_is_not_moved_is_where_lips_and_eyes_are_now(network: Network) -> None:
    """Not where it is in the portrait: this one is driven to a side."""
    plain = geometry_only(layers=False)
    own = plain.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    aside = replace(faces.still(), translation=np.array([1.0, 0], np.float32))
    placement = own.target.place(aside)
    way = FieldEngine(0, 0, 0, 0.1, 0.05)
    moving = Reenactor(replace(network, drive=None, drive_head=way), "moving", layers=False)
    identity = moving.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    moved = moving.draw(identity, placement).rgb.astype(int)
    still = plain.draw(own, placement).rgb.astype(int)
    x = placement.landmarks[list(face_mesh.FACE_OVAL), 0].mean()
    assert x > CANVAS[1] / 2 + 30, "the test's own pose"
    for feature in features(placement):
        np.testing.assert_array_equal(moved[feature], still[feature])
    assert np.abs(moved - still).max() > 50, "hair is"


def test_a_network_that_does_not_paint_yet_corrects_the_head(network: Network) -> None:
    """What the painting network learns from: nothing is painted, all else is as it is live."""
    learning = Reenactor(replace(network, encode=None, drive=None), "in training")
    whole = Reenactor(network, "whole")
    identity = learning.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    own = whole.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    placement = identity.target.place(turned(20))
    drawn, unpainted = learning.draw(identity, placement), whole.unpainted(own, placement)
    np.testing.assert_array_equal(drawn.rgb, unpainted.rgb)
    np.testing.assert_array_equal(drawn.alpha, unpainted.alpha)
    assert (whole.draw(own, placement).rgb != unpainted.rgb).any()


def test_the_first_steadied_frame_is_as_it_is_without(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    plain = reenactor.render(identity, turned(10))
    steadied = reenactor.render(identity, turned(10), Memory())
    np.testing.assert_array_equal(steadied.rgb, plain.rgb)
    np.testing.assert_array_equal(steadied.alpha, plain.alpha)


def test_a_mouth_that_trembles_flickers_less_when_it_is_steadied(reenactor: Reenactor) -> None:
    """By a tenth of a pixel, as tracking does."""
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    rng = np.random.default_rng(0)
    tremble = 0.1 / (0.235 * CANVAS[0])
    motions = [
        replace(faces.still(), expression=rng.normal(0, tremble, (478, 3)).astype(np.float32))
        for _ in range(12)
    ]
    x, y = np.round(identity.target.place(faces.still()).landmarks[13, :2]).astype(int)
    lips = (slice(y - 6, y + 7), slice(x - 12, x + 13))
    flicker = []
    for memory in (None, Memory()):
        film = [reenactor.render(identity, m, memory).rgb[lips].astype(float) for m in motions]
        flicker.append(np.abs(np.diff(film[4:], axis=0)).mean())
    assert 0 < flicker[1] < 0.7 * flicker[0]


def test_the_heads_field_is_renewed_in_every_other_frame(network: Network) -> None:
    engine = CountedEngine()
    lit = Reenactor(replace(network, drive=None, drive_head=engine), "counted")
    identity = lit.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    placement = identity.target.place(faces.still())

    def shown(memory: Memory | None) -> float:
        return float(lit.unpainted(identity, placement, memory).rgb[100:140, 140:180].mean())

    memory, light, runs = Memory(), [], []
    for _ in range(5):
        light.append(shown(memory))
        runs.append(engine.runs)
    assert runs == [1, 2, 2, 3, 3]
    assert light[0] == light[1] < light[2] == light[3] < light[4], "the next frame takes the answer"
    assert shown(memory) == light[4] and engine.runs == 4, "of which one is on its way"
    assert shown(Memory()) > light[4] and engine.runs == 5, "who is new begins with its own"
    assert light[4] < shown(memory) < shown(None), "and takes nothing of another's"
    shown(None)
    assert engine.runs == 7, "without a memory each frame has its own"


def test_a_field_that_could_not_be_had_is_looked_for_again() -> None:
    """NaN in a frame drops that frame, and is in no other."""
    answers: list[float | None] = [None, 1.0, None, 2.0]

    def look() -> Callable[[], F32]:
        answer = answers.pop(0)

        def field() -> F32:
            if answer is None:
                raise EngineError("not finite")
            return np.array([answer], np.float32)

        return field

    memory, shown = Memory(), []
    for _ in range(6):
        try:
            shown.append(float(memory.field(look)[0]))
        except EngineError:
            shown.append(math.nan)
    assert shown == pytest.approx([math.nan, 1, 1, math.nan, 1, 2], nan_ok=True)


def test_the_same_motion_gives_the_same_picture(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    first = reenactor.render(identity, faces.still()).rgb.copy()
    assert np.abs(reenactor.render(identity, turned(20)).rgb.astype(int) - first).max() > 20
    np.testing.assert_array_equal(reenactor.render(identity, faces.still()).rgb, first)


@pytest.mark.parametrize("graph", ["drive", "drive_head"])
def test_nan_from_the_network_is_an_error_not_a_picture(graph: str, network: Network) -> None:
    if graph == "drive":
        network = replace(network, drive=BrokenEngine(WARP_REFINE_LITE.drive))
    else:
        network = replace(network, drive_head=BrokenEngine(WARP_REFINE_LITE.drive_head))
    broken = Reenactor(network, "broken")
    identity = broken.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    with pytest.raises(EngineError, match="not finite"):
        broken.render(identity, faces.still())


@pytest.mark.parametrize(
    ("portrait", "landmarks", "rule"),
    [
        (np.zeros((512, 512, 3), np.uint8), faces.landmarks(), r"must be \(H, W, 4\)"),
        (np.zeros((32, 32, 4), np.uint8), faces.landmarks(), "at least 64x64"),
        (faces.portrait(), np.zeros((468, 3), np.float32), r"\(478, 3\)"),
        (faces.portrait(), np.full((478, 3), np.nan, np.float32), "finite"),
        (faces.portrait(), faces.landmarks(unit_px=5), "at least 16 px"),
    ],
    ids=["no alpha", "tiny", "no irises", "nan", "tiny face"],
)
def test_what_is_no_portrait_is_refused(
    portrait: np.ndarray, landmarks: np.ndarray, rule: str
) -> None:
    with pytest.raises(PortraitError, match=rule):
        geometry_only().encode_identity(portrait, landmarks, CANVAS)


def test_the_choice_of_a_backend_has_a_reason() -> None:
    assert choose("auto", WARP_REFINE_LITE)[1]
    with pytest.raises(BackendError, match="must be one of auto, onnx"):
        choose("cuda", WARP_REFINE_LITE)
