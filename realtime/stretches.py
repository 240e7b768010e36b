"""Any picture or video file as grey pictures, in stretches: what whoever checks a file looks at.

A file is read as far as it is asked for, and no further: a long video in `STRETCHES` stretches that
are spread over it, or all of it. Pillow reads stills and animations, PyAV the rest; neither may try
more than the common formats, for any decoder that is let at a stranger's file is one more that may
have a flaw. What is too large to be decoded safely is refused before it is. Knows no marks.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import cv2
import numpy as np
from av.container import InputContainer
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from realtime.containers import MAX_PX, open_media
from realtime.errors import StartupError
from realtime.frames import U8

STILL_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
"""by Pillow's names; of those that it knows besides, one has Ghostscript run what the file says"""
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
    covered_s: float
    """of the film, until the end of this picture"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to look at, as far as the file's header tells it."""

    stretches: int
    """for a progress bar; 1 of a still"""
    duration_s: float | None = None
    """of a film; None where it does not tell"""
    is_still: bool = False
    is_sampled: bool = False
    """it is long: stretches that are spread over it are looked at, not all"""
    most_s: float = math.inf
    """that are looked at from the beginning on, where it is not sampled"""


def extent_of(path: Path, whole: bool = False) -> Extent:
    """
    Args:
        whole: every second of a film is wanted, however long that takes.

    Raises:
        StartupError: as of `read`.
    """
    if _is_still(path):
        return Extent(1, is_still=True)
    with _open(path) as container:
        duration_s = _duration_s(container)
    most_s = math.inf if whole else STRETCH_S * STRETCHES
    if duration_s is None:
        return Extent(STRETCHES, None, most_s=most_s)
    count = int(duration_s / STRETCH_S) + 1
    if whole or duration_s <= most_s:
        return Extent(count if whole else min(STRETCHES, count), duration_s, most_s=most_s)
    return Extent(STRETCHES, duration_s, is_sampled=True)


def read(path: Path, extent: Extent | None = None) -> Iterator[Seen]:
    """The file's pictures, stretch by stretch.

    Args:
        extent: of this file; None finds it out.

    Raises:
        StartupError: it cannot be read, holds no picture, or one that is too large.
    """
    extent = extent or extent_of(path)
    count = 0
    for seen in _stills(path) if extent.is_still else _film(path, extent):
        count += 1
        yield seen
    if not count:
        raise StartupError(f"{path}: holds no picture that can be decoded")


def _is_still(path: Path) -> bool:
    """Whether it is of one of Pillow's formats that are looked at, animations included."""
    try:
        with path.open("rb") as file, _still(file):
            return True
    except UnidentifiedImageError:
        return False
    except Image.DecompressionBombError:
        return True  # for `_stills` to refuse
    except OSError as error:
        raise StartupError(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - its parsers raise what a damaged header leads to
        raise _damaged(path, error) from None


def _stills(path: Path) -> Iterator[Seen]:
    try:
        with path.open("rb") as file, _still(file) as picture:
            _check(path, picture.width, picture.height)
            for number, one in enumerate(ImageSequence.Iterator(picture)):
                if number == MAX_ANIMATED:
                    return
                upright = ImageOps.exif_transpose(one.convert("RGB")).convert("L")
                at_s = number / PICTURES_PER_S
                yield Seen(np.array(upright, np.uint8), 0, at_s, at_s)
    except StartupError:
        raise
    except Image.DecompressionBombError as error:
        raise StartupError(f"{path}: {error}; at most {MAX_PX} pixels are looked at") from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise what damaged pixels lead to
        raise _damaged(path, error) from None


def _still(file: BinaryIO) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=STILL_FORMATS)


def _damaged(path: Path, error: Exception) -> StartupError:
    said = " ".join(str(error).split()) or type(error).__name__
    return StartupError(f"{path}: cannot be read as a picture: {said}")


def _film(path: Path, extent: Extent) -> Iterator[Seen]:
    with _open(path) as container:
        if not extent.is_sampled or extent.duration_s is None:
            yield from _watch(path, container, 0, extent.most_s)
            return
        apart_s = (extent.duration_s - STRETCH_S) / (STRETCHES - 1)
        for stretch in range(STRETCHES):
            try:
                container.seek(round(stretch * apart_s * av.time_base))
            except av.FFmpegError:  # what cannot be sought is looked at from its beginning only
                return
            yield from _watch(path, container, stretch, STRETCH_S)


def _watch(path: Path, container: InputContainer, stretch: int, seconds: float) -> Iterator[Seen]:
    """From where the container stands; a new stretch begins every `STRETCH_S`."""
    first_s, next_s = None, 0.0
    most = None if math.isinf(seconds) else round(seconds * MAX_RATE)
    for frame in itertools.islice(_frames(container), most):
        _check(path, frame.width, frame.height)
        time_s = next_s if frame.time is None else frame.time
        first_s = time_s if first_s is None else first_s
        since_s = time_s - first_s
        if since_s >= seconds:
            return
        if since_s >= next_s:
            next_s = since_s + 1 / PICTURES_PER_S
            luma = _upright(frame)
            if luma is None:
                continue
            further = int(since_s / STRETCH_S)
            at_s, covered_s = since_s - further * STRETCH_S, stretch * STRETCH_S + next_s
            yield Seen(luma, stretch + further, at_s, covered_s)


def _upright(frame: av.VideoFrame) -> U8 | None:
    """(H, W); None of a picture that cannot be converted, as of one that cannot be decoded."""
    try:
        luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
        turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
        return luma if turn is None else np.asarray(cv2.rotate(luma, turn), np.uint8)
    except (av.FFmpegError, ValueError, TypeError, OverflowError, cv2.error):
        return None


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
    """One thread decodes: whoever has a file checked leaves the other cores to the sessions."""
    container = open_media(path)
    video = container.streams.video[0]
    video.codec_context.thread_count = 1
    try:
        _check(path, video.width, video.height)
    except StartupError:
        container.close()
        raise
    return container


def _duration_s(container: InputContainer) -> float | None:
    duration = container.duration
    return None if duration is None or duration <= 0 else duration / av.time_base


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
