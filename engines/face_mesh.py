"""The topology of MediaPipe's 478 face landmarks: contours, regions, triangles, mean shape.

Landmark numbers are those of the MediaPipe face mesh (Kartynnik et al., arXiv 1907.06724; irises:
Ablavatski et al., arXiv 2006.11341). "Right" and "left" are the subject's. The triangles are our
own Delaunay triangulation of the mean face with its mouth half open; `face_mesh.npz` holds it and
is made by `python -m engines.training.topology`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]

LANDMARKS = 478
SKIN_LANDMARKS = 468

LIPS_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_EYE_LOWER = (263, 249, 390, 373, 374, 380, 381, 382, 362)
RIGHT_EYE_SOCKET = (247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25, 130)
LEFT_EYE_SOCKET = (467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255, 359)
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
RIGID = (10, 109, 338, 67, 297, 103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 234, 454, 151, 9,
         8, 168, 6, 197, 195, 5, 4, 33, 263, 133, 362, 116, 345, 143, 372, 34, 264)
"""landmarks that follow the skull: forehead, temples, nose bridge, eye corners, cheekbones"""
# fmt: on
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
CHIN = 152
FOREHEAD = 10


def polygon(upper: tuple[int, ...], lower: tuple[int, ...]) -> I32:
    """A closed contour from an upper and a lower row that share both ends."""
    return np.array(upper + lower[-2:0:-1], np.int32)


MOUTH_HOLE = polygon(LIPS_INNER_UPPER, LIPS_INNER_LOWER)
RIGHT_EYE_HOLE = polygon(RIGHT_EYE_UPPER, RIGHT_EYE_LOWER)
LEFT_EYE_HOLE = polygon(LEFT_EYE_UPPER, LEFT_EYE_LOWER)
LIPS = polygon(LIPS_OUTER_UPPER, LIPS_OUTER_LOWER)


class FaceMesh(NamedTuple):
    mean_shape: F32
    """(478, 3) of a frontal neutral face: x right, y down, z away; outer eye corners 1 apart"""
    triangles: I32
    """(T, 3) of the skin, with holes for the mouth and both eyes"""


@cache
def load() -> FaceMesh:
    """The mesh that ships with the package; read once."""
    with resources.as_file(resources.files("engines") / "face_mesh.npz") as path:
        arrays = np.load(path, allow_pickle=False)
        return FaceMesh(arrays["mean_shape"], arrays["triangles"])


def face_unit(landmarks: F32) -> float:
    """Distance between the outer eye corners, in the landmarks' own unit."""
    return float(np.linalg.norm(landmarks[LEFT_EYE_OUTER] - landmarks[RIGHT_EYE_OUTER]))
