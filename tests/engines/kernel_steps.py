"""The CPU's path, step by step, by kernels: what a frame is put together from on a GPU.

Each takes and gives what the function does of which it takes the place; but pictures are
(H, W, 4), colour and alpha together.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import crop, head, kernels, steady
from engines.eyes import Eye
from engines.fields import cover
from engines.mouth import Mouth
from engines.warp import Placement, SourceMap
from realtime import watermark
from tests.engines.launching import Launch

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def sampled(launch: Launch, picture: U8, source: SourceMap, canvas_hw: tuple[int, int]) -> U8:
    """`warp.sample` by kernels."""
    canvas = np.full((*canvas_hw, 4), 77, np.uint8)
    height, width = source.xy.shape[:2]
    picture_wh = picture.shape[1], picture.shape[0]
    part = source.xy, width, height, source.left, source.top
    launch(kernels.SAMPLE, canvas_hw[1], canvas_hw[0], picture, *picture_wh, *part, canvas)
    face = source.face
    if len(face.folds):
        left, top = source.left + face.left, source.top + face.top
        fine = face.quarters, face.quarters.shape[1]
        at = left, top, canvas, canvas_hw[1]
        launch(
            kernels.SAMPLE_FOLDS, len(face.folds), 1, picture, *picture_wh, *fine, face.folds, *at
        )
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
    height, width = source.xy.shape[:2]
    cells = field.shape[1]
    matrix = head.field_from_canvas(patch, source.left, source.top)
    part = cover((cells, cells), matrix, (height, width))
    turned = np.zeros((part.cells[1], part.cells[0], 2), np.float32)
    beyond = head.beyond_face(patch, placement.landmarks) * np.float32(unit_px)
    affine = part.field_from_cell.ravel().tolist()
    launch(kernels.TURN_WAYS, *part.cells, field, beyond, cells, cells, *affine, turned)
    size = part.columns.stop - part.columns.start, part.rows.stop - part.rows.start
    begin = part.columns.start, part.rows.start
    launch(kernels.ADD_WAYS, *size, turned, *part.cells, source.xy, width, *begin)
    face = source.face
    fine = face.quarters, face.quarters.shape[1]
    at = face.left - part.columns.start, face.top - part.rows.start
    launch(
        *(kernels.ADD_WAYS_TO_FOLDS, len(face.folds), 1),
        *(turned, *part.cells, face.folds, *fine, *at, *size),
    )


def shaded(launch: Launch, field: F32, patch: crop.Patch, canvas: U8) -> None:
    """`head.shade` by kernels."""
    cells = field.shape[1]
    part = cover((cells, cells), head.field_from_canvas(patch, 0, 0), canvas.shape)
    turned = np.zeros((part.cells[1], part.cells[0], 3), np.float32)
    affine = part.field_from_cell.ravel().tolist()
    launch(kernels.TURN_GAINS, *part.cells, field, cells, cells, *affine, turned)
    size = part.columns.stop - part.columns.start, part.rows.stop - part.rows.start
    begin = part.columns.start, part.rows.start
    launch(kernels.MULTIPLY_GAINS, *size, turned, *part.cells, canvas, canvas.shape[1], *begin)


def where(part: tuple[slice, slice]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Columns and rows, left and top."""
    rows, columns = part
    size = columns.stop - columns.start, rows.stop - rows.start
    return size, (columns.start, rows.start)


def reached(
    patch: crop.Patch, canvas_hw: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int], list[float]]:
    """Columns and rows, left and top, and matrix, as the paint's kernels take them."""
    rows, columns, matrix = patch.reach(canvas_hw)
    size = columns.stop - columns.start, rows.stop - rows.start
    return size, (columns.start, rows.start), matrix.ravel().tolist()


def cut(launch: Launch, patch: crop.Patch, canvas: U8) -> tuple[F32, F32]:
    """What a patch shows and the person's coverage, by kernel."""
    px = patch.px
    seen, person = np.zeros((3, px, px), np.float32), np.zeros((px, px), np.float32)
    back = cv2.invertAffineTransform(patch.patch_from_canvas.astype(np.float64))
    matrix = np.asarray(back).ravel().tolist()
    launch(kernels.CROP, px, px, canvas, canvas.shape[1], canvas.shape[0], *matrix, seen, person)
    return seen, person


def grid_of(launch: Launch, patch: crop.Patch, source: SourceMap, at_rest: crop.Patch) -> F32:
    """`crop.feature_grid` by kernel."""
    cells = patch.px // crop.FEATURE_STRIDE
    grid = np.zeros((cells, cells, 2), np.float32)
    matrix = crop.cells_from_map(patch, source, cells).astype(np.float64)
    back = np.asarray(cv2.invertAffineTransform(matrix)).ravel().tolist()
    height, width = source.xy.shape[:2]
    own = *at_rest.patch_from_canvas.ravel().tolist(), 2 / at_rest.px
    launch(kernels.FEATURE_GRID, cells, cells, source.xy, width, height, *back, *own, grid)
    return grid


def held(launch: Launch, before: U8, picture: U8, box: tuple[slice, slice]) -> None:
    """`Steady`, with the picture before, by kernels."""
    (top, bottom, _), (left, right, _) = (part.indices(9999) for part in box)
    size = right - left, bottom - top
    change = np.zeros((size[1], size[0]), np.uint8)
    at = picture.shape[1], left, top
    launch(kernels.FIND_CHANGE, *size, picture, before, *at, change)
    how = steady.WINDOW, steady.FADE_PX, steady.CHANGES, steady.LEAST
    launch(kernels.HOLD, *size, change, before, *at, *how, picture)


def lay_eye(launch: Launch, eye: Eye, placement: Placement, canvas: U8) -> None:
    """`Eye.draw` by kernel."""
    gap = eye.look(canvas.shape, placement.landmarks, placement.head)
    layers = eye.layers
    if gap is None or layers is None:
        return
    size, begin = where((gap.rows, gap.columns))
    matrix = [*gap.back.ravel().tolist(), *gap.offsets.ravel().tolist()]
    at = canvas, canvas.shape[1], *begin
    shape = layers.shape[2], layers.shape[1]
    launch(kernels.LAY_EYE, *size, gap.lids, layers, *shape, *matrix, *at)


def lay_mouth(launch: Launch, mouth: Mouth, placement: Placement, canvas: U8) -> None:
    """`Mouth.draw` by kernel."""
    seen = mouth.look(canvas.shape, placement.landmarks, placement.head)
    if seen is None:
        return
    size, begin = where((seen.rows, seen.columns))
    launch(kernels.LAY_MOUTH, *size, seen.rgb, seen.share, canvas, canvas.shape[1], *begin)


def light(launch: Launch, patch: crop.Patch, gain: F32, canvas: U8) -> None:
    """`Patch.light` by kernel."""
    size, begin, matrix = reached(patch, canvas.shape[:2])
    at = canvas, canvas.shape[1], *begin
    launch(kernels.PAINT_LIGHT, *size, *at, gain, patch.px, *matrix)


def add(launch: Launch, patch: crop.Patch, change: F32, share: float, canvas: U8) -> None:
    """`Patch.add` of a share of a change (3, px, px), by kernel."""
    size, begin, matrix = reached(patch, canvas.shape[:2])
    at = canvas, canvas.shape[1], *begin
    launch(kernels.PAINT_ADD, *size, *at, change, patch.px, share, *matrix)


def embedded(launch: Launch, luma: U8, payload: watermark.Payload) -> None:
    """`Watermark.embed` by kernel, in place."""
    height, width = luma.shape
    pattern = watermark.draw_pattern(payload, width, height)
    blocks = (-(-side // watermark.BLOCK_PX) for side in (width, height))
    gains = watermark.FAINTEST, watermark.STRONGEST, watermark.PER_LEVEL, watermark.SHIFT
    launch(kernels.EMBED_MARK, *blocks, pattern, width, height, *gains, luma)
