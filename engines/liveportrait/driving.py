"""From what M saw of the performer to where the portrait's key points go.

    now, rest --gained--> the performer's pose --relative or absolute--> x_d

A crop follows the face it shows, so M sees neither where the head is nor how near: what the crop
did is added to what M says (`sight`), and a `Sight` is in the camera's picture. Numpy only.

Which key points move what is read off the published work: six for the lips, five for the eyes. That
eyes look aside along x and lids close along y is ASSUMED; no point is known to be the brows'.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.liveportrait.alignment import FaceCrop
from engines.nets.liveportrait import keypoints
from engines.nets.liveportrait.keypoints import Pose
from engines.pose import Gains, Seen, Sight

F32 = NDArray[np.float32]

LIPS = (6, 12, 14, 17, 19, 20)
EYES = (11, 13, 15, 16, 18)
"""key points"""
_ASIDE = 0
"""axis along which irises look to the side"""
_REACH = np.array([0.3, 0.2], np.float32)
"""how far the head may go from its rest, in half sides of the crop; approached softly"""
_SCALE_REACH = 0.25
"""how much nearer or farther the avatar may come, as a logarithm; approached softly"""


def sight(face: Pose, crop: FaceCrop, picture_hw: tuple[int, int]) -> Sight:
    """A pose of one face in a crop -> in the picture.

    Args:
        face: without a batch axis.
        crop: parallel to the picture.
    """
    height, width = picture_hw
    reach = crop.side_px / 2 / height
    offset = face.translation[:2]
    place = (crop.centre - np.array([width / 2, height / 2])) / height + reach * offset
    size = np.log(np.maximum(face.scale * reach, 1e-6))
    head = np.concatenate([vector_of(face.rotation), place, size]).astype(np.float32)
    return Sight(head, face.expression, offset, reach)


def driven(source: Pose, seen: Seen, absolute: bool) -> Pose:
    """The source as the performer moves it.

    Args:
        source: without a batch axis.
        absolute: take the performer's own pose and expression over; otherwise what they changed
            since they were at rest.
    """
    moved, rest = moved_since_rest(seen), seen.rest
    if not absolute:
        return keypoints.relative(source, moved, _unmoved(source))
    performer = replace(
        moved,
        rotation=moved.rotation @ matrix_of(rest.head[:3]),
        expression=rest.expression + moved.expression,
        translation=moved.translation + np.append(rest.offset, np.float32(0)),
    )
    return keypoints.absolute(source, performer)


def moved_since_rest(seen: Seen) -> Pose:
    """What the performer changed, times the gains; `_unmoved` if nothing."""
    now, rest, gains = seen.now, seen.rest, seen.gains
    turn = matrix_of(now.head[:3]) @ matrix_of(rest.head[:3]).T
    way = (now.head[3:5] - rest.head[3:5]) / np.float32(rest.reach) * np.float32(gains.head)
    nearer = (now.head[5:] - rest.head[5:]) * np.float32(gains.head)
    change = now.expression - rest.expression
    return Pose(
        canonical=np.zeros_like(change),
        rotation=matrix_of(vector_of(turn) * np.float32(gains.head)),
        expression=change * point_gains(len(change), gains),
        scale=np.exp(_SCALE_REACH * np.tanh(nearer / _SCALE_REACH)).astype(np.float32),
        translation=np.append(_REACH * np.tanh(way / _REACH), 0).astype(np.float32),
    )


def point_gains(points: int, gains: Gains) -> F32:
    """(K, 3) how much of each key point's offset is passed on."""
    gain = np.ones((points, 3), np.float32)
    gain[list(LIPS)] *= gains.mouth
    gain[list(EYES)] *= gains.blink
    gain[list(EYES), _ASIDE] = gains.gaze
    gain *= gains.expression
    return gain


def vector_of(rotation: F32) -> F32:
    """(3,) axis times angle in radians of (3, 3)."""
    vector, _ = cv2.Rodrigues(rotation.astype(np.float64))
    return vector[:, 0].astype(np.float32)


def matrix_of(vector: F32) -> F32:
    """(3, 3), the inverse of `vector_of`."""
    matrix, _ = cv2.Rodrigues(vector.astype(np.float64))
    return matrix.astype(np.float32)


def _unmoved(source: Pose) -> Pose:
    return Pose(
        canonical=source.canonical,
        rotation=np.eye(3, dtype=np.float32),
        expression=np.zeros_like(source.expression),
        scale=np.ones(1, np.float32),
        translation=np.zeros(3, np.float32),
    )
