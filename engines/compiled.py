"""Compiles plain loops over pixels, for what numpy can only do in many passes.

Numba compiles a function when its module is first imported, in seconds, and keeps the machine code
in `__pycache__` beside it or, where that cannot be written, in the user's cache; where neither can,
or the disk is full, it compiles at every start. The loops do not hold the interpreter lock.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

logger = logging.getLogger(__name__)

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
        compile_for = functools.partial(numba.njit, signature, nogil=True, error_model="numpy")
        made: Callable[P, R]
        try:
            made = compile_for(cache=True)(function)
        except (RuntimeError, OSError) as error:  # no folder for the cache, or no room in it
            logger.warning("compiling %s at every start: %s", function.__name__, error)
            made = compile_for()(function)
        return made

    return compile_it
