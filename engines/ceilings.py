"""What a machine can do at most, measured now, and what a network asks of it.

The roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): a graph takes at least as long as
its arithmetic at the machine's best rate, and at least as long as its bytes do. Numpy only; a
GPU's are measured by `backends/torch.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_COPIED_BYTES = 64 * 2**20
"""far beyond any cache"""
_SIDE = 1024
"""of the matrices that are multiplied"""
_REPEATS = 10
"""the quickest counts: what else runs can only slow it down"""


@dataclass(frozen=True, slots=True)
class Work:
    """What one call of a graph cannot do without."""

    flop: int
    """of convolutions and products: a multiplication and an addition are two"""
    bytes: int
    """weights read, inputs read and outputs written, each once"""


@dataclass(frozen=True, slots=True)
class Ceilings:
    flop_per_s: float
    bytes_per_s: float
    """read and written"""

    def floor_s(self, work: Work) -> float:
        """No call is quicker."""
        return max(work.flop / self.flop_per_s, work.bytes / self.bytes_per_s)


def of_cpu() -> Ceilings:
    """Of one thread's float32 product and copy, or of as many as numpy's BLAS uses."""
    source = np.ones(_COPIED_BYTES // 4, np.float32)
    target = np.empty_like(source)
    copy_s = quickest(lambda: np.copyto(target, source))
    left = np.ones((_SIDE, _SIDE), np.float32)
    product = np.empty_like(left)
    product_s = quickest(lambda: np.matmul(left, left, out=product))
    return Ceilings(2 * _SIDE**3 / product_s, 2 * _COPIED_BYTES / copy_s)


def quickest(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Seconds of the quickest of some runs; `work` returns when it is done."""
    spent = []
    for _ in range(repeats + 1):  # the first one also warms up
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent[1:])
