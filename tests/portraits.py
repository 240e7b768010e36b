"""A picture in which a face is found without a tracker, and what is found there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from engines import face_mesh
from realtime.config import Identities
from realtime.enrolment import Enrolment
from realtime.frames import F32, U8, FaceTrack

SIDE_PX = 320


def picture_bytes(picture_format: str = "PNG", seed: int = 0, **options: object) -> bytes:
    """Noise: sharp everywhere."""
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE_PX, SIDE_PX, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, picture_format, **options)
    return buffer.getvalue()


def landmarks(height_px: float = 200, yaw_deg: float = 0, centre: float = SIDE_PX / 2) -> F32:
    """The mean face, turned, in the picture's middle."""
    shape = face_mesh.load().mean_shape - face_mesh.load().mean_shape.mean(axis=0)
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    placed = shape @ turn.T * height_px / np.ptp(shape[:, 1])
    placed[:, :2] += centre
    return np.asarray(placed, np.float32)


def one_face(rgb: U8) -> list[FaceTrack]:
    return [FaceTrack(landmarks(), 1.0)]


def enrolment(directory: Path | None = None) -> Enrolment:
    return Enrolment(Identities(directory=directory), find_faces=one_face)
