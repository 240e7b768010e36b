"""What the daemon knows of a network: one interface, whichever network moves the avatar.

encoded = reenactor.encode_identity(portrait_rgba, landmarks_px, canvas_hw)      once
sight = reenactor.look(rgb, landmarks_px)                        per frame, if it `looks`
image = reenactor.render(encoded, motion, memory)                per frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.pose import MotionTensors, Sight

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RenderedArrays:
    rgb: U8
    """(H, W, 3) not premultiplied"""
    alpha: U8
    """(H, W)"""


class AnyReenactor(Protocol):
    """`models.Reenactor` or `liveportrait.reenactor.LivePortrait`."""

    reason: str
    """what runs, on what, and why"""

    @property
    def looks(self) -> bool:
        """Whether `render` needs what `look` saw of the performer, as `motion.seen`."""
        ...

    def encode_identity(
        self, portrait_rgba: U8, landmarks_px: F32, canvas_hw: tuple[int, int]
    ) -> Any:
        """A portrait, prepared; only `render` of the same object takes it."""
        ...

    def look(self, rgb: U8, landmarks_px: F32) -> Sight: ...

    def render(self, identity: Any, motion: MotionTensors, memory: Any) -> RenderedArrays: ...
