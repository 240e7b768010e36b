"""What a picture is worth as a portrait: where its face is, and what could be better about it.

Advice, no refusal: the person decides. Only a picture without exactly one face is of no use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from realtime import face_regions, likeness, portrait
from realtime.calibration import Sample
from realtime.errors import IdentityError
from realtime.frames import F32, U8, FaceTrack

CROP_PX = 384
SMALL_FACE_PX = 160
"""lower than that, a face is enlarged on the usual canvas"""
TURNED_DEG = 15.0
NODDED_DEG = 20.0
"""the mean face's own tilt is about 8 degrees of it"""
OPEN_LIPS = 0.06
"""of the distance between the outer eye corners"""
CLOSED_LIDS = 0.05
SHARP = 10.0
"""variance of the Laplacian of a face 256 pixels wide (Pech-Pacheco et al., ICPR 2000): the shipped
portraits have 92 to 161, blurred by 2 pixels 9 to 17, by 4 pixels 3 to 5"""


@dataclass(frozen=True, slots=True)
class Examined:
    """A picture with one face."""

    crop_rgb: U8
    """(CROP_PX, CROP_PX, 3) the face as it was found, for the person to look at"""
    advice: tuple[str, ...]
    """one line each; empty for a good portrait"""
    shape: F32 | None
    """(478, 3) of the face, as `likeness` compares it; None where it is turned away"""


def examine(rgba: U8, find_faces: Callable[[U8], list[FaceTrack]], name: str) -> Examined:
    """
    Args:
        name: of the file, for messages.

    Raises:
        IdentityError: there is not exactly one face.
    """
    rgb = portrait.over(rgba)
    faces = find_faces(rgb)
    if len(faces) != 1:
        found = "no face" if not faces else "more than one face"
        raise IdentityError(
            f"{name}: {found} was found; use a picture of one person, facing the camera, the "
            "whole head visible"
        )
    landmarks = faces[0].landmarks_px
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    sample = Sample.of(landmarks)
    advice = [
        *_size(float(high[1] - low[1])),
        *_place(low, high, rgb.shape),
        *_turn(sample),
        *_rest(sample),
        *_sharpness(rgb, low, high),
    ]
    return Examined(_crop(rgb, low, high), tuple(advice), likeness.shape_of(landmarks))


def _size(height_px: float) -> list[str]:
    if height_px >= SMALL_FACE_PX:
        return []
    return [
        f"the face is small: {height_px:.0f} pixels high, better {SMALL_FACE_PX} or more; "
        "take a larger picture, or crop it less"
    ]


def _place(low: F32, high: F32, shape: tuple[int, ...]) -> list[str]:
    face = high - low
    room = low[1] >= 0.15 * face[1] and low[0] >= 0 and high[0] <= shape[1] and high[1] <= shape[0]
    return [] if room else ["the head is cut off at the picture's edge: leave room around it"]


def _turn(sample: Sample) -> list[str]:
    rotation = sample.rotation
    yaw = math.degrees(math.atan2(float(rotation[0, 2]), float(rotation[2, 2])))
    pitch = math.degrees(math.asin(float(np.clip(-rotation[1, 2], -1, 1))))
    advice = []
    if abs(yaw) > TURNED_DEG:
        advice.append(f"the head is turned away by {abs(yaw):.0f} degrees: look at the camera")
    if abs(pitch) > NODDED_DEG:
        advice.append("the head is tilted up or down: hold the camera at the height of the eyes")
    return advice


def _rest(sample: Sample) -> list[str]:
    advice = []
    if float(face_regions.lip_gaps(sample.face).max()) > OPEN_LIPS:
        advice.append("the mouth is open: close the lips, for the picture's teeth would stay")
    if min(face_regions.lid_gap(sample.face, eye) for eye in (0, 1)) < CLOSED_LIDS:
        advice.append("an eye is closed: keep both open")
    return advice


def _sharpness(rgb: U8, low: F32, high: F32) -> list[str]:
    (left, top), (right, bottom) = np.maximum(low, 0).astype(int), high.astype(int)
    grey = cv2.cvtColor(rgb[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    even = cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA)
    sharp = float(cv2.Laplacian(even, cv2.CV_64F).var()) >= SHARP
    return [] if sharp else ["the picture is blurred: hold still, give it more light"]


def _crop(rgb: U8, low: F32, high: F32) -> U8:
    """A square around the face with half as much again around it."""
    side = float((high - low).max()) * 1.6
    left, top = (low + high) / 2 - side / 2
    scale = CROP_PX / side
    crop_from_picture = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.warpAffine(
        rgb, crop_from_picture, (CROP_PX, CROP_PX), flags=way, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(picture, np.uint8)
