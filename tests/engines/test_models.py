"""The door to the engines, with the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest

from engines.backends import choose
from engines.errors import BackendError, EngineError, PortraitError
from engines.models import Reenactor, geometry_only, load_reenactor
from engines.pose import MotionTensors
from engines.specs import WARP_REFINE_LITE, GraphSpec
from tests.engines import faces

CANVAS = (240, 320)


@pytest.fixture(scope="module")
def reenactor() -> Reenactor:
    return load_reenactor("onnx", threads=1)


class BrokenEngine:
    """A drive graph that gives NaN."""

    spec: GraphSpec = WARP_REFINE_LITE.drive
    description = "broken"

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        return {"change": np.full(self.spec.outputs[0].shape, np.nan, np.float32)}


def test_a_frame_is_a_picture_of_the_canvas(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    image = reenactor.render(identity, faces.still())
    assert image.rgb.shape == (*CANVAS, 3) and image.rgb.dtype == np.uint8
    assert image.alpha.shape == CANVAS and image.alpha.dtype == np.uint8
    assert image.alpha[CANVAS[0] // 2, CANVAS[1] // 2] == 255


def test_the_network_only_touches_the_face(reenactor: Reenactor) -> None:
    portrait, landmarks = faces.portrait(), faces.landmarks()
    identity = reenactor.encode_identity(portrait, landmarks, CANVAS)
    refined = reenactor.render(identity, faces.still())
    plain_reenactor = geometry_only()
    plain_identity = plain_reenactor.encode_identity(portrait, landmarks, CANVAS)
    plain = plain_reenactor.render(plain_identity, faces.still())
    difference = np.abs(refined.rgb.astype(int) - plain.rgb).max(axis=2)
    assert difference.max() > 0, "the network does something"
    assert difference[:, :40].max() == 0 and difference[-10:].max() == 0
    np.testing.assert_array_equal(refined.alpha, plain.alpha)


def test_the_same_motion_gives_the_same_picture(reenactor: Reenactor) -> None:
    identity = reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    first = reenactor.render(identity, faces.still()).rgb.copy()
    turned = MotionTensors(
        faces.yaw(20),
        np.zeros(2, np.float32),
        1.0,
        faces.still().expression,
        np.ones(2, np.float32),
    )
    assert np.abs(reenactor.render(identity, turned).rgb.astype(int) - first).max() > 20
    np.testing.assert_array_equal(reenactor.render(identity, faces.still()).rgb, first)


def test_nan_from_the_network_is_an_error_not_a_picture() -> None:
    portrait = geometry_only().encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    broken = Reenactor(None, BrokenEngine(), "broken")
    with pytest.raises(EngineError, match="not finite"):
        broken.render(portrait, faces.still())


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
