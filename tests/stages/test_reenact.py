"""One avatar after another: each is held over from its own frames, never from another's."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from engines.errors import EngineError
from engines.models import EncodedIdentity, Reenactor, geometry_only
from realtime.errors import FrameError
from realtime.frames import Motion, Rendered
from realtime.stages.reenact import Reenact
from tests import fakes
from tests.engines import faces

JUNIPER, COBALT = cast(EncodedIdentity, "juniper"), cast(EncodedIdentity, "cobalt")


def still() -> Motion:
    tensors = faces.still()
    return Motion(
        tensors.rotation, tensors.translation, 1.0, tensors.expression, tensors.eye_openness, {}
    )


def test_an_identity_keeps_its_memory_and_another_begins_with_a_fresh_one() -> None:
    fake = fakes.FakeReenactor()
    stage = Reenact(fake.as_reenactor())
    for identity in (JUNIPER, JUNIPER, COBALT, COBALT, JUNIPER):
        stage(still(), identity)
    first, again, other, other_again, back = fake.memories
    assert first is again and other is other_again
    assert len({id(first), id(other), id(back)}) == 3


def test_two_performers_of_one_identity_share_no_memory() -> None:
    fake = fakes.FakeReenactor()
    for _ in range(2):
        Reenact(fake.as_reenactor())(still(), JUNIPER)
    assert fake.memories[0] is not fake.memories[1]


def test_nothing_is_left_of_the_identity_before() -> None:
    """The first frame of a second identity is what it would be alone."""
    reenactor = geometry_only()
    light, dark = faces.portrait(), faces.portrait()
    dark[..., :3] -= np.minimum(dark[..., :3], 9)
    first, second = (
        reenactor.encode_identity(portrait, faces.landmarks(), fakes.CANVAS)
        for portrait in (light, dark)
    )
    stage = Reenact(reenactor)
    stage(still(), first)
    after, alone = stage(still(), second), Reenact(reenactor)(still(), second)
    assert isinstance(after, Rendered) and isinstance(alone, Rendered)
    np.testing.assert_array_equal(after.rgb, alone.rgb)


@pytest.mark.parametrize("field", ["rotation", "translation", "expression", "eye_openness"])
def test_a_motion_that_is_not_finite_is_refused_by_name(field: str) -> None:
    broken = replace(still(), **{field: np.full_like(getattr(still(), field), np.nan)})
    fake = fakes.FakeReenactor()
    with pytest.raises(FrameError, match=rf"motion\.{field} is not finite"):
        Reenact(fake.as_reenactor())(broken, JUNIPER)
    assert not fake.motions


def test_an_engine_that_fails_drops_the_frame_and_says_why() -> None:
    class Failing:
        def render(self, *args: object) -> None:
            raise EngineError("the network's output is not finite")

    with pytest.raises(FrameError, match="the network's output is not finite"):
        Reenact(cast(Reenactor, Failing()))(still(), JUNIPER)
