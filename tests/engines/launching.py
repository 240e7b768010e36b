"""Runs a kernel on arrays: on this processor, or on a GPU where there is one.

Every array is copied to a place of its own with a fence before and behind it: what is written
beyond an array is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines import kernels
from engines.kernels import Kernel
from tests.doubles.host_kernels import host_kernels

FENCE = 256
"""bytes; a multiple of what any type must be aligned to"""
_POST = 0xA5


class Launch(Protocol):
    def __call__(self, kernel: Kernel, columns: int, rows: int, *arguments: Any) -> None:
        """Launch and wait. Arrays go as addresses, and hold afterwards what is there then."""
        ...


def on_this_processor(kernel: Kernel, columns: int, rows: int, *arguments: Any) -> None:
    """As of `Launch`."""
    places = {i: fenced(value) for i, value in enumerate(arguments) if _is_array(value)}
    given = [
        places[i].ctypes.data + FENCE if i in places else value for i, value in enumerate(arguments)
    ]
    grid, block = kernels.geometry(columns, rows)
    host_kernels(kernels.source()).launch(kernel, grid, block, [columns, rows, *given])
    for i, place in places.items():
        take_back(place, arguments[i])


@contextmanager
def on_the_gpu(cache: Path) -> Iterator[Launch]:
    """As of `Launch`, on the first GPU."""
    from engines.device import Buffer, Device
    from engines.kernels.program import Program

    device = Device()
    with device.current():
        program, stream = Program(device.info, cache), device.stream()

    def launch(kernel: Kernel, columns: int, rows: int, *arguments: Any) -> None:
        with device.current():
            places = {}
            for i, value in enumerate(arguments):
                if _is_array(value):
                    content = fenced(value)
                    places[i] = Buffer((content.size // 4,))
                    places[i].host.view(np.uint8)[:] = content
                    places[i].upload(stream)
            given = [
                places[i].address + FENCE if i in places else value
                for i, value in enumerate(arguments)
            ]
            program.launch(kernel, stream, columns, rows, *given)
            for place in places.values():
                place.download(stream)
            stream.synchronize()
            for i, place in places.items():
                take_back(place.host.view(np.uint8), arguments[i])
                place.free()

    yield launch
    with device.current():
        program.close()
    device.close()


def fenced(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of an array between fences; whole words."""
    place = np.full(-(-array.nbytes // 4) * 4 + 2 * FENCE, _POST, np.uint8)
    place[FENCE : FENCE + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return place


def take_back(place: NDArray[np.uint8], array: NDArray[Any]) -> None:
    """Into the array what is between the fences, which must stand."""
    end = FENCE + array.nbytes
    assert (place[:FENCE] == _POST).all(), "written before an array"
    assert (place[end:] == _POST).all(), "written behind an array"
    array[...] = place[FENCE:end].view(array.dtype).reshape(array.shape)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)
