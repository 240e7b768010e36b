"""What the doubles of libcuda, pycuda and TensorRT share: one pretended GPU, and who called what.

A copy or a launch is done when it is called; or, where `late` says so, as late as it may be: when
somebody waits for it. Streams then know of each other only by events, and what was not tied by one
gives wrong pixels.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

import engines.backends
import engines.gpu
import engines.kernels
import engines.liveportrait  # noqa: F401 - the packages of some of OURS
from engines.driver import LIBRARY

FENCE = 64
"""words before and behind each allocation"""
POST = 0xA5A5A5A5
"""what stands there, and in what was not yet written to"""


class Strict:
    """Takes no attribute that its class does not define, as compiled bindings do. What derives
    from it in Python may, as there."""

    def __setattr__(self, name: str, value: object) -> None:
        cls = type(self)
        known = name.startswith("_") or isinstance(getattr(cls, name, None), property)
        if cls.__module__.startswith("tests.doubles") and not known:
            raise AttributeError(f"{cls.__name__} has no attribute {name!r} to set")
        super().__setattr__(name, value)


class Line:
    """What waits on one stream."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()
        self.submitted = 0
        self.done = 0


class Gpu:
    """Its memory, its contexts, its recordings; and what is to go wrong."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """every call that touches the GPU, in order"""
        self.memory: dict[int, NDArray[np.float32]] = {}
        """address -> what is there"""
        self._fenced: dict[int, NDArray[np.float32]] = {}
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
        self.late = False
        """work is done when it is waited for, and not before"""
        self._lines: dict[int, Line] = {}
        """of streams"""

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

    def submit(self, stream: int, work: Callable[[], object]) -> None:
        """Have something done on a stream, behind all that waits there."""
        if not self.late:
            work()
            return
        line = self._lines.setdefault(stream, Line())
        line.waiting.append(work)
        line.submitted += 1

    def submitted(self, stream: int) -> int:
        """How much was so far."""
        return self._lines.setdefault(stream, Line()).submitted

    def finish(self, stream: int, until: int | None = None) -> None:
        """Do what waits on a stream: all, or as much as was submitted at some time."""
        line = self._lines.setdefault(stream, Line())
        while line.done < (line.submitted if until is None else until):
            line.done += 1
            line.waiting.popleft()()

    def allocate(self, size: int) -> int:
        address, self._end = self._end, self._end + size + 0x100
        self._end += -self._end % 0x100
        words = -(-size // 4)
        fenced = np.full(words + 2 * FENCE, POST, np.uint32).view(np.float32)
        self.memory[address], self._fenced[address] = fenced[FENCE:-FENCE], fenced
        self.free_bytes -= 4 * words
        return address

    def fences_stand(self) -> bool:
        """Whether nothing was written before or behind what is allocated now."""
        ends = (fenced.view(np.uint32) for fenced in self._fenced.values())
        return all((end[:FENCE] == POST).all() and (end[-FENCE:] == POST).all() for end in ends)

    def pointer(self, address: int) -> int:
        """To where in this process a place on the GPU is, which may lie inside of an allocation."""
        return int(self.there(address, 1).ctypes.data)

    def there(self, address: int, size: int) -> NDArray[np.uint8]:
        """The bytes at an address, which may lie inside of an allocation."""
        start = max(start for start in self.memory if start <= address)
        there, offset = self.memory[start].view(np.uint8), address - start
        assert offset + size <= there.nbytes, "beyond an allocation"
        return there[offset : offset + size]

    def release(self, address: int) -> None:
        for stream in list(self._lines):  # cuMemFree waits for everything
            self.finish(stream)
        assert self.fences_stand(), "written beyond an allocation"
        del self._fenced[address]
        self.free_bytes += 4 * len(self.memory.pop(address))


OURS = (
    "engines.device",
    "engines.backends.tensorrt",
    "engines.build",
    "engines.kernels.program",
    "engines.liveportrait.chain",
    "engines.gpu.places",
    "engines.gpu.easel",
    "engines.gpu.residents",
    "engines.gpu.painter",
    "engines.gpu.reenactor",
    "engines.gpu.liveportrait",
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
