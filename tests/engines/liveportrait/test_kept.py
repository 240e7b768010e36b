"""A portrait that LivePortrait encoded before is read back; the rest is in `../test_shelf.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.backends.torch import TorchEngine
from engines.liveportrait.networks import NAME
from engines.liveportrait.portrait import Code, Portrait
from engines.liveportrait.reenactor import LivePortrait
from engines.shelf import Shelf, names
from tests.engines import faces
from tests.engines.liveportrait.engines import CANVAS, SPECS, moved, networks, sight
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

pytestmark = pytest.mark.train


class Counted(TorchEngine):
    def __init__(self) -> None:
        super().__init__(SPECS["appearance"], network("appearance", sizes=ALL_POINTS), threads=1)
        self.runs = 0

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        self.runs += 1
        assert isinstance(inputs, dict)
        return super().run(inputs)


@pytest.fixture
def place(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "encoded", "ab" * 32)


def avatar(extractor: Counted, digest: str = "weights") -> LivePortrait:
    return LivePortrait(networks(appearance=extractor), "narrow", weights_sha256=digest)


def encoded(made: LivePortrait, place: Shelf, lips_open_px: float = 0) -> Portrait:
    landmarks = faces.landmarks()
    landmarks[14, 1] += lips_open_px
    return made.encode_identity(faces.portrait(), landmarks, CANVAS, place)


def arrays(code: Code) -> list[np.ndarray]:
    return list(code.arrays().values())


def test_a_second_start_reads_what_the_first_one_kept_and_drives_the_same(place: Shelf) -> None:
    first, second = Counted(), Counted()
    writer, reader = avatar(first), avatar(second)
    written, read = encoded(writer, place), encoded(reader, place)
    assert (first.runs, second.runs) == (1, 0)
    assert names(place.folder) == [f"{NAME}.320x240"]
    for one, other in zip(arrays(written.code), arrays(read.code), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype == np.float32
    motion = moved(sight(1), sight(2))
    np.testing.assert_array_equal(
        writer.render(written, motion).rgb, reader.render(read, motion).rgb
    )


def test_other_weights_lips_and_portraits_are_encoded_anew(place: Shelf) -> None:
    extractor = Counted()
    for number, (digest, lips_open_px, portrait) in enumerate(
        [("weights", 0, "ab"), ("others", 0, "ab"), ("others", 9, "ab"), ("others", 9, "cd")]
    ):
        made, of = avatar(extractor, digest), replace(place, portrait_sha256=portrait)
        for _ in range(2):
            encoded(made, of, lips_open_px)
        assert extractor.runs == number + 1
    assert len(names(place.folder)) == 1


def test_of_weights_that_nobody_knows_nothing_is_kept(place: Shelf) -> None:
    encoded(avatar(Counted(), digest=""), place)
    assert not place.folder.exists()
