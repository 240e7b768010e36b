"""Whole frames by kernels, with the shipped network between them, are what the CPU draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import crop, face_mesh, head
from engines.models import EncodedIdentity, Memory, Network, Reenactor, open_network
from engines.pose import MotionTensors
from engines.specs import WARP_REFINE_LITE
from engines.steady import held_box
from engines.warp import Placement
from tests.engines import faces
from tests.engines.kernel_steps import (
    add,
    cut,
    displaced,
    grid_of,
    held,
    lay_eye,
    lay_mouth,
    light,
    sampled,
    shaded,
)
from tests.engines.launching import Launch

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

CANVAS = (482, 642)


@pytest.fixture(scope="module")
def network() -> Network:
    return open_network(WARP_REFINE_LITE, "onnx", threads=1)


@pytest.fixture(scope="module")
def reenactor(network: Network) -> Reenactor:
    return Reenactor(network, "for a test")


@pytest.fixture(scope="module")
def identity(reenactor: Reenactor) -> EncodedIdentity:
    return reenactor.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


def speaking(yaw: float, jaw: float, x: float) -> MotionTensors:
    expression = np.zeros((face_mesh.LANDMARKS, 3), np.float32)
    expression[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] = jaw
    at, lids = np.array([x, 0], np.float32), np.array([0.4, 1], np.float32)
    return MotionTensors(faces.yaw(yaw), at, 1.0, expression, lids)


def field_of(network: Network, identity: EncodedIdentity, placement: Placement) -> F32:
    """What the head network says, looking at the map that nothing has moved yet."""
    source = identity.mesh.source_map(placement, CANVAS)
    view = head.look(identity.head, source, at_head(identity, placement), placement.head)
    inputs = {"view": view, "features": identity.head_features}
    found: F32 = network.drive_head.run(inputs)["field"][0].copy()
    return found


def at_head(identity: EncodedIdentity, placement: Placement) -> crop.Patch:
    unit, px = face_mesh.face_unit(identity.landmarks), WARP_REFINE_LITE.size.head_px
    return crop.place(head.REGION, px, placement.landmarks, placement.head, unit)


def drawn(
    launch: Launch, network: Network, identity: EncodedIdentity, placement: Placement, field: F32
) -> U8:
    """(H, W, 4) as `Reenactor.draw`, without memory, by kernels."""
    unit, patch = face_mesh.face_unit(identity.landmarks), at_head(identity, placement)
    source = identity.mesh.source_map(placement, CANVAS)
    displaced(launch, field, patch, source, placement, unit)
    canvas = sampled(launch, identity.portrait_rgba, source, CANVAS)
    for eye in identity.eyes:
        lay_eye(launch, eye, placement, canvas)
    lay_mouth(launch, identity.mouth, placement, canvas)
    shaded(launch, field, patch, canvas)
    shares, px = identity.paint_shares(placement), WARP_REFINE_LITE.size.patch_px
    patches = crop.patches(px, placement.landmarks, placement.head, unit)
    for region, patch in enumerate(patches):
        if shares[region] == 0:
            continue
        seen, person = cut(launch, patch, canvas)
        guide = crop.as_tensor([patch.guide(placement.landmarks, np.zeros((px, px), np.uint8))])
        guide[0, 4] = person
        grid = grid_of(launch, patch, source, identity.portrait_patches[region])
        assert network.drive is not None
        found = network.drive.run(
            {
                "warped": seen[None],
                "guide": guide,
                "features": identity.features[region : region + 1],
                "grid": grid[None],
            }
        )
        if region == crop.MOUTH:
            light(launch, patch, found["gain"][0, 0], canvas)
        else:
            add(launch, patch, found["change"][0], shares[region], canvas)
    return canvas


def assert_alike(found: U8, expected: U8) -> None:
    """But for a source that is a float's last bit away and falls to the next 1/32 of a pixel."""
    off = np.abs(found.astype(int) - expected)
    assert (off > 1).mean() < 1e-4, f"by {off.max()}"
    assert (off > 0).mean() < 1e-3


@pytest.mark.parametrize("yaw, jaw, x", [(0, 0.0, 0), (25, 0.3, 0), (-20, 0.15, -5), (10, 0.4, 5)])
def test_frames_are_what_the_cpu_draws(
    launch: Launch,
    network: Network,
    reenactor: Reenactor,
    identity: EncodedIdentity,
    yaw: float,
    jaw: float,
    x: float,
) -> None:
    """Two of them, of which the second holds on to the first."""
    memory = Memory()
    placements = [identity.target.place(speaking(yaw + step, jaw, x)) for step in (0, 0.3)]
    field = field_of(network, identity, placements[0])  # kept for the second frame
    before: U8 | None = None
    for placement in placements:
        expected = reenactor.draw(identity, placement, memory)
        found = drawn(launch, network, identity, placement, field)
        if before is not None:
            held(launch, before, found, held_box(placement.landmarks, CANVAS))
        assert_alike(found, np.dstack([expected.rgb, expected.alpha]))
        before = found
