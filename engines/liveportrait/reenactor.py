"""The avatar that LivePortrait drives: `models.Reenactor`'s door, with another network behind it.

It looks at the performer (`looks`): landmarks alone say too little to it. What it sees becomes a
`Sight`, 69 numbers or so, and only these go on: no pixel of the performer reaches a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines import backends
from engines.avatar import RenderedArrays
from engines.errors import EngineError
from engines.fetched import Store
from engines.liveportrait import driving
from engines.liveportrait.alignment import driving_crop
from engines.liveportrait.networks import NAME, Networks, encoding_sha256, open_networks
from engines.liveportrait.portrait import (
    Code,
    Portrait,
    as_picture,
    assemble,
    encode,
    shown,
    single,
)
from engines.nets.liveportrait import keypoints
from engines.placing import place
from engines.pose import MotionTensors, Seen, Sight
from engines.shelf import Maker, Shelf, encoded_once
from engines.sources import Got, got

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Options:
    """What is decided at the start."""

    absolute: bool = False
    """the performer's own pose and expression, instead of what changed since their rest"""
    stitching: bool = True
    """keep shoulders where the portrait has them; off for heads that move far"""
    normalise_lips: bool = True
    """close a portrait's open lips before they are driven"""
    retarget_eyes: bool = False
    """lids by how far they should be open, not as the network saw them move"""
    retarget_lips: bool = False
    """lips likewise"""


class LivePortrait:
    """One thread drives; another may encode meanwhile."""

    looks = True

    def __init__(
        self,
        networks: Networks,
        reason: str,
        options: Options | None = None,
        weights_sha256: str = "",
    ) -> None:
        """
        Args:
            weights_sha256: of those that portraits are encoded with; empty: nothing is kept.
        """
        self.networks = networks
        self._options = options or Options()
        maker = Maker(NAME, weights_sha256, networks.description)
        self._maker = maker if weights_sha256 else None
        self.reason = reason
        """what runs, on what, and why"""

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> Portrait:
        """Prepare a portrait.

        Args:
            portrait_rgba: (H, W, 4) uint8, alpha 255 on the person.
            landmarks_px: (478, 3) of the face in it.
            canvas_hw: even height and width of the pictures to come.
            shelf: keeps what the networks make of it; None: nothing is kept.

        Raises:
            PortraitError: the arrays are not a portrait and its landmarks.
            EngineError: a network gave NaN or infinity.
        """
        placed = place(portrait_rgba, landmarks_px, canvas_hw)
        inputs = shown(self.networks, placed)

        def encoded() -> dict[str, F32]:
            return encode(self.networks, inputs).arrays()

        code = Code.of(encoded_once(shelf, self._maker, canvas_hw, inputs, encoded))
        return assemble(code, placed, canvas_hw, self.networks.sizes.rendered)

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        """What the network sees of a performer.

        Args:
            rgb: (H, W, 3) of the camera.
            landmarks_px: (478, 3) of the face in it.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        crop = driving_crop(landmarks_px)
        seen = as_picture(crop.cut(rgb, self.networks.sizes.picture), self.networks)
        face = single(keypoints.decode(self.networks.run("motion", seen)))
        return driving.sight(face, crop, (rgb.shape[0], rgb.shape[1]))

    def render(
        self, identity: Portrait, motion: MotionTensors, memory: object = None
    ) -> RenderedArrays:
        """The identity as `motion.seen` drives it, on its canvas.

        Args:
            memory: not used: each frame is drawn for itself.

        Raises:
            EngineError: the motion holds nothing seen, or a network gave NaN or infinity.
        """
        points = self.points(identity, motion)[None]
        source = identity.code.pose.points[None]
        rendered = self.networks.render(identity.code.volume, points, source)[0]
        crop = np.round(np.clip(rendered, 0, 1) * np.float32(255)).astype(np.uint8)
        crop = np.ascontiguousarray(crop.transpose(1, 2, 0))
        return RenderedArrays(identity.stage.paste(crop), identity.stage.alpha)

    def points(self, identity: Portrait, motion: MotionTensors) -> F32:
        """(K, 3) where the portrait's key points go.

        Raises:
            EngineError: as of `render`.
        """
        if motion.seen is None:
            raise EngineError(f"{NAME} was given a motion without what it saw of the performer")
        options, source = self._options, identity.code.pose
        found = driving.driven(source, self._asked(motion.seen), options.absolute).points
        found = found + self._retargeted(identity, motion)
        if options.stitching:
            both = np.concatenate([source.points.ravel(), found.ravel()])[None]
            delta = self.networks.run_one("stitching", both)[0]
            found = keypoints.stitch(found, delta)
        return found

    def _asked(self, seen: Seen) -> Seen:
        """Without what a retargeting network does instead."""
        gains = seen.gains
        if self._options.retarget_eyes:
            gains = replace(gains, blink=0.0)
        if self._options.retarget_lips:
            gains = replace(gains, mouth=0.0)
        return replace(seen, gains=gains)

    def _retargeted(self, identity: Portrait, motion: MotionTensors) -> F32:
        """(K, 3) by which lids and lips are moved to the opening that they should have."""
        options, source = self._options, identity.code.pose.points
        shift = np.zeros_like(source)
        if options.retarget_eyes or options.retarget_lips:
            lids, lips = identity.wanted_openings(motion)
        if options.retarget_eyes:
            asked = np.concatenate([source.ravel(), identity.eye_openings, [lids]])
            shift += self._perceptron("eye_retargeting", asked)
        if options.retarget_lips:
            asked = np.concatenate([source.ravel(), [identity.lip_opening, lips]])
            shift += self._perceptron("lip_retargeting", asked)
        elif options.normalise_lips and not options.absolute:
            shift += identity.code.lip_shift
        return shift

    def _perceptron(self, graph: str, asked: F32) -> F32:
        return self.networks.run_one(graph, asked.astype(np.float32)[None]).reshape(-1, 3)


def load_liveportrait(
    backend: str, threads: int, options: Options | None = None, store: Store | None = None
) -> LivePortrait:
    """
    Args:
        store: of the weights; None: where `reenactd models get liveportrait` puts them.

    Raises:
        BackendError, WeightsError: it cannot be run here, or its files are missing or damaged.
    """
    source = Got(store) if store else got()
    chosen, why = backends.choose(backend, source)
    networks = open_networks(chosen, source, threads)
    reason = f"{NAME} on {networks.description}: {why}"
    return LivePortrait(networks, reason, options, encoding_sha256(source))
