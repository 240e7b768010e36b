"""The performer that a bench shows: a clip, decoded once, repeated as long as needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from realtime.errors import StartupError
from realtime.media_file import MediaReader

DEFAULT_CLIP = Path(__file__).parents[2] / "tests" / "data" / "performers" / "performer1.mp4"
"""of a checkout; a wheel does not carry the test data"""


def choose_clip(clip: Path | None) -> Path:
    """
    Raises:
        StartupError: no clip is named, and this is not a checkout.
    """
    if clip is not None:
        return clip
    if not DEFAULT_CLIP.exists():
        raise StartupError("only a checkout has a performer clip to bench with; name one: --clip")
    return DEFAULT_CLIP


def decode(clip: Path, at_most: int) -> list[av.VideoFrame]:
    """The clip's first frames, in the decoder's own format."""
    with MediaReader(clip) as reader:
        frames = [item for item in reader if isinstance(item, av.VideoFrame)][:at_most]
    if not frames:
        raise StartupError(f"{clip}: holds no frame that can be decoded")
    return frames


def back_and_forth(frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The frames for ever, without the jump that a loop makes at its seam."""
    return itertools.cycle([*frames, *reversed(frames[1:-1])])


def rate_of(clip: Path) -> Fraction:
    with MediaReader(clip) as reader:
        return reader.rate
