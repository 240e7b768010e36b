"""The table of networks: every tensor's name, shape and range. Export, backends, buffers, fake
inputs and parity tests are derived from it; nothing else states a shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engines import crop, head

IDENTITY_FEATURES = 16
"""channels of an identity's feature map"""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    """the range that its values keep to; all tensors are float32 at the door"""
    sometimes_zero: tuple[int, ...] = ()
    """channels that are all 0 in some uses and not in others, together: an eye shows no lips"""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GraphSpec:
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    part_of: str = ""
    """the graph that it is a part of; a kernel of ours lies between the parts"""
    precise: bool = False
    """computed in float32, whatever precision is asked for: it says where things are"""
    beside: bool = False
    """run beside the frame that asks for it, whose successor takes the answer"""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    name: str
    size: Size
    encode: GraphSpec
    """once per identity"""
    drive: GraphSpec
    """per frame, for each patch that needs it"""
    encode_head: GraphSpec
    """once per identity"""
    drive_head: GraphSpec
    """per frame"""

    @property
    def graphs(self) -> tuple[GraphSpec, ...]:
        return self.encode, self.drive, self.encode_head, self.drive_head

    @property
    def planned(self) -> tuple[GraphSpec, ...]:
        """What TensorRT has plans of."""
        return self.graphs


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is: what it sees, and how wide its layers are."""

    patch_px: int
    """side of the patches of mouth and eyes"""
    head_px: int
    """side of the head"""
    texture_px: int
    """side of what it knows of the portrait's head"""
    encode_widths: tuple[int, int]
    """channels of what looks at the portrait"""
    paint_widths: tuple[int, int, int, int]
    """channels of the painting network at a half, a quarter, an eighth, a sixteenth"""
    head_widths: tuple[int, int, int, int]
    depth: int
    """convolutions at each resolution"""


LITE = Size(96, 96, 224, (32, 48), (16, 32, 64, 96), (24, 40, 64, 96), 1)
FULL = Size(128, 128, 320, (64, 96), (32, 64, 128, 192), (40, 64, 96, 160), 2)


def _spec(name: str, size: Size) -> NetworkSpec:
    regions, cells = len(crop.REGIONS), size.patch_px // crop.FEATURE_STRIDE

    def picture(name: str, patches: int, low: float = 0.0, high: float = 1.0) -> TensorSpec:
        return TensorSpec(name, (patches, 3, size.patch_px, size.patch_px), low, high)

    def guide(patches: int) -> TensorSpec:
        shape = patches, crop.GUIDE_CHANNELS, size.patch_px, size.patch_px
        return TensorSpec("guide", shape, 0.0, 1.0, sometimes_zero=crop.OF_MOUTHS)

    def features(patches: int, cells: int) -> TensorSpec:
        return TensorSpec("features", (patches, IDENTITY_FEATURES, cells, cells), -10.0, 10.0)

    half, field = size.texture_px // 2, size.head_px // head.FIELD_STRIDE
    of_head = features(1, half // head.FEATURE_STRIDE)
    view = TensorSpec("view", (1, head.VIEW_CHANNELS, size.head_px, size.head_px), -1.0, 1.0)
    encode = GraphSpec(
        "encode", (picture("portrait", regions), guide(regions)), (features(regions, cells),)
    )
    drive = GraphSpec(
        "drive",
        (
            picture("warped", 1),
            guide(1),
            features(1, cells),
            TensorSpec("grid", (1, cells, cells, 2), -2.0, 2.0),
        ),
        (
            picture("change", 1, -1.5, 1.5),
            TensorSpec("gain", (1, 1, size.patch_px, size.patch_px), 0.4, 2.3),
        ),
    )
    encode_head = GraphSpec(
        "encode_head", (TensorSpec("picture", (1, 4, half, half), 0.0, 1.0),), (of_head,)
    )
    drive_head = GraphSpec(
        "drive_head",
        (view, of_head),
        (TensorSpec("field", (1, head.FIELD_CHANNELS, field, field), -1.0, 1.0),),
        beside=True,
    )
    return NetworkSpec(name, size, encode, drive, encode_head, drive_head)


WARP_REFINE_LITE = _spec("warp-refine-lite", LITE)
WARP_REFINE_FULL = _spec("warp-refine-full", FULL)

NETWORKS = {spec.name: spec for spec in (WARP_REFINE_LITE, WARP_REFINE_FULL)}
"""what can be trained, and ships with weights; `sources.NAMES` has the others too"""
