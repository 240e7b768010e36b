"""Places on the GPU that are made together, kept beside an array, or given up by whoever had them.

Knows no frames. Like `engines/device.py`, to be imported where a GPU is asked for, not before.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.device import CudaEvent, CudaStream, Place

P = TypeVar("P", bound=Place)


class Owned:
    """Places of one owner, who frees them all; also when one of them cannot be had."""

    def __init__(self) -> None:
        self.places: list[Place] = []

    def __call__(
        self, kind: type[P], shape: tuple[int, ...], dtype: type[np.generic] = np.float32
    ) -> P:
        """
        Raises:
            DeviceError: no memory is left for it.
        """
        made = kind(shape, dtype)
        self.places.append(made)
        return made

    def free(self) -> None:
        while self.places:
            self.places.pop().free()


class Trash:
    """Places and events whose owners are gone.

    Python finds that out on any thread, and they are given back where the context is current: so
    they wait here until the thread that draws comes by. (pycuda cannot destroy an event elsewhere.)
    """

    def __init__(self) -> None:
        self._waiting: deque[Place | CudaEvent] = deque()

    def expect(self, owner: object, things: Iterable[Place | CudaEvent]) -> None:
        """Take things over once their owner is gone."""
        weakref.finalize(owner, self._waiting.extend, tuple(things)).atexit = False

    def empty(self) -> None:
        """Give them back; the context is current."""
        while self._waiting:
            thing = self._waiting.popleft()
            if isinstance(thing, Place):
                thing.free()


class Shelf:
    """Arrays that stay as they are for many frames: each is sent once, and kept while it lives."""

    def __init__(self, trash: Trash, stream: CudaStream) -> None:
        self._trash, self._stream = trash, stream
        self._places: dict[int, tuple[weakref.ref[NDArray[Any]], Place]] = {}

    def place_of(
        self, array: NDArray[Any], as_sent: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> Place:
        """
        Args:
            array: not written to any more.
            as_sent: what is sent of it.

        Raises:
            DeviceError: no memory is left for it.
        """
        found = self._places.get(id(array))
        if found is not None and found[0]() is array:
            return found[1]
        sent = as_sent(array)
        place = Place(sent.shape, sent.dtype)
        place.fill(sent, self._stream)
        self._trash.expect(array, [place])
        self._places = {key: kept for key, kept in self._places.items() if kept[0]() is not None}
        self._places[id(array)] = weakref.ref(array), place
        return place

    def free(self) -> None:
        """Those of arrays that live; `trash` has the others."""
        for array, place in self._places.values():
            if array() is not None:
                place.free()
        self._places = {}
