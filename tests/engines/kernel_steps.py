"""The steps of `engines/gpu/steps.py` on arrays, one at a time.

Each takes and gives what the function does of which it takes the place; but pictures are
(H, W, 4), colour and alpha together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines import crop, head, kernels
from engines.eyes import Eye
from engines.fields import cover
from engines.gpu import steps
from engines.gpu.steps import FieldAt, MapAt, MeshAt, Picture, Texture
from engines.mouth import Mouth
from engines.warp import Placement, SourceMap
from realtime import watermark
from tests.engines.launching import Launch

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def picture_of(pixels: U8) -> Picture:
    return Picture(pixels, pixels.shape[1], pixels.shape[0])


def map_of(source: SourceMap) -> MapAt:
    return MapAt(source.xy, source.face.quarters_of_folds, source.face.folds)


def mapped(launch: Launch, source: SourceMap) -> F32:
    """`WarpMesh.source_map`'s map by kernels."""
    shown = np.zeros(source.xy.shape[:2], np.int32)
    xy = np.full_like(source.xy, 9)
    of_face = np.ascontiguousarray(source.of_face)
    steps.draw_map(launch, source, MeshAt(source.moved, source.sources, of_face, shown), xy)
    assert not shown.any(), "the next map begins with nothing"
    return xy


def sampled(launch: Launch, picture: U8, source: SourceMap, canvas_hw: tuple[int, int]) -> U8:
    """`warp.sample` by kernels."""
    canvas = np.full((*canvas_hw, 4), 77, np.uint8)
    steps.sample(launch, picture_of(picture), source, map_of(source), picture_of(canvas))
    return canvas


def displaced(
    launch: Launch,
    field: F32,
    patch: crop.Patch,
    source: SourceMap,
    placement: Placement,
    unit_px: float,
) -> None:
    """`head.displace` by kernels."""
    matrix = head.field_from_canvas(patch, source.left, source.top)
    part = cover(field.shape[1:], matrix, source.xy.shape)
    turned = np.zeros((part.cells[1], part.cells[0], 2), np.float32)
    movable = head.movable(patch, placement.landmarks) * np.float32(unit_px)
    at = FieldAt(field, movable, turned)
    place = map_of(source)
    steps.displace(launch, at, patch, source, place)
    face = source.face
    for k in range(4):
        row, column = (2 * face.folds + (k // 2, k % 2)).T
        face.quarters[row, column] = place.quarters[:, k // 2, k % 2]


def shaded(launch: Launch, field: F32, patch: crop.Patch, canvas: U8) -> None:
    """`head.shade` by kernels."""
    part = cover(field.shape[1:], head.field_from_canvas(patch, 0, 0), canvas.shape)
    turned = np.zeros((part.cells[1], part.cells[0], 3), np.float32)
    at = FieldAt(field, None, turned)
    steps.shade(launch, at, patch, picture_of(canvas))


def cut(launch: Launch, patch: crop.Patch, canvas: U8) -> tuple[F32, F32]:
    """What a patch shows and the person's coverage, by kernel."""
    px = patch.px
    seen, person = np.zeros((3, px, px), np.float32), np.zeros((px, px), np.float32)
    steps.cut(launch, patch, picture_of(canvas), seen, person)
    return seen, person


def grid_of(launch: Launch, patch: crop.Patch, source: SourceMap, at_rest: crop.Patch) -> F32:
    """`crop.feature_grid` by kernel."""
    cells = patch.px // crop.FEATURE_STRIDE
    grid = np.zeros((cells, cells, 2), np.float32)
    steps.find_features(launch, patch, at_rest, (source, map_of(source)), grid)
    return grid


def held(launch: Launch, before: U8, picture: U8, box: tuple[slice, slice]) -> None:
    """`Steady`, with the picture before, by kernels."""
    change = np.zeros([part.stop - part.start for part in box], np.uint8)
    steps.hold(launch, before, picture_of(picture), box, change)


def lay_eye(launch: Launch, eye: Eye, placement: Placement, canvas: U8) -> None:
    """`Eye.draw` by kernel."""
    gap = eye.look(canvas.shape, placement.landmarks, placement.head)
    layers = eye.layers
    if gap is not None and layers is not None:
        texture = Texture(layers, layers.shape[2], layers.shape[1])
        steps.lay_eye(launch, gap, gap.lids, texture, picture_of(canvas))


def lay_mouth(launch: Launch, mouth: Mouth, placement: Placement, canvas: U8) -> None:
    """`Mouth.draw` by kernel."""
    seen = mouth.look(canvas.shape, placement.landmarks, placement.head)
    if seen is not None:
        steps.lay_mouth(launch, seen, seen.rgb, seen.share, picture_of(canvas))


def light(launch: Launch, patch: crop.Patch, gain: F32, canvas: U8) -> None:
    """`Patch.light` by kernel."""
    steps.light(launch, patch, gain, picture_of(canvas))


def add(launch: Launch, patch: crop.Patch, change: F32, share: float, canvas: U8) -> None:
    """`Patch.add` of a share of a change (3, px, px), by kernel."""
    steps.add(launch, patch, change, share, picture_of(canvas))


def embedded(launch: Launch, luma: U8, payload: watermark.Payload) -> None:
    """`Watermark.embed` by kernel, in place."""
    height, width = luma.shape
    pattern = watermark.draw_pattern(payload, width, height)
    blocks = (-(-side // watermark.BLOCK_PX) for side in (width, height))
    gains = watermark.FAINTEST, watermark.STRONGEST, watermark.PER_LEVEL, watermark.SHIFT
    launch(kernels.EMBED_MARK, *blocks, pattern, width, height, *gains, luma)
