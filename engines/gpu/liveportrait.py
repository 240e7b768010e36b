"""LivePortrait with its frames on a GPU: what G paints is pasted there, and never fetched.

Everything but the picture is `LivePortrait`'s own. W and G are `liveportrait/chain.py`'s, on the
stream that draws. It has never run on a GPU: tests run it on doubles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.backends.base import Engine
from engines.device import Device, Place, copy
from engines.errors import DeviceError
from engines.gpu import steps
from engines.gpu.easel import Drawn, Easel, Workshop
from engines.gpu.places import Owned
from engines.gpu.steps import Picture, Texture
from engines.liveportrait.chain import Chain
from engines.liveportrait.portrait import Portrait
from engines.liveportrait.reenactor import LivePortrait
from engines.pose import MotionTensors, Sight
from engines.shelf import Shelf

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


class WornPortrait:
    """An identity, and the canvas on which it is pasted, on the GPU."""

    def __init__(self, portrait: Portrait, workshop: Workshop) -> None:
        """Waits until everything is there. The device's context is current.

        Raises:
            DeviceError: no memory is left for it.
        """
        self.portrait = portrait
        stage, own = portrait.stage, Owned()
        stream = workshop.device.stream()
        try:
            self.empty = own(Place, (*portrait.canvas_hw, 4), np.uint8)
            self.empty.fill(np.dstack([stage.rgb, stage.alpha]), stream)
            self.mask = own(Place, stage.mask.shape)
            self.mask.fill(stage.mask, stream)
        except DeviceError:
            own.free()
            raise
        workshop.trash.expect(self, own.places)


class GpuLivePortrait:
    """One thread drives; another may encode meanwhile."""

    looks = True

    def __init__(self, avatar: LivePortrait, drive: Engine) -> None:
        """
        Args:
            drive: of its networks.
        """
        assert isinstance(drive, Chain)
        self._avatar, self._chain = avatar, drive
        with drive.device.current():
            self._workshop = Workshop(drive.device, drive.program)
        self._easels: dict[tuple[int, int], tuple[Easel, Place]] = {}
        self._rendered = next(t for t in drive.spec.outputs if t.name == "rendered")
        what, _, why = avatar.reason.rpartition(": ")
        self.reason = f"{what}, frames drawn there by kernels: {why}"

    @property
    def device(self) -> Device:
        return self._workshop.device

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> WornPortrait:
        """As of `LivePortrait`.

        Raises:
            PortraitError, EngineError: likewise.
            DeviceError: no memory is left for it.
        """
        portrait = self._avatar.encode_identity(portrait_rgba, landmarks_px, canvas_hw, shelf)
        with self.device.current():
            self._workshop.trash.empty()
            return WornPortrait(portrait, self._workshop)

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        """As of `LivePortrait`."""
        return self._avatar.look(rgb, landmarks_px)

    def render(self, identity: WornPortrait, motion: MotionTensors, memory: object = None) -> Drawn:
        """The identity as `motion.seen` drives it; `GpuPicture` says what next.

        Args:
            memory: not used: each frame is drawn for itself.

        Raises:
            EngineError: the motion holds nothing seen, or a network gave NaN or infinity.
            DeviceError: no memory is left, or the GPU fails.
        """
        portrait = identity.portrait
        inputs = {
            "volume": portrait.code.volume,
            "kp_driving": self._avatar.points(portrait, motion)[None],
            "kp_source": portrait.code.pose.points[None],
        }
        with self.device.current():
            easel, place = self._easel(portrait.canvas_hw)
            drawing = self._workshop.streams.drawing
            easel.begin()
            self._chain.draw(inputs, drawing, easel.faults.address)
            generated = self._chain.addresses["rendered"]
            easel.find_fault(generated, self._rendered.elements)
            easel.stamp("generated")
            copy(place.address, identity.empty.address, place.bytes, drawing)
            canvas = Picture(place.address, portrait.canvas_hw[1], portrait.canvas_hw[0])
            px = self._rendered.shape[-1]
            texture = Texture(generated, px, px)
            steps.paste(easel.launch, portrait.stage, texture, identity.mask.address, canvas)
            easel.stamp("drawn")
            return Drawn(easel, canvas, self)

    def forget(self) -> None:
        """As of `easel.Owner`: no frame builds upon another."""

    def stage_ms(self, canvas_hw: tuple[int, int]) -> dict[str, float]:
        """How long each stage of the last frame of that size took on the GPU."""
        return self._easels[canvas_hw][0].stage_ms()

    def _easel(self, canvas_hw: tuple[int, int]) -> tuple[Easel, Place]:
        """And the place of its canvas; made for the first frame of a size."""
        if canvas_hw not in self._easels:
            easel = Easel(self._workshop, canvas_hw)
            try:
                place = easel.own(Place, (*canvas_hw, 4), np.uint8)
            except DeviceError:
                easel.own.free()
                raise
            self._easels[canvas_hw] = easel, place
        return self._easels[canvas_hw]
