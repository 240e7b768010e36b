"""The table of kernels: it names every one of the sources, and whom each stands for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines import kernels
from engines.kernels import Kernel
from tests.engines.launching import on_this_processor


def declared() -> dict[str, str]:
    """name -> file, of every kernel in the sources."""
    folder = Path(kernels.__file__).parent
    return {
        name: path.name
        for path in sorted(folder.glob("*.cu"))
        for name in re.findall(r"__global__ void (\w+)\(", path.read_text("utf-8"))
    }


def test_the_table_names_every_kernel_of_the_sources() -> None:
    assert {kernel.name for kernel in kernels.EVERY} == set(declared())
    constants = {value for value in vars(kernels).values() if isinstance(value, Kernel)}
    assert constants == set(kernels.EVERY)


def test_every_kernel_says_which_function_of_the_cpu_it_stands_for() -> None:
    for kernel in kernels.EVERY:
        named = rf"^    (\w+, )?{kernel.name.upper()}[, ] *\S"
        assert re.search(named, kernels.__doc__ or "", re.MULTILINE), kernel.name


def test_the_source_holds_every_file_and_names_it() -> None:
    source = kernels.source()
    for name in set(declared().values()):
        assert f'#line 1 "{name}"' in source


@pytest.mark.parametrize(
    "items, grid", [((1, 1), (1, 1)), ((33, 9), (2, 2)), ((32, 8), (1, 1)), ((257, 1), (2, 1))]
)
def test_blocks_cover_every_item(items: tuple[int, int], grid: tuple[int, int]) -> None:
    assert kernels.geometry(*items)[0] == (*grid, 1)


def test_what_is_written_beyond_an_array_is_found() -> None:
    """The fence of the tests above."""
    noise = np.random.default_rng(0).integers(0, 256, (1, 16, 4), np.uint8)
    small: Any = np.zeros((1, 8, 4), np.uint8)
    with pytest.raises(AssertionError, match="behind"):
        on_this_processor(kernels.BLEND, 16, 1, noise, noise.copy(), 0, small)
