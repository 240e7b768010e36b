"""Samples of paint show what is seen live just before it is painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import crop, face_mesh
from engines.backends.base import Engine
from engines.models import Network, Reenactor, open_network
from engines.specs import LITE, WARP_REFINE_LITE, GraphSpec
from engines.training import paint_samples
from engines.training.samples import Kind, Pair, exact_placement
from engines.weights import WEIGHTS_DIRECTORY
from tests.engines import faces

SIDE = 512
GRAPHS = WEIGHTS_DIRECTORY / WARP_REFINE_LITE.name


class Zeros:
    """A head network that corrects nothing."""

    description = "zeros"

    def __init__(self, spec: GraphSpec) -> None:
        self.spec = spec

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return {t.name: np.zeros(t.shape, np.float32) for t in self.spec.outputs}


@pytest.fixture(scope="module")
def kind() -> Kind:
    return paint_samples.kind(WARP_REFINE_LITE, GRAPHS)


@pytest.fixture
def geometry(monkeypatch: pytest.MonkeyPatch) -> Kind:
    """What is sampled where the head network corrects nothing."""

    def zeros(backend: str, spec: GraphSpec, path: Path, threads: int) -> Engine:
        return Zeros(spec)

    monkeypatch.setattr(paint_samples, "open_engine", zeros)
    return paint_samples.kind(WARP_REFINE_LITE, GRAPHS)


def driven(reenactor: Reenactor, degrees: float = 0.0) -> Pair:
    own = faces.landmarks()
    identity = reenactor.encode_identity(faces.portrait(), own, (SIDE, SIDE))
    middle = own[list(face_mesh.RIGID)].mean(axis=0)
    wanted = ((own - middle) @ faces.yaw(degrees).T + middle).astype(np.float32)
    return Pair(identity, exact_placement(identity, own, wanted), faces.portrait())


def test_a_sample_holds_what_is_stated(kind: Kind) -> None:
    made = kind.make(driven(kind.reenactor))
    found = {field: (value.shape, value.dtype.name) for field, value in made.items()}
    assert found == kind.fields == paint_samples.fields(LITE)
    assert tuple(found) == paint_samples.FIELDS


def test_what_is_to_be_painted_is_what_the_head_network_has_corrected(
    kind: Kind, geometry: Kind
) -> None:
    network: Network = open_network(WARP_REFINE_LITE, "onnx", threads=1)
    live = Reenactor(replace(network, encode=None, drive=None), "unpainted")
    pair = driven(kind.reenactor, 20)
    corrected = kind.make(pair)["warped"].astype(int)
    picture = live.unpainted(pair.identity, pair.placement)
    unit = face_mesh.face_unit(pair.identity.landmarks)
    patches = crop.patches(LITE.patch_px, pair.placement.landmarks, pair.placement.head, unit)
    for warped, patch in zip(corrected, patches, strict=True):
        somebody = patch.cut(picture.alpha) == 255
        difference = warped - patch.cut(picture.rgb).transpose(2, 0, 1)
        assert somebody.mean() > 0.9 and np.abs(difference[:, somebody]).max() <= 1
    assert np.abs(corrected - geometry.make(pair)["warped"].astype(int)).max() > 5


def test_what_is_driven_to_itself_meets_its_target_and_its_own_features(geometry: Kind) -> None:
    """By geometry alone: every patch shows the portrait's own, and looks at its own cells."""
    made = geometry.make(driven(geometry.reenactor))
    skin = (slice(None), slice(None), slice(0, 12))
    assert np.abs(made["warped"][skin].astype(int) - made["target"][skin]).mean() < 6
    cells = LITE.patch_px // crop.FEATURE_STRIDE
    steps = (np.arange(cells) + 0.5) * 2 / cells - 1
    own = np.stack(np.meshgrid(steps, steps), axis=-1)
    assert np.abs(made["grid"] - own).max() < 0.1
    np.testing.assert_array_equal(made["guide"].shape, made["portrait_guide"].shape)
    assert np.abs(made["guide"].astype(int) - made["portrait_guide"]).mean() < 2
