"""The MakeHuman figure: a mesh that targets reshape, a rig that poses it, proxies that follow.

Knows nothing of people (`people.py`), of light, or of OpenGL (`renderer.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial.transform import Rotation

from engines.training.synthetic import formats
from engines.training.synthetic.formats import Mesh, Skeleton, Target

F32 = NDArray[np.float32]

_LEAST_WEIGHT = 1e-4
"""a target of less weight moves nothing that can be seen"""


class Figure:
    """The base mesh with its targets and its rig."""

    def __init__(self, assets: Path) -> None:
        self._assets = assets
        self.mesh: Mesh = formats.read_obj(assets / "3dobjs" / "base.obj")
        rigs = assets / "rigs"
        self.skeleton: Skeleton = formats.read_skeleton(
            rigs / "default.mhskel", rigs / "default_weights.mhw", len(self.mesh.vertices)
        )
        self.units = formats.read_pose_units(assets / "poseunits")
        self._targets: dict[str, Target] = {}

    def morph(self, weights: Mapping[str, float], start: F32 | None = None) -> F32:
        """(V, 3) dm: `start`, or the base mesh, with each target ("folder/name") at its weight."""
        vertices = (self.mesh.vertices if start is None else start).copy()
        for name, weight in weights.items():
            if abs(weight) > _LEAST_WEIGHT:
                target = self._target(name)
                vertices[target.indices] += target.offsets * np.float32(weight)
        return vertices

    def joint(self, vertices: F32, bone: str) -> F32:
        """(3,) dm where a bone begins."""
        head = self.skeleton.heads[self.skeleton.index(bone)]
        middle: F32 = vertices[list(head)].mean(axis=0)
        return middle

    def pose(self, vertices: F32, units: Mapping[str, float], turns: Mapping[str, Rotation]) -> F32:
        """(B, 3, 4) how each bone moves what hangs on it.

        Args:
            vertices: the figure at rest, (V, 3) dm; joints lie where it has them.
            units: pose unit -> weight, 1 = as MakeHuman drew it.
            turns: bone -> further rotation.
        """
        rotations = self._rotations(units, turns)
        moved = np.zeros((len(self.skeleton.names), 3, 4), np.float32)
        for i, (bone, parent) in enumerate(
            zip(self.skeleton.names, self.skeleton.parents, strict=True)
        ):
            around = np.eye(4, dtype=np.float32)[:3] if parent < 0 else moved[parent]
            if bone in rotations:
                turn = rotations[bone].as_matrix().astype(np.float32)
                joint = self.joint(vertices, bone)
                local = np.column_stack([turn, joint - turn @ joint])
                moved[i, :, :3] = around[:, :3] @ turn
                moved[i, :, 3] = around[:, :3] @ local[:, 3] + around[:, 3]
            else:
                moved[i] = around
        return moved

    def _rotations(
        self, units: Mapping[str, float], turns: Mapping[str, Rotation]
    ) -> dict[str, Rotation]:
        rotations: dict[str, Rotation] = {}
        for name, weight in units.items():
            for bone, vector in self.units[name].items():
                turn = Rotation.from_rotvec(vector * weight)
                rotations[bone] = turn * rotations[bone] if bone in rotations else turn
        for bone, turn in turns.items():
            rotations[bone] = turn * rotations[bone] if bone in rotations else turn
        return rotations

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            path = self._assets / "targets" / f"{name}.target"
            self._targets[name] = formats.read_target(path)
        return self._targets[name]


class Proxy:
    """Eyes, teeth, brows, hair: a mesh whose vertices hang on triangles of the figure."""

    def __init__(self, figure: Figure, path: Path) -> None:
        self._file = formats.read_proxy(path)
        self.mesh: Mesh = formats.read_obj(self._file.mesh)
        self.weights = self._follow(figure.skeleton.weights)

    def fit(self, vertices: F32) -> F32:
        """(P, 3) dm on a figure of these vertices, at rest."""
        scale = np.ones(3, np.float32)
        for axis, (one, other, unit) in self._file.scales.items():
            scale[axis] = abs(vertices[one, axis] - vertices[other, axis]) / unit
        hung = np.einsum("pk,pkx->px", self._file.shares, vertices[self._file.corners])
        fitted: F32 = (hung + self._file.offsets * scale).astype(np.float32)
        return fitted

    def _follow(self, weights: sparse.csr_matrix) -> sparse.csr_matrix:
        """(P, B): the bones that the corners follow, by their shares."""
        shares = np.clip(self._file.shares, 0, None)
        shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-6)
        count = len(shares)
        rows = np.repeat(np.arange(count), 3)
        entries = (shares.ravel(), (rows, self._file.corners.ravel()))
        matrix = sparse.csr_matrix(entries, (count, weights.shape[0]))
        return (matrix @ weights).tocsr().astype(np.float32)


def skin(vertices: F32, weights: sparse.csr_matrix, moved: F32) -> F32:
    """(N, 3) dm: vertices at rest, moved by the bones that each of them follows."""
    matrices = (weights @ moved.reshape(len(moved), 12)).reshape(-1, 3, 4)
    posed: F32 = np.einsum("nij,nj->ni", matrices[:, :, :3], vertices) + matrices[:, :, 3]
    return posed


def mirrored(names: Iterable[str]) -> dict[str, str]:
    """Left target -> its right counterpart, for those that have one."""
    known = set(names)
    lefts = (name for name in known if name.startswith("l-"))
    return {left: f"r-{left[2:]}" for left in lefts if f"r-{left[2:]}" in known}
