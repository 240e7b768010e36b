"""W and G as TensorRT plans on one stream, with our kernel where W is cut.

    volume -> compress                                                      once per identity
    (compressed, x_d, x_s) -> choose -> sample(volume) -> flatten -> generate    per frame

What one of them gives stays on the GPU, at the place that the next one reads: bound once, never
copied. Each plan's launch is recorded; the kernels lie between the recordings. Like
`engines/device.py`, to be imported where a GPU is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engines import kernels, plans
from engines.backends.tensorrt import TensorRTEngine, find_plan
from engines.device import Buffer, CudaStream, Device, Place
from engines.errors import EngineError
from engines.kernels.program import Program
from engines.nets.liveportrait import graphs
from engines.sources import Source

F32 = NDArray[np.float32]

_COMPRESS = "warping_compress"
_CHOOSE, _FLATTEN, _GENERATE = "warping_choose", "warping_flatten", "generator"
PER_FRAME = (_CHOOSE, _FLATTEN, _GENERATE)
LINKS = (_COMPRESS, *PER_FRAME)
"""of `Source.planned`, what a chain runs"""
_LOOKED_AT = ("deformation", "features")
"""tensors that must be finite: rectifiers behind them can turn NaN into a number"""


class Chain:
    """A `StreamEngine` of `graphs.drive`, on streams of pycuda. One thread at a time calls it.

    Raises:
        BackendError: a plan or the compiler of the kernels is missing, or no memory is left.
        WeightsError: they are missing, or not what was got.
    """

    def __init__(self, source: Source, device: Device) -> None:
        self.spec = graphs.drive(source.sizes)
        self.device = device
        self._volume: F32 | None = None
        root = plans.default_root()
        links = {graph.name: graph for graph in source.planned if graph.name in LINKS}
        found = {name: find_plan(source, graph, device.info, root) for name, graph in links.items()}
        tensors = {t.name: t for link in links.values() for t in (*link.inputs, *link.outputs)}
        with device.current():
            self.program = Program(device.info, root)
            self._doors = {t.name: Buffer(t.shape) for t in (*self.spec.inputs, *self.spec.outputs)}
            self._inner = {
                name: Place(tensor.shape)
                for name, tensor in tensors.items()
                if name not in self._doors
            }
            self._not_finite = Buffer((1,))
            self._stream = device.stream()
        places: dict[str, Place] = {**self._doors, **self._inner}
        self._at = {name: place.address for name, place in places.items()}
        self.addresses: Mapping[str, int] = {name: self._at[name] for name in self._doors}
        self._extents = tensors["volume"].shape[1:]  # channels, depth, height, width
        self._sizes = {name: tensors[name].elements for name in _LOOKED_AT}
        self._links = {
            name: TensorRTEngine(graph, found[name], device, self._at)
            for name, graph in links.items()
        }
        self.precision = self._links[_GENERATE].precision
        descriptions = (link.description for link in self._links.values())
        self.description = "; ".join(dict.fromkeys(descriptions))

    def enqueue(self, stream: CudaStream) -> None:
        """As of `StreamEngine`: a frame of the identity that `run` was given last.

        Raises:
            BackendError: a launch is refused.
        """
        self._links[_CHOOSE].enqueue(stream)
        self._sample(stream)
        self._links[_FLATTEN].enqueue(stream)
        self._links[_GENERATE].enqueue(stream)

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run once and wait. The returned array is overwritten by the next run.

        Args:
            inputs: a `volume` that is the very array of the run before is there already: it must
                not have been written to.

        Raises:
            EngineError: what lies between W and G is not finite.
        """
        stream, rendered = self._stream, self._doors["rendered"]
        with self.device.current():
            self._not_finite.host.fill(0)
            self._not_finite.upload(stream)
            self.draw(inputs, stream, self._not_finite.address)
            self._not_finite.download(stream)
            rendered.download(stream)
            stream.synchronize()
        if self._not_finite.host.view(np.int32)[0]:
            raise EngineError("liveportrait: what W gives is not finite; the frame is dropped")
        return {"rendered": rendered.host}

    def draw(self, inputs: Mapping[str, F32], stream: CudaStream, faults: int) -> None:
        """Launch a frame, of which `rendered` stays at its address. The context is current; a frame
        must be waited for before the next.

        Args:
            inputs: as of `run`.
            stream: always the same one.
            faults: address of an int32 that becomes 1 where what lies between is not finite.
        """
        self._wear(inputs["volume"], stream)
        for name in ("kp_driving", "kp_source"):
            self._upload(name, inputs[name], stream)
        self.enqueue(stream)
        for name in _LOOKED_AT:
            self.program.launch(
                kernels.FIND_NOT_FINITE, stream, self._sizes[name], 1, self._at[name], faults
            )

    def close(self) -> None:
        """Before the device is closed."""
        for link in self._links.values():
            link.close()
        with self.device.current():
            for place in (*self._doors.values(), *self._inner.values(), self._not_finite):
                place.free()
            self.program.close()

    def _wear(self, volume: F32, stream: CudaStream) -> None:
        """Have the identity on the GPU; it is sent there when it changes."""
        if volume is self._volume:
            return
        self._volume = None  # what comes next may fail halfway
        self._upload("volume", volume, stream)
        self._links[_COMPRESS].enqueue(stream)
        self._volume = volume

    def _upload(self, name: str, value: F32, stream: CudaStream) -> None:
        door = self._doors[name]
        assert value.shape == door.host.shape, name
        np.copyto(door.host, value)
        door.upload(stream)

    def _sample(self, stream: CudaStream) -> None:
        channels, depth, height, width = self._extents
        self.program.launch(
            kernels.SAMPLE_VOLUME,
            stream,
            depth * height * width,
            channels,
            self._at["volume"],
            width,
            height,
            depth,
            self._at["deformation"],
            self._at["warped"],
        )
