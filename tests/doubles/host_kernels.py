"""Our CUDA kernels on this processor: the same source, compiled by the host's C++ compiler."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines import kernels
from engines.kernels import Extent, Kernel

COMPILER = "g++"

_SHIM = Path(__file__).with_name("cuda_on_host.h")
_TYPES = {
    "P": ("void *", ctypes.c_void_p),
    "i": ("int", ctypes.c_int),
    "f": ("float", ctypes.c_float),
    "d": ("double", ctypes.c_double),
}
_FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off")


class HostKernels:
    def __init__(self, source: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "kernels.so"
            self._build(source, library)
            self._library = ctypes.CDLL(str(library))

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, arguments: Sequence[Any]) -> None:
        """
        Args:
            arguments: columns and rows and what the table says; addresses are of this process.
        """
        types = [_TYPES[letter][1] for letter in "ii" + kernel.arguments]
        assert len(arguments) == len(types), f"{kernel.name}: {len(arguments)} arguments"
        values = [kind(value) for kind, value in zip(types, arguments, strict=True)]
        self._library[f"on_host_{kernel.name}"](_extent(grid), _extent(block), *values)

    def _build(self, source: str, library: Path) -> None:
        doors = "\n".join(_door(kernel) for kernel in kernels.EVERY)
        whole = f'#include "{_SHIM}"\n{source}\n#line 1 "doors"\n{doors}\n'
        command = [COMPILER, *_FLAGS, "-x", "c++", "-", "-o", str(library)]
        subprocess.run(command, input=whole, text=True, check=True)


@functools.cache
def host_kernels(source: str) -> HostKernels:
    return HostKernels(source)


def _door(kernel: Kernel) -> str:
    """A function that launches one kernel."""
    names = [f"a{number}" for number in range(2 + len(kernel.arguments))]
    types = [_TYPES[letter][0] for letter in "ii" + kernel.arguments]
    given = ", ".join(f"{kind} {name}" for kind, name in zip(types, names, strict=True))
    return (
        f'extern "C" void on_host_{kernel.name}(unsigned *grid, unsigned *block, {given}) '
        f"{{ on_host({kernel.name}, grid, block, {', '.join(names)}); }}"
    )


def _extent(extent: Extent) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * 3)(*extent)
