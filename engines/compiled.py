"""Compiles plain loops over pixels, for what numpy can only do in many passes.

Numba compiles a function when its module is first imported, in seconds, and keeps the machine code
in `__pycache__` beside it or, where that cannot be written, in the user's cache. The loops neither
allocate nor hold the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for functions of arrays and numbers of exactly these types.

    Args:
        signature: in Numba's notation: `void(f4[:,::1], i8)` takes a contiguous float32 matrix.

    Raises:
        TypeError: when called, for arrays of another type, number of axes or layout.
    """

    def compile_it(function: Callable[P, R]) -> Callable[P, R]:
        # numpy's error model: a division by zero gives infinity, without a branch per division
        made: Callable[P, R] = numba.njit(signature, cache=True, nogil=True, error_model="numpy")(
            function
        )
        return made

    return compile_it
