"""The table of networks: every tensor's name, shape and range. Export, backends, buffers, fake
inputs and parity tests are derived from it; nothing else states a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines import crop

IDENTITY_FEATURES = 16
"""channels of an identity's feature map"""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    """the range that its values keep to; all tensors are float32 at the door"""


@dataclass(frozen=True, slots=True)
class GraphSpec:
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    name: str
    encode: GraphSpec
    """once per identity"""
    drive: GraphSpec
    """per frame, for each patch that needs it"""

    @property
    def graphs(self) -> tuple[GraphSpec, GraphSpec]:
        return self.encode, self.drive


def _picture(patches: int) -> tuple[int, ...]:
    return patches, 3, crop.SIZE, crop.SIZE


def _guide(patches: int) -> TensorSpec:
    shape = patches, crop.GUIDE_CHANNELS, crop.SIZE, crop.SIZE
    return TensorSpec("guide", shape, 0.0, 1.0)


def _features(patches: int) -> TensorSpec:
    shape = patches, IDENTITY_FEATURES, crop.FEATURE_SIZE, crop.FEATURE_SIZE
    return TensorSpec("features", shape, -10.0, 10.0)


_ALL = len(crop.REGIONS)

WARP_REFINE_LITE = NetworkSpec(
    "warp-refine-lite",
    encode=GraphSpec(
        "encode",
        (TensorSpec("portrait", _picture(_ALL), 0.0, 1.0), _guide(_ALL)),
        (_features(_ALL),),
    ),
    drive=GraphSpec(
        "drive",
        (
            TensorSpec("warped", _picture(1), 0.0, 1.0),
            _guide(1),
            _features(1),
            TensorSpec("grid", (1, crop.FEATURE_SIZE, crop.FEATURE_SIZE, 2), -2.0, 2.0),
        ),
        (TensorSpec("change", _picture(1), -1.5, 1.5),),
    ),
)

NETWORKS = {spec.name: spec for spec in (WARP_REFINE_LITE,)}
