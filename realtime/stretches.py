"""Any picture or video file as grey pictures, in stretches: what whoever checks a file looks at.

A file is read as far as it is asked for, and no further: a long video in `STRETCHES` stretches that
are spread over it. Pillow reads stills and animations, PyAV the rest. What is too large to be
decoded safely is refused before it is. Knows no marks.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from realtime.containers import MAX_PX, open_media
from realtime.errors import StartupError
from realtime.frames import U8

STRETCH_S = 10.0
STRETCHES = 12
PICTURES_PER_S = 8.0
"""of a video; neighbours are nearly alike and say nothing new"""
MAX_RATE = 120
"""pictures that are decoded for a second; where times do not rise, they would never be over"""
MAX_ANIMATED = 100
"""pictures of an animation"""
MAX_ASPECT = 8.0
"""width by height, or height by width"""
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture of a file."""

    luma: U8
    """(H, W)"""
    stretch: int
    at_s: float
    """since the stretch began"""


def stretches_of(path: Path) -> int:
    """How many stretches there are to look at, for a progress bar; 1 of a still.

    Raises:
        StartupError: as of `read`.
    """
    if _is_still(path):
        return 1
    with _open(path) as container:
        duration_s = _duration_s(container)
    return STRETCHES if duration_s is None else min(STRETCHES, int(duration_s / STRETCH_S) + 1)


def read(path: Path) -> Iterator[Seen]:
    """The file's pictures, stretch by stretch.

    Raises:
        StartupError: it cannot be read, holds no picture, or one that is too large.
    """
    count = 0
    for seen in _stills(path) if _is_still(path) else _film(path):
        count += 1
        yield seen
    if not count:
        raise StartupError(f"{path}: holds no picture that can be decoded")


def _is_still(path: Path) -> bool:
    """Whether Pillow knows it, animations included."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file):
                return True
    except UnidentifiedImageError:
        return False
    except Image.DecompressionBombError:
        return True  # for `_stills` to refuse
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, SyntaxError) as error:  # what Pillow raises for damaged headers
        raise StartupError(f"{path}: cannot be read as a picture: {error}") from None


def _stills(path: Path) -> Iterator[Seen]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            _check(path, picture.width, picture.height)
            for number, one in enumerate(ImageSequence.Iterator(picture)):
                if number == MAX_ANIMATED:
                    return
                upright = ImageOps.exif_transpose(one.convert("RGB")).convert("L")
                yield Seen(np.array(upright, np.uint8), 0, number / PICTURES_PER_S)
    except Image.DecompressionBombError as error:
        raise StartupError(f"{path}: {error}; at most {MAX_PX} pixels are looked at") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise StartupError(f"{path}: cannot be read as a picture: {error}") from None


def _film(path: Path) -> Iterator[Seen]:
    with _open(path) as container:
        duration_s = _duration_s(container)
        if duration_s is None or duration_s <= STRETCH_S * STRETCHES:
            yield from _watch(path, container, 0, STRETCH_S * STRETCHES)
            return
        apart_s = (duration_s - STRETCH_S) / (STRETCHES - 1)
        for stretch in range(STRETCHES):
            try:
                container.seek(round(stretch * apart_s * av.time_base))
            except av.FFmpegError:  # what cannot be sought is looked at from its beginning only
                return
            yield from _watch(path, container, stretch, STRETCH_S)


def _watch(path: Path, container: InputContainer, stretch: int, seconds: float) -> Iterator[Seen]:
    """From where the container stands; a new stretch begins every `STRETCH_S`."""
    first_s, next_s = None, 0.0
    for frame in itertools.islice(_frames(container), round(seconds * MAX_RATE)):
        _check(path, frame.width, frame.height)
        time_s = next_s if frame.time is None else frame.time
        first_s = time_s if first_s is None else first_s
        since_s = time_s - first_s
        if since_s >= seconds:
            return
        if since_s >= next_s:
            next_s = since_s + 1 / PICTURES_PER_S
            luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
            turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
            upright = luma if turn is None else np.asarray(cv2.rotate(luma, turn), np.uint8)
            further = int(since_s / STRETCH_S)
            yield Seen(upright, stretch + further, since_s - further * STRETCH_S)


def _frames(container: InputContainer) -> Iterator[av.VideoFrame]:
    """What can be decoded; damaged packets are passed over."""
    video = container.streams.video[0]
    try:
        for packet in container.demux(video):
            try:
                yield from packet.decode()
            except av.InvalidDataError:
                continue
    except (av.FFmpegError, ValueError):  # the file ends in the middle
        return


def _open(path: Path) -> InputContainer:
    container = open_media(path)
    video = container.streams.video[0]
    try:
        _check(path, video.width, video.height)
    except StartupError:
        container.close()
        raise
    return container


def _duration_s(container: InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration else None


def _check(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PX:
        raise StartupError(
            f"{path}: {width}x{height} is more than {MAX_PX} pixels, which are looked at at most; "
            "make it smaller"
        )
    if width > MAX_ASPECT * height or height > MAX_ASPECT * width:
        raise StartupError(
            f"{path}: {width}x{height} is longer than {MAX_ASPECT:g} times its other side; cut it"
        )
