"""What the painting network sees of a pair: patches of mouth and eyes before they are painted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines import crop, face_mesh
from engines.backends import open_engine
from engines.models import Network, Reenactor, own_patches, picture_in
from engines.specs import NetworkSpec, Size
from engines.training.samples import Fields, Kind, Pair

FIELDS = ("warped", "guide", "target", "grid", "portrait", "portrait_guide", "paint")
"""of all patches of a sample; `paint` is how much of the network's paint a patch gets, 0..1"""


def fields(size: Size) -> Fields:
    """Shape and dtype of each."""
    count, px, cells = len(crop.REGIONS), size.patch_px, size.patch_px // crop.FEATURE_STRIDE
    picture, guide = (count, 3, px, px), (count, crop.GUIDE_CHANNELS, px, px)
    grid = (count, cells, cells, 2)
    shapes = picture, guide, picture, grid, picture, guide, (count,)
    dtypes = ("uint8", "uint8", "uint8", "float32", "uint8", "uint8", "float32")
    return dict(zip(FIELDS, zip(shapes, dtypes, strict=True), strict=True))


def kind(spec: NetworkSpec, graphs: Path) -> Kind:
    """
    Args:
        graphs: folder of the network's encode_head.onnx and drive_head.onnx: what it corrects is
            not to be painted.

    Raises:
        BackendError: they cannot be run here.
    """
    encode_head, drive_head = (
        open_engine("onnx", graph, graphs / f"{graph.name}.onnx", threads=1)
        for graph in (spec.encode_head, spec.drive_head)
    )
    size, network = spec.size, Network(spec.size, None, None, encode_head, drive_head)
    reenactor = Reenactor(network, "in training")

    def make(pair: Pair) -> dict[str, NDArray[np.generic]]:
        identity, placement = pair.identity, pair.placement
        landmarks, at_rest = placement.landmarks, identity.portrait_patches
        unit_px = face_mesh.face_unit(identity.landmarks)
        patches = crop.patches(size.patch_px, landmarks, placement.head, unit_px)
        picture = reenactor.unpainted(identity, placement)
        seen = [picture_in(patch, picture) for patch in patches]
        grids = [
            crop.feature_grid(p, picture.source, q) for p, q in zip(patches, at_rest, strict=True)
        ]
        own, own_guides = own_patches(identity.portrait_rgba, identity.landmarks, at_rest)
        guides = [p.guide(landmarks, alpha) for p, (_, alpha) in zip(patches, seen, strict=True)]
        return {
            "warped": np.stack([rgb for rgb, _ in seen]),
            "guide": np.stack(guides),
            "target": np.stack(
                [crop.to_planes(crop.over_grey(patch.cut(pair.target))) for patch in patches]
            ),
            "grid": np.stack(grids),
            "portrait": np.stack(own),
            "portrait_guide": np.stack(own_guides),
            "paint": np.array(identity.paint_shares(placement), np.float32),
        }

    return Kind(fields(size), make, reenactor, side_light=True)
