"""The door to the engines: a portrait becomes an `EncodedIdentity` once, then frames are rendered.

    reenactor = load_reenactor("auto", threads=2)
    identity = reenactor.encode_identity(portrait_rgba, landmarks_px, canvas_hw=(480, 640))
    image = reenactor.render(identity, motion)

Knows tensors and no clocks: what time it is, whose session this is and what happens to a failed
frame are not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import backends, crop, driver, face_mesh, head, weights
from engines.avatar import AnyReenactor, RenderedArrays
from engines.backends.base import Engine, optional, start
from engines.errors import EngineError
from engines.eyes import Eye, eyes_of
from engines.liveportrait.networks import NAME as LIVEPORTRAIT
from engines.liveportrait.reenactor import LivePortrait, Options, load_liveportrait
from engines.mouth import Mouth
from engines.placing import place
from engines.pose import MotionTensors, Sight, TargetFace
from engines.rigid import Similarity
from engines.shelf import Maker, Shelf, encoded_once
from engines.specs import LITE, NETWORKS, WARP_REFINE_LITE, NetworkSpec, Size
from engines.steady import Steady
from engines.warp import Placement, SourceMap, WarpMesh, sample

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

WARP_REFINE = "warp-refine"
"""what settings call the one that ships"""
_FEWEST_TEETH_PX = 60
_STAY = Similarity(np.eye(3, dtype=np.float32), 1.0, np.zeros(3, np.float32))


@dataclass(frozen=True, slots=True)
class EncodedIdentity:
    """Everything about a portrait that does not change from frame to frame."""

    canvas_hw: tuple[int, int]
    portrait_rgba: U8
    """(H, W, 4) continued beyond its borders"""
    landmarks: F32
    """(478, 3) in portrait_rgba's pixels"""
    mesh: WarpMesh
    target: TargetFace
    mouth: Mouth
    eyes: tuple[Eye, Eye]
    """the subject's right and left"""
    portrait_patches: list[crop.Patch]
    features: F32
    """(patches, C, cells, cells)"""
    head: head.Texture
    head_features: F32
    """(1, C, cells, cells)"""

    def paint_shares(self, placement: Placement) -> list[float]:
        """How much paint each region needs, 0..1."""
        eyes = (eye.needs_paint(placement.landmarks, placement.head) for eye in self.eyes)
        return [1.0, *eyes]


@dataclass(frozen=True, slots=True)
class Network:
    """The graphs of one network, open; `specs.py` says what each takes and gives."""

    size: Size
    encode: Engine | None
    drive: Engine | None
    """None while there is none yet: nothing is painted, as in the samples that it learns from"""
    encode_head: Engine
    drive_head: Engine

    @property
    def description(self) -> str:
        """What its graphs run on; more than one thing where they differ."""
        graphs = self.encode, self.drive, self.encode_head, self.drive_head
        return "; ".join(dict.fromkeys(graph.description for graph in graphs if graph is not None))


class Unpainted(NamedTuple):
    """A picture before the network paints what geometry cannot show."""

    rgb: U8
    """(H, W, 3)"""
    alpha: U8
    """(H, W)"""
    source: SourceMap


class Memory:
    """What was shown last; one for each performer and identity."""

    def __init__(self) -> None:
        self.steady = Steady()
        self.on_gpu: object = None
        """what took the place of all of this, where frames are drawn on a GPU"""
        self._field: F32 | None = None
        self._coming: Callable[[], F32] | None = None

    def field(self, look: Callable[[], Callable[[], F32]]) -> F32:
        """The head's field: looked for in every other frame, for light and outline change slowly.

        The look begins beside one frame and ends beside it; the next two show what it found. A
        field lies on the head and moves with it, so one of an earlier frame is hardly off.

        Args:
            look: begins one; what it gives waits for the field.
        """
        if self._field is None:
            self._field = look()()
        elif self._coming is None:
            self._coming = look()
        else:
            coming, self._coming = self._coming, None
            self._field = coming()
        return self._field


class Reenactor:
    """A network and its geometry. Each graph is called by one thread: a loader's two that encode, a
    renderer's two that drive."""

    looks = False

    def __init__(
        self,
        network: Network | None,
        reason: str,
        layers: bool = True,
        size: Size = LITE,
        maker: Maker | None = None,
    ) -> None:
        """
        Args:
            maker: of what may be kept of portraits; None: nothing is, as of a network in training.
        """
        self._network, self._layers = network, layers
        self._maker = maker
        self._size = size if network is None else network.size
        self.reason = reason
        """what runs, on what, and why"""

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> EncodedIdentity:
        """Prepare a portrait; takes some hundred milliseconds.

        Args:
            portrait_rgba: (H, W, 4) uint8, alpha 255 on the person.
            landmarks_px: (478, 3) of the face in it.
            canvas_hw: even height and width of the pictures to come.
            shelf: keeps what the networks make of it; None: nothing is kept.

        Raises:
            PortraitError: the arrays are not a portrait and its landmarks.
        """
        placed = place(portrait_rgba, landmarks_px, canvas_hw)
        rgba, landmarks = placed.rgba, placed.landmarks
        patches = crop.patches(
            self._size.patch_px, landmarks, _STAY, face_mesh.face_unit(landmarks)
        )
        texture = head.Texture.of(rgba, landmarks, self._size.texture_px)
        seen, guides = own_patches(rgba, landmarks, patches)
        shown = {
            "portrait": crop.as_tensor(seen),
            "guide": crop.as_tensor(guides),
            "picture": texture.picture(),
        }
        eyes = eyes_of(rgba, landmarks)
        whites = [eye.white_rgb for eye in eyes if eye.white_rgb is not None]
        made = encoded_once(shelf, self._maker, canvas_hw, shown, lambda: self._encode(shown))
        return EncodedIdentity(
            canvas_hw=canvas_hw,
            portrait_rgba=rgba,
            landmarks=landmarks,
            mesh=WarpMesh(landmarks, rgba[..., 3]),
            target=TargetFace(landmarks, placed.canvas_from_portrait, canvas_hw),
            mouth=Mouth(
                landmarks,
                _skin_rgb(rgba, landmarks),
                max(whites, key=lambda white: float(white.mean()), default=None),
                _teeth_rgb(rgba, landmarks),
            ),
            eyes=eyes,
            portrait_patches=patches,
            features=made["features"],
            head=texture,
            head_features=made["head_features"],
        )

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        """
        Raises:
            EngineError: always; this network is driven by landmarks alone.
        """
        raise EngineError("warp-refine does not look at the performer: its `looks` is false")

    def render(
        self, identity: EncodedIdentity, motion: MotionTensors, memory: Memory | None = None
    ) -> RenderedArrays:
        """The identity as `motion` drives it, on its canvas.

        Args:
            memory: of the frames before; without it each frame is drawn for itself.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        return self.draw(identity, identity.target.place(motion), memory)

    def draw(
        self, identity: EncodedIdentity, placement: Placement, memory: Memory | None = None
    ) -> RenderedArrays:
        """The identity with its landmarks, head and torso exactly where `placement` says.

        Args:
            memory: as of `render`.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        picture = self.unpainted(identity, placement, memory)
        if self._network is not None and self._network.drive is not None:
            self._paint(self._network.drive, identity, placement, picture)
        if memory is not None:
            memory.steady(picture.rgb, placement.landmarks)
        return RenderedArrays(picture.rgb, picture.alpha)

    def unpainted(
        self, identity: EncodedIdentity, placement: Placement, memory: Memory | None = None
    ) -> Unpainted:
        """All of `draw` but the paint: the portrait warped and lit anew, eyeballs and teeth drawn.

        Raises:
            EngineError: the network gave NaN or infinity.
        """
        source = identity.mesh.source_map(placement, identity.canvas_hw)
        correction = self._correct(identity, placement, source, memory)
        rgba = sample(identity.portrait_rgba, source, identity.canvas_hw)
        rgb = cast(U8, cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
        if self._layers:
            for eye in identity.eyes:
                eye.draw(rgb, placement.landmarks, placement.head)
            identity.mouth.draw(rgb, placement.landmarks, placement.head)
        if correction is not None:
            head.shade(*correction, rgb)
        return Unpainted(rgb, cast(U8, cv2.extractChannel(rgba, 3)), source)

    def _correct(
        self,
        identity: EncodedIdentity,
        placement: Placement,
        source: SourceMap,
        memory: Memory | None,
    ) -> tuple[F32, crop.Patch] | None:
        """Mend `source` as the head network says; the field is also of light, and its place."""
        if self._network is None:
            return None
        unit_px = face_mesh.face_unit(identity.landmarks)
        patch = crop.place(
            head.REGION, self._size.head_px, placement.landmarks, placement.head, unit_px
        )
        drive = self._network.drive_head

        def look() -> Callable[[], F32]:
            view = head.look(identity.head, source, patch, placement.head)
            answer = start(drive, {"view": view, "features": identity.head_features})

            def field() -> F32:
                found: F32 = answer()["field"][0]
                _check_finite(found)
                return found

            return field

        field = look()() if memory is None else memory.field(look)
        head.displace(field, patch, source, placement.landmarks, unit_px)
        return field, patch

    def _paint(
        self, drive: Engine, identity: EncodedIdentity, placement: Placement, picture: Unpainted
    ) -> None:
        """Paint mouth and eyes, in place, where they need it."""
        landmarks = placement.landmarks
        unit_px = face_mesh.face_unit(identity.landmarks)
        shares = identity.paint_shares(placement)
        px = self._size.patch_px
        for region, patch in enumerate(crop.patches(px, landmarks, placement.head, unit_px)):
            if shares[region] == 0:
                continue
            seen, person = picture_in(patch, picture)
            at_rest = identity.portrait_patches[region]
            inputs = {
                "warped": crop.as_tensor([seen]),
                "guide": crop.as_tensor([patch.guide(landmarks, person)]),
                "features": identity.features[region : region + 1],
                "grid": crop.feature_grid(patch, picture.source, at_rest)[None],
            }
            found = drive.run(inputs)
            if region == crop.MOUTH:
                gain = found["gain"][0, 0]
                _check_finite(gain)
                patch.light(gain, picture.rgb)
            else:
                change = found["change"][0]
                _check_finite(change)
                patch.add(change.transpose(1, 2, 0) * np.float32(shares[region]), picture.rgb)

    def _encode(self, shown: Mapping[str, F32]) -> dict[str, F32]:
        """`features` and `head_features` of an identity, of the inputs of both graphs."""
        features = np.zeros((len(crop.REGIONS), 0, 0, 0), np.float32)
        head_features = np.zeros((1, 0, 0, 0), np.float32)
        network = self._network
        if network is not None and network.encode is not None:
            inputs = {name: shown[name] for name in ("portrait", "guide")}
            features = network.encode.run(inputs)["features"].copy()
        if network is not None:
            inputs = {"picture": shown["picture"]}
            head_features = network.encode_head.run(inputs)["features"].copy()
        return {"features": features, "head_features": head_features}


def picture_in(patch: crop.Patch, picture: Unpainted) -> tuple[U8, U8]:
    """(3, px, px) what a patch shows over mid grey, and (px, px) the person's coverage of it."""
    rgb, alpha = patch.cut(picture.rgb), patch.cut(picture.alpha)
    return crop.to_planes(crop.over_grey(np.dstack([rgb, alpha]))), alpha


def own_patches(rgba: U8, landmarks: F32, patches: list[crop.Patch]) -> tuple[list[U8], list[U8]]:
    """(3, px, px) and (G, px, px) of each: what a portrait (H, W, 4) itself shows, with guides."""
    seen = [patch.cut(rgba) for patch in patches]
    guides = [p.guide(landmarks, s[..., 3]) for p, s in zip(patches, seen, strict=True)]
    return [crop.to_planes(crop.over_grey(s)) for s in seen], guides


def load_reenactor(
    backend: str = "auto",
    threads: int = 1,
    name: str = WARP_REFINE,
    options: Options | None = None,
) -> AnyReenactor:
    """Load a network on the chosen backend; OpenCV takes as many threads, process-wide.

    TensorRT's frames are drawn on the GPU; every other backend's on the CPU.

    Args:
        name: "warp-refine", "liveportrait", or of `specs.NETWORKS`.
        options: of LivePortrait.

    Raises:
        BackendError, WeightsError: it cannot be run here, or its files are not what they claim.
    """
    # OpenCV would take every core for a millisecond's work, and tracking runs beside it
    cv2.setNumThreads(threads)
    if name == LIVEPORTRAIT:
        return _drawn_where_it_runs(load_liveportrait(backend, threads, options))
    spec = NETWORKS[WARP_REFINE_LITE.name if name == WARP_REFINE else name]
    chosen, why = backends.choose(backend, spec)
    if chosen != "tensorrt":
        return _drawn_on_the_cpu(spec, chosen, why, threads)
    driver.require()
    with optional("TensorRT or pycuda"):
        from engines.gpu.reenactor import GpuReenactor
    return GpuReenactor(spec, why)


def _drawn_where_it_runs(avatar: LivePortrait) -> AnyReenactor:
    drive = avatar.networks.drive
    if drive is None:
        return avatar
    from engines.gpu.liveportrait import GpuLivePortrait

    return GpuLivePortrait(avatar, drive)


def load_warp_refine(
    backend: str = "auto", threads: int = 1, name: str = WARP_REFINE_LITE.name
) -> Reenactor:
    """`load_reenactor` of `specs.NETWORKS` alone; frames are drawn on the CPU."""
    cv2.setNumThreads(threads)
    chosen, why = backends.choose(backend, NETWORKS[name])
    return _drawn_on_the_cpu(NETWORKS[name], chosen, why, threads)


def _drawn_on_the_cpu(spec: NetworkSpec, backend: str, why: str, threads: int) -> Reenactor:
    network = open_network(spec, backend, threads)
    reason = f"{spec.name} on {network.description}: {why}"
    return Reenactor(network, reason, maker=maker_of(spec, network))


def maker_of(spec: NetworkSpec, network: Network) -> Maker:
    """Of the weights that ship.

    Raises:
        WeightsError: their manifest cannot be read.
    """
    return Maker(spec.name, weights.digest(spec.name), network.description)


def open_network(
    spec: NetworkSpec, backend: str, threads: int, root: Path = weights.WEIGHTS_DIRECTORY
) -> Network:
    """
    Raises:
        BackendError, WeightsError: it cannot be run here, or its files are not what they claim.
    """
    return Network(
        spec.size,
        *(backends.open_graph(backend, spec, graph, threads, root) for graph in spec.graphs),
    )


def geometry_only(*, layers: bool = True, size: Size = LITE) -> Reenactor:
    """The same avatar without its network: the baseline that a network must beat.

    Args:
        layers: draw eyeballs and the mouth's inside; without them the portrait is only warped.
        size: of what is prepared for a network all the same, when it is trained.
    """
    return Reenactor(None, "geometry only, no network", layers, size)


def _skin_rgb(rgba: U8, landmarks: F32) -> F32:
    """(3,) mean colour of cheeks, nose and forehead."""
    x, y = np.round(landmarks[list(face_mesh.RIGID), :2]).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < rgba.shape[1]) & (y < rgba.shape[0])
    mean: F32 = np.median(rgba[y[inside], x[inside], :3], axis=0).astype(np.float32)
    return mean


def _teeth_rgb(rgba: U8, landmarks: F32) -> F32 | None:
    """(3,) the brightest fifth of what a portrait shows between its lips, if anything."""
    hole = np.zeros(rgba.shape[:2], np.uint8)
    cv2.fillPoly(hole, [np.round(landmarks[face_mesh.MOUTH_HOLE, :2]).astype(np.int32)], (255,))
    seen = rgba[cv2.erode(hole, np.ones((3, 3), np.uint8)) > 0, :3]
    if len(seen) < _FEWEST_TEETH_PX:
        return None
    luma = seen.mean(axis=1)
    bright: F32 = seen[luma >= np.quantile(luma, 0.8)].mean(axis=0).astype(np.float32)
    return bright


def _check_finite(output: F32) -> None:
    if not np.isfinite(output).all():
        raise EngineError("the network's output is not finite; the frame is dropped")
