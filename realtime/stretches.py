"""Any picture or video file as grey pictures, in stretches: what whoever checks a file looks at.

A file is read as far as it is asked for, and no further: a long video in `STRETCHES` stretches that
are spread over it, or all of it. A video is sought by its key frames; where they are too rare, it
is decoded from stretch to stretch, as far as `PASSED_PX` goes. No second counts twice as looked at.

Pillow reads stills and animations, PyAV the rest; neither may try more than the common formats, for
any decoder that is let at a stranger's file is one more that may have a flaw. What is too large to
be decoded safely is refused before it is. Knows no marks.
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
PASSED_PX = 10_000_000_000
"""that are decoded at most where seeking leads nowhere, as the time that a file is given must last:
18 minutes of 640x480 at 30 pictures a second, two and a half of 1920x1080"""
USUAL_RATE = 30.0
"""pictures a second, where a file does not tell"""
MAX_ANIMATED = 100
"""pictures of an animation"""
MAX_ASPECT = 8.0
"""width by height, or height by width"""
_Timed = tuple[float, av.VideoFrame]
"""in seconds of the film"""
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
    """of the film that were looked at, until the end of this picture: not what lies between
    stretches, and nothing twice"""


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
        film = _Film(path, container)
        if extent.is_sampled and extent.duration_s is not None:
            yield from film.here_and_there(extent.duration_s)
        else:
            yield from film.watch(film.pictures(), 0, extent.most_s)


class _Film:
    """An open film, and how much of it was looked at. Times are the film's own."""

    def __init__(self, path: Path, container: InputContainer) -> None:
        self._path = path
        self._container = container
        video = container.streams.video[0]
        self._rate = min(max(float(video.average_rate or USUAL_RATE), 1.0), float(MAX_RATE))
        self._affordable = PASSED_PX // max(video.width * video.height, 1)
        """pictures"""
        self._begin_s = (container.start_time or 0) / av.time_base
        self._covered_s = 0.0
        self._last_s = -math.inf
        """the last picture that was looked at"""

    def pictures(self) -> Iterator[_Timed]:
        """From where the container stands, each with its time."""
        time_s = self._begin_s - 1 / self._rate
        for frame in _frames(self._container):
            time_s = time_s + 1 / self._rate if frame.time is None else frame.time
            yield time_s, frame

    def here_and_there(self, duration_s: float) -> Iterator[Seen]:
        """A stretch wherever a seek leads; once one leads nowhere new, straight on from there."""
        apart_s = (duration_s - STRETCH_S) / (STRETCHES - 1)
        key_s = -math.inf
        for stretch in range(STRETCHES):
            # the first needs none, and a film that cannot be sought is read on
            sought = stretch == 0 or self._seek(self._begin_s + stretch * apart_s)
            pictures = self.pictures()
            first = next(pictures, None)
            if first is None:
                continue
            pictures = itertools.chain([first], pictures)
            if not sought or first[0] <= key_s:
                yield from self._straight_on(pictures, first[0], stretch, duration_s)
                return
            key_s = first[0]
            near = itertools.islice(pictures, 2 * round(STRETCH_S * MAX_RATE))
            yield from self.watch(_later(near, self._last_s), stretch, STRETCH_S)

    def _seek(self, at_s: float) -> bool:
        """To the last key frame until then."""
        try:
            self._container.seek(round(at_s * av.time_base))
        except av.FFmpegError:
            return False
        return True

    def _straight_on(
        self, pictures: Iterator[_Timed], first_s: float, stretch: int, duration_s: float
    ) -> Iterator[Seen]:
        """This stretch and those after it, spread over what can be decoded without a seek."""
        until_s = min(self._begin_s + duration_s, first_s + self._affordable / self._rate)
        left, self._last_s = STRETCHES - stretch, max(self._last_s, first_s)
        between_s = max((until_s - self._last_s) / left - STRETCH_S, 0.0)
        pictures = itertools.islice(pictures, self._affordable)
        for number in range(stretch, STRETCHES):
            later = _later(pictures, self._last_s + between_s)
            yield from self.watch(later, number, STRETCH_S)

    def watch(self, pictures: Iterator[_Timed], stretch: int, seconds: float) -> Iterator[Seen]:
        """From the first of them on; a new stretch begins every `STRETCH_S`."""
        first_s, next_s, before_s = None, 0.0, self._covered_s
        most = None if math.isinf(seconds) else round(seconds * MAX_RATE)
        for time_s, frame in itertools.islice(pictures, most):
            _check(self._path, frame.width, frame.height)
            first_s = time_s if first_s is None else first_s
            since_s = time_s - first_s
            if since_s >= seconds:
                return
            if since_s < next_s:
                continue
            next_s = since_s + 1 / PICTURES_PER_S
            luma = _upright(frame)
            if luma is None:
                continue
            self._last_s, self._covered_s = time_s, before_s + next_s
            further = int(since_s / STRETCH_S)
            yield Seen(luma, stretch + further, since_s - further * STRETCH_S, self._covered_s)


def _later(pictures: Iterator[_Timed], than_s: float) -> Iterator[_Timed]:
    return itertools.dropwhile(lambda each: each[0] <= than_s, pictures)


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
