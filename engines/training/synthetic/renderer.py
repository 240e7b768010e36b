"""Meshes to pictures through OpenGL without a window (EGL); software rendering is enough.

Knows layers, light and a camera, nothing of people. Pictures are drawn twice as large and made
small, with premultiplied alpha: hair's soft edges carry no background.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import cv2
import moderngl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engines.errors import EngineError
from engines.training.synthetic import shaders
from engines.training.synthetic.formats import F32, I32, Mesh
from engines.training.synthetic.lighting import Camera, Light, shadow_camera
from engines.training.synthetic.subdivision import catmull_clark, corners_of, split_uvs

U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Texture: TypeAlias = moderngl.Texture

_HEADLESS: dict[str, Any] = {"standalone": True, "backend": "egl"}
_SHADOW_PX = 1024
_KEPT_TEXTURES = 24
"""of 2048x2048 with mipmaps, 22 MB each; the one unused for longest makes room"""
_HAIR_LEAST_ALPHA = 0.55
"""where hair counts as solid: there it hides what is drawn later"""
_SOFT_LEAST_ALPHA = 0.03


class Material(IntEnum):
    """How light meets it; the numbers are the shader's."""

    SKIN = 0
    EYE = 1
    HAIR = 2
    MOUTH = 3
    DECAL = 4
    CLOTH = 5


@dataclass(frozen=True)
class Anatomy:
    """Where the posed head's parts are: lids and lips shade what is behind them."""

    eyeballs: F32
    """(2, 3) dm"""
    lips: F32
    """(3,) dm"""
    up: F32
    """(3,) unit vector"""
    forward: F32
    """(3,) unit vector"""


class Part:
    """The topology of one mesh on the GPU; its positions are new in every frame."""

    def __init__(self, context: moderngl.Context, mesh: Mesh, keep: Mask, smooth: bool) -> None:
        faces, face_uvs, uvs = mesh.faces[keep], mesh.face_uvs[keep], mesh.uvs
        count = len(mesh.vertices)
        self._place: sparse.csr_matrix = sparse.identity(count, np.float32, format="csr")
        if smooth:
            uvs, face_uvs = split_uvs(face_uvs, faces, uvs)
            self._place, faces = catmull_clark(faces, count)
        used, faces = np.unique(faces, return_inverse=True)
        self._place = self._place[used].tocsr()
        faces = faces.reshape(-1, 4)
        quads = corners_of(faces)[:, 3]
        self._triangles = _triangles(faces, quads)
        corners = np.stack([self._triangles.ravel(), _triangles(face_uvs, quads).ravel()], axis=1)
        seams, order = np.unique(corners, axis=0, return_inverse=True)
        self._of_vertex = seams[:, 0]
        triangle = np.repeat(np.arange(len(self._triangles)), 3)
        ones = np.ones(len(triangle), np.float32)
        around = sparse.csr_matrix((ones, (self._triangles.ravel(), triangle)))
        self._around: sparse.csr_matrix = around
        self._indices = context.buffer(order.astype(np.int32).tobytes())
        self._uvs = context.buffer(uvs[seams[:, 1]].astype(np.float32).tobytes())
        self._vertices = context.buffer(reserve=len(seams) * 24, dynamic=True)

    def vertex_array(
        self, context: moderngl.Context, program: moderngl.Program
    ) -> moderngl.VertexArray:
        with_normals = "normal" in program
        vertices = ("3f 3f", "position", "normal") if with_normals else ("3f 12x", "position")
        content = [(self._vertices, *vertices), (self._uvs, "2f", "uv")]
        return context.vertex_array(program, content, self._indices)

    def move(self, vertices: F32) -> None:
        """Take posed vertices (V, 3) dm of the whole mesh; normals follow."""
        points = np.asarray(self._place @ vertices, np.float32)
        a, b, c = (points[self._triangles[:, i]] for i in range(3))
        normals = self._around @ np.cross(b - a, c - a)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
        both = np.concatenate([points, normals], axis=1)[self._of_vertex]
        self._vertices.write(np.ascontiguousarray(both, np.float32).tobytes())


@dataclass(frozen=True)
class Layer:
    """One part as it is drawn; later layers lie on top of earlier ones."""

    part: Part
    texture: Texture
    material: Material
    tint: tuple[float, float, float] = (1, 1, 1)
    """factor on the linear colour"""
    gloss: float = 1.0
    bump: float = 0.0
    """height of the texture's brightness, dm"""
    inflated: float = 0.0
    """dm along the normals"""
    nearer: float = 0.0
    """dm towards the camera in the depth test: negative lets others hide it"""
    casts_shadow: bool = False


class Renderer:
    """Owns an OpenGL context and everything in it. One thread.

    Beside other renderers, whatever uses this one stands in `with renderer.context`.
    """

    def __init__(self, size: int, oversampling: int = 2) -> None:
        """
        Raises:
            EngineError: there is no EGL here, or no driver for it.
        """
        self._size = size
        self._drawn = size * oversampling
        try:
            self.context = moderngl.create_context(**_HEADLESS)
        except Exception as error:  # noqa: BLE001  # moderngl raises bare `Exception` here
            raise EngineError(
                f"no OpenGL without a window ({error}): the renderer needs EGL; on Debian and "
                "Ubuntu: apt-get install libegl1 libgl1-mesa-dri libgles2"
            ) from None
        context = self.context
        self._picture = context.program(shaders.VERTEX, shaders.FRAGMENT)
        self._shadow = context.program(shaders.SHADOW_VERTEX, shaders.SHADOW_FRAGMENT)
        self._canvas = context.simple_framebuffer((self._drawn, self._drawn), 4)
        self._shadow_map = context.depth_texture((_SHADOW_PX, _SHADOW_PX))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_canvas = context.framebuffer(depth_attachment=self._shadow_map)
        self._textures: OrderedDict[str, Texture] = OrderedDict()
        self._arrays: dict[Part, tuple[moderngl.VertexArray, moderngl.VertexArray]] = {}

    def part(self, mesh: Mesh, keep: Mask | None = None, smooth: bool = False) -> Part:
        """Upload those faces (F,) of a mesh; `smooth` rounds it by one subdivision."""
        part = Part(
            self.context, mesh, np.ones(len(mesh.faces), bool) if keep is None else keep, smooth
        )
        self._arrays[part] = (
            part.vertex_array(self.context, self._picture),
            part.vertex_array(self.context, self._shadow),
        )
        return part

    def texture(self, key: str, load: Callable[[], U8]) -> Texture:
        """The texture of that key, or a new one from `load`: (H, W, 4) RGBA, first row on top."""
        if key in self._textures:
            self._textures.move_to_end(key)
            return self._textures[key]
        if len(self._textures) == _KEPT_TEXTURES:
            self._textures.popitem(last=False)[1].release()
        rgba = load()
        pixels = np.ascontiguousarray(rgba[::-1]).tobytes()
        texture = self.context.texture((rgba.shape[1], rgba.shape[0]), 4, pixels)
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_NEAREST, moderngl.LINEAR)
        self._textures[key] = texture
        return texture

    def draw(self, layers: Sequence[Layer], light: Light, camera: Camera, anatomy: Anatomy) -> U8:
        """(S, S, 4) RGBA, straight alpha, first row on top."""
        shadow_from_world = shadow_camera(light, anatomy.lips)
        self._draw_shadows(layers, shadow_from_world)
        self._set_scene(light, camera, anatomy, shadow_from_world)
        self._canvas.use()
        self._canvas.clear(0, 0, 0, 0, depth=1)
        self._shadow_map.use(1)
        for layer in layers:
            self._draw_layer(layer)
        size = self._drawn
        pixels = np.frombuffer(self._canvas.read(components=4, alignment=1), np.uint8)
        return _reduced(pixels.reshape(size, size, 4)[::-1], self._size)

    def _draw_shadows(self, layers: Sequence[Layer], shadow_from_world: F32) -> None:
        self.context.enable_only(moderngl.DEPTH_TEST)
        self._shadow_canvas.use()
        self._shadow_canvas.clear(depth=1)
        _write(self._shadow, "clip_from_world", shadow_from_world.T)
        for layer in layers:
            if layer.casts_shadow:
                least = _HAIR_LEAST_ALPHA if layer.material == Material.HAIR else 0
                _set(self._shadow, least_alpha=least)
                layer.texture.use(0)
                self._arrays[layer.part][1].render()

    def _set_scene(
        self, light: Light, camera: Camera, anatomy: Anatomy, shadow_from_world: F32
    ) -> None:
        program = self._picture
        _write(program, "clip_from_world", camera.clip_from_world.T)
        _write(program, "shadow_from_world", shadow_from_world.T)
        _write(program, "eye", camera.eye)
        _write(program, "light_direction", light.directions)
        _write(program, "light_colour", light.colours)
        _write(program, "sky", light.sky)
        _write(program, "ground", light.ground)
        _write(program, "eyeballs", anatomy.eyeballs)
        _write(program, "lips", anatomy.lips)
        _write(program, "head_up", anatomy.up)
        _write(program, "head_forward", anatomy.forward)
        apart = float(np.linalg.norm(anatomy.eyeballs[0] - anatomy.eyeballs[1]))
        _set(program, exposure=light.exposure, eyeball_radius=0.21 * apart)
        _set(program, picture=0, shadow_map=1)

    def _draw_layer(self, layer: Layer) -> None:
        """Solid parts in one pass; hair solid first, then its soft edge without depth."""
        soft = layer.material in (Material.HAIR, Material.DECAL)
        flags = moderngl.DEPTH_TEST
        if layer.material == Material.SKIN:
            flags |= moderngl.CULL_FACE
        self.context.enable_only(flags | (moderngl.BLEND if soft else 0))
        self.context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        _set(
            self._picture,
            material=int(layer.material),
            tint=layer.tint,
            gloss=layer.gloss,
            bump=layer.bump,
            inflated=layer.inflated,
            nearer=layer.nearer,
            opaque=not soft,
        )
        layer.texture.use(0)
        array = self._arrays[layer.part][0]
        if not soft:
            _set(self._picture, least_alpha=0.5 if layer.material == Material.EYE else 0)
            array.render()
            return
        if layer.material == Material.HAIR:
            _set(self._picture, least_alpha=_HAIR_LEAST_ALPHA)
            array.render()
        _set(self._picture, least_alpha=_SOFT_LEAST_ALPHA)
        self._canvas.depth_mask = False
        array.render()
        self._canvas.depth_mask = True


def _triangles(corners: I32, quads: Mask) -> I32:
    """(T, 3) of (F, 4): quads cut along the diagonal from their first corner."""
    return np.concatenate([corners[:, [0, 1, 2]], corners[quads][:, [0, 2, 3]]])


def _reduced(premultiplied: U8, size: int) -> U8:
    """Average down to (size, size, 4) and divide by alpha."""
    floats = premultiplied.astype(np.float32)
    small = np.asarray(cv2.resize(floats, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    small[..., :3] *= 255 / np.maximum(small[..., 3:], 1)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def _write(program: moderngl.Program, name: str, value: F32) -> None:
    uniform: Any = program[name]
    uniform.write(np.ascontiguousarray(value, np.float32).tobytes())


def _set(program: moderngl.Program, **values: object) -> None:
    for name, value in values.items():
        uniform: Any = program[name]
        uniform.value = value
