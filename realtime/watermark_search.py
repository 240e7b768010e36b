"""Finds the invisible mark in pictures that went through codecs, scaling, cropping and mirrors.

    search = Search()
    for luma in pictures:
        search.add(luma)
    finding = search.find()

What stands still in the pictures adds up, what moves averages out. First the picture is whitened,
so that its own edges say little (Depovere, Kalker and Linnartz, ICIP 1998). Then the field is laid
over it at every size from `SMALLEST` to `LARGEST`, as it is and mirrored, at every place at once
(correlation by Fourier transform: Kalker et al., SPIE 3657, 1999).

How sure a finding is: at one size and place each sign of the field meets one number `x`, and
`score = sum(sign * x) / sqrt(sum(x**2))`. For pictures that do not know the field the signs are
independent coin tosses, so that `score >= s` has a chance of at most `exp(-s**2 / 2)` (Hoeffding,
J. Am. Stat. Assoc. 58(301), 1963), whatever the picture; and no search can try more places than
`HYPOTHESES`, whichever it chooses to. The cells that carry the id are tossed apart from those that
the field is found by, and turn every id into every other alike: what is no id passes its check once
in 65536. `FALSE_ALARM` is the sum. Turned pictures, those seen at an angle, and those stretched in
one direction only, are not found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from realtime.frames import F32, U8
from realtime.watermark_code import CHECK_BITS, CODED_BITS, decode
from realtime.watermark_field import COLUMNS, FIELD, ROWS, Payload

LINES = 2 * ROWS
"""to which pictures are scaled: two samples per cell of one that was neither cropped nor padded"""
SMALLEST, LARGEST = 0.6, 1.6
"""cells, as a share of `height / ROWS`: below 1 for a picture with bars around it"""
_SIZE_STEP = 0.01
"""at half a step too much, a cell at the edge of a 4:3 picture is off by 0.4 of itself"""
SIZES = tuple(
    sorted(
        (math.exp(_SIZE_STEP * step) for step in range(-51, 48)),
        key=lambda size: abs(math.log(size)),
    )
)
"""from the likeliest on"""
CERTAIN = 9.1
"""score of a mark, whatever its id"""
LIKELY = 7.8
"""score of a mark whose id's check fits"""
_PROMISING = 5.0
"""approximate score from which a place is looked at closely"""
_OBVIOUS = 10.0
"""score at which no other size is tried"""
_CLOSER_STEPS = ((0.004, 0.25), (0.002, 0.12))
"""of the logarithm of the size, and of the place in cells: round by round of a closer look"""
_DIRECTIONS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
HYPOTHESES = len(SIZES) * 2 * (2 * ROWS * 2 * COLUMNS) * 27 ** len(_CLOSER_STEPS)
"""every size, side and place; and all that a closer look might come to from there, which is one
step or none in three directions, each round"""
FALSE_ALARM = HYPOTHESES * (
    math.exp(-(CERTAIN**2) / 2) + math.exp(-(LIKELY**2) / 2) / 2**CHECK_BITS
)
"""chance of a finding in what is not marked, per search, at most"""
_SHARE_OF_BEST = 0.7
"""of the best score: what promises less is not looked at closely"""
_TINY = 1e-9
"""keeps an empty picture from a division by zero"""
_LOUDEST = 2.5
"""of one whitened sample: an edge must not drown the others"""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where the field lies in the picture of `LINES` lines."""

    size: float
    """of its cells: 1 as embedded, 1.11 where a tenth was cropped and the rest enlarged"""
    mirrored: bool
    across: float
    down: float
    """cells of the field that meet the picture's middle"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The likeliest place of the field, and what it says there."""

    score: float
    alignment: Alignment
    payload: Payload | None
    """None where its check did not fit"""

    @property
    def marked(self) -> bool:
        return self.score >= (CERTAIN if self.payload is None else LIKELY)

    @property
    def sureness(self) -> tuple[bool, bool, float]:
        """Marked before unmarked, one that can be read before one that cannot."""
        return self.marked, self.payload is not None, self.score


class Search:
    """Gathers pictures of one size, and looks for the field in their sum."""

    def __init__(self) -> None:
        self._sum: F32 = np.zeros((0, 0), np.float32)
        self.pictures = 0

    def add(self, luma: U8) -> None:
        """
        Args:
            luma: (H, W); a picture of another shape than the last one begins a new sum.
        """
        height, width = luma.shape
        size = (max(round(width * LINES / height), 1), LINES)
        how = cv2.INTER_AREA if height > LINES else cv2.INTER_CUBIC
        white = _whiten(np.asarray(cv2.resize(luma.astype(np.float32), size, interpolation=how)))
        if white.shape != self._sum.shape:
            self._sum, self.pictures = np.zeros_like(white), 0
        self._sum += white
        self.pictures += 1

    def find(self) -> Finding:
        """The likeliest place, marked or not.

        Raises:
            ValueError: no picture was added.
        """
        if not self.pictures:
            raise ValueError("nothing to search: add a picture first")
        best = Finding(0.0, Alignment(1.0, False, 0.0, 0.0), None)
        for alignment, score in _candidates(self._sum):
            if score > max(_PROMISING, _SHARE_OF_BEST * best.score):
                found = _look_closer(self._sum, alignment)
                best = max(best, found, key=lambda finding: finding.sureness)
                if best.score >= _OBVIOUS and best.payload is not None:
                    break
        return best


def _whiten(picture: F32) -> F32:
    """What differs from its surroundings, as loud everywhere."""
    detail = picture - cv2.GaussianBlur(picture, (0, 0), 2.0)
    loudness = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 4.0))
    return np.clip(detail / (loudness + 0.3), -_LOUDEST, _LOUDEST)


def _candidates(picture: F32) -> Iterator[tuple[Alignment, float]]:
    """The best place for each size, as it is and mirrored, with its approximate score."""
    height, width = picture.shape
    for size in SIZES:
        # two samples per cell, from the first pixel on
        heard = _sample(_match(picture, size), size, (0.0, 0.0), (width / size, height / size))
        torus = _fold(heard, 2 * ROWS, 2 * COLUMNS)
        # of the samples a quarter lie on cells, and of those a third on signs to find the field by
        energy = float(np.vdot(torus, torus)) * _FINDING_SHARE / 4
        spectrum = cv2.dft(torus)
        for mirrored in (False, True):
            product = cv2.mulSpectrums(spectrum, _TEMPLATES[mirrored], 0, conjB=True)
            fit = cv2.idft(product, flags=cv2.DFT_SCALE)
            _, top_score, _, (left, top) = cv2.minMaxLoc(fit)
            # the field's first cell lies on that sample
            across, down = (width / 2 / size - left) / 2, (height / 2 / size - top) / 2
            alignment = Alignment(size, mirrored, -across if mirrored else across, down)
            yield alignment, top_score / math.sqrt(energy + _TINY)


def _look_closer(picture: F32, alignment: Alignment) -> Finding:
    """The best place near one, and what is heard there."""
    best, heard = alignment, _hear(picture, alignment)
    score = _score(heard)
    for size_step, place_step in _CLOSER_STEPS:
        for larger, right, down in _DIRECTIONS:
            near = replace(
                best,
                size=best.size * math.exp(larger * size_step),
                across=best.across + right * place_step,
                down=best.down + down * place_step,
            )
            heard_near = _hear(picture, near)
            if (score_near := _score(heard_near)) > score:
                best, heard, score = near, heard_near, score_near
    session_id = decode(_bits(heard))
    return Finding(score, best, None if session_id is None else Payload(session_id))


def _hear(picture: F32, alignment: Alignment) -> F32:
    """(ROWS, COLUMNS) what each cell of the field meets."""
    if alignment.mirrored:
        picture = np.asarray(cv2.flip(picture, 1), np.float32)
    height, width = picture.shape
    cell = 2 * alignment.size
    left, top = alignment.across - width / 2 / cell, alignment.down - height / 2 / cell
    column, row = math.ceil(left), math.ceil(top)  # the first whole ones
    columns, rows = left + width / cell - column, top + height / cell - row
    at = (column - left) * cell, (row - top) * cell
    heard = _sample(_match(picture, alignment.size), cell, at, (columns, rows))
    return np.roll(_fold(heard, ROWS, COLUMNS), (row, column), (0, 1))


def _match(picture: F32, size: float) -> F32:
    """The picture as a cell sees it: weighed by the shape in which cells are drawn."""
    reach = math.ceil(3 * size)
    away = np.abs(np.arange(-reach, reach + 1)) / (2 * size)
    kernel = np.maximum(1 - away * away / 1.2, 0) ** 2
    return np.asarray(
        cv2.sepFilter2D(picture, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    )


def _sample(picture: F32, step: float, at: tuple[float, float], wh: tuple[float, float]) -> F32:
    """Every `step` pixels from `at` on; as many, across and down, as `wh` rounded up."""
    size = max(math.ceil(wh[0]), 1), max(math.ceil(wh[1]), 1)
    px_from_sample = np.array([[step, 0, at[0]], [0, step, at[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, px_from_sample, size, flags=how), np.float32)


def _fold(samples: F32, rows: int, columns: int) -> F32:
    """(rows, columns): what reaches beyond is added at the beginning."""
    height, width = samples.shape
    whole = np.pad(samples, ((0, -height % rows), (0, -width % columns)))
    folded: F32 = whole.reshape(-1, rows, whole.shape[1] // columns, columns).sum(axis=(0, 2))
    return folded


def _score(heard: F32) -> float:
    """How much of what the cells meet agrees with the signs by which the field is found."""
    met = heard[_FINDING]
    return float(met @ _FINDING_SIGNS) / math.sqrt(float(met @ met) + _TINY)


def _bits(heard: F32) -> F32:
    """(CODED_BITS,) what the cells of each say together."""
    carrying = ~_FINDING
    signed = (heard * FIELD.signs)[carrying]
    return np.bincount(FIELD.places[carrying], signed, CODED_BITS).astype(np.float32)


def _template(mirrored: bool) -> F32:
    """The spectrum of the signs by which the field is found, two samples per cell."""
    drawn = np.zeros((2 * ROWS, 2 * COLUMNS), np.float32)
    drawn[::2, ::2] = np.where(_FINDING, FIELD.signs, 0)
    if mirrored:  # about its first column
        drawn = np.roll(drawn[:, ::-1], 1, axis=1)
    return np.asarray(cv2.dft(drawn), np.float32)


_FINDING = FIELD.places < 0
_FINDING_SIGNS = FIELD.signs[_FINDING].astype(np.float32)
_FINDING_SHARE = float(_FINDING.mean())
_TEMPLATES = (_template(False), _template(True))
