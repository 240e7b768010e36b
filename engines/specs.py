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
    """per frame"""

    @property
    def graphs(self) -> tuple[GraphSpec, GraphSpec]:
        return self.encode, self.drive


_COUNT = len(crop.REGIONS)
_PICTURE = (_COUNT, 3, crop.SIZE, crop.SIZE)
_GUIDE = (_COUNT, crop.GUIDE_CHANNELS, crop.SIZE, crop.SIZE)
_FEATURES = TensorSpec(
    "features", (_COUNT, IDENTITY_FEATURES, crop.FEATURE_SIZE, crop.FEATURE_SIZE), -10.0, 10.0
)

WARP_REFINE_LITE = NetworkSpec(
    "warp-refine-lite",
    encode=GraphSpec(
        "encode",
        (TensorSpec("portrait", _PICTURE, 0.0, 1.0), TensorSpec("guide", _GUIDE, 0.0, 1.0)),
        (_FEATURES,),
    ),
    drive=GraphSpec(
        "drive",
        (
            TensorSpec("warped", _PICTURE, 0.0, 1.0),
            TensorSpec("guide", _GUIDE, 0.0, 1.0),
            _FEATURES,
            TensorSpec("grid", (_COUNT, crop.FEATURE_SIZE, crop.FEATURE_SIZE, 2), -2.0, 2.0),
        ),
        (TensorSpec("change", _PICTURE, -1.5, 1.5),),
    ),
)

NETWORKS = {spec.name: spec for spec in (WARP_REFINE_LITE,)}
