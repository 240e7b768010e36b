"""One Catmull-Clark step (https://en.wikipedia.org/wiki/Catmull-Clark_subdivision_surface).

Positions become a matrix, so a face that moves is smoothed by one sparse product; texture
coordinates are split in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Edges:
    ends: I32
    """(E, 2) vertices, each edge once"""
    of_corner: I32
    """(F, 4) edge that leaves each corner"""
    uses: I32
    """(E,) faces on the edge; 1 = border"""


def corners_of(faces: I32) -> Mask:
    """(F, 4) which corners exist: a triangle repeats its third."""
    valid = np.ones(faces.shape, np.bool_)
    valid[:, 3] = faces[:, 3] != faces[:, 2]
    return valid


def catmull_clark(faces: I32, vertex_count: int) -> tuple[sparse.csr_matrix, I32]:
    """Matrix (N', N) from old to new positions, and the new faces (F', 4), all quads."""
    valid = corners_of(faces)
    edges = _edges(faces, valid)
    to_faces = _averages(*_corner_entries(faces, valid), (len(faces), vertex_count))
    to_middles = _middles(edges, vertex_count)
    rows = [
        _moved_vertices(faces, valid, edges, to_faces, to_middles),
        _moved_edges(edges, valid, to_faces, to_middles),
        to_faces,
    ]
    matrix = sparse.vstack(rows).tocsr().astype(np.float32)
    return matrix, _children(faces, valid, edges, vertex_count)


def split_uvs(face_uvs: I32, faces: I32, uvs: F32) -> tuple[F32, I32]:
    """Texture coordinates (T', 2) and faces (F', 4), in the order of `catmull_clark`'s faces."""
    valid = corners_of(faces)
    edges = _edges(face_uvs, valid)
    centres = _averages(*_corner_entries(face_uvs, valid), (len(faces), len(uvs))) @ uvs
    split = np.concatenate([uvs, uvs[edges.ends].mean(axis=1), centres]).astype(np.float32)
    return split, _children(face_uvs, valid, edges, len(uvs))


def _edges(faces: I32, valid: Mask) -> _Edges:
    sides = valid.sum(axis=1, keepdims=True)
    following = np.take_along_axis(faces, (np.arange(4) + 1) % sides, axis=1)
    pairs = np.sort(np.stack([faces, following], axis=2), axis=2)[valid]
    ends, which, uses = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    of_corner = np.full(faces.shape, -1, np.int32)
    of_corner[valid] = which.ravel()
    return _Edges(ends, of_corner, uses.astype(np.int32))


def _children(faces: I32, valid: Mask, edges: _Edges, first_edge: int) -> I32:
    """(F', 4): for each corner the quad of corner, edge out, face middle, edge in."""
    face, corner = np.nonzero(valid)
    before = (corner - 1) % valid.sum(axis=1)[face]
    quads = [
        faces[face, corner],
        first_edge + edges.of_corner[face, corner],
        first_edge + len(edges.ends) + face,
        first_edge + edges.of_corner[face, before],
    ]
    children: I32 = np.stack(quads, axis=1).astype(np.int32)
    return children


def _corner_entries(faces: I32, valid: Mask) -> tuple[NDArray[np.int64], I32]:
    """Face and vertex of each corner."""
    return np.nonzero(valid)[0], faces[valid]


def _averages(
    rows: NDArray[np.int64] | I32, columns: NDArray[np.int64] | I32, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """Matrix whose row is the mean over the columns named beside it; empty rows stay zero."""
    ones = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
    counts = np.asarray(ones.sum(axis=1)).ravel()
    return sparse.diags(1 / np.maximum(counts, 1)) @ ones


def _middles(edges: _Edges, vertex_count: int) -> sparse.csr_matrix:
    count = len(edges.ends)
    return _averages(np.repeat(np.arange(count), 2), edges.ends.ravel(), (count, vertex_count))


def _moved_edges(
    edges: _Edges, valid: Mask, to_faces: sparse.csr_matrix, to_middles: sparse.csr_matrix
) -> sparse.csr_matrix:
    """Edge points: between the middle and the mean of both faces; borders keep the middle."""
    face = np.nonzero(valid)[0]
    beside = _averages(edges.of_corner[valid], face, (len(edges.ends), len(valid))) @ to_faces
    inner = (edges.uses == 2).astype(np.float64)
    return sparse.diags(1 - inner / 2) @ to_middles + sparse.diags(inner / 2) @ beside


def _moved_vertices(
    faces: I32,
    valid: Mask,
    edges: _Edges,
    to_faces: sparse.csr_matrix,
    to_middles: sparse.csr_matrix,
) -> sparse.csr_matrix:
    """Old vertices: (faces + 2 edges + (n - 3) itself) / n inside, a cubic curve on borders."""
    count = to_faces.shape[1]
    face, vertex = _corner_entries(faces, valid)
    around_faces = _averages(vertex, face, (count, len(faces))) @ to_faces
    ends = edges.ends.ravel()
    edge = np.repeat(np.arange(len(edges.ends)), 2)
    around_edges = _averages(ends, edge, (count, len(edges.ends))) @ to_middles
    on_border = np.repeat(edges.uses == 1, 2)
    along = _averages(ends[on_border], edge[on_border], (count, len(edges.ends))) @ to_middles
    border = np.bincount(ends[on_border], minlength=count) > 0
    valence = np.bincount(vertex, minlength=count)
    inside = (valence > 0) & ~border
    n = np.maximum(valence, 1)
    own = np.where(inside, (n - 3) / n, np.where(border, 0.5, 1))
    return (
        sparse.diags(np.where(inside, 1 / n, 0)) @ around_faces
        + sparse.diags(np.where(inside, 2 / n, 0)) @ around_edges
        + sparse.diags(np.where(border, 0.5, 0)) @ along
        + sparse.diags(own)
    )
