"""What the daemon knows of a network: one interface, whichever network moves the avatar.

encoded = reenactor.encode_identity(portrait_rgba, landmarks_px, canvas_hw)      once
sight = reenactor.look(rgb, landmarks_px)                        per frame, if it `looks`
image = reenactor.render(encoded, motion, memory)                per frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.pose import MotionTensors, Sight
from engines.shelf import Shelf

F32 = NDArray[np.float32]
I8 = NDArray[np.int8]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RenderedArrays:
    rgb: U8
    """(H, W, 3) not premultiplied"""
    alpha: U8
    """(H, W)"""


class Embedding(NamedTuple):
    """An invisible mark, as `kernels.EMBED_MARK` adds it."""

    pattern: I8
    """(H, W)"""
    block_px: int
    gains: tuple[int, int, int, int]
    """faintest, strongest, per level, shift"""


class GpuPicture(Protocol):
    """A rendered picture that stays on a GPU. What is done to it is done there, in this order, each
    once, and before the next picture is rendered: else it is refused.

    Arrays that it is given are sent once and found again by who they are: they stay as they are.
    All raise EngineError where the GPU fails, or the order is another.
    """

    @property
    def canvas_hw(self) -> tuple[int, int]: ...

    def blend(self, back_rgb: U8, mirrored: bool) -> None:
        """Put it before a background (H, W, 3); mirrored, left and right then change places."""
        ...

    def mark(self, patch: U8 | None, left: int, top: int) -> None:
        """Burn the visible mark in.

        Args:
            patch: (h, w, 4) colours times their opacity, and what remains below, 0..255; None
                where a setting took the mark off.
        """
        ...

    def pack(self, embedding: Embedding) -> U8:
        """Wait for the marked picture as I420 (H * 3 // 2, W), with the invisible mark."""
        ...

    def fetch(self) -> RenderedArrays:
        """Wait for the picture as it was rendered, to go on without the GPU."""
        ...


class AnyReenactor(Protocol):
    """`models.Reenactor`, `gpu.reenactor.GpuReenactor` or `liveportrait.reenactor.LivePortrait`."""

    reason: str
    """what runs, on what, and why"""

    @property
    def looks(self) -> bool:
        """Whether `render` needs what `look` saw of the performer, as `motion.seen`."""
        ...

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> Any:
        """A portrait, prepared; only `render` of the same object takes it.

        Args:
            shelf: keeps what the networks make of it; None: nothing is kept.
        """
        ...

    def look(self, rgb: U8, landmarks_px: F32) -> Sight: ...

    def render(
        self, identity: Any, motion: MotionTensors, memory: Any
    ) -> RenderedArrays | GpuPicture: ...
