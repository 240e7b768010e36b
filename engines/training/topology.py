"""Make `engines/face_mesh.npz`: mean shape and triangles from the labels of the training set.

    python -m engines.training.topology LABELS.npz

Triangulated is a *half-open* face, between the mean neutral one and the mean wide jaw (frame 2 of
each identity): there the inner lip contour encloses an area, so no triangle bridges the lips, and
fewest triangles flip in either extreme. Then mouth and eye holes are cut out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines import face_mesh
from engines.rigid import fit_similarity
from engines.warp import delaunay

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


def mean_face(faces: F32, start: F32, rounds: int = 4) -> F32:
    """Generalised Procrustes mean of (F, 478, 3) faces, aligned by their rigid landmarks."""
    rigid = list(face_mesh.RIGID)
    mean: F32 = start
    for _ in range(rounds):
        aligned = [fit_similarity(face[rigid], mean[rigid]).apply(face) for face in faces]
        mean = np.mean(aligned, axis=0).astype(np.float32)
    return mean


def frontal(mean: F32) -> F32:
    """Centred between the outer eye corners, these 1 apart, mirror-symmetric: no roll, no yaw."""
    mirrored = mean.copy()
    mirrored[:, 0] *= -1
    mirrored = mirrored[mirror_index(mean)]
    both = fit_similarity(mirrored, mean).apply(mirrored)
    mean = ((mean + both) / 2).astype(np.float32)
    right = mean[face_mesh.LEFT_EYE_OUTER] - mean[face_mesh.RIGHT_EYE_OUTER]
    right = right / np.linalg.norm(right)
    down = mean[face_mesh.CHIN] - mean[face_mesh.FOREHEAD]
    down = down - right * (down @ right)
    down = down / np.linalg.norm(down)
    axes = np.stack([right, down, np.cross(right, down)])
    centre = (mean[face_mesh.LEFT_EYE_OUTER] + mean[face_mesh.RIGHT_EYE_OUTER]) / 2
    turned = ((mean - centre) @ axes.T).astype(np.float32)
    scaled: F32 = (turned / face_mesh.face_unit(turned)).astype(np.float32)
    return scaled


def mirror_index(mean: F32) -> I32:
    """For each landmark the one on the other side, by nearest mirrored position in x, y, z."""
    axis_x = (mean[face_mesh.LEFT_EYE_OUTER, 0] + mean[face_mesh.RIGHT_EYE_OUTER, 0]) / 2
    flipped = mean * [-1, 1, 1] + [2 * axis_x, 0, 0]
    distance = np.linalg.norm(flipped[:, None] - mean[None], axis=2)  # (478, 478)
    nearest: I32 = distance.argmin(axis=0).astype(np.int32)
    return nearest


def triangulate(points: F32) -> I32:
    """Delaunay triangles (T, 3) of the skin landmarks, without the mouth and eye holes."""
    holes = [
        points[hole].astype(np.float32)
        for hole in (face_mesh.MOUTH_HOLE, face_mesh.RIGHT_EYE_HOLE, face_mesh.LEFT_EYE_HOLE)
    ]
    triangles = []
    for triangle in delaunay(points):
        centre = points[triangle].mean(axis=0)
        if all(cv2.pointPolygonTest(h, centre.astype(float).tolist(), False) < 0 for h in holes):
            triangles.append(triangle)
    return np.array(triangles, np.int32)


def main(labels_path: str) -> None:
    labels = np.load(labels_path, allow_pickle=False)
    names, landmarks = labels["names"], labels["landmarks"]
    neutral = landmarks[[name.endswith("_00.webp") for name in names]]
    opened = landmarks[[name.endswith("_02.webp") for name in names]]
    mean = frontal(mean_face(neutral, neutral[0]))
    half_open = (mean + mean_face(opened, mean)) / 2
    triangles = triangulate(half_open[: face_mesh.SKIN_LANDMARKS, :2])
    path = Path(face_mesh.__file__).with_name("face_mesh.npz")
    np.savez_compressed(path, mean_shape=mean, triangles=triangles)
    print(f"{path}: {len(neutral)} neutral faces, {len(triangles)} triangles")


if __name__ == "__main__":
    main(sys.argv[1])
