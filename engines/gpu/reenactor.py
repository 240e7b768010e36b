"""warp-refine with its frames on a GPU: `models.Reenactor`'s door, and its pictures.

The CPU says where things are: landmarks, the map of sources, the outlines of lids and lips. The GPU
does what touches pixels, and the networks are TensorRT's plans: what a kernel writes lies where a
network reads it, and the other way round. Only numbers go up; the camera's picture does not, and
what comes down is the finished I420.

It has never run on a GPU: tests run it on doubles, against `models.Reenactor`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines import plans
from engines.backends.tensorrt import TensorRTEngine, find_plan
from engines.device import Device, Place
from engines.gpu.easel import Drawn, Easel, Workshop
from engines.gpu.painter import Graphs, Painter
from engines.gpu.residents import Doors, Worn
from engines.kernels.program import Program
from engines.models import Memory, Network, Reenactor, maker_of
from engines.pose import MotionTensors, Sight
from engines.shelf import Shelf
from engines.specs import NetworkSpec

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


class GpuReenactor:
    """One thread draws; another may encode meanwhile.

    Raises:
        BackendError: a plan or the compiler of the kernels is missing, or no memory is left.
        WeightsError: they are missing, or not what was got.
    """

    looks = False

    def __init__(self, spec: NetworkSpec, why: str) -> None:
        self._device, root = Device(), plans.default_root()
        device, self._spec = self._device, spec
        found = [find_plan(spec, graph, device.info, root) for graph in spec.graphs]
        with device.current():
            self._workshop = Workshop(device, Program(device.info, root))
            self._doors = doors = Doors(spec)
        shared: tuple[dict[str, Place], ...] = ({}, doors.drive, {}, doors.look)
        self._engines = [
            TensorRTEngine(
                graph, plan, device, {name: place.address for name, place in places.items()}
            )
            for graph, plan, places in zip(spec.graphs, found, shared, strict=True)
        ]
        network = Network(spec.size, *self._engines)
        self._encoder = Reenactor(network, why, maker=maker_of(spec, network))
        _, drive, _, drive_head = self._engines
        self._graphs = Graphs(drive, drive_head)
        self._painters: dict[tuple[int, int], Painter] = {}
        self.reason = f"{spec.name} on {network.description}, frames drawn there by kernels: {why}"

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> Worn:
        """As of `models.Reenactor`.

        Raises:
            PortraitError: the arrays are not a portrait and its landmarks.
            DeviceError: no memory is left for it.
        """
        encoded = self._encoder.encode_identity(portrait_rgba, landmarks_px, canvas_hw, shelf)
        with self._device.current():
            self._workshop.trash.empty()
            return Worn(encoded, self._workshop)

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        """As of `models.Reenactor`."""
        return self._encoder.look(rgb, landmarks_px)

    def render(self, identity: Worn, motion: MotionTensors, memory: Memory | None = None) -> Drawn:
        """The identity as `motion` drives it, on its way on the GPU; `GpuPicture` says what next.

        Args:
            memory: of the frames before; without it each frame is drawn for itself.

        Raises:
            DeviceError: no memory is left, or the GPU fails.
        """
        encoded = identity.encoded
        with self._device.current():
            painter = self._painters.get(encoded.canvas_hw)
            if painter is None:
                easel = Easel(self._workshop, encoded.canvas_hw)
                painter = Painter(easel, self._spec, self._doors, self._graphs)
                self._painters[encoded.canvas_hw] = painter
            return painter.draw(identity, encoded.target.place(motion), memory)

    def stage_ms(self, canvas_hw: tuple[int, int]) -> dict[str, float]:
        """How long each stage of the last frame of that size took on the GPU."""
        return self._painters[canvas_hw].easel.stage_ms()

    @property
    def device(self) -> Device:
        return self._device

    def close(self) -> None:
        """Give the GPU back; nothing that came from here may be used any more."""
        for engine in self._engines:
            engine.close()
        with self._device.current():
            for painter in self._painters.values():
                painter.easel.current = None
                painter.easel.own.free()
            self._painters.clear()  # and what they alone still know of
            self._workshop.shelf.free()
            self._workshop.trash.empty()
            self._doors.own.free()
            self._workshop.program.close()
        self._device.close()
