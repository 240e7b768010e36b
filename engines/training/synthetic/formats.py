"""The file formats of MakeHuman: mesh, target, proxy, skeleton, pose units.

Only reads; every file was checked against its sha256 before (`assets.py`). Lengths are MakeHuman's
decimetres, y points up and z to the camera. A triangle is a quad that repeats its third corner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.transform import Rotation

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

_Y_UP_FROM_Z_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64)
_STILL_RAD = 1e-3
"""a bone that turns less does not take part in a pose unit"""


@dataclass(frozen=True)
class Mesh:
    vertices: F32
    """(V, 3) dm"""
    uvs: F32
    """(T, 2) 0..1, from the lower left"""
    faces: I32
    """(F, 4) into vertices"""
    face_uvs: I32
    """(F, 4) into uvs"""
    groups: NDArray[np.str_]
    """(F,) name of each face's group"""


@dataclass(frozen=True)
class Target:
    """How some vertices move when a target has its full weight."""

    indices: I32
    """(N,)"""
    offsets: F32
    """(N, 3) dm"""


@dataclass(frozen=True)
class ProxyFile:
    """A mesh that hangs on the base mesh: each vertex on one triangle of it."""

    mesh: Path
    corners: I32
    """(P, 3) base vertices"""
    shares: F32
    """(P, 3) of each corner"""
    offsets: F32
    """(P, 3) from that point, for a base of unit scale"""
    scales: dict[int, tuple[int, int, float]]
    """axis -> two base vertices and their distance in dm at unit scale"""


@dataclass(frozen=True)
class Skeleton:
    """Bones, parents before children."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """index of the parent, -1 for the root"""
    heads: tuple[tuple[int, ...], ...]
    """base vertices whose middle is where the bone begins"""
    weights: sparse.csr_matrix
    """(V, B) how much of each bone a vertex follows; rows sum to 1"""

    def index(self, bone: str) -> int:
        return self.names.index(bone)


def read_obj(path: Path) -> Mesh:
    """The subset of Wavefront OBJ that MakeHuman writes: v, vt, g, f with three or four corners."""
    vertices, uvs, faces, face_uvs, groups = [], [], [], [], []
    group = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(v) for v in values[:3]])
        elif kind == "vt":
            uvs.append([float(v) for v in values[:2]])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            corners = [[int(i) - 1 for i in value.split("/")[:2]] for value in values]
            corners += [corners[2]] * (4 - len(corners))
            faces.append([corner[0] for corner in corners])
            face_uvs.append([corner[-1] for corner in corners])
            groups.append(group)
    return Mesh(
        np.array(vertices, np.float32),
        np.array(uvs, np.float32).reshape(-1, 2),
        np.array(faces, np.int32),
        np.array(face_uvs, np.int32),
        np.array(groups),
    )


def read_target(path: Path) -> Target:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Target(table[:, 0].astype(np.int32), table[:, 1:].astype(np.float32))


def read_proxy(path: Path) -> ProxyFile:
    mesh, rows, listing = "", [], False
    scales: dict[int, tuple[int, int, float]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if listing and words[0].isdigit():
            rows.append(_proxy_row(words))
            continue
        if words[0] in ("verts", "weights", "delete_verts"):
            listing = words[0] == "verts"
        elif words[0] == "obj_file":
            mesh = " ".join(words[1:])
        elif words[0] in ("x_scale", "y_scale", "z_scale"):
            scales["xyz".index(words[0][0])] = int(words[1]), int(words[2]), float(words[3])
    table = np.array(rows, np.float64)
    return ProxyFile(
        path.with_name(mesh),
        table[:, :3].astype(np.int32),
        table[:, 3:6].astype(np.float32),
        table[:, 6:].astype(np.float32),
        scales,
    )


def _proxy_row(words: list[str]) -> list[float]:
    """Three corners, three shares, three offsets; one number alone is a vertex to stick to."""
    if len(words) == 1:
        return [float(words[0])] * 3 + [1, 0, 0, 0, 0, 0]
    return ([float(word) for word in words] + [0, 0, 0])[:9]


def read_skeleton(path: Path, weights: Path, vertex_count: int) -> Skeleton:
    content = json.loads(path.read_text(encoding="utf-8"))
    bones, joints = content["bones"], content["joints"]
    names = _parents_first({name: bone["parent"] for name, bone in bones.items()})
    index = {name: i for i, name in enumerate(names)}
    return Skeleton(
        tuple(names),
        tuple(index.get(bones[name]["parent"], -1) for name in names),
        tuple(tuple(joints[bones[name]["head"]]) for name in names),
        _skin_weights(json.loads(weights.read_text())["weights"], index, vertex_count),
    )


def _parents_first(parents: dict[str, str | None]) -> list[str]:
    names = [name for name, parent in parents.items() if not parent]
    for name in names:  # grows while it is read
        names += sorted(child for child, parent in parents.items() if parent == name)
    return names


def _skin_weights(
    table: dict[str, list[tuple[int, float]]], index: dict[str, int], vertex_count: int
) -> sparse.csr_matrix:
    """(V, B), rows sum to 1; a vertex that no bone claims follows the head."""
    entries = [(v, index[bone], w) for bone, pairs in table.items() for v, w in pairs]
    rows, columns, values = zip(*entries, strict=True)
    weights = sparse.csr_matrix((values, (rows, columns)), (vertex_count, len(index)))
    total = np.asarray(weights.sum(axis=1)).ravel()
    free = np.flatnonzero(total < 1e-6)
    total[free] = 1
    head = np.full(len(free), index["head"])
    orphans = sparse.csr_matrix((np.ones(len(free)), (free, head)), weights.shape)
    return (sparse.diags(1 / total) @ weights + orphans).tocsr().astype(np.float32)


def read_pose_units(folder: Path) -> dict[str, dict[str, F32]]:
    """Face pose units: name -> bone -> rotation vector (3,) in radians, y up."""
    names = json.loads((folder / "face-poseunits.json").read_text())["framemapping"]
    hierarchy, motion = (folder / "face-poseunits.bvh").read_text().split("MOTION")
    bones, channels = _bvh_channels(hierarchy)
    frames = [[float(v) for v in line.split()] for line in motion.strip().splitlines()[2:]]
    units: dict[str, dict[str, F32]] = {}
    for name, frame in zip(names, frames, strict=True):
        angles: dict[str, list[float]] = {}
        for bone, channel, value in zip(bones, channels, frame, strict=True):
            if channel.endswith("rotation"):
                angles.setdefault(bone, []).append(value)
        turns = {bone: _rotation_vector(xyz) for bone, xyz in angles.items()}
        units[name.strip()] = {b: v for b, v in turns.items() if np.linalg.norm(v) > _STILL_RAD}
    return units


def _bvh_channels(hierarchy: str) -> tuple[list[str], list[str]]:
    """Bone and channel of each number of a frame."""
    bones, channels, bone = [], [], ""
    for line in hierarchy.splitlines():
        words = line.split()
        if words[:1] in (["ROOT"], ["JOINT"]):
            bone = words[1]
        elif words[:1] == ["CHANNELS"]:
            bones += [bone] * int(words[1])
            channels += words[2:]
    return bones, channels


def _rotation_vector(xyz_deg: list[float]) -> F32:
    """Intrinsic x, y, z turns of a z-up file as one rotation vector with y up."""
    vector = Rotation.from_euler("XYZ", xyz_deg, degrees=True).as_rotvec()
    turned: F32 = (_Y_UP_FROM_Z_UP @ vector).astype(np.float32)
    return turned
