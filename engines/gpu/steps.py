"""The CPU's path, step by step, as launches of kernels. Knows no GPU, no streams and no memory.

Each step launches what takes the place of the function that it names. An address is a place on a
GPU, of the type that its kernel says; a launcher that has no GPU may take arrays in their stead.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import crop, head, kernels, raster, steady
from engines.eyes import Gap
from engines.fields import Cover, cover
from engines.kernels import Kernel
from engines.liveportrait.portrait import Stage
from engines.mouth import Seen
from engines.warp import SourceMap

F32 = NDArray[np.float32]

Address = Any


class Launch(Protocol):
    def __call__(self, kernel: Kernel, columns: int, rows: int, *arguments: Any) -> None: ...


class Picture(NamedTuple):
    pixels: Address
    """(height, width, 4) uint8"""
    width: int
    height: int


class Texture(NamedTuple):
    """What is looked up."""

    texels: Address
    width: int
    height: int


class FieldAt(NamedTuple):
    """Where the head's field is, and what it takes to lay it over."""

    field: Address
    """(FIELD_CHANNELS, cells, cells) float32"""
    movable: Address
    """(cells, cells) float32, `head.movable` times the face unit"""
    turned: Address
    """for what is turned: float32, 3 for every 4 x 4 pixels"""


class MeshAt(NamedTuple):
    """Where what a map is drawn from is."""

    moved: Address
    """(T, 3, 2) float32, of the map"""
    sources: Address
    """(T, 3, 2) float32, of the map"""
    of_face: Address
    """(h, w, 2) float32, of the map"""
    shown: Address
    """an int32 for each pixel of the map: 0 before, and 0 afterwards"""


class MapAt(NamedTuple):
    """Where a `SourceMap` is."""

    xy: Address
    quarters: Address
    """of its folds alone"""
    folds: Address


def draw_map(launch: Launch, source: SourceMap, mesh: MeshAt, xy: Address) -> None:
    """`raster.draw_sources` outside of the face, and the face's part of the map."""
    height, width = source.xy.shape[:2]
    launch(kernels.COVER, height, len(source.moved), mesh.moved, width, mesh.shown)
    limits = raster.SMALLEST, raster.STEEPEST
    triangles = mesh.moved, mesh.sources
    launch(kernels.DRAW_SOURCES, width, height, mesh.shown, *triangles, *limits, xy)
    of_face, face = source.of_face.shape, source.face
    launch(kernels.LAY_FACE, of_face[1], of_face[0], mesh.of_face, xy, width, face.left, face.top)


def sample(
    launch: Launch, portrait: Picture, source: SourceMap, at: MapAt, canvas: Picture
) -> None:
    """`warp.sample`."""
    height, width = source.xy.shape[:2]
    part = at.xy, width, height, source.left, source.top
    launch(kernels.SAMPLE, canvas.width, canvas.height, *portrait, *part, canvas.pixels)
    face = source.face
    left, top = source.left + face.left, source.top + face.top
    fine = at.quarters, at.folds, left, top
    launch(kernels.SAMPLE_FOLDS, len(face.folds), 1, *portrait, *fine, canvas.pixels, canvas.width)


def displace(
    launch: Launch, at_field: FieldAt, patch: crop.Patch, source: SourceMap, at: MapAt
) -> None:
    """`head.displace`."""
    height, width = source.xy.shape[:2]
    cells = patch.px // head.FIELD_STRIDE
    matrix = head.field_from_canvas(patch, source.left, source.top)
    part = cover((cells, cells), matrix, (height, width))
    affine = part.field_from_cell.ravel().tolist()
    field, movable, turned = at_field
    launch(kernels.TURN_WAYS, *part.cells, field, movable, cells, cells, *affine, turned)
    size, (left, top) = _extent(part)
    launch(kernels.ADD_WAYS, *size, turned, *part.cells, at.xy, width, left, top)
    face = source.face
    begin = face.left - left, face.top - top
    launch(
        *(kernels.ADD_WAYS_TO_FOLDS, len(face.folds), 1),
        *(turned, *part.cells, at.folds, at.quarters, *begin, *size),
    )


def shade(launch: Launch, at_field: FieldAt, patch: crop.Patch, canvas: Picture) -> None:
    """`head.shade`."""
    cells = patch.px // head.FIELD_STRIDE
    matrix = head.field_from_canvas(patch, 0, 0)
    part = cover((cells, cells), matrix, (canvas.height, canvas.width))
    affine = part.field_from_cell.ravel().tolist()
    field, _, turned = at_field
    launch(kernels.TURN_GAINS, *part.cells, field, cells, cells, *affine, turned)
    size, begin = _extent(part)
    launch(kernels.MULTIPLY_GAINS, *size, turned, *part.cells, canvas.pixels, canvas.width, *begin)


def lay_eye(launch: Launch, gap: Gap, lids: Address, layers: Texture, canvas: Picture) -> None:
    """`Eye.draw`.

    Args:
        lids: of the gap.
        layers: (2, height, width, 4) float32 of the eye.
    """
    matrix = [*gap.back.ravel().tolist(), *gap.offsets.ravel().tolist()]
    size, begin = _where(gap.rows, gap.columns)
    launch(kernels.LAY_EYE, *size, lids, *layers, *matrix, canvas.pixels, canvas.width, *begin)


def lay_mouth(launch: Launch, seen: Seen, rgb: Address, share: Address, canvas: Picture) -> None:
    """`Mouth.draw`; the addresses are of the arrays of `seen`."""
    size, begin = _where(seen.rows, seen.columns)
    launch(kernels.LAY_MOUTH, *size, rgb, share, canvas.pixels, canvas.width, *begin)


def cut(launch: Launch, patch: crop.Patch, canvas: Picture, seen: Address, person: Address) -> None:
    """`models.picture_in`, as a tensor.

    Args:
        seen: (3, px, px) float32 is written.
        person: (px, px) float32 is written.
    """
    back = cv2.invertAffineTransform(patch.patch_from_canvas.astype(np.float64))
    matrix = np.asarray(back).ravel().tolist()
    launch(kernels.CROP, patch.px, patch.px, *canvas, *matrix, seen, person)


def find_features(
    launch: Launch,
    patch: crop.Patch,
    at_rest: crop.Patch,
    mapped: tuple[SourceMap, MapAt],
    grid: Address,
) -> None:
    """`crop.feature_grid`.

    Args:
        at_rest: the patch in the portrait.
        mapped: the map, and where it is.
        grid: (cells, cells, 2) float32 is written.
    """
    source, at = mapped
    cells = patch.px // crop.FEATURE_STRIDE
    matrix = crop.cells_from_map(patch, source, cells).astype(np.float64)
    back = np.asarray(cv2.invertAffineTransform(matrix)).ravel().tolist()
    height, width = source.xy.shape[:2]
    own = *at_rest.patch_from_canvas.ravel().tolist(), 2 / at_rest.px
    launch(kernels.FEATURE_GRID, cells, cells, at.xy, width, height, *back, *own, grid)


def light(launch: Launch, patch: crop.Patch, gain: Address, canvas: Picture) -> None:
    """`Patch.light` by a gain (px, px) float32."""
    size, begin, matrix = _reach(patch, canvas)
    launch(kernels.PAINT_LIGHT, *size, canvas.pixels, canvas.width, *begin, gain, patch.px, *matrix)


def add(launch: Launch, patch: crop.Patch, change: Address, share: float, canvas: Picture) -> None:
    """`Patch.add` of a share of a change (3, px, px) float32."""
    size, begin, matrix = _reach(patch, canvas)
    at = canvas.pixels, canvas.width, *begin
    launch(kernels.PAINT_ADD, *size, *at, change, patch.px, share, *matrix)


def paste(launch: Launch, stage: Stage, generated: Texture, mask: Address, canvas: Picture) -> None:
    """`Stage.paste`, and `LivePortrait.render`'s rounding of what is pasted.

    Args:
        generated: (3, px, px) float32.
        mask: the stage's.
    """
    (left, top), (height, width) = stage.left_top, stage.mask.shape
    here = stage.canvas_from_crop.astype(np.float64)
    here[:, 2] -= stage.left_top
    matrix = np.asarray(cv2.invertAffineTransform(here)).ravel().tolist()
    at = canvas.pixels, canvas.width, left, top
    picture = generated.texels, generated.width
    launch(kernels.PASTE, width, height, *picture, *matrix, mask, *at)


def hold(
    launch: Launch, before: Address, picture: Picture, box: tuple[slice, slice], change: Address
) -> None:
    """`Steady` of what it saw before.

    Args:
        before: a picture of the same size.
        box: of `steady.held_box`.
        change: for a uint8 for each of its pixels.
    """
    size, begin = _where(*box)
    at = picture.width, *begin
    launch(kernels.FIND_CHANGE, *size, picture.pixels, before, *at, change)
    how = steady.WINDOW, steady.FADE_PX, steady.CHANGES, steady.LEAST
    launch(kernels.HOLD, *size, change, before, *at, *how, picture.pixels)


def _extent(part: Cover) -> tuple[tuple[int, int], tuple[int, int]]:
    return _where(part.rows, part.columns)


def _where(rows: slice, columns: slice) -> tuple[tuple[int, int], tuple[int, int]]:
    """Columns and rows; left and top."""
    size = columns.stop - columns.start, rows.stop - rows.start
    return size, (columns.start, rows.start)


def _reach(
    patch: crop.Patch, canvas: Picture
) -> tuple[tuple[int, int], tuple[int, int], list[float]]:
    """Columns and rows, left and top, and matrix, as the paint's kernels take them."""
    rows, columns, matrix = patch.reach((canvas.height, canvas.width))
    return *_where(rows, columns), matrix.ravel().tolist()
