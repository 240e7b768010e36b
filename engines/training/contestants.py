"""Who is compared: the copied portrait, geometry without and with layers, and networks.

Knows no measure and no data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import crop
from engines.models import (
    EncodedIdentity,
    Memory,
    Reenactor,
    geometry_only,
    load_warp_refine,
    open_network,
)
from engines.specs import NETWORKS
from engines.training.people import Find
from engines.warp import Placement

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

COPY, WARP, GEOMETRY, NETWORK, AGAINST = "copy", "warp", "geometry", "network", "against"


@dataclass(frozen=True)
class Contestant:
    name: str
    reenactor: Reenactor
    steadied: bool = False
    """whether a sequence is steadied as it is live; geometry alone is shown as it is"""
    moves: bool = True
    """whether it can be driven; else it shows the portrait as it is"""


class Sitting:
    """One identity as one contestant shows it."""

    def __init__(self, contestant: Contestant, identity: EncodedIdentity, find: Find) -> None:
        self.contestant, self.identity = contestant, identity
        self._find = find
        self._last: tuple[U8, F32 | None] | None = None

    def draw(self, placement: Placement, rest: F32, memory: Memory | None = None) -> U8:
        """(H, W, 3) over mid grey.

        Args:
            placement: where everything is to be.
            rest: (2, 3) canvas from portrait of who cannot move.
            memory: of the frames before, in a sequence.
        """
        if self.contestant.moves:
            drawn = self.contestant.reenactor.draw(
                self.identity, placement, memory if self.contestant.steadied else None
            )
            return crop.over_grey(np.dstack([drawn.rgb, drawn.alpha]))
        height, width = self.identity.canvas_hw
        copied = cv2.warpAffine(self.identity.portrait_rgba, rest, (width, height))
        return crop.over_grey(cast(U8, copied))

    def landmarks_in(self, rgb: U8) -> F32 | None:
        """The face in a picture; one like the last (a copy never changes) is not searched again."""
        if self._last is None or not np.array_equal(self._last[0], rgb):
            self._last = rgb, self._find(rgb)
        return self._last[1]


def contestants(network: str, against: Path | None, threads: int = 1) -> list[Contestant]:
    """Copy, bare warp, geometry, the installed network, and the one in `against`, a folder like
    `engines/weights`, where it is given.

    Raises:
        BackendError, WeightsError: a network cannot be run here.
    """
    geometry = geometry_only()
    found = [
        Contestant(COPY, geometry, moves=False),
        Contestant(WARP, geometry_only(layers=False)),
        Contestant(GEOMETRY, geometry),
        Contestant(NETWORK, load_warp_refine("onnx", threads, network), steadied=True),
    ]
    if against is not None:
        found.append(Contestant(AGAINST, _open(network, against, threads), steadied=True))
    return found


def _open(network: str, root: Path, threads: int) -> Reenactor:
    spec = NETWORKS[network]
    return Reenactor(open_network(spec, "onnx", threads, root), f"{spec.name} of {root}")
