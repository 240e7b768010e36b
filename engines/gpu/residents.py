"""What of warp-refine stays on a GPU: identities, what performers showed last, networks' doors.

Like `engines/device.py`, to be imported where a GPU is asked for, not before. Draws nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines import head
from engines.device import Place, Staged
from engines.errors import DeviceError
from engines.gpu.easel import Workshop
from engines.gpu.places import Owned
from engines.models import EncodedIdentity
from engines.specs import NetworkSpec, Size


class Worn:
    """An identity: what the CPU knows of it, and its pixels and features on the GPU."""

    def __init__(self, encoded: EncodedIdentity, workshop: Workshop) -> None:
        """Waits until everything is there. The device's context is current.

        Raises:
            DeviceError: no memory is left for it.
        """
        self.encoded = encoded
        sent: list[NDArray[Any]] = [encoded.portrait_rgba, encoded.features, encoded.head_features]
        sent += [eye.layers for eye in encoded.eyes if eye.layers is not None]
        own, stream = Owned(), workshop.device.stream()
        try:
            for array in sent:
                own(Place, array.shape, array.dtype.type).fill(array, stream)
            self.portrait, self.features, self.head_features, *layers = own.places
            corners = encoded.mesh.triangles_around, 3, 2
            self.moved, self.sources = own(Staged, corners), own(Staged, corners)
        except DeviceError:
            own.free()
            raise
        rest = iter(layers)
        self.layers = [None if eye.layers is None else next(rest) for eye in encoded.eyes]
        workshop.trash.expect(self, own.places)


class Kept:
    """What the last frames of one performer left on the GPU; `models.Memory` there."""

    def __init__(self, size: Size, canvas_hw: tuple[int, int], workshop: Workshop) -> None:
        """The device's context is current.

        Raises:
            DeviceError: no memory is left for it.
        """
        self.canvas_hw = canvas_hw
        cells = size.head_px // head.FIELD_STRIDE
        own = Owned()
        try:
            self.now, self.before = (own(Place, (*canvas_hw, 4), np.uint8) for _ in range(2))
            shape = head.FIELD_CHANNELS, cells, cells
            self.field, self.coming = (own(Place, shape) for _ in range(2))
        except DeviceError:
            own.free()
            raise
        self.looked = workshop.device.event()
        """the head network's last answer is there"""
        self.forget()
        workshop.trash.expect(self, [*own.places, self.looked])

    def forget(self) -> None:
        """As of `easel.Owner`."""
        self.has_before = self.has_field = self.is_coming = False

    def turn(self) -> None:
        """What was drawn now is what was before."""
        self.now, self.before, self.has_before = self.before, self.now, True


class Doors:
    """Where the networks of a frame read and write: bound once, for all canvases."""

    def __init__(self, spec: NetworkSpec) -> None:
        """The device's context is current."""
        self.own = Owned()
        drive, look = spec.drive, spec.drive_head
        try:
            self.view = self.own(Staged, look.inputs[0].shape)
            self.drive = {t.name: self.own(Place, t.shape) for t in (*drive.inputs, *drive.outputs)}
            others = *look.inputs[1:], *look.outputs
            self.look = {t.name: self.own(Place, t.shape) for t in others}
        except DeviceError:
            self.own.free()
            raise
        self.look["view"] = self.view
