"""What the doubles of libcuda, pycuda and TensorRT share: one pretended GPU, and who called what.

Nothing runs late here: a copy or a launch is done when it is called. So the order of calls is
tested, and not whether a stream was waited for long enough.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

import engines.backends
import engines.kernels
import engines.liveportrait  # noqa: F401 - the packages of some of OURS
from engines.driver import LIBRARY


class Strict:
    """Takes no attribute that its class does not define, as compiled bindings do. What derives
    from it in Python may, as there."""

    def __setattr__(self, name: str, value: object) -> None:
        cls = type(self)
        known = name.startswith("_") or isinstance(getattr(cls, name, None), property)
        if cls.__module__.startswith("tests.doubles") and not known:
            raise AttributeError(f"{cls.__name__} has no attribute {name!r} to set")
        super().__setattr__(name, value)


class Gpu:
    """Its memory, its contexts, its recordings; and what is to go wrong."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """every call that touches the GPU, in order"""
        self.memory: dict[int, NDArray[np.float32]] = {}
        """address -> what is there"""
        self._end = 0x1000
        self.contexts: list[object] = []
        """of this thread, the current one last"""
        self.retained = 0
        """how often the primary context is held"""
        self.recording: int | None = None
        """the stream that records"""
        self.recorded: list[Callable[[], None]] = []
        """what it has recorded so far"""
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.free_bytes = 20 << 30

        self.driver_version = 12080
        self.count = 1
        self.name = "NVIDIA L4"
        self.compute_capability = (8, 9)
        self.compiler_version = "release 12.8"
        self.codes: dict[str, int] = {}
        """call of libcuda -> what it returns instead of 0"""
        self.refusals: dict[str, str] = {}
        """call of TensorRT or pycuda -> what it says when it fails"""
        self.half_at_the_door = False
        """plans take and give float16"""
        self.noise = 0.0
        """added to each result of a plan"""
        self.steps = 5
        """of the builder's one phase"""
        self.at_step: dict[int, Callable[[], object]] = {}
        """step of the builder -> called there"""

    def did(self, call: str) -> None:
        if self.contexts == [] and call.partition(" ")[0] not in ("init", "retain", "release"):
            raise AssertionError(f"{call}: no context is current on this thread")
        self.calls.append(call)

    def allocate(self, size: int) -> int:
        address, self._end = self._end, self._end + size + 0x100
        self.memory[address] = np.zeros(size // 4, np.float32)
        self.free_bytes -= size
        return address

    def pointer(self, address: int) -> int:
        """To where in this process a place on the GPU is, which may lie inside of an allocation."""
        start = max(start for start in self.memory if start <= address)
        there = self.memory[start]
        assert address < start + there.nbytes, "beyond an allocation"
        return int(there.ctypes.data) + address - start

    def release(self, address: int) -> None:
        self.free_bytes += 4 * len(self.memory.pop(address))


OURS = (
    "engines.device",
    "engines.backends.tensorrt",
    "engines.build",
    "engines.kernels.program",
    "engines.liveportrait.chain",
)
"""what imports the libraries at its top"""


@contextmanager
def installed(gpu: Gpu, *, without: str = "") -> Iterator[None]:
    """The doubles in the place of the libraries, and our files above them imported anew.

    Args:
        without: a library that is not there at all.
    """
    from tests.doubles import libcuda, pycuda, tensorrt

    load = ctypes.CDLL
    doubles = {
        "pycuda": pycuda.package(),
        "pycuda.driver": pycuda.driver(gpu),
        "pycuda.compiler": pycuda.compiler(gpu),
        "tensorrt": tensorrt.module(gpu),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ctypes.CDLL",
            lambda name, *rest, **named: (
                libcuda.Libcuda(gpu) if name == LIBRARY else load(name, *rest, **named)
            ),
        )
        for name, module in doubles.items():
            patch.setitem(sys.modules, name, None if name == without else module)
        _forget_ours()
        yield
    _forget_ours()


def _forget_ours() -> None:
    for name in OURS:
        package, _, own = name.rpartition(".")
        sys.modules.pop(name, None)
        vars(sys.modules[package]).pop(own, None)
