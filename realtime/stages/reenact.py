"""Motion -> Rendered: the network's door. Refuses what no picture can come from, and NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.avatar import AnyReenactor, RenderedArrays
from engines.errors import EngineError
from engines.models import Memory
from engines.pose import MotionTensors, Seen
from realtime.errors import FrameError
from realtime.frames import Motion, Rendered, RenderedOnGpu


class Reenact:
    """Drives one encoded identity after another. Knows neither who that is nor who performs."""

    def __init__(self, reenactor: AnyReenactor) -> None:
        self._reenactor = reenactor
        self._shown: Any = None
        self._memory = Memory()

    def forget(self) -> None:
        """What was shown last is no longer the frame before the next."""
        self._shown = None

    def __call__(
        self, motion: Motion, identity: Any, seen: Seen | None = None
    ) -> Rendered | RenderedOnGpu:
        """
        Args:
            identity: as this reenactor encoded it.
            seen: what it saw of the performer, if it looks.

        Raises:
            FrameError: the motion or the picture is not finite, or the engine failed.
        """
        _require_finite("rotation", motion.rotation)
        _require_finite("translation", motion.translation)
        _require_finite("expression", motion.expression)
        _require_finite("eye_openness", motion.eye_openness)
        tensors = MotionTensors(
            motion.rotation,
            motion.translation,
            motion.scale,
            motion.expression,
            motion.eye_openness,
            seen,
        )
        if identity is not self._shown:
            self._shown, self._memory = identity, Memory()
        try:
            image = self._reenactor.render(identity, tensors, self._memory)
        except EngineError as error:
            raise FrameError(str(error)) from error
        if isinstance(image, RenderedArrays):
            return Rendered(image.rgb, image.alpha)
        return RenderedOnGpu(image)


def _require_finite(name: str, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise FrameError(f"motion.{name} is not finite; the frame is dropped")
