"""Measures faces in pictures, apart from the daemon's own tracker, and compares courses in time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import mediapipe as mp
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

# MediaPipe's mesh: inner lips' middle; lids and corners of the eyes
_LIPS = (13, 14)
_EYES = ((159, 145, 33, 133), (386, 374, 263, 362))
_OUTER_CORNERS = (33, 263)
LONGEST_LAG_S = 1.0


@dataclass(frozen=True)
class Faces:
    """One value per picture; NaN where no face was found."""

    mouth: F64
    """lip gap over the distance of the outer eye corners"""
    eyes: F64
    """lid gap over eye width, mean of both eyes"""

    @property
    def found(self) -> float:
        """Share of the pictures with a face."""
        return float(np.isfinite(self.mouth).mean())


def measure(pictures: list[U8]) -> Faces:
    """Look for one face in each picture by itself, without memory of the one before."""
    rows = []
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        for picture in pictures:
            found = mesh.process(picture).multi_face_landmarks
            rows.append(_openings(found[0], picture.shape) if found else (np.nan, np.nan))
    mouth, eyes = np.array(rows).T
    return Faces(mouth, eyes)


def _openings(face: mp.solutions.face_mesh.FaceMesh, shape: tuple[int, ...]) -> tuple[float, float]:
    points = np.array([(p.x * shape[1], p.y * shape[0], p.z * shape[1]) for p in face.landmark])

    def apart(first: int, second: int) -> float:
        return float(np.linalg.norm(points[first] - points[second]))

    eyes = [apart(top, low) / apart(left, right) for top, low, left, right in _EYES]
    return apart(*_LIPS) / apart(*_OUTER_CORNERS), sum(eyes) / 2


@dataclass(frozen=True)
class Truth:
    """What the performer of a clip does, by the clip's own account; periodic, as the camera is."""

    times_s: F64
    jaw: F64
    blink: F64
    duration_s: float

    @classmethod
    def of(cls, path: Path) -> Truth:
        rows = json.loads(path.read_text())
        times_s, jaw, blink = (
            np.array([r[name] for r in rows]) for name in ("t_s", "jaw", "blink")
        )
        return cls(times_s, jaw, blink, float(times_s[-1] + times_s[1]))

    def jaw_at(self, times_s: F64) -> F64:
        return np.interp(times_s, self.times_s, self.jaw, period=self.duration_s)

    def blink_at(self, times_s: F64) -> F64:
        return np.interp(times_s, self.times_s, self.blink, period=self.duration_s)


class Clip:
    """What the looping camera shows."""

    def __init__(self, path: Path, duration_s: float) -> None:
        self._duration_s = duration_s
        with av.open(str(path)) as container:
            self._frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        self.small = [cv2.resize(f, (160, 120), interpolation=cv2.INTER_AREA) for f in self._frames]
        """(120, 160, 3) each"""

    def find(self, parts: list[U8], place: tuple[int, int, int, int]) -> NDArray[np.int64]:
        """Which frame each camera picture is, by a part of it (left, top, width, height).

        A loaded machine plays the fake camera unevenly, so its pictures cannot be counted.
        """
        left, top, width, height = place
        known = [_quarter(f[top : top + height, left : left + width]) for f in self._frames]
        return np.array([np.abs(known - _quarter(part)).mean(axis=1).argmin() for part in parts])

    def times_s(self, frames: NDArray[np.int64]) -> F64:
        """Where in the clip frames are, across its loops."""
        seconds = frames * (self._duration_s / len(self._frames))
        return np.unwrap(seconds, period=self._duration_s)


def _quarter(picture: U8) -> NDArray[np.float32]:
    small = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).ravel()


@dataclass(frozen=True)
class Course:
    """Something measured on pictures of these times, while the camera went through its clip."""

    times_s: F64
    values: F64
    """NaN where nothing was found"""
    captured_s: F64
    clip_s: F64
    """where in the clip the camera was at `captured_s`"""


def best_lag(performed: Callable[[F64], F64], courses: Sequence[Course]) -> tuple[float, float]:
    """How alike courses are to what was performed, at the one lag that suits all of them best.

    Args:
        performed: what the performer does at a time of the clip.

    Returns:
        The correlation over all courses together, and the lag in seconds.
    """
    good = [np.isfinite(course.values) for course in courses]
    values = np.concatenate([course.values[at] for course, at in zip(courses, good, strict=True)])
    lags_s = np.arange(0, LONGEST_LAG_S, 1 / 120)
    alike = []
    for lag in lags_s:
        wanted = [
            performed(np.interp(course.times_s[at] - lag, course.captured_s, course.clip_s))
            for course, at in zip(courses, good, strict=True)
        ]
        alike.append(float(np.corrcoef(np.concatenate(wanted), values)[0, 1]))
    best = int(np.argmax(alike))
    return alike[best], float(lags_s[best])


def likeness(first: U8, second: U8) -> float:
    """Correlation of two pictures' brightness, at the second one's size."""
    height, width = second.shape[:2]
    pair = [
        cv2.cvtColor(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), 7)
        for picture in (first, second)
    ]
    return float(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1])
