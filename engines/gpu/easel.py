"""Where frames of one canvas size are finished on a GPU: memory that is bound once, and streams.

Four streams, tied by events:

    sending    what the CPU computed for this frame: the map, lids, guides
    looking    the head network, beside the frame that asks for it
    drawing    our kernels, and the painting network, which lies between two of them
    fetching   the finished I420

A frame is drawn, blended, marked, packed; then it is waited for. Nothing is allocated on the way.
Knows no networks and no faces. It has never run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import kernels
from engines.avatar import Embedding, RenderedArrays
from engines.device import Buffer, CudaEvent, CudaStream, Device, Place, Staged, copy
from engines.errors import DeviceError, EngineError
from engines.gpu.places import Owned, Shelf, Trash
from engines.gpu.steps import Picture
from engines.kernels import Kernel
from engines.kernels.program import Program

U8 = NDArray[np.uint8]

_ORDER = ("drawn", "blended", "marked", "packed")


class Streams(NamedTuple):
    sending: CudaStream
    looking: CudaStream
    drawing: CudaStream
    fetching: CudaStream

    @classmethod
    def of(cls, device: Device) -> Streams:
        """The device's context is current."""
        return cls(*(device.stream() for _ in cls._fields))


class Workshop:
    """What the easels of one reenactor share. The device's context is current."""

    def __init__(self, device: Device, program: Program) -> None:
        self.device, self.program = device, program
        self.streams, self.trash = Streams.of(device), Trash()
        self.shelf = Shelf(self.trash, self.streams.sending)
        self.is_waited_for = True
        """the frame before, and nothing of it is under way"""


class Easel:
    """The memory of finished pictures of one size. One thread uses it, one frame after the other.

    Raises:
        DeviceError: no memory is left for it; none is taken then.
    """

    def __init__(self, workshop: Workshop, canvas_hw: tuple[int, int]) -> None:
        """The device's context is current."""
        self.workshop, self.canvas_hw = workshop, canvas_hw
        height, width = canvas_hw
        self.own = Owned()
        try:
            self.picture = self.own(Place, (height, width, 4), np.uint8)
            self.i420 = self.own(Buffer, (height * 3 // 2, width), np.uint8)
            self.faults = self.own(Staged, (1,), np.int32)
        except DeviceError:
            self.own.free()
            raise
        self._fetched: Buffer | None = None
        self.drawn = workshop.device.event()
        self._stamps: dict[str, CudaEvent] = {}
        self._stamped: list[str] = []
        self.current: Drawn | None = None

    def launch(self, kernel: Kernel, columns: int, rows: int, *arguments: Any) -> None:
        """As of `steps.Launch`, on the stream that draws."""
        self.workshop.program.launch(
            kernel, self.workshop.streams.drawing, columns, rows, *arguments
        )

    def begin(self) -> None:
        """A new frame, after one that may have been given up on the way."""
        if not self.workshop.is_waited_for:
            self.workshop.streams.drawing.synchronize()
        self.workshop.is_waited_for = False
        self.current = None
        self.workshop.trash.empty()
        self._stamped = []
        sending, drawing = self.workshop.streams.sending, self.workshop.streams.drawing
        sending.wait_for_event(self.drawn)
        self.faults.send(np.zeros(1, np.int32), sending)
        self.faults.awaited_by(drawing)
        self.stamp("begun")

    def find_fault(self, numbers: int, elements: int) -> None:
        """Have the frame refused if one of so many float32 at an address is not finite."""
        self.launch(kernels.FIND_NOT_FINITE, elements, 1, numbers, self.faults.address)

    def stamp(self, stage: str, stream: CudaStream | None = None) -> None:
        """Note when a stage ends on a stream; None: the one that draws."""
        if stage not in self._stamps:
            self._stamps[stage] = self.workshop.device.event()
        self._stamps[stage].record(stream or self.workshop.streams.drawing)
        self._stamped.append(stage)

    def stage_ms(self) -> dict[str, float]:
        """How long each stage of the frame took on the GPU that was waited for last."""
        names = self._stamped
        with self.workshop.device.current():
            return {
                end: float(self._stamps[begin].time_till(self._stamps[end]))
                for begin, end in zip(names, names[1:], strict=False)
            }

    def finish(self, wanted: Buffer) -> None:
        """Fetch what is in a buffer and wait for it.

        Raises:
            EngineError: a network gave NaN or infinity in this frame.
        """
        fetching = self.workshop.streams.fetching
        self.drawn.record(self.workshop.streams.drawing)
        fetching.wait_for_event(self.drawn)
        wanted.download(fetching)
        self.faults.download(fetching)
        self.stamp("fetched", fetching)
        fetching.synchronize()
        self.workshop.is_waited_for = True
        if self.faults.host[0]:
            raise EngineError("the network's output is not finite; the frame is dropped")

    def fetched(self) -> Buffer:
        """For a picture that leaves before it is finished; made where it is first needed."""
        if self._fetched is None:
            self._fetched = self.own(Buffer, (*self.canvas_hw, 4), np.uint8)
        return self._fetched


class Owner(Protocol):
    def forget(self) -> None:
        """Begin anew: the frame before is not to be built upon."""
        ...


class Drawn:
    """One frame on its easel: `avatar.GpuPicture`."""

    def __init__(self, easel: Easel, canvas: Picture, owner: Owner) -> None:
        """
        Args:
            canvas: the avatar; its places are the owner's.
            owner: is told where the frame turns out to be none.
        """
        self._easel, self._canvas, self._owner = easel, canvas, owner
        self._done = _ORDER[0]
        easel.drawn.record(easel.workshop.streams.drawing)
        easel.current = self

    @property
    def canvas_hw(self) -> tuple[int, int]:
        return self._easel.canvas_hw

    def blend(self, back_rgb: U8, mirrored: bool) -> None:
        """As of `GpuPicture`."""
        easel = self._easel
        with self._next("blended"):
            place = easel.workshop.shelf.place_of(back_rgb, _with_alpha)
            easel.launch(
                kernels.BLEND,
                self._canvas.width,
                self._canvas.height,
                self._canvas.pixels,
                place.address,
                int(mirrored),
                easel.picture.address,
            )

    def mark(self, patch: U8 | None, left: int, top: int) -> None:
        """As of `GpuPicture`."""
        easel = self._easel
        with self._next("marked"):
            if patch is not None:
                height, width = patch.shape[:2]
                place = easel.workshop.shelf.place_of(patch, np.ascontiguousarray)
                at = place.address, left, top, easel.picture.address, self._canvas.width
                easel.launch(kernels.MARK, width, height, *at)

    def pack(self, embedding: Embedding) -> U8:
        """As of `GpuPicture`."""
        easel, (height, width) = self._easel, self.canvas_hw
        with self._next("packed"):
            pattern = easel.workshop.shelf.place_of(embedding.pattern, np.ascontiguousarray)
            easel.launch(
                *(kernels.RGB_TO_I420, width // 2, height // 2),
                *(easel.picture.address, easel.i420.address),
            )
            blocks = (-(-side // embedding.block_px) for side in (width, height))
            how = pattern.address, width, height, *embedding.gains
            easel.launch(kernels.EMBED_MARK, *blocks, *how, easel.i420.address)
        with self._refusing():
            easel.finish(easel.i420)
            return easel.i420.host.copy()

    def fetch(self) -> RenderedArrays:
        """As of `GpuPicture`."""
        with self._refusing():
            self._require("drawn")
            easel, found = self._easel, self._easel.fetched()
            drawing = easel.workshop.streams.drawing
            copy(found.address, self._canvas.pixels, found.bytes, drawing)
            easel.finish(found)
            rgb = np.asarray(cv2.cvtColor(found.host, cv2.COLOR_RGBA2RGB), np.uint8)
            return RenderedArrays(rgb, np.ascontiguousarray(found.host[..., 3]))

    def _require(self, done: str) -> None:
        if self._easel.current is not self:
            raise EngineError("this picture is no longer on the GPU: another was drawn over it")
        if self._done != done:
            raise EngineError(f"the picture on the GPU is {self._done}, must be {done}")

    @contextmanager
    def _next(self, done: str) -> Iterator[None]:
        """Around one step of the order; it counts when all of it was launched."""
        with self._refusing():
            self._require(_ORDER[_ORDER.index(done) - 1])
            yield
            self._done = done
            self._easel.stamp(done)
            self._easel.drawn.record(self._easel.workshop.streams.drawing)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Where anything fails, nothing more comes of this frame, and the next begins anew."""
        try:
            with self._easel.workshop.device.current():
                yield
        except EngineError:
            self._easel.current = None
            self._owner.forget()
            raise


def _with_alpha(rgb: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA))
