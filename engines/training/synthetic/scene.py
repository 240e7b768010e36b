"""A person in front of the camera: which meshes, textures and colours are drawn, in which pose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from engines.training.synthetic.expressions import Shot
from engines.training.synthetic.formats import F32, Mesh
from engines.training.synthetic.lighting import Light, draw_light, portrait_camera
from engines.training.synthetic.makehuman import Figure, Proxy, skin
from engines.training.synthetic.people import Colour, Person, stream
from engines.training.synthetic.renderer import (
    U8,
    Anatomy,
    Layer,
    Mask,
    Material,
    Part,
    Renderer,
    Texture,
)

_NECK = {"neck01": 0.15, "neck02": 0.15, "neck03": 0.2, "head": 0.5}
"""bone -> its share of the head's turn"""
_SHOULDERS_DM = 4.3
"""height above the base mesh's middle from which the body is drawn"""
_ARMS_DM = 2.6
"""half the width that is drawn"""
_LIVELY = ("eyebrow", "eyelashes", "teeth", "tongue")
"""proxies that must follow an expression's targets; hair and eyeballs need not"""


_NARROWED = 0.3
"""share by which the dental arch closes to the back: as drawn, its molars stick out of the corners
of a wide mouth"""


@dataclass(frozen=True)
class Wearable:
    """A proxy's files and its looks."""

    mhclo: Path
    picture: Path
    layer: dict[str, object]
    """fields of `Layer`"""
    smooth: bool = False


@dataclass(frozen=True)
class Model:
    """A person made flesh: shape and proxies at rest, light and lens."""

    person: Person
    vertices: F32
    """(V, 3) dm"""
    wearables: dict[str, Wearable]
    fitted: dict[str, F32]
    """name -> (P, 3) dm at rest"""
    light: Light
    zoom: float


class Scene:
    """The meshes on the GPU, shared by all people."""

    def __init__(self, assets: Path, size: int) -> None:
        self._assets = assets
        self._figure = Figure(assets)
        self._renderer = Renderer(size)
        mesh = self._figure.mesh
        self._body = self._renderer.part(mesh, _body_faces(mesh), smooth=True)
        self._collars = {
            name: self._renderer.part(mesh, faces, smooth=True)
            for name, faces in _collar_faces(mesh).items()
        }
        self._proxies: dict[Path, tuple[Proxy, Part]] = {}

    def model(self, person: Person) -> Model:
        vertices = self._figure.morph(person.shape)
        wearables = _wearables(self._assets, person)
        with self._renderer.context:
            fitted = {name: self._fit(name, worn, vertices) for name, worn in wearables.items()}
        rng = stream(person.number, "light")
        light = draw_light(rng)
        return Model(person, vertices, wearables, fitted, light, float(rng.uniform(0.82, 1.18)))

    def photograph(self, model: Model, shot: Shot) -> U8:
        """(S, S, 4) RGBA of the person alone; alpha is straight, 0 = background."""
        shape = _expressed(model.person, shot)
        vertices = self._figure.morph(shape, model.vertices)
        units = {name: w for name, w in shot.expression.items() if not name.startswith("T:")}
        moved = self._figure.pose(vertices, units, head_turns(shot))
        posed = skin(vertices, self._figure.skeleton.weights, moved)
        camera = portrait_camera(self._eyes(model.vertices).mean(axis=0), model.zoom, shot.shift)
        with self._renderer.context:
            layers = self._body_layers(model.person, posed)
            layers += self._worn_layers(model, vertices, moved, changed=bool(shape))
            return self._renderer.draw(layers, model.light, camera, self._anatomy(posed, moved))

    def _worn_layers(self, model: Model, vertices: F32, moved: F32, changed: bool) -> list[Layer]:
        """What a person wears, moved by the bones; `changed`: targets moved the face at rest."""
        layers = []
        for name, worn in model.wearables.items():
            proxy, part = self._proxy(worn)
            lively = changed and name.startswith(_LIVELY)
            rest = self._fit(name, worn, vertices) if lively else model.fitted[name]
            part.move(skin(rest, proxy.weights, moved))
            layers.append(Layer(part, self._texture(worn.picture), **worn.layer))  # type: ignore[arg-type]
        return layers

    def _body_layers(self, person: Person, posed: F32) -> list[Layer]:
        shirt = self._collars[person.collar]
        self._body.move(posed)
        shirt.move(posed)
        texture = self._texture(_skin_picture(self._assets, person.skin))
        cloth = self._renderer.texture(str(person.shirt), lambda: _plain(person.shirt))
        return [
            Layer(
                self._body,
                texture,
                Material.SKIN,
                person.skin_tint,
                gloss=0.9,
                bump=0.012,
                casts_shadow=True,
            ),
            Layer(shirt, cloth, Material.CLOTH, gloss=0.15, inflated=0.012, casts_shadow=True),
        ]

    def _anatomy(self, posed: F32, moved: F32) -> Anatomy:
        head = moved[self._figure.skeleton.index("head")][:, :3]
        lips = self._figure.joint(posed, "oris05")
        return Anatomy(self._eyes(posed), lips, head[:, 1].copy(), head[:, 2].copy())

    def _eyes(self, vertices: F32) -> F32:
        """(2, 3) dm"""
        return np.stack([self._figure.joint(vertices, bone) for bone in ("eye.L", "eye.R")])

    def _texture(self, path: Path) -> Texture:
        return self._renderer.texture(str(path), lambda: _load(path))

    def _fit(self, name: str, worn: Wearable, vertices: F32) -> F32:
        fitted = self._proxy(worn)[0].fit(vertices)
        return narrowed(fitted) if name == "teeth" else fitted

    def _proxy(self, worn: Wearable) -> tuple[Proxy, Part]:
        if worn.mhclo not in self._proxies:
            proxy = Proxy(self._figure, worn.mhclo)
            part = self._renderer.part(proxy.mesh, smooth=worn.smooth)
            self._proxies[worn.mhclo] = proxy, part
        return self._proxies[worn.mhclo]


def narrowed(teeth: F32) -> F32:
    """(P, 3): an arch that stays as wide at the front and closes to the back."""
    middle, depth = teeth[:, 0].mean(), teeth[:, 2].max() - teeth[:, 2]
    moved = teeth.copy()
    moved[:, 0] += (middle - teeth[:, 0]) * _NARROWED * depth / depth.max()
    return moved


def _expressed(person: Person, shot: Shot) -> dict[str, float]:
    """Weights of the expression's targets, for this person's mixture of shape families."""
    return {
        f"expression/units/{family}/{name[2:]}": weight * share
        for name, weight in shot.expression.items()
        if name.startswith("T:")
        for family, share in person.ancestry.items()
    }


def head_turns(shot: Shot) -> dict[str, Rotation]:
    """A shot's pose, shared out along the neck."""
    angles = np.array([shot.yaw_deg, shot.pitch_deg, shot.roll_deg])
    return {
        bone: Rotation.from_euler("YXZ", angles * share, degrees=True)
        for bone, share in _NECK.items()
    }


def _body_faces(mesh: Mesh) -> Mask:
    corners = mesh.vertices[mesh.faces]  # (F, 4, 3)
    inside = (corners[..., 1].min(axis=1) > _SHOULDERS_DM) & (
        np.abs(corners[..., 0]).max(axis=1) < _ARMS_DM
    )
    faces: Mask = (mesh.groups == "body") & inside
    return faces


def _collar_faces(mesh: Mesh) -> dict[str, Mask]:
    """Cuts of a shirt from the helper mesh that MakeHuman hangs tight clothes on."""
    corners = mesh.vertices[mesh.faces]
    low, wide = corners[..., 1].min(axis=1), np.abs(corners[..., 0]).max(axis=1)
    cloth = (mesh.groups == "helper-tights") & (low > 4.0) & (wide < 2.7)
    across, height = np.abs(corners[..., 0].mean(axis=1)), corners[..., 1].mean(axis=1)
    return {
        "crew": cloth & (height < 5.95 + 0.22 * across),
        "vneck": cloth & (height < 5.55 + 0.75 * across),
        "high": cloth & (height < 6.2),
    }


def _wearables(assets: Path, person: Person) -> dict[str, Wearable]:
    """In drawing order: solid things first, soft ones on top."""
    brow_tint = _darker(person.hair_tint, 0.8)
    worn = {
        "teeth": Wearable(
            assets / "teeth/teeth_base/teeth_base.mhclo",
            assets / "teeth/materials/teeth.png",
            {
                "material": Material.MOUTH,
                "tint": (1.5, 1.45, 1.35),
                "gloss": 1.2,
            },
        ),
        "tongue": Wearable(
            assets / "tongue/tongue01/tongue01.mhclo",
            assets / "tongue/tongue01/tongue01_diffuse.png",
            {
                "material": Material.MOUTH,
                "tint": (0.5, 0.36, 0.36),
                "gloss": 0.8,
            },
            smooth=True,
        ),
        "eyes": Wearable(
            assets / "eyes/high-poly/high-poly.mhclo",
            assets / f"eyes/materials/{person.eyes}_eye.png",
            {"material": Material.EYE},
        ),
        person.brow: _decal(assets / "eyebrows" / person.brow, brow_tint, nearer=0.027),
        person.lash: _decal(assets / "eyelashes" / person.lash, (0.3, 0.25, 0.2), nearer=0.013),
    }
    if person.hair:
        folder = assets / "hair" / person.hair
        worn[person.hair] = Wearable(
            folder / f"{person.hair}.mhclo",
            folder / f"{person.hair}_diffuse.png",
            {"material": Material.HAIR, "tint": person.hair_tint, "casts_shadow": True},
        )
    return worn


def _decal(folder: Path, tint: Colour, nearer: float) -> Wearable:
    layer = {"material": Material.DECAL, "tint": tint, "gloss": 0.0, "nearer": nearer}
    return Wearable(folder / f"{folder.name}.mhclo", folder / f"{folder.name}.png", layer)


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (float(np.clip(c * factor, 0.02, 1.2)) for c in colour)
    return red, green, blue


def _skin_picture(assets: Path, name: str) -> Path:
    """PNG from MakeHuman's asset pack, or the JPEG of our own copy."""
    png = assets / "skins" / f"{name}.png"
    return png if png.exists() else png.with_suffix(".jpg")


def _load(path: Path) -> U8:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


def _plain(colour: Colour) -> U8:
    """One texel, sRGB 0..1."""
    return np.array([[[*(round(255 * c) for c in colour), 255]]], np.uint8)
