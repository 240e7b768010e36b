"""warp-refine's frames on a GPU, up to the finished avatar on its canvas.

The CPU says where things are: landmarks, the map of sources, the outlines of lids and lips. The GPU
does what touches pixels. What a kernel writes lies where a network reads it, and the other way
round. The order is that of `models.Reenactor.draw`. It has never run on a GPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines import crop, face_mesh, head, steady
from engines.backends.tensorrt import TensorRTEngine
from engines.device import Place, Staged, copy
from engines.errors import DeviceError
from engines.gpu import steps
from engines.gpu.easel import Drawn, Easel
from engines.gpu.residents import Doors, Kept, Worn
from engines.gpu.steps import FieldAt, MapAt, MeshAt, Picture, Texture
from engines.models import Memory
from engines.specs import NetworkSpec
from engines.warp import Placement, SourceMap

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_FLOAT = 4
"""bytes"""
_PERSON = crop.GUIDE_CHANNELS - 1
"""the guide's last channel, which the GPU knows; the CPU draws the others"""


class Graphs(NamedTuple):
    """The networks of a frame; they read and write at the doors."""

    drive: TensorRTEngine
    look: TensorRTEngine


class Painter:
    """Draws frames of one size. One thread, one frame after the other; the context is current.

    Raises:
        DeviceError: no memory is left for it; none is taken then.
    """

    def __init__(self, easel: Easel, spec: NetworkSpec, doors: Doors, graphs: Graphs) -> None:
        self.easel, self._size, self._doors, self._graphs = easel, spec.size, doors, graphs
        self._field = spec.drive_head.outputs[0]
        self._painted = {tensor.name: tensor.elements for tensor in spec.drive.outputs}
        height, width = easel.canvas_hw
        pixels, px = height * width, spec.size.patch_px
        quads = -(-height // 4) * -(-width // 4)
        cells = spec.size.head_px // head.FIELD_STRIDE
        own = easel.own
        try:
            self._xy, self._of_face = own(Place, (pixels, 2)), own(Staged, (pixels, 2))
            self._shown = own(Place, (pixels,), np.int32)
            self._quarters = own(Staged, (4 * pixels, 2))
            self._folds = own(Staged, (pixels, 2), np.int32)
            self._movable, self._turned = own(Staged, (cells, cells)), own(Place, (quads, 3))
            self._lids = [own(Staged, (pixels,), np.uint8) for _ in range(2)]
            self._mouth, self._mouth_share = own(Staged, (pixels, 3)), own(Staged, (pixels,))
            self._guides = own(Staged, (len(crop.REGIONS), _PERSON, px, px))
            self._change = own(Place, (pixels,), np.uint8)
        except DeviceError:
            own.free()
            raise
        self._shown_is_empty = False
        self._alone: Kept | None = None
        """for frames without a memory"""

    def draw(self, worn: Worn, placement: Placement, memory: Memory | None) -> Drawn:
        """All of a frame but its background.

        Raises:
            DeviceError: the GPU fails, or has no memory left.
            BackendError: a launch is refused.
        """
        kept = self._kept(memory)
        try:
            canvas = self._draw(worn, placement, kept)
        except BaseException:
            kept.forget()  # the next frame does not build upon half of this one
            self._shown_is_empty = False
            raise
        return Drawn(self.easel, canvas, kept)

    def _kept(self, memory: Memory | None) -> Kept:
        found = self._alone if memory is None else memory.on_gpu
        if not isinstance(found, Kept) or found.canvas_hw != self.easel.canvas_hw:
            found = Kept(self._size, self.easel.canvas_hw, self.easel.workshop)
        if memory is None:
            self._alone = found
            found.forget()
        else:
            memory.on_gpu = found
        return found

    def _draw(self, worn: Worn, placement: Placement, kept: Kept) -> Picture:
        easel, landmarks = self.easel, placement.landmarks
        source = worn.encoded.mesh.source_map(placement, easel.canvas_hw)
        easel.begin()
        at = self._draw_map(worn, source)
        unit_px = face_mesh.face_unit(worn.encoded.landmarks)
        patch = crop.place(head.REGION, self._size.head_px, landmarks, placement.head, unit_px)
        field = self._find_field(worn, source, patch, placement, kept)
        canvas = Picture(kept.now.address, easel.canvas_hw[1], easel.canvas_hw[0])
        movable = head.movable(patch, landmarks) * np.float32(unit_px)
        self._send(self._movable, movable)
        at_field = FieldAt(field, self._movable.address, self._turned.address)
        steps.displace(easel.launch, at_field, patch, source, at)
        portrait = worn.encoded.portrait_rgba.shape
        steps.sample(
            easel.launch,
            Picture(worn.portrait.address, portrait[1], portrait[0]),
            source,
            at,
            canvas,
        )
        easel.stamp("warped")
        self._lay(worn, placement, canvas)
        steps.shade(easel.launch, at_field, patch, canvas)
        easel.stamp("lit")
        self._paint(worn, placement, (source, at), canvas)
        easel.stamp("painted")
        if kept.has_before:
            box = steady.held_box(landmarks, easel.canvas_hw)
            steps.hold(easel.launch, kept.before.address, canvas, box, self._change.address)
        kept.turn()
        easel.stamp("drawn")
        return canvas

    def _send(self, to: Staged, values: NDArray[Any]) -> None:
        """What the CPU made, for what is drawn next."""
        to.send(values, self.easel.workshop.streams.sending)
        to.awaited_by(self.easel.workshop.streams.drawing)

    def _draw_map(self, worn: Worn, source: SourceMap) -> MapAt:
        """The map again: of what is not the face, only triangles are sent."""
        if not self._shown_is_empty:
            empty = np.zeros(self._shown.bytes // _FLOAT, np.int32)
            self._shown.fill(empty, self.easel.workshop.streams.sending)
            self._shown_is_empty = True
        self._send(worn.moved, source.moved)
        self._send(worn.sources, source.sources)
        self._send(self._of_face, source.of_face)
        self._send(self._quarters, source.face.quarters_of_folds)
        self._send(self._folds, source.face.folds)
        places = worn.moved, worn.sources, self._of_face, self._shown
        mesh = MeshAt(*(place.address for place in places))
        steps.draw_map(self.easel.launch, source, mesh, self._xy.address)
        return MapAt(self._xy.address, self._quarters.address, self._folds.address)

    def _find_field(
        self, worn: Worn, source: SourceMap, patch: crop.Patch, placement: Placement, kept: Kept
    ) -> int:
        """The head's field, renewed as `models.Memory.field` does; its address."""
        if not kept.has_field:
            self._look(worn, source, patch, placement, kept)
            kept.has_field = kept.is_coming = True
            taken = True
        else:
            taken = kept.is_coming
            if not taken:
                self._look(worn, source, patch, placement, kept)
                kept.is_coming = True
        if taken:
            self.easel.workshop.streams.drawing.wait_for_event(kept.looked)
            kept.field, kept.coming, kept.is_coming = kept.coming, kept.field, False
        self.easel.find_fault(kept.field.address, self._field.elements)
        return kept.field.address

    def _look(
        self, worn: Worn, source: SourceMap, patch: crop.Patch, placement: Placement, kept: Kept
    ) -> None:
        """Have the head network look, beside what is drawn; `kept.looked` says when it has."""
        looking, doors = self.easel.workshop.streams.looking, self._doors.look
        looking.wait_for_event(self.easel.drawn)  # a frame before may still read the field
        self._doors.view.send(head.look(worn.encoded.head, source, patch, placement.head), looking)
        features = worn.head_features
        copy(doors["features"].address, features.address, features.bytes, looking)
        self._graphs.look.enqueue(looking)
        found = doors[self._field.name]
        copy(kept.coming.address, found.address, found.bytes, looking)
        kept.looked.record(looking)

    def _lay(self, worn: Worn, placement: Placement, canvas: Picture) -> None:
        """Eyeballs and the mouth's inside."""
        launch, hw = self.easel.launch, self.easel.canvas_hw
        for eye, layers, lids in zip(worn.encoded.eyes, worn.layers, self._lids, strict=True):
            gap = eye.look(hw, placement.landmarks, placement.head)
            if gap is None or layers is None or eye.layers is None:
                continue
            self._send(lids, gap.lids)
            texture = Texture(layers.address, eye.layers.shape[2], eye.layers.shape[1])
            steps.lay_eye(launch, gap, lids.address, texture, canvas)
        seen = worn.encoded.mouth.look(hw, placement.landmarks, placement.head)
        if seen is not None:
            self._send(self._mouth, seen.rgb)
            self._send(self._mouth_share, seen.share)
            at = self._mouth.address, self._mouth_share.address
            steps.lay_mouth(launch, seen, *at, canvas)

    def _paint(
        self,
        worn: Worn,
        placement: Placement,
        mapped: tuple[SourceMap, MapAt],
        canvas: Picture,
    ) -> None:
        """Mouth and eyes by the network, where they need it."""
        encoded, landmarks, px = worn.encoded, placement.landmarks, self._size.patch_px
        unit_px = face_mesh.face_unit(encoded.landmarks)
        shares = encoded.paint_shares(placement)
        patches = crop.patches(px, landmarks, placement.head, unit_px)
        regions = [region for region in range(len(patches)) if shares[region] > 0]
        nobody = np.zeros((px, px), np.uint8)
        guides = [patches[region].guide(landmarks, nobody)[:_PERSON] for region in regions]
        self._send(self._guides, crop.as_tensor(guides))
        for place, region in enumerate(regions):
            patch = patches[region]
            self._ask(worn, region, place, patch, canvas)
            at_rest = encoded.portrait_patches[region]
            grid = self._doors.drive["grid"].address
            steps.find_features(self.easel.launch, patch, at_rest, mapped, grid)
            self._graphs.drive.enqueue(self.easel.workshop.streams.drawing)
            self._answer(region, shares[region], patch, canvas)

    def _ask(self, worn: Worn, region: int, place: int, patch: crop.Patch, canvas: Picture) -> None:
        """What the network is to see of a patch, and whose it is.

        Args:
            place: of its guide among those that were sent.
        """
        doors, drawing = self._doors.drive, self.easel.workshop.streams.drawing
        plane = patch.px * patch.px * _FLOAT
        guide, drawn = doors["guide"].address, self._guides.address + place * _PERSON * plane
        copy(guide, drawn, _PERSON * plane, drawing)
        size = doors["features"].bytes
        copy(doors["features"].address, worn.features.address + region * size, size, drawing)
        person = guide + _PERSON * plane
        steps.cut(self.easel.launch, patch, canvas, doors["warped"].address, person)

    def _answer(self, region: int, share: float, patch: crop.Patch, canvas: Picture) -> None:
        """Lay over what it gave."""
        name = "gain" if region == crop.MOUTH else "change"
        found = self._doors.drive[name].address
        self.easel.find_fault(found, self._painted[name])
        if region == crop.MOUTH:
            steps.light(self.easel.launch, patch, found, canvas)
        else:
            steps.add(self.easel.launch, patch, found, share, canvas)
