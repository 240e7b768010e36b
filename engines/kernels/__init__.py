"""Our own CUDA kernels: what happens to a frame before, between and after the networks.

Each stands for a piece of the CPU's path and gives its pixels, to the last bit or the one beside
it; `tests/engines/test_kernels.py` compares them, without a GPU.

    I420_TO_RGB         stages/ingest.py, for a decoder's plain I420: even sides, BT.601, limited
    COVER, DRAW_SOURCES raster.draw_sources, of the mesh outside of the face
    LAY_FACE            raster.merge_quarters, its writing of the map
    SAMPLE              warp.sample, but for the folds
    SAMPLE_FOLDS        raster.sample_folds
    FEATURE_GRID        crop.feature_grid
    CROP                models.picture_in, and as a tensor
    PAINT_ADD           crop.Patch.add
    PAINT_LIGHT         crop.Patch.light
    PASTE               liveportrait.portrait.Stage.paste
    TURN_WAYS           fields.enlarge of head.displace, its turning
    ADD_WAYS            ... its stretching, and the sum
    ADD_WAYS_TO_FOLDS   ... the same for the quarters of pixels at folds
    LAY_EYE             eyes.lay
    LAY_MOUTH           mouth.Mouth.draw, of what its `look` gives
    TURN_GAINS          fields.enlarge of head.shade, its turning
    MULTIPLY_GAINS      ... its stretching, and the product
    FIND_NOT_FINITE     models._check_finite
    SAMPLE_VOLUME       nets.liveportrait.sampling.sample
    FIND_CHANGE, HOLD   steady.Steady, without its memory of the picture before
    BLEND               backdrop.blend, and Composite's mirror
    MARK                stages/mark.py, which draws the patch
    RGB_TO_I420         stages/emit.py
    EMBED_MARK          watermark.add_pattern, which stages/emit.py calls last

Pictures on the GPU are (H, W, 4) uint8: colour and alpha of a pixel are one aligned word. The
`.cu` files say each kernel's shapes. This file is the table of them and knows no GPU;
`program.py` compiles and launches them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FILES = (
    "pixels.cu",
    "colour.cu",
    "mesh.cu",
    "warp.cu",
    "field.cu",
    "layers.cu",
    "crop.cu",
    "steady.cu",
    "picture.cu",
    "volume.cu",
    "watermark.cu",
)
"""in this order one source: what the others share comes first"""
_AFFINE = "dddddd"
"""a (2, 3) matrix by rows"""
_TILE = (32, 8, 1)
"""threads of a block: a warp reads neighbours along a row"""
_STRIP = (256, 1, 1)


@dataclass(frozen=True, slots=True)
class Kernel:
    name: str
    arguments: str
    """after columns and rows: P an address on the GPU, i int32, f float32, d float64"""


I420_TO_RGB = Kernel("i420_to_rgb", "PP")
RGB_TO_I420 = Kernel("rgb_to_i420", "PP")
COVER = Kernel("cover", "PiP")
DRAW_SOURCES = Kernel("draw_sources", "PPPddP")
LAY_FACE = Kernel("lay_face", "PPiii")
SAMPLE = Kernel("sample", "PiiPiiiiP")
SAMPLE_FOLDS = Kernel("sample_folds", "PiiPPiiPi")
TURN_WAYS = Kernel("turn_ways", f"PPii{_AFFINE}P")
TURN_GAINS = Kernel("turn_gains", f"Pii{_AFFINE}P")
ADD_WAYS = Kernel("add_ways", "PiiPiii")
ADD_WAYS_TO_FOLDS = Kernel("add_ways_to_folds", "PiiPPiiii")
MULTIPLY_GAINS = Kernel("multiply_gains", "PiiPiii")
FIND_NOT_FINITE = Kernel("find_not_finite", "PP")
LAY_EYE = Kernel("lay_eye", "PPiiffffffffPiii")
LAY_MOUTH = Kernel("lay_mouth", "PPPiii")
FEATURE_GRID = Kernel("feature_grid", f"Pii{_AFFINE}fffffffP")
CROP = Kernel("crop", f"Pii{_AFFINE}PP")
PAINT_ADD = Kernel("paint_add", f"PiiiPif{_AFFINE}")
PAINT_LIGHT = Kernel("paint_light", f"PiiiPi{_AFFINE}")
PASTE = Kernel("paste", f"Pi{_AFFINE}PPiii")
FIND_CHANGE = Kernel("find_change", "PPiiiP")
HOLD = Kernel("hold", "PPiiiiiddP")
BLEND = Kernel("blend", "PPiP")
MARK = Kernel("mark", "PiiPi")
EMBED_MARK = Kernel("embed_mark", "PiiiiiiP")
SAMPLE_VOLUME = Kernel("sample_volume", "PiiiPP")

EVERY = (
    *(I420_TO_RGB, RGB_TO_I420),
    *(COVER, DRAW_SOURCES, LAY_FACE),
    *(SAMPLE, SAMPLE_FOLDS),
    *(TURN_WAYS, TURN_GAINS, ADD_WAYS, ADD_WAYS_TO_FOLDS, MULTIPLY_GAINS, FIND_NOT_FINITE),
    *(LAY_EYE, LAY_MOUTH),
    *(FEATURE_GRID, CROP, PAINT_ADD, PAINT_LIGHT, PASTE),
    *(FIND_CHANGE, HOLD),
    *(BLEND, MARK, EMBED_MARK),
    SAMPLE_VOLUME,
)

Extent = tuple[int, int, int]


def geometry(columns: int, rows: int) -> tuple[Extent, Extent]:
    """Blocks of a grid and threads of a block, as x, y, z, for so many items; neither is zero."""
    block = _STRIP if rows == 1 else _TILE
    return (-(-columns // block[0]), -(-rows // block[1]), 1), block


def source() -> str:
    """All kernels as one source; a compiler's complaints name the file and its line."""
    folder = Path(__file__).parent
    parts = [(name, (folder / name).read_text(encoding="utf-8")) for name in _FILES]
    return "\n".join(f'#line 1 "{name}"\n{text}' for name, text in parts)
